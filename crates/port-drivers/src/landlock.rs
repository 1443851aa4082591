//! Landlock profiles as rules of the launcher: what a workload may read and execute, and what it may write, by path in
//! its own root. Devices it may make nowhere, whatever the profile.
//!
//! | profile | reads and executes | writes besides |
//! | --- | --- | --- |
//! | strict | the system's directories, volumes | `/dev`, `/tmp`, volumes |
//! | default | everything | what programs keep data in, volumes |
//! | permissive | everything | everything but `/proc` and `/sys` |
//! | a file | what it lists, volumes | what it lists, volumes |

use port_workload::{Access, LandlockWord, Mount, Profile};

use crate::error::DriverError;
use crate::profile_file;

const SYSTEM: [&str; 9] = ["/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/usr"];
const SCRATCH: [&str; 2] = ["/dev", "/tmp"];
const DATA: [&str; 10] = ["/dev", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/var"];

/// Rules, as the launcher's options.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    read: Vec<String>,
    write: Vec<String>,
    write_all: bool,
}

impl Rules {
    /// The rules of a profile for a workload with these volumes.
    pub(crate) fn new(profile: &Profile<LandlockWord>, mounts: &[Mount]) -> Result<Self, DriverError> {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        let mut rules = match profile {
            Profile::Known(LandlockWord::Strict) => {
                Self { read: owned(&SYSTEM), write: owned(&SCRATCH), write_all: false }
            }
            // The bare word is refused long before; what it would have meant is the least.
            Profile::Known(LandlockWord::Default | LandlockWord::Custom) => {
                Self { read: owned(&["/"]), write: owned(&DATA), write_all: false }
            }
            Profile::Known(LandlockWord::Permissive) => {
                Self { read: owned(&["/"]), write: Vec::new(), write_all: true }
            }
            Profile::File(path) => {
                let [read, write] = profile_file::read(path, ["read", "write"], is_path)?;
                Self { read, write, write_all: false }
            }
        };
        for mount in mounts {
            let path = mount.container.display().to_string();
            rules.read.push(path.clone());
            if mount.access == Access::ReadWrite {
                rules.write.push(path);
            }
        }
        Ok(rules)
    }

    /// The launcher's options.
    pub(crate) fn options(&self) -> Vec<String> {
        let each = |option: &str, paths: &[String]| {
            paths.iter().flat_map(|path| [option.to_owned(), path.clone()]).collect::<Vec<_>>()
        };
        let mut options = each("--read", &self.read);
        options.extend(each("--write", &self.write));
        options.extend(self.write_all.then(|| "--write-all".to_owned()));
        // A file without rules allows nothing, and must not be taken for no profile.
        if options.is_empty() {
            options = each("--read", &["/run/port-launcher".to_owned()]);
        }
        options
    }
}

fn is_path(text: &str) -> Result<(), String> {
    if text.starts_with('/') && !text.split('/').any(|part| part == "..") {
        return Ok(());
    }
    Err(format!("expected an absolute path in the workload without `..`, found `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_24_profiles_become_rules_with_the_volumes_in_them() {
        let volume =
            |container: &str, access| Mount { host: "/h".into(), container: container.into(), access };
        let volumes = [volume("/data", Access::ReadWrite), volume("/conf", Access::ReadOnly)];
        let options =
            |profile: Profile<LandlockWord>| Rules::new(&profile, &volumes).unwrap().options().join(" ");
        let strict = options(Profile::Known(LandlockWord::Strict));
        assert!(
            strict.ends_with("--read /data --read /conf --write /dev --write /tmp --write /data"),
            "{strict}"
        );
        assert!(!strict.contains("--write /conf") && !strict.contains("--read / "), "{strict}");
        let default = options(Profile::Known(LandlockWord::Default));
        assert!(default.starts_with("--read / ") && !default.contains("--write /etc"), "{default}");
        assert!(options(Profile::Known(LandlockWord::Permissive)).ends_with("--write-all"));
    }

    #[test]
    fn v_24_a_file_lists_what_is_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.toml");
        port_content::atomic::write(&path, b"read = [\"/bin\"]\nwrite = [\"/tmp\"]\n").unwrap();
        let rules = Rules::new(&Profile::File(path.clone()), &[]).unwrap();
        assert_eq!(rules.options(), ["--read", "/bin", "--write", "/tmp"]);
        port_content::atomic::write(&path, b"").unwrap();
        assert_eq!(Rules::new(&Profile::File(path.clone()), &[]).unwrap().options().len(), 2);
        port_content::atomic::write(&path, b"read = [\"bin\"]").unwrap();
        let error = Rules::new(&Profile::File(path), &[]).unwrap_err().chain();
        assert!(error.contains("expected an absolute path"), "{error}");
    }
}
