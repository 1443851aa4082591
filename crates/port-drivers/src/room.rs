//! Rooms: one directory per workload with its job, record, log and kept layer.
//!
//! ```text
//! rooms/NAME/  job.json  record.json  lock  log, log.1 …  layer/  (root, lower, memory: mount points)
//! ```
//!
//! Invariant: a workload is alive as long as its supervisor holds `lock`; the kernel releases it with the process, so a
//! process id that was written down is believed only while the lock is held.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use port_content::fs::Context as _;
use port_content::lock::{self, Lock, Mode};
use port_content::{atomic, fs};
use serde::de::DeserializeOwned;

use crate::control_group;
use crate::error::DriverError;
use crate::job::{Job, VERSION};
use crate::network;
use crate::record::{Record, Status};

/// The file of a room that is a workload's `/etc/resolv.conf`, where it has name servers of its own.
pub(crate) const NAME_SERVERS: &str = "resolv.conf";
/// A job is some kilobytes; whoever puts more there is not Port.
const LARGEST: u64 = 4 << 20;

/// Where the rooms are.
#[derive(Debug, Clone)]
pub struct Rooms(PathBuf);

/// One workload's directory.
#[derive(Debug, Clone)]
pub struct Room {
    name: String,
    directory: PathBuf,
}

/// What a workload is right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its supervisor lives.
    Alive(Record),
    /// It ended, one way or another.
    Ended(Record),
}

impl Rooms {
    /// The rooms below a directory.
    pub fn new(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// The room of a name, whether there is one or not. Names are checked: they are those of a plan.
    pub fn room(&self, name: &str) -> Room {
        Room { name: name.to_owned(), directory: self.0.join(name) }
    }

    /// The room of a name that was run.
    ///
    /// # Errors
    /// [`DriverError::Unknown`].
    pub fn known(&self, name: &str) -> Result<Room, DriverError> {
        let unknown = || DriverError::Unknown { name: name.to_owned(), rooms: self.0.clone() };
        let plain = !name.is_empty() && !name.starts_with('.') && !name.contains('/');
        let room = self.room(name);
        if plain && is_written(&room.job_file()) { Ok(room) } else { Err(unknown()) }
    }

    /// Every room, by name.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn all(&self) -> Result<Vec<Room>, DriverError> {
        if fs::try_metadata(&self.0)?.is_none() {
            return Ok(Vec::new());
        }
        let mut rooms = Vec::new();
        for directory in fs::read_dir(&self.0)? {
            let name = directory.file_name().map(|name| name.to_string_lossy().into_owned());
            if let Some(name) = name.filter(|_| is_written(&directory.join("job.json"))) {
                rooms.push(Room { name, directory });
            }
        }
        rooms.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(rooms)
    }
}

impl Room {
    /// The room at a directory: for a supervisor, which is told nothing else.
    pub fn at(directory: PathBuf) -> Self {
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned());
        Self { name: name.unwrap_or_default(), directory }
    }

    /// The workload's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The log that is written now.
    pub fn log_file(&self) -> PathBuf {
        self.directory.join("log")
    }

    fn job_file(&self) -> PathBuf {
        self.directory.join("job.json")
    }

    fn record_file(&self) -> PathBuf {
        self.directory.join("record.json")
    }

    /// What a supervisor without anybody's standard error says there.
    pub(crate) fn last_words(&self) -> PathBuf {
        self.directory.join("supervisor.log")
    }

    /// Whether somebody has the room.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self.take(), Ok(None))
    }

    /// Takes the room, for as long as the lock is held; none where somebody has it.
    pub(crate) fn take(&self) -> Result<Option<Lock>, DriverError> {
        Ok(lock::try_lock(&self.directory.join("lock"), Mode::Exclusive)?)
    }

    /// Keeps two starts of one name apart until the supervisor has the room.
    pub(crate) fn claim_start(&self) -> Result<Option<Lock>, DriverError> {
        fs::create_dir_all(&self.directory)?;
        Ok(lock::try_lock(&self.directory.join("start.lock"), Mode::Exclusive)?)
    }

    /// The job.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn job(&self) -> Result<Job, DriverError> {
        let job: Job = read(&self.job_file())?;
        same_version(job.version, &self.job_file())?;
        Ok(job)
    }

    pub(crate) fn write_job(&self, job: &Job) -> Result<(), DriverError> {
        // What the run before said must not be taken for what this one says.
        match fs::remove_file(&self.record_file()) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
        write(&self.job_file(), job)
    }

    /// The record; none before the supervisor wrote one.
    pub(crate) fn record(&self) -> Result<Option<Record>, DriverError> {
        if !is_written(&self.record_file()) {
            return Ok(None);
        }
        let record: Record = read(&self.record_file())?;
        same_version(record.version, &self.record_file())?;
        Ok(Some(record))
    }

    pub(crate) fn write_record(&self, record: &Record) -> Result<(), DriverError> {
        write(&self.record_file(), record)
    }

    /// What the workload is now. Whoever finds one whose supervisor was killed writes that down and clears away what is
    /// left of it.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn state(&self) -> Result<State, DriverError> {
        let Some(_lock) = self.take()? else {
            let record = self.record()?;
            return Ok(State::Alive(record.unwrap_or_else(|| Record::starting(0, Vec::new()))));
        };
        let Some(mut record) = self.record()? else {
            // Its supervisor comes yet, or never came: nobody else has a say in the record.
            return Ok(State::Ended(Record::starting(0, Vec::new())));
        };
        if matches!(record.status, Status::Starting | Status::Running) {
            let reason = "its supervisor was killed".to_owned();
            control_group::remove(&record.groups);
            record.status = Status::Failed { reason };
            let was_connected = record.address.is_some();
            (record.init, record.address, record.agent) = (None, None, None);
            self.write_record(&record)?;
            if was_connected {
                network::disconnect(self)?;
            }
        }
        Ok(State::Ended(record))
    }

    /// Forgets an ended workload with its log and its kept layer.
    ///
    /// # Errors
    /// It runs, or its files cannot be removed.
    pub fn remove(&self) -> Result<(), DriverError> {
        let running = || DriverError::Running { name: self.name.clone() };
        let _claim = self.claim_start()?.ok_or_else(running)?;
        match self.state()? {
            State::Alive(_) => Err(running()),
            State::Ended(_) => Ok(fs::remove_dir_all(&self.directory)?),
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, DriverError> {
    let bytes = fs::read(path, LARGEST)?;
    let wrong =
        |error: serde_json::Error| DriverError::State { path: path.to_owned(), reason: error.to_string() };
    serde_json::from_slice(&bytes).map_err(wrong)
}

/// Not flushed: it is about processes, and what ends them without a word ends them all.
fn write<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), DriverError> {
    let wrong =
        |error: serde_json::Error| DriverError::State { path: path.to_owned(), reason: error.to_string() };
    let bytes = serde_json::to_vec_pretty(value).map_err(wrong)?;
    let mut file = atomic::AtomicFile::create(path)?;
    file.file().write_all(&bytes).context("write", path)?;
    Ok(file.commit_unflushed()?)
}

/// An empty file is what a power cut left: it says as little as none.
fn is_written(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

fn same_version(found: u32, path: &Path) -> Result<(), DriverError> {
    if found == VERSION {
        return Ok(());
    }
    let reason = format!("expected version {VERSION}, found {found}");
    Err(DriverError::State { path: path.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> (tempfile::TempDir, Rooms, Room) {
        let directory = tempfile::tempdir().unwrap();
        let rooms = Rooms::new(directory.path().join("rooms"));
        let room = rooms.room("web");
        fs::create_dir_all(room.directory()).unwrap();
        (directory, rooms, room)
    }

    #[test]
    fn a_killed_supervisor_is_noticed_and_written_down() {
        let (_directory, _, room) = room();
        let running = Record { status: Status::Running, init: Some(7), ..Record::starting(1, Vec::new()) };
        room.write_record(&running).unwrap();
        let lock = room.take().unwrap().unwrap();
        assert_eq!(room.state().unwrap(), State::Alive(running));
        drop(lock);
        let State::Ended(record) = room.state().unwrap() else { panic!("nobody holds its lock") };
        assert_eq!(record.status, Status::Failed { reason: "its supervisor was killed".to_owned() });
        assert_eq!(room.record().unwrap().unwrap(), record);
        port_content::atomic::write(&room.record_file(), b"").unwrap();
        assert_eq!(room.record().unwrap(), None, "a power cut left it");
    }

    #[test]
    fn who_looks_at_a_workload_that_starts_leaves_it_alone() {
        let (_directory, _, room) = room();
        let claim = room.claim_start().unwrap().unwrap();
        assert_eq!(room.state().unwrap(), State::Ended(Record::starting(0, Vec::new())));
        assert_eq!(room.record().unwrap(), None);
        assert!(matches!(room.remove(), Err(DriverError::Running { .. })));
        drop(claim);
        room.remove().unwrap();
        assert!(!fs::exists(room.directory()));
    }

    #[test]
    fn another_version_and_other_names_are_refused() {
        let (_directory, rooms, room) = room();
        let record = Record { version: 2, ..Record::starting(1, Vec::new()) };
        room.write_record(&record).unwrap();
        let error = room.state().unwrap_err().to_string();
        assert!(error.contains("expected version 1, found 2"), "{error}");
        atomic::write(&room.job_file(), b"").unwrap();
        assert!(rooms.all().unwrap().is_empty(), "a power cut left it");
        for name in ["web", "", "..", "a/b"] {
            assert!(matches!(rooms.known(name), Err(DriverError::Unknown { .. })), "{name}");
        }
    }
}
