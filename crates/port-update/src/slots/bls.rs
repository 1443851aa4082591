//! A pointer in boot loader entries with boot counting (UAPI "Boot Loader Specification"; systemd "Automatic Boot Assessment"):
//! `port-A.conf` is kept, `port-B+3.conf` has three tries left, `port-B+0-3.conf` has none.
//!
//! The boot loader takes a try off by renaming, and prefers what has tries left, then the newest `version`. Invariant: each change is
//! one rename; what is not ours (`port-A`, `port-B`) in that directory is never touched.

use std::path::{Path, PathBuf};

use port_content::atomic;
use port_content::fs::{self, FsError};

use super::{BootPointer, BootState, Header, SlotError, SlotName, Trial};
use crate::release::Role;

const LARGEST: u64 = 16 * 1024;

/// See the module.
#[derive(Debug)]
pub struct BootEntries {
    directory: PathBuf,
    running: SlotName,
    options: String,
}

/// One of our entries.
#[derive(Debug, Clone)]
struct Entry {
    slot: SlotName,
    path: PathBuf,
    /// Tries left; none where it does not count.
    left: Option<u32>,
    version: u64,
    /// What its kernel is started with, but for what says which slot it is.
    options: Option<String>,
}

impl BootEntries {
    /// The entries in `directory`, on a machine that runs `running`; `options` is what a kernel is started with of which
    /// neither its release nor the entry that is kept says it.
    pub fn new(directory: &Path, running: SlotName, options: &str) -> Self {
        Self { directory: directory.to_owned(), running, options: options.to_owned() }
    }

    fn entries(&self) -> Result<Vec<Entry>, SlotError> {
        let mut entries = Vec::new();
        for path in fs::read_dir(&self.directory)? {
            let Some((slot, left)) = path.file_name().and_then(|name| name.to_str()).and_then(read_name)
            else {
                continue;
            };
            let text = fs::read_to_string(&path, LARGEST)?;
            let version = text.lines().find_map(|line| line.strip_prefix("version ")?.trim().parse().ok());
            let options = text.lines().find_map(|line| line.strip_prefix("options ")).map(plain);
            entries.push(Entry { slot, path, left, version: version.unwrap_or(0), options });
        }
        Ok(entries)
    }

    fn path(&self, slot: SlotName, suffix: &str) -> PathBuf {
        self.directory.join(format!("port-{slot}{suffix}.conf"))
    }

    /// The entry of what a slot holds. Without arguments of its own, its kernel is started as the kept one is.
    fn text(&self, slot: SlotName, kept: &Entry, header: &Header) -> String {
        let version = kept.version.saturating_add(1);
        // Which slot runs is for this entry to say, and for no release.
        let own = header.arguments_in(slot).map(|arguments| plain(&arguments));
        let arguments = own.or_else(|| kept.options.clone());
        let arguments = arguments.unwrap_or_else(|| self.options.clone());
        let mut text = format!("title Slot {slot}\nversion {version}\nlinux /{slot}/vmlinuz\n");
        if header.parts.iter().any(|part| part.role == Role::Initramfs) {
            text += &format!("initrd /{slot}/kubesolo-os.gz\n");
        }
        text + format!("options {arguments}").trim_end() + &format!(" port.slot={slot}") + "\n"
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), SlotError> {
        if from != to {
            atomic::place(from, to).map(drop)?;
        }
        Ok(())
    }

    fn wrong(&self, found: &str) -> SlotError {
        let (path, expected) =
            (self.directory.clone(), "an entry `port-A.conf` or `port-B.conf` without a counter");
        SlotError::Pointer { path, expected, found: found.to_owned() }
    }

    fn kept(&self, entries: &[Entry]) -> Result<Entry, SlotError> {
        let good = entries.iter().filter(|entry| entry.left.is_none());
        let newest = good.max_by_key(|entry| entry.version).cloned();
        newest.ok_or_else(|| self.wrong("none"))
    }
}

/// Options without the word that says which slot runs.
fn plain(options: &str) -> String {
    let words = options.split_whitespace().filter(|word| !word.starts_with("port.slot="));
    words.collect::<Vec<_>>().join(" ")
}

/// `port-A.conf`, `port-B+2-1.conf`.
fn read_name(name: &str) -> Option<(SlotName, Option<u32>)> {
    let name = name.strip_prefix("port-")?.strip_suffix(".conf")?;
    let (slot, counter) = name.split_once('+').map_or((name, None), |(slot, rest)| (slot, Some(rest)));
    let slot = SlotName::parse(slot)?;
    let Some(counter) = counter else { return Some((slot, None)) };
    let left = counter.split_once('-').map_or(counter, |(left, _)| left);
    left.parse().ok().map(|left| (slot, Some(left)))
}

impl BootPointer for BootEntries {
    fn inherits(&self) -> bool {
        true
    }

    fn read(&self) -> Result<BootState, SlotError> {
        let entries = self.entries()?;
        let kept = self.kept(&entries)?;
        let tried = entries.iter().filter_map(|entry| Some((entry, entry.left.filter(|left| *left > 0)?)));
        let newer = tried.filter(|(entry, _)| entry.slot != kept.slot && entry.version > kept.version);
        let trial = newer.map(|(entry, tries)| Trial { slot: entry.slot, tries }).next();
        Ok(BootState { running: self.running, kept: kept.slot, trial })
    }

    fn arm(&self, slot: SlotName, tries: u32, header: &Header) -> Result<(), SlotError> {
        let entries = self.entries()?;
        let kept = self.kept(&entries)?;
        if kept.slot == slot {
            return Err(self.wrong("the slot that is kept was to be tried"));
        }
        // CRASH: between the two there is no entry for this slot, and the kept one boots.
        for entry in entries.iter().filter(|entry| entry.slot == slot) {
            fs::remove_file(&entry.path)?;
        }
        let text = self.text(slot, &kept, header);
        atomic::write(&self.path(slot, &format!("+{tries}")), text.as_bytes()).map_err(FsError::into)
    }

    fn keep(&self, slot: SlotName) -> Result<(), SlotError> {
        let entries = self.entries()?;
        let own = entries.iter().filter(|entry| entry.slot == slot).max_by_key(|entry| entry.version);
        let own = own.ok_or(SlotError::NothingThere { slot })?;
        // What is newer and is not to boot has no tries from now on.
        for entry in entries.iter().filter(|entry| entry.slot != slot && entry.version >= own.version) {
            self.rename(&entry.path, &self.path(entry.slot, "+0-1"))?;
        }
        self.rename(&own.path, &self.path(slot, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::tests::release;
    use crate::slots::header::Header;

    fn header(arguments: Option<&str>) -> Header {
        let release = release(1);
        let mut set = release.machines.first().unwrap().clone();
        set.boot_arguments = arguments.map(str::to_owned);
        let digest = port_content::hashing::digest_of(b"release");
        let (version, sequence) = (release.version.clone(), Some(1));
        let channel = Some(release.channel.clone());
        let target = crate::machine::Target { digest, version, sequence, channel, security_epoch: 0 };
        Header::of(&target, &set)
    }

    #[test]
    fn a_kernel_is_started_with_what_its_release_says_else_as_the_kept_one() {
        let kept = "version 7\nlinux /A/vmlinuz\noptions root=/dev/vda2 port.slot=A quiet\n";
        for (kept, arguments, expected) in [
            (kept, Some("root=PARTLABEL=OS{slot} ro"), "options root=PARTLABEL=OSB ro port.slot=B"),
            (kept, Some("ro port.slot=A quiet"), "options ro quiet port.slot=B"),
            (kept, None, "options root=/dev/vda2 quiet port.slot=B"),
            ("version 7\n", None, "options panic=5 port.slot=B"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            atomic::write(&directory.path().join("port-A.conf"), kept.as_bytes()).unwrap();
            let entries = BootEntries::new(directory.path(), SlotName::A, "panic=5");
            entries.arm(SlotName::B, 3, &header(arguments)).unwrap();
            let text = fs::read_to_string(&directory.path().join("port-B+3.conf"), LARGEST).unwrap();
            assert_eq!(text.lines().last(), Some(expected), "{text}");
            assert!(text.contains("\nversion 8\n"), "{text}");
        }
    }
}
