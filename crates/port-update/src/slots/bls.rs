//! A pointer in boot loader entries with boot counting (UAPI "Boot Loader Specification"; systemd "Automatic Boot Assessment"):
//! `port-A.conf` is kept, `port-B+3.conf` has three tries left, `port-B+0-3.conf` has none.
//!
//! The boot loader takes a try off by renaming, and prefers what has tries left, then the newest `version`. Invariant: each change is
//! one rename; what is not ours (`port-A`, `port-B`) in that directory is never touched.

use std::path::{Path, PathBuf};

use port_content::atomic;
use port_content::fs::{self, FsError};

use super::{BootPointer, BootState, SlotError, SlotName, Trial};

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
}

impl BootEntries {
    /// The entries in `directory`, on a machine that runs `running`; `options` is what every kernel is started with.
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
            entries.push(Entry { slot, path, left, version: version.unwrap_or(0) });
        }
        Ok(entries)
    }

    fn path(&self, slot: SlotName, suffix: &str) -> PathBuf {
        self.directory.join(format!("port-{slot}{suffix}.conf"))
    }

    fn text(&self, slot: SlotName, version: u64) -> String {
        format!(
            "title Slot {slot}\nversion {version}\nlinux /{slot}/vmlinuz\ninitrd /{slot}/kubesolo-os.gz\noptions {} port.slot={slot}\n",
            self.options
        )
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
    fn read(&self) -> Result<BootState, SlotError> {
        let entries = self.entries()?;
        let kept = self.kept(&entries)?;
        let tried = entries.iter().filter_map(|entry| Some((entry, entry.left.filter(|left| *left > 0)?)));
        let newer = tried.filter(|(entry, _)| entry.slot != kept.slot && entry.version > kept.version);
        let trial = newer.map(|(entry, tries)| Trial { slot: entry.slot, tries }).next();
        Ok(BootState { running: self.running, kept: kept.slot, trial })
    }

    fn arm(&self, slot: SlotName, tries: u32) -> Result<(), SlotError> {
        let entries = self.entries()?;
        let kept = self.kept(&entries)?;
        if kept.slot == slot {
            return Err(self.wrong("the slot that is kept was to be tried"));
        }
        // CRASH: between the two there is no entry for this slot, and the kept one boots.
        for entry in entries.iter().filter(|entry| entry.slot == slot) {
            fs::remove_file(&entry.path)?;
        }
        let text = self.text(slot, kept.version.saturating_add(1));
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
