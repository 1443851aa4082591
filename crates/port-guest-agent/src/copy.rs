//! `copy`: one regular file, in or out of the guest.
//!
//! CRASH: what comes in is written beside its destination and renamed over it when it is whole and on disk. A kill
//! before the rename leaves the old file and a `.port-agent.*.partial` beside it; a kill after it, the new file.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use port_guest_protocol::{Channel, GuestPath, HostFrame, MAX_CHUNK, RequestId};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::connection::{Connection, Wish};
use crate::dispatch::{Agent, Finish};
use crate::error::OperationError;

/// What an incoming file becomes, whatever the agent's umask.
const MODE: u32 = 0o644;
/// How many names to try for a partial file.
const ATTEMPTS: usize = 100;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A file that is not whole yet; removed when dropped before [`Partial::commit`].
#[derive(Debug)]
struct Partial {
    directory: OwnedFd,
    name: String,
    file: File,
    committed: bool,
}

/// Host to guest.
pub(crate) fn receive(
    agent: &Agent,
    connection: &mut Connection,
    id: &RequestId,
    destination: &str,
    size: Option<u64>,
) -> Result<Finish, OperationError> {
    let path: GuestPath = destination.parse()?;
    let (parent, name) = path.split().ok_or_else(|| not_a_file(&path, "the root directory"))?;
    let directory = agent.root.open_directory(&parent)?;
    let present = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW);
    if destination.ends_with('/') || present.is_ok_and(|stat| is_type(stat.st_mode, FileType::Directory)) {
        return Err(not_a_file(&path, "a directory"));
    }
    let mut partial = Partial::create(directory).map_err(OperationError::system("write beside", &path))?;
    connection.accept(id, "copy", None)?;
    let mut received: u64 = 0;
    while size != Some(received) {
        let data = match connection.next_frame()? {
            HostFrame::Input { data } => data,
            HostFrame::Close {} => break,
            HostFrame::Resize { .. } => continue,
        };
        received += u64::try_from(data.len()).unwrap_or(u64::MAX);
        if size.is_some_and(|size| received > size) {
            break;
        }
        partial.file.write_all(&data).map_err(OperationError::system("write", &path))?;
    }
    if let Some(expected) = size.filter(|size| *size != received) {
        return Err(OperationError::Unexpected {
            subject: format!("copy to `{path}`"),
            expected: "as many bytes as `size_bytes` says",
            found: format!("{received} of {expected} bytes"),
        });
    }
    partial.commit(name).map_err(OperationError::system("replace", &path))?;
    Ok(Finish::Eof)
}

/// Guest to host.
pub(crate) fn send(
    agent: &Agent,
    connection: &mut Connection,
    id: &RequestId,
    source: &str,
) -> Result<Finish, OperationError> {
    let path: GuestPath = source.parse()?;
    // Without NONBLOCK, opening a FIFO would wait for its writer before it could be refused.
    let file = agent.root.open_at(&path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let stat = rustix::fs::fstat(&file).map_err(OperationError::system("examine", &path))?;
    if !is_type(stat.st_mode, FileType::RegularFile) {
        return Err(not_a_file(&path, "something else"));
    }
    // The kernel's own files say 0 and have content, so 0 is not a promise.
    let size = u64::try_from(stat.st_size).ok().filter(|size| *size > 0);
    connection.accept(id, "copy", size)?;
    let mut file = File::from(file).take(size.unwrap_or(u64::MAX));
    let mut chunk = vec![0; MAX_CHUNK];
    let mut sent: u64 = 0;
    loop {
        if connection.make_room()? == Wish::Stop {
            return Err(OperationError::Cancelled { reason: format!("`close` after {sent} bytes") });
        }
        let count = file.read(&mut chunk).map_err(OperationError::system("read", &path))?;
        if count == 0 {
            break;
        }
        connection.send_data(Channel::Stdout, chunk.get(..count).unwrap_or_default())?;
        sent += u64::try_from(count).unwrap_or(0);
    }
    if let Some(expected) = size.filter(|size| *size != sent) {
        return Err(OperationError::Unexpected {
            subject: format!("copy of `{path}`"),
            expected: "a file that keeps its size",
            found: format!("{sent} of {expected} bytes"),
        });
    }
    Ok(Finish::Eof)
}

fn is_type(mode: u32, file_type: FileType) -> bool {
    FileType::from_raw_mode(mode) == file_type
}

fn not_a_file(path: &GuestPath, found: &str) -> OperationError {
    OperationError::Unexpected {
        subject: path.to_string(),
        expected: "a regular file",
        found: found.to_owned(),
    }
}

impl Partial {
    fn create(directory: OwnedFd) -> Result<Self, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let process = std::process::id();
        for _ in 0..ATTEMPTS {
            let name = format!(".port-agent.{process}.{}.partial", COUNTER.fetch_add(1, Ordering::Relaxed));
            match rustix::fs::openat(&directory, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(Self { directory, name, file: file.into(), committed: false }),
                // Left by an agent that was killed and had the same number.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EXIST)
    }

    fn commit(mut self, name: &str) -> Result<(), Errno> {
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(MODE))?;
        rustix::fs::fsync(&self.file)?;
        rustix::fs::renameat(&self.directory, &self.name, &self.directory, name)?;
        self.committed = true;
        // Some file systems cannot flush a directory; the content is safe all the same.
        let _ = rustix::fs::fsync(&self.directory);
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            let _ = rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
        }
    }
}
