//! What an agent remembers between its runs (docs/formats/update-state.md), and how it is right again when it is not.
//!
//! Invariant: the record is a hint. What runs is what the boot loader and the headers of the slots say; a record that is torn, of another
//! version or missing is made anew from them, and is never a reason to stop. One that is there and that the disk does not give now is a
//! reason to stop: what only it knows, denials above all, would be gone. Fields that nobody knows are a newer agent's, and are no fault.

use std::collections::BTreeMap;
use std::path::Path;

use port_content::{FsError, atomic, fs};
use port_layout::json;
use port_model::Digest;
use serde::{Deserialize, Serialize};

use crate::failure::Class;
use crate::gates::Memory;
use crate::machine::{Attempt, Event, Phase, State};
use crate::slots::{Evidence, Header};
use crate::version::Version;

const VERSION: u32 = 1;
/// The largest record that is read, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Where the update is.
    pub state: State,
    /// Whether the boot loader was told, since the slot was to be armed.
    pub told: bool,
    /// The boot during which this was written, where the system has a name for it.
    pub boot_id: Option<String>,
    /// The latest time that was believed, in seconds since 1970.
    pub last_time: u64,
    /// When the last attempt began.
    pub attempt_began: Option<u64>,
    /// Since when what runs is well.
    pub soaking_since: Option<u64>,
    /// When something was committed last.
    pub last_success: Option<u64>,
    /// Until when the last statement is to be believed.
    pub statement_expires: Option<u64>,
    /// What the last failure was, in words.
    pub last_error: Option<String>,
    /// Who holds updates up, while somebody does.
    #[serde(default)]
    pub blocked_by: Option<String>,
    /// Of what is denied, what is known of why.
    #[serde(default)]
    pub denials: BTreeMap<Digest, Denial>,
    /// What was counted.
    pub counts: Counts,
}

/// Why a release is denied here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Its version, where that is known.
    pub version: Option<Version>,
    /// What happened.
    pub reason: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// The most releases that are denied: what a statement withdraws beyond is not remembered.
pub const MOST_DENIED: usize = 8192;

/// What only grows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Failures by class.
    pub failures: BTreeMap<Class, u64>,
    /// Bytes that were fetched.
    pub bytes: u64,
    /// Bytes that need not be fetched, since an earlier try or an earlier release had them.
    #[serde(default)]
    pub resumed_bytes: u64,
    /// Seconds from the beginning of the last attempt to its commit.
    pub time_to_commit: Option<u64>,
}

/// How a record was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// As it was written.
    Whole,
    /// Not at all.
    Missing,
    /// Not readable; why.
    Broken(String),
}

impl Record {
    /// Reads the record at `path`.
    ///
    /// # Errors
    /// The disk's, where it may be whole and cannot be read.
    pub fn load(path: &Path) -> Result<(Self, Found), FsError> {
        let broken = |reason: String| (Self::default(), Found::Broken(reason));
        let bytes = match fs::read(path, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok((Self::default(), Found::Missing)),
            // No agent wrote that much.
            Err(error) if error.source.kind() == std::io::ErrorKind::FileTooLarge => {
                return Ok(broken(error.source.to_string()));
            }
            Err(error) => return Err(error),
        };
        Ok(match json::read::<Self>(&bytes, "update record", "version, state and counts") {
            Ok(record) if record.version == VERSION => (record, Found::Whole),
            Ok(record) => broken(format!("expected version {VERSION}, found {}", record.version)),
            Err(error) => broken(error.to_string()),
        })
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`FsError`]; the record there is as it was.
    pub fn save(&mut self, path: &Path) -> Result<(), FsError> {
        self.version = VERSION;
        // Text, numbers and digests always have a JSON form.
        atomic::write(path, &serde_json::to_vec_pretty(self).unwrap_or_default())
    }

    /// What a machine without a record knows from what boots.
    pub fn rebuilt(evidence: &Evidence) -> Self {
        let boot = evidence.boot;
        let mut record = Self { told: boot.trial.is_some(), ..Self::default() };
        let state = &mut record.state;
        let committed = evidence.header(boot.kept).map(|header| header.target.clone());
        // What is kept comes last: its channel is the one that counts.
        for header in [boot.kept.other(), boot.kept].into_iter().filter_map(|slot| evidence.header(slot)) {
            state.saw(&header.target);
        }
        state.floor_epoch = committed.as_ref().map_or(0, |target| target.security_epoch);
        state.committed = committed;
        let tried =
            if boot.running == boot.kept { boot.trial.map(|trial| trial.slot) } else { Some(boot.running) };
        if let Some(header) = tried.and_then(|slot| evidence.header(slot)) {
            state.phase = if boot.running == boot.kept { Phase::Armed } else { Phase::Trial };
            state.attempts = 1;
            let target = header.target.clone();
            state.attempt = Some(Attempt { number: 1, target, transitions: 0, reboots: 0, unhealthy: 0 });
        }
        record
    }

    /// Remembers what a release that is believed withdraws.
    pub fn withdraw(&mut self, denies: &[Digest], by: &Version, now: u64) {
        for digest in denies {
            if self.state.denied.len() >= MOST_DENIED || !self.state.denied.insert(digest.clone()) {
                continue;
            }
            let denial = Denial { version: None, reason: format!("withdrawn by {by}"), at: now };
            self.denials.insert(digest.clone(), denial);
        }
    }

    /// An operator takes a denial back; says whether there was one.
    pub fn allow(&mut self, digest: &Digest) -> bool {
        self.denials.remove(digest);
        self.state.denied.remove(digest)
    }

    /// What the gates ask about.
    pub fn memory(&self, evidence: &Evidence) -> Memory {
        let running = evidence.header(evidence.boot.running).map(|header| header.target.digest.clone());
        Memory {
            highest: self.state.highest.clone(),
            highest_channel: self.state.highest_channel.clone(),
            installed: running,
            floor_epoch: self.state.floor_epoch,
            last_time: self.last_time,
            denied: self.state.denied.clone(),
        }
    }

    /// What the boot says that the record does not know yet.
    pub fn news(&self, evidence: &Evidence, boot_id: Option<&str>) -> Option<Event> {
        let (state, boot) = (&self.state, evidence.boot);
        let attempt = state.attempt.as_ref().filter(|_| state.phase.is_past_arming())?;
        let holds =
            |header: Option<&Header>| header.is_some_and(|it| it.target.digest == attempt.target.digest);
        let runs_new = holds(evidence.header(boot.running));
        let is_over = boot.trial.is_none_or(|trial| trial.tries == 0);
        match state.phase {
            // Before the first boot of it both are so; after a way back only the pointer tells.
            Phase::RollingBack => (!runs_new && is_over).then_some(Event::BootedOld),
            Phase::Armed | Phase::Rebooting if runs_new => Some(Event::BootedNew),
            Phase::Armed | Phase::Rebooting => (self.told && is_over).then_some(Event::BootedOld),
            _ if !runs_new => Some(Event::BootedOld),
            _ => (boot_id.is_some() && self.boot_id.as_deref() != boot_id).then_some(Event::BootedNew),
        }
    }
}

#[cfg(test)]
mod tests;
