//! The thread that writes: takes what waits, appends it in one write, flushes, and tells everybody at once.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use port_content::FsError;
use port_content::fs::{self, Context as _};
use tokio::sync::mpsc;

use super::chain::{Head, Line, Turn, VERSION, What, verify};
use super::{AuditError, Waiting};
use crate::gate::Clock;

/// How many entries share a flush at most.
const BATCH: usize = 1024;

pub(super) struct Writer {
    path: PathBuf,
    file: File,
    clock: Clock,
    head: Head,
    /// Where the next line begins.
    at: u64,
    broken: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn open(path: &Path, clock: Clock, broken: Arc<AtomicBool>) -> Result<Self, AuditError> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent)?;
        }
        let is_new = !fs::exists(path);
        let file = if is_new { fs::create_new(path)? } else { fs::open_writable_itself(path)? };
        if file.try_lock().is_err() {
            return Err(AuditError::Locked(path.to_owned()));
        }
        if is_new {
            fs::set_mode(path, 0o600)?;
            fs::sync_dir(
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
            )?;
        }
        let found = verify(path, None)?;
        file.set_len(found.bytes).context("cut the torn line of", path)?;
        let (path, head, at) = (path.to_owned(), found.head, found.bytes);
        let mut writer = Self { path, file, clock, head, at, broken };
        writer.append([What::Log { log: Turn::Opened, version: VERSION, dropped: found.torn }])?;
        Ok(writer)
    }

    /// Until nobody is left who could send.
    pub(super) fn run(&mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::new();
        while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
            let (entries, tell): (Vec<_>, Vec<_>) =
                batch.drain(..).map(|waiting| (What::Request(Box::new(waiting.entry)), waiting.done)).unzip();
            let written = self.append(entries);
            self.broken.store(written.is_err(), Ordering::Relaxed);
            for done in tell {
                let result = match &written {
                    Ok(()) => Ok(()),
                    Err(error) => Err(AuditError::Failed(error.source.to_string())),
                };
                // A client that went away needs no answer; its entry is there.
                let _ = done.send(result);
            }
        }
    }

    /// Appends lines and flushes them. Where that fails, the log ends where it ended before.
    fn append(&mut self, all: impl IntoIterator<Item = What>) -> Result<(), FsError> {
        let (mut text, mut head) = (Vec::new(), self.head.clone());
        for what in all {
            let time = (self.clock)();
            let line = Line { sequence: head.lines + 1, time, previous: head.hash.clone(), what };
            let encoded = serde_json::to_vec(&line)
                .map_err(io::Error::other)
                .context("encode a line of", &self.path)?;
            head = head.after(&encoded);
            text.extend_from_slice(&encoded);
            text.push(b'\n');
        }
        let written = self.file.write_all_at(&text, self.at).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What arrived of it was acknowledged to nobody.
            let _ = self.file.set_len(self.at);
            return Err(FsError::new("write", &self.path, error));
        }
        (self.head, self.at) = (head, self.at + text.len() as u64);
        Ok(())
    }
}
