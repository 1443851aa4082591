//! The one writer of a record: an event becomes a state on disk before anything is done about it.
//!
//! CRASH: a kill after the write and before the effects leaves a phase whose effects may not have happened; the next run begins with
//! [`Event::Restarted`] and does them again. Invariant: one agent at a time; a second one is told so, and changes nothing.

use std::path::{Path, PathBuf};

use port_content::{FsError, lock};

use crate::events;
use crate::failure::Class;
use crate::machine::{Effect, Event, Illegal, Phase, Target, step};
use crate::record::{Denial, Found, Record};
use crate::slots::Evidence;

/// A transition that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another agent is at work.
    #[error("another agent holds `{}`", path.display())]
    Busy {
        /// Its lock.
        path: PathBuf,
    },
    /// The phase does not know the event.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// The disk.
    #[error(transparent)]
    Files(#[from] FsError),
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    log: PathBuf,
    record: Record,
    _lock: lock::Lock,
}

impl Journal {
    /// Opens the record at `path`, as it is or made anew from `evidence`, and takes in what the boot says.
    ///
    /// # Errors
    /// [`JournalError::Busy`], or the disk's.
    pub fn open(
        path: &Path,
        evidence: &Evidence,
        boot_id: Option<&str>,
        now: u64,
    ) -> Result<(Self, Found), JournalError> {
        let lock_path = path.with_extension("lock");
        let held = lock::try_lock(&lock_path, lock::Mode::Exclusive)?;
        let held = held.ok_or(JournalError::Busy { path: lock_path })?;
        let (record, found) = Record::load(path)?;
        let record = if found == Found::Whole { record } else { Record::rebuilt(evidence) };
        let log = path.with_file_name("events.jsonl");
        let mut journal = Self { path: path.to_owned(), log, record, _lock: held };
        if let Some(event) = journal.record.news(evidence, boot_id) {
            journal.apply(&event, now)?;
        }
        if journal.record.boot_id.as_deref() != boot_id {
            journal.record.boot_id = boot_id.map(str::to_owned);
            journal.save()?;
        }
        Ok((journal, found))
    }

    /// What is remembered.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Where the update is.
    pub fn phase(&self) -> Phase {
        self.record.state.phase
    }

    /// Takes an event in; returns what is to be done.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing is to be done, and the record is as it was.
    pub fn apply(&mut self, event: &Event, now: u64) -> Result<Vec<Effect>, JournalError> {
        let (state, effects) = step(&self.record.state, event)?;
        let mut next = self.record.clone();
        next.last_time = next.last_time.max(now);
        let before = self.record.state.phase;
        let tried = next.state.attempt.as_ref().map(|attempt| attempt.target.clone());
        let left = tried.or_else(|| next.state.committed.clone());
        next.state = state;
        note(&mut next, before, event, now);
        if let Some(target) = left.filter(|target| self.is_denied_now(&next, target)) {
            let reason = format!("it was {before} and is left: {}", reason(&next));
            let denial = Denial { version: Some(target.version), reason, at: now };
            next.denials.insert(target.digest, denial);
        }
        next.save(&self.path)?;
        self.record = next;
        // The log is for people: an update does not fail for it.
        let _ = events::append(&self.log, &self.record, before, event, now);
        Ok(effects)
    }

    /// A failure, with what is said of it. Where the phase knows none, only the words are kept.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn fail(&mut self, class: Class, words: &str, now: u64) -> Result<Vec<Effect>, JournalError> {
        self.record.last_error = Some(words.chars().take(1000).collect());
        *self.record.counts.failures.entry(class).or_default() += 1;
        match self.apply(&Event::Failed(class), now) {
            Err(JournalError::Illegal(_)) => self.save().map(|()| Vec::new()),
            other => other,
        }
    }

    /// A release that is never taken, with why.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn refuse(&mut self, class: Class, words: &str, now: u64) -> Result<(), JournalError> {
        self.record.last_error = Some(words.chars().take(1000).collect());
        *self.record.counts.failures.entry(class).or_default() += 1;
        self.apply(&Event::Refused(class), now).map(drop)
    }

    /// Changes what is no part of the state machine.
    ///
    /// # Errors
    /// The disk's.
    pub fn remember(&mut self, change: impl FnOnce(&mut Record)) -> Result<(), JournalError> {
        change(&mut self.record);
        self.save()
    }

    fn is_denied_now(&self, next: &Record, target: &Target) -> bool {
        next.state.denied.contains(&target.digest) && !self.record.state.denied.contains(&target.digest)
    }

    fn save(&mut self) -> Result<(), JournalError> {
        Ok(self.record.save(&self.path)?)
    }
}

fn reason(record: &Record) -> &str {
    record
        .last_error
        .as_deref()
        .unwrap_or("it did not boot as far as its health check, or an operator went back")
}

/// What goes along with a transition.
fn note(next: &mut Record, before: Phase, event: &Event, now: u64) {
    let phase = next.state.phase;
    match phase {
        Phase::Available if before == Phase::Checking => next.attempt_began = Some(now),
        Phase::Staged => next.told = false,
        Phase::Idle if before == Phase::Blocked => next.blocked_by = None,
        Phase::Soaking if before != Phase::Soaking => next.soaking_since = Some(now),
        Phase::Trial => next.soaking_since = None,
        Phase::Committed if *event == Event::Soaked => {
            next.last_success = Some(now);
            next.counts.time_to_commit = next.attempt_began.map(|began| now.saturating_sub(began));
            (next.soaking_since, next.last_error) = (None, None);
        }
        Phase::RolledBack if before != Phase::RolledBack => {
            *next.counts.failures.entry(Class::Unhealthy).or_default() += 1;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::{BootState, SlotName};
    use port_content::{atomic, fs};

    fn evidence() -> Evidence {
        let boot = BootState { running: SlotName::A, kept: SlotName::A, trial: None };
        Evidence { boot, a: None, b: None }
    }

    fn open(path: &Path) -> Result<(Journal, Found), JournalError> {
        Journal::open(path, &evidence(), None, 7)
    }

    #[test]
    fn x_7_a_second_agent_is_told_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let (first, _) = open(&path).unwrap();
        assert!(matches!(open(&path), Err(JournalError::Busy { .. })));
        drop(first);
        assert!(open(&path).is_ok(), "a lock that nobody holds is none");
    }

    #[test]
    fn ou_14_o_44_an_event_is_on_disk_before_anything_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let (mut journal, found) = open(&path).unwrap();
        assert_eq!(found, Found::Missing);
        assert_eq!(journal.apply(&Event::Check, 8).unwrap(), [Effect::AskPlace]);
        assert_eq!(Record::load(&path).unwrap().0.state.phase, Phase::Checking);
        assert!(journal.apply(&Event::Staged, 9).is_err());
        assert_eq!(Record::load(&path).unwrap().0, *journal.record());
        journal.fail(Class::Network, "no answer", 9).unwrap();
        let record = Record::load(&path).unwrap().0;
        assert_eq!((record.state.phase, record.last_error.as_deref()), (Phase::Failed, Some("no answer")));
        assert_eq!((record.counts.failures.get(&Class::Network), record.last_time), (Some(&1), 9));
    }

    #[test]
    fn t_2_the_time_that_was_believed_never_runs_back() {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = open(&directory.path().join("state.json")).unwrap();
        journal.apply(&Event::Check, 1000).unwrap();
        journal.apply(&Event::UpToDate, 10).unwrap();
        assert_eq!(journal.record().last_time, 1000);
    }

    #[test]
    fn x_12_a_record_that_is_garbage_is_never_fatal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        atomic::write(&path, b"\0\0\0").unwrap();
        let (mut journal, found) = open(&path).unwrap();
        assert!(matches!(found, Found::Broken(_)));
        journal.apply(&Event::Check, 8).unwrap();
        assert!(fs::exists(&path.with_file_name("events.jsonl")));
    }
}
