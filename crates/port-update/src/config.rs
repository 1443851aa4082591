//! `update.conf`: `key = value`, one on a line, `#` before comments (docs/update.md). KubeSolo's keys are among ours.
//!
//! Invariant: what was written and not understood is an error, unless somebody says [`UnknownKeys::Ignored`]: a slip in `trust_policy`
//! must not become a machine that takes anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use port_model::suggest::did_you_mean;

use crate::window::Window;

/// The largest file that is read, in bytes.
pub const LARGEST_CONFIG: u64 = 64 * 1024;

/// What is done with keys that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKeys {
    /// They are errors.
    Refused,
    /// They are not looked at, as KubeSolo's agent does.
    Ignored,
}

/// Whether releases that nobody signed are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unsigned {
    /// No.
    #[default]
    Refused,
    /// Yes: whoever can write to the place can install anything.
    Allowed,
}

/// What says which slot boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BootLoader {
    /// `directory`: a file beside the slots.
    #[default]
    Directory,
    /// `grub`: GRUB's environment block.
    Grub,
    /// `bls`: boot loader entries with counters.
    Bls,
    /// `hook`: a program.
    Hook,
}

impl BootLoader {
    /// From its word.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "directory" => Self::Directory,
            "grub" => Self::Grub,
            "bls" => Self::Bls,
            "hook" => Self::Hook,
            _ => return None,
        })
    }
}

/// A configuration file, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `server`: where `latest.json` is, or a registry's repository (acceptance C-41).
    pub server: Option<String>,
    /// `registry`: a registry's repository.
    pub registry: Option<String>,
    /// `media`: an OCI image layout, a directory or a tar archive, in place of the registry.
    pub media: Option<PathBuf>,
    /// `tag`: what is followed there; the channel where it says nothing.
    pub tag: Option<String>,
    /// `channel`.
    pub channel: Option<String>,
    /// `name`: of what releases are taken.
    pub name: Option<String>,
    /// `variant`: which kind of machine this is.
    pub variant: Option<String>,
    /// `pubkey`: the key that signs, as a file.
    pub pubkey: Option<PathBuf>,
    /// `trust_policy`: a `trust.toml`.
    pub trust_policy: Option<PathBuf>,
    /// `maintenance_window`.
    pub maintenance_window: Window,
    /// `healthcheck_url`.
    pub healthcheck_url: Option<String>,
    /// `healthcheck_command`: a program that ends with 0 when all is well.
    pub healthcheck_command: Option<PathBuf>,
    /// `auto_rollback_after`: how many failed health checks lead back; never where it is 0.
    pub auto_rollback_after: Option<u32>,
    /// `soak_seconds`: how long a new system must be well before it is kept.
    pub soak_seconds: Option<u64>,
    /// `inhibit_directory`: nothing happens while a file lies there.
    pub inhibit_directory: Option<PathBuf>,
    /// `slots`: the slots' directory.
    pub slots: Option<PathBuf>,
    /// `state`: the state's file.
    pub state: Option<PathBuf>,
    /// `boot_loader`: what says which slot boots.
    pub boot_loader: BootLoader,
    /// `boot_loader_path`: its block, its directory of entries, or the hook.
    pub boot_loader_path: Option<PathBuf>,
    /// `unsigned = allowed`.
    pub unsigned: Unsigned,
    /// `backoff_seconds`: how long the first wait after a failure is at most; 0 is none.
    pub backoff_seconds: Option<u64>,
    /// `reboot_command`: the program that boots this machine anew.
    pub reboot_command: Option<PathBuf>,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A line without `=`.
    #[error("line {line}: expected `key = value`, found `{found}`")]
    Line {
        /// Which one.
        line: usize,
        /// What it says.
        found: String,
    },
    /// A key that nobody knows.
    #[error("line {line}: `{key}` is no key of an update configuration{near}")]
    Key {
        /// Which line.
        line: usize,
        /// The key.
        key: String,
        /// What may be meant.
        near: String,
    },
    /// A key that is there twice.
    #[error("line {line}: `{key}` is there already, in line {before}")]
    Twice {
        /// Which line.
        line: usize,
        /// The key.
        key: String,
        /// Where it was first.
        before: usize,
    },
    /// A value that cannot be.
    #[error("line {line}: `{key}`: expected {expected}, found `{found}`")]
    Value {
        /// Which line.
        line: usize,
        /// The key.
        key: &'static str,
        /// What would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

/// Every key.
pub const KEYS: [&str; 22] = [
    "server",
    "registry",
    "media",
    "tag",
    "channel",
    "name",
    "variant",
    "pubkey",
    "trust_policy",
    "maintenance_window",
    "healthcheck_url",
    "healthcheck_command",
    "auto_rollback_after",
    "soak_seconds",
    "inhibit_directory",
    "slots",
    "state",
    "boot_loader",
    "boot_loader_path",
    "unsigned",
    "backoff_seconds",
    "reboot_command",
];

impl Config {
    /// Reads the text of a configuration. An empty value says nothing.
    ///
    /// # Errors
    /// [`ConfigError`], with the line.
    pub fn parse(text: &str, unknown: UnknownKeys) -> Result<Self, ConfigError> {
        let entries = entries(text, unknown)?;
        let text = |key: &str| entries.get(key).map(|entry| entry.value.to_owned());
        let path = |key: &str| text(key).map(PathBuf::from);
        Ok(Self {
            server: text("server"),
            registry: text("registry"),
            media: path("media"),
            tag: text("tag"),
            channel: text("channel"),
            name: text("name"),
            variant: text("variant"),
            pubkey: path("pubkey"),
            trust_policy: path("trust_policy"),
            maintenance_window: value(&entries, "maintenance_window", "`HH:MM-HH:MM`", |it| it.parse().ok())?
                .unwrap_or_default(),
            healthcheck_url: text("healthcheck_url"),
            healthcheck_command: path("healthcheck_command"),
            auto_rollback_after: value(&entries, "auto_rollback_after", "a number", |it| it.parse().ok())?,
            soak_seconds: value(&entries, "soak_seconds", "a number of seconds", |it| it.parse().ok())?,
            inhibit_directory: path("inhibit_directory"),
            slots: path("slots"),
            state: path("state"),
            boot_loader: value(
                &entries,
                "boot_loader",
                "`directory`, `grub`, `bls` or `hook`",
                BootLoader::parse,
            )?
            .unwrap_or_default(),
            boot_loader_path: path("boot_loader_path"),
            backoff_seconds: value(&entries, "backoff_seconds", "a number of seconds", |it| it.parse().ok())?,
            reboot_command: path("reboot_command"),
            unsigned: value(&entries, "unsigned", "`allowed` or `refused`", |it| match it {
                "allowed" => Some(Unsigned::Allowed),
                "refused" => Some(Unsigned::Refused),
                _ => None,
            })?
            .unwrap_or_default(),
        })
    }
}

struct Entry<'a> {
    line: usize,
    value: &'a str,
}

type Entries<'a> = BTreeMap<&'a str, Entry<'a>>;

fn entries(text: &str, unknown: UnknownKeys) -> Result<Entries<'_>, ConfigError> {
    let mut entries = Entries::new();
    for (index, said) in text.lines().enumerate() {
        let (line, said) = (index + 1, said.trim());
        if said.is_empty() || said.starts_with('#') {
            continue;
        }
        let Some((key, value)) = said.split_once('=') else {
            return Err(ConfigError::Line { line, found: plain(said) });
        };
        let (key, value) = (key.trim(), value.trim());
        if !KEYS.contains(&key) {
            if unknown == UnknownKeys::Ignored {
                continue;
            }
            let near = did_you_mean(key, &KEYS);
            return Err(ConfigError::Key { line, key: plain(key), near });
        }
        if let Some(before) = entries.insert(key, Entry { line, value }) {
            return Err(ConfigError::Twice { line, key: plain(key), before: before.line });
        }
    }
    entries.retain(|_, entry| !entry.value.is_empty());
    Ok(entries)
}

fn value<T>(
    entries: &Entries<'_>,
    key: &'static str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, ConfigError> {
    let Some(entry) = entries.get(key) else { return Ok(None) };
    let wrong = || ConfigError::Value { line: entry.line, key, expected, found: plain(entry.value) };
    read(entry.value).map(Some).ok_or_else(wrong)
}

fn plain(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBESOLO: &str = "# made at first boot\nserver=https://updates.example.com\nchannel = stable\n\
        maintenance_window=02:00-04:00\npubkey=/etc/kubesolo/update.pub\nhealthcheck_url=\nauto_rollback_after=3\n";

    #[test]
    fn ou_2_kubesolos_file_is_read() {
        let config = Config::parse(KUBESOLO, UnknownKeys::Refused).unwrap();
        assert_eq!(config.server.as_deref(), Some("https://updates.example.com"));
        assert_eq!((config.auto_rollback_after, config.healthcheck_url), (Some(3), None));
        assert_eq!(config.maintenance_window, "02:00-04:00".parse().unwrap());
        assert_eq!(Config::parse("", UnknownKeys::Refused).unwrap(), Config::default());
    }

    #[test]
    fn ou_2_unknown_keys_are_errors_unless_they_are_to_be_ignored() {
        let text = "pubkye = /etc/key\n";
        let refused = Config::parse(text, UnknownKeys::Refused).unwrap_err().to_string();
        assert!(refused.contains("line 1") && refused.contains("pubkey"), "{refused}");
        assert_eq!(Config::parse(text, UnknownKeys::Ignored).unwrap(), Config::default());
    }

    #[test]
    fn what_cannot_be_is_named_with_its_line() {
        for (text, part) in [
            ("server", "line 1: expected `key = value`"),
            ("\ntag=a\ntag=b", "line 3: `tag` is there already, in line 2"),
            ("unsigned=yes", "`allowed` or `refused`"),
            ("maintenance_window=always", "`HH:MM-HH:MM`"),
            ("auto_rollback_after=-1", "a number"),
        ] {
            for unknown in [UnknownKeys::Refused, UnknownKeys::Ignored] {
                let found = Config::parse(text, unknown).unwrap_err().to_string();
                assert!(found.contains(part), "{found}");
            }
        }
    }
}
