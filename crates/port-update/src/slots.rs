//! Slots: two places that a machine boots from, one of which runs while the other is written.
//!
//! ```text
//! stage   refuse unless what runs is kept ─ take the header away, flush ─ write ─ flush ─ read back ─ header
//! arm     one write: boot the other, so many times        keep, turn back: one write each
//! ```
//!
//! What a slot holds is files and a header, written last; which slot boots next is a [`BootPointer`], one for each kind of boot
//! loader. Invariants: the slot that runs is never opened for writing; a slot without a header is never armed; what is said about
//! slots comes from the pointer and the headers, never from the state's file.

mod bls;
mod directory;
mod error;
mod grub;
pub mod grubenv;
mod header;
mod hook;

use std::path::{Path, PathBuf};

use port_content::verify::VerifyingReader;
use port_content::{atomic, fs, hashing};
use serde::{Deserialize, Serialize};

use crate::machine::Target;
use crate::release::{BootSet, Part, Role};

pub use bls::BootEntries;
pub use directory::DirectoryPointer;
pub use error::SlotError;
pub use grub::GrubPointer;
pub use header::Header;
pub use hook::HookPointer;

/// One of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SlotName {
    /// The first.
    A,
    /// The second.
    B,
}

impl SlotName {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The one that this one is not.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }

    /// From its letter.
    pub fn parse(text: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|slot| slot.as_str() == text)
    }
}

impl std::fmt::Display for SlotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What boots, by the boot loader's own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootState {
    /// What runs.
    pub running: SlotName,
    /// What boots when no trial is left.
    pub kept: SlotName,
    /// What is tried first, and how often still.
    pub trial: Option<Trial>,
}

/// A slot that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Which one.
    pub slot: SlotName,
    /// How many boots it still gets.
    pub tries: u32,
}

/// Which slot boots next. One implementation for each kind of boot loader; each change is one write that is whole or not at all.
pub trait BootPointer: std::fmt::Debug {
    /// What it says.
    ///
    /// # Errors
    /// [`SlotError`] where it cannot be read; then nobody acts.
    fn read(&self) -> Result<BootState, SlotError>;

    /// Whether what a slot holds can be booted from here, as far as that can be known before it is tried.
    ///
    /// # Errors
    /// [`SlotError`], which arming would end with.
    fn fits(&self, _slot: SlotName, _header: &Header) -> Result<(), SlotError> {
        Ok(())
    }

    /// Whether a release without arguments of its own is started with those of what is kept, rather than with none.
    fn inherits(&self) -> bool {
        false
    }

    /// Tries `slot`, which holds what `header` says, with the next boots, and starts its kernel with the arguments of its release.
    ///
    /// # Errors
    /// [`SlotError`]; it says what it said before.
    fn arm(&self, slot: SlotName, tries: u32, header: &Header) -> Result<(), SlotError>;

    /// Keeps `slot`: it is what boots, and no trial is left.
    ///
    /// # Errors
    /// As [`Self::arm`].
    fn keep(&self, slot: SlotName) -> Result<(), SlotError>;
}

/// Two slots and what says which one boots.
#[derive(Debug)]
pub struct Slots {
    root: PathBuf,
    pointer: Box<dyn BootPointer>,
}

/// What is known of both slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What boots.
    pub boot: BootState,
    /// What is in the first.
    pub a: Option<Header>,
    /// What is in the second.
    pub b: Option<Header>,
}

impl Evidence {
    /// What is in a slot; nothing where it was never completed.
    pub fn header(&self, slot: SlotName) -> Option<&Header> {
        match slot {
            SlotName::A => self.a.as_ref(),
            SlotName::B => self.b.as_ref(),
        }
    }

    /// The slot that does not run.
    pub fn idle(&self) -> SlotName {
        self.boot.running.other()
    }

    /// Whether what runs is what is kept, so that the other slot may be written (the rule of RAUC).
    pub fn is_settled(&self) -> bool {
        self.boot.running == self.boot.kept && self.boot.trial.is_none()
    }
}

impl Slots {
    /// Slots in `root/A` and `root/B`.
    pub fn new(root: &Path, pointer: Box<dyn BootPointer>) -> Self {
        Self { root: root.to_owned(), pointer }
    }

    /// The directory of a slot.
    pub fn directory(&self, slot: SlotName) -> PathBuf {
        self.root.join(slot.as_str())
    }

    /// What is known.
    ///
    /// # Errors
    /// [`SlotError`] where the pointer cannot be read. A header that cannot be read is one that is not there.
    pub fn look(&self) -> Result<Evidence, SlotError> {
        let boot = self.pointer.read()?;
        let header = |slot| Header::read(&self.directory(slot));
        Ok(Evidence { boot, a: header(SlotName::A), b: header(SlotName::B) })
    }

    /// Whether a release could be armed once it is staged: asked before its bytes are fetched, and before the slot is touched, which
    /// may be the way back.
    ///
    /// # Errors
    /// [`SlotError`], which arming it would end with.
    pub fn fits(&self, target: &Target, set: &BootSet) -> Result<(), SlotError> {
        self.pointer.fits(self.look()?.idle(), &Header::of(target, set))
    }

    /// Writes a release into the slot that does not run; `from` says where each of its files lies.
    ///
    /// # Errors
    /// [`SlotError`]; then that slot has no header, and what runs is untouched.
    pub fn stage(
        &self,
        target: &Target,
        set: &BootSet,
        from: impl Fn(Role) -> PathBuf,
    ) -> Result<SlotName, SlotError> {
        let evidence = self.look()?;
        if !evidence.is_settled() {
            return Err(SlotError::NotSettled { boot: evidence.boot });
        }
        let slot = evidence.idle();
        let directory = self.directory(slot);
        let header = Header::of(target, set);
        self.pointer.fits(slot, &header)?;
        fs::create_dir_all(&directory)?;
        // A directory that was just made has no name yet that outlives a power cut, however well its files are flushed.
        fs::sync_dir(&self.root)?;
        Header::remove(&directory)?;
        // CRASH: from here until the header is written, this slot is nothing, and nobody arms it.
        clear(&directory, set)?;
        for part in &set.parts {
            write(&from(part.role), &directory, part)?;
        }
        for part in &set.parts {
            read_back(&directory, part)?;
        }
        header.write(&directory)?;
        Ok(slot)
    }

    /// Makes the slot that does not run nothing.
    ///
    /// # Errors
    /// [`SlotError`], also where that slot is what is to be booted.
    pub fn invalidate(&self) -> Result<(), SlotError> {
        let evidence = self.look()?;
        let idle = evidence.idle();
        let is_next =
            evidence.boot.kept == idle || evidence.boot.trial.is_some_and(|trial| trial.slot == idle);
        if is_next {
            return Err(SlotError::NotSettled { boot: evidence.boot });
        }
        Header::remove(&self.directory(idle))
    }

    /// Lets the next boots try what was staged.
    ///
    /// # Errors
    /// [`SlotError`] where the slot does not hold `target`, whole.
    pub fn arm(&self, target: &Target, tries: u32) -> Result<(), SlotError> {
        let mut header = self.check(target)?;
        let evidence = self.look()?;
        if evidence.boot.running != evidence.boot.kept {
            return Err(SlotError::NotSettled { boot: evidence.boot });
        }
        if self.pointer.inherits() && header.boot_arguments.is_none() {
            // As its release says it, with `{slot}`: the entry itself names the root file system of the slot that it is about.
            let kept = evidence.header(evidence.boot.kept);
            header.boot_arguments = kept.and_then(|kept| kept.boot_arguments.clone());
        }
        self.pointer.arm(evidence.idle(), tries.max(1), &header)
    }

    /// What the slot that does not run holds, where that is `target`, by reading all of it.
    ///
    /// # Errors
    /// [`SlotError`] where it is not.
    pub fn check(&self, target: &Target) -> Result<Header, SlotError> {
        let evidence = self.look()?;
        let slot = evidence.idle();
        let header = evidence.header(slot).filter(|header| header.target.digest == target.digest);
        let header = header.ok_or_else(|| SlotError::NotStaged { slot, expected: target.digest.clone() })?;
        header.parts.iter().try_for_each(|part| read_back(&self.directory(slot), part))?;
        Ok(header.clone())
    }

    /// Keeps what runs.
    ///
    /// # Errors
    /// [`SlotError`].
    pub fn keep_running(&self) -> Result<(), SlotError> {
        let boot = self.pointer.read()?;
        if boot.running == boot.kept && boot.trial.is_none() {
            return Ok(());
        }
        self.pointer.keep(boot.running)
    }

    /// The next boot is of what ran before: of what is kept while something is tried, else of the other slot.
    ///
    /// # Errors
    /// [`SlotError`] where that slot holds nothing whole.
    pub fn turn_back(&self) -> Result<SlotName, SlotError> {
        let to = self.way_back()?;
        self.pointer.keep(to)?;
        Ok(to)
    }

    /// The slot that is the way back, by reading all of it.
    ///
    /// # Errors
    /// [`SlotError`] where there is none that is whole.
    pub fn way_back(&self) -> Result<SlotName, SlotError> {
        let evidence = self.look()?;
        let boot = evidence.boot;
        let to = if boot.running != boot.kept || boot.trial.is_some() { boot.kept } else { evidence.idle() };
        match evidence.header(to) {
            Some(header) => header.parts.iter().try_for_each(|part| read_back(&self.directory(to), part))?,
            // A slot from before there were headers may be what is kept; what was never kept must show one.
            None if to == boot.kept => {}
            None => return Err(SlotError::NothingThere { slot: to }),
        }
        Ok(to)
    }
}

/// Removes what an earlier release had and this one has not.
fn clear(directory: &Path, set: &BootSet) -> Result<(), SlotError> {
    for role in [Role::Kernel, Role::Initramfs, Role::RootFilesystem] {
        if set.part(role).is_none() {
            fs::remove_file(&directory.join(role.file_name()))?;
        }
    }
    Ok(())
}

fn write(from: &Path, directory: &Path, part: &Part) -> Result<(), SlotError> {
    let to = directory.join(part.role.file_name());
    let (source, _) = fs::open_regular(from)?;
    let mut reader = VerifyingReader::new(source, part.digest.clone(), part.size);
    let mut file = atomic::AtomicFile::create(&to)?;
    std::io::copy(&mut reader, &mut file).map_err(|error| fs::FsError::new("write", &to, error))?;
    file.commit()?;
    Ok(())
}

fn read_back(directory: &Path, part: &Part) -> Result<(), SlotError> {
    let path = directory.join(part.role.file_name());
    let (file, _) = fs::open_regular(&path)?;
    fs::forget_cached(&file);
    let (found, size) = hashing::digest_reader(&mut std::io::BufReader::with_capacity(1 << 20, file))
        .map_err(|error| fs::FsError::new("read", &path, error))?;
    if found == part.digest && size == part.size {
        return Ok(());
    }
    Err(SlotError::Content { path, expected: part.digest.clone(), found })
}

#[cfg(test)]
mod tests;
