//! `logs`: a file from a place near its end, and then what is appended.
//!
//! Follows the path and not the file: a log that was rotated goes on with the new one, a truncated one from its
//! start. Looks every now and then instead of watching: that works on every file system.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use port_guest_protocol::{Channel, GuestPath, HostFrame, MAX_CHUNK, RequestId};
use rustix::fs::OFlags;

use crate::connection::{Connection, Listening, Wish};
use crate::dispatch::{Agent, Finish};
use crate::error::OperationError;
use crate::tail::tail_offset;

/// How often a followed file is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// The file being read and how far.
#[derive(Debug)]
struct Log<'a> {
    agent: &'a Agent,
    path: GuestPath,
    file: File,
    position: u64,
    chunk: Vec<u8>,
}

pub(crate) fn run(
    agent: &Agent,
    connection: &mut Connection,
    id: &RequestId,
    path: &str,
    follow: bool,
    tail_lines: Option<u64>,
) -> Result<Finish, OperationError> {
    let mut log = Log::open(agent, path, tail_lines)?;
    connection.accept(id, "logs", None)?;
    loop {
        if log.send_rest(connection)? == Wish::Stop || !follow {
            return Ok(Finish::Eof);
        }
        connection.wait(Listening::Yes, &[], Some(INTERVAL))?;
        while let Some(frame) = connection.take_frame()? {
            if matches!(frame, HostFrame::Close {}) {
                return Ok(Finish::Eof);
            }
        }
        log.follow_path()?;
    }
}

impl<'a> Log<'a> {
    fn open(agent: &'a Agent, path: &str, tail_lines: Option<u64>) -> Result<Self, OperationError> {
        let path: GuestPath = path.parse()?;
        let file = File::from(open(agent, &path)?);
        let metadata = file.metadata().map_err(OperationError::system("examine", &path))?;
        if !metadata.is_file() {
            return Err(OperationError::Unexpected {
                subject: path.to_string(),
                expected: "a regular file",
                found: "something else".to_owned(),
            });
        }
        let position = match tail_lines {
            Some(lines) => {
                tail_offset(&file, metadata.len(), lines).map_err(OperationError::system("read", &path))?
            }
            None => 0,
        };
        Ok(Self { agent, path, file, position, chunk: vec![0; MAX_CHUNK] })
    }

    /// Sends everything up to the present end.
    fn send_rest(&mut self, connection: &mut Connection) -> Result<Wish, OperationError> {
        loop {
            if connection.make_room()? == Wish::Stop {
                return Ok(Wish::Stop);
            }
            let count = self
                .file
                .read_at(&mut self.chunk, self.position)
                .map_err(OperationError::system("read", &self.path))?;
            if count == 0 {
                return Ok(Wish::GoOn);
            }
            self.position += u64::try_from(count).unwrap_or(0);
            connection.send_data(Channel::Stdout, self.chunk.get(..count).unwrap_or_default())?;
        }
    }

    /// Goes over to the file that has the name now. A name that is gone for the moment changes nothing.
    fn follow_path(&mut self) -> Result<(), OperationError> {
        let present = self.file.metadata().map_err(OperationError::system("examine", &self.path))?;
        if present.len() < self.position {
            self.position = 0;
        }
        let Ok(named) = open(self.agent, &self.path).map(File::from) else { return Ok(()) };
        let Ok(metadata) = named.metadata() else { return Ok(()) };
        // What came into the old file since the last look is sent before it is left.
        let replaced =
            metadata.is_file() && (metadata.dev(), metadata.ino()) != (present.dev(), present.ino());
        if replaced && present.len() <= self.position {
            (self.file, self.position) = (named, 0);
        }
        Ok(())
    }
}

fn open(agent: &Agent, path: &GuestPath) -> Result<OwnedFd, OperationError> {
    agent.root.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)
}
