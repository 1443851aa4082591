//! Writing to the disk while a file is still being filled, so that the flush before a rename has little left to do.
//!
//! The kernel holds written pages back for seconds; a large file flushed only at its end keeps the disk idle first
//! and the process waiting afterwards. An error that the disk reports is kept for [`Flusher::finish`]: the kernel tells it once.

use std::fs::File;
use std::io;
use std::sync::mpsc::{self, SyncSender};
use std::thread::JoinHandle;

/// How much is written before a flush is asked for, in bytes.
const STEP: u64 = 64 * 1024 * 1024;

/// A thread that flushes one file whenever enough was written to it. Small files never start one.
#[derive(Debug)]
pub struct Flusher {
    file: File,
    pending: u64,
    worker: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
}

impl Flusher {
    /// Will flush `file`.
    pub fn start(file: &File) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, pending: 0, worker: None })
    }

    /// Says that so many more bytes were written.
    pub fn written(&mut self, bytes: u64) {
        self.pending += bytes;
        if self.pending < STEP {
            return;
        }
        self.pending = 0;
        if self.worker.is_none() {
            // Without a thread all is flushed at the end.
            self.worker = self.file.try_clone().and_then(spawn).ok();
        }
        if let Some((wake, _)) = &self.worker {
            // Full means that it is at work and will find these bytes too, or that a wake-up waits already.
            let _ = wake.try_send(());
        }
    }

    /// Waits for the flush at work, if any.
    ///
    /// # Errors
    /// What the disk reported since the start.
    pub fn finish(self) -> io::Result<()> {
        let Some((wake, thread)) = self.worker else { return Ok(()) };
        drop(wake);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn spawn(file: File) -> io::Result<(SyncSender<()>, JoinHandle<io::Result<()>>)> {
    let (wake, woken) = mpsc::sync_channel(1);
    let flush = move || woken.into_iter().try_for_each(|()| file.sync_data());
    // Where no thread can be had, this is an error; `thread::spawn` would panic.
    Ok((wake, std::thread::Builder::new().spawn(flush)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_disk_is_told_at_the_end() {
        // A pipe cannot be flushed: the kernel answers EINVAL.
        let (_reader, writer) = io::pipe().unwrap();
        let mut flusher = Flusher::start(&File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        flusher.written(STEP - 1);
        assert!(flusher.worker.is_none(), "nothing was asked for yet");
        flusher.written(1);
        assert_eq!(flusher.finish().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
