//! Carries bytes between a running command and its connection until the command ends.
//!
//! ```text
//! host ─input─► pending ──► command ──► data frames, or captured ──► host
//! ```
//!
//! One `poll` over everything: no thread per pipe, so a dead connection, a dead command and a full pipe are all
//! seen at once. Invariant: every byte the command wrote before it ended is carried, and nothing waits for what
//! it left running in the background.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use port_guest_protocol::{Channel, HostFrame, MAX_CAPTURE, MAX_CHUNK};
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::connection::{Connection, Listening};
use crate::error::{Lost, OperationError};
use crate::program::Running;

/// How much input may wait for a command that does not read.
const MAX_PENDING: usize = 256 * 1024;
/// How often to look for the end where the kernel does not tell.
const TICK: Duration = Duration::from_millis(20);
/// How long a terminal must be silent after its command's end to count as empty.
const SILENCE: Duration = Duration::from_millis(100);

/// One output of the command.
#[derive(Debug)]
struct Output {
    channel: Channel,
    fd: OwnedFd,
    /// After the command's end: how many bytes of its own are still in the pipe.
    remaining: Option<u64>,
}

/// What becomes of the output.
#[derive(Debug)]
pub(crate) enum Sink {
    /// `data` frames as it comes.
    Stream,
    /// Kept, up to the limit each.
    Capture { stdout: Captured, stderr: Captured },
}

/// One captured output.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
}

/// What the end of input means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputEnd {
    /// The pipe is closed.
    ClosePipe,
    /// A terminal cannot be closed from one side: it gets its end-of-file character.
    EndOfFileCharacter,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pump {
    running: Running,
    input: Option<OwnedFd>,
    pending: Vec<u8>,
    closing: bool,
    input_end: InputEnd,
    outputs: Vec<Output>,
    chunk: Vec<u8>,
    pub(crate) sink: Sink,
}

impl Pump {
    /// For a command with pipes.
    pub(crate) fn pipes(mut running: Running, sink: Sink) -> Result<Self, OperationError> {
        let (input, stdout, stderr) = running.take_pipes();
        let outputs = stdout.map(|fd| (Channel::Stdout, fd)).into_iter();
        let outputs = outputs.chain(stderr.map(|fd| (Channel::Stderr, fd))).collect();
        Self::new(running, input, outputs, InputEnd::ClosePipe, sink)
    }

    /// For a command on a terminal.
    pub(crate) fn terminal(running: Running, master: &OwnedFd) -> Result<Self, OperationError> {
        let again = || master.try_clone().map_err(OperationError::system("duplicate", "terminal"));
        let outputs = vec![(Channel::Stdout, again()?)];
        Self::new(running, Some(again()?), outputs, InputEnd::EndOfFileCharacter, Sink::Stream)
    }

    fn new(
        running: Running,
        input: Option<OwnedFd>,
        outputs: Vec<(Channel, OwnedFd)>,
        input_end: InputEnd,
        sink: Sink,
    ) -> Result<Self, OperationError> {
        for fd in outputs.iter().map(|(_, fd)| fd).chain(&input) {
            rustix::io::ioctl_fionbio(fd, true).map_err(OperationError::system("prepare", "pipe"))?;
        }
        let outputs =
            outputs.into_iter().map(|(channel, fd)| Output { channel, fd, remaining: None }).collect();
        let chunk = vec![0; MAX_CHUNK];
        Ok(Self { running, input, pending: Vec::new(), closing: false, input_end, outputs, chunk, sink })
    }

    /// Runs until the command ended and its output is carried; gives back its exit code. `other` takes the
    /// frames that are neither input nor its end.
    pub(crate) fn run(
        &mut self,
        connection: &mut Connection,
        mut other: impl FnMut(HostFrame),
    ) -> Result<i32, OperationError> {
        let mut exit = None;
        let mut last_data = Instant::now();
        loop {
            // NOTE: before the wait, since lines that came together with the request wake nobody.
            while let Some(frame) = connection.take_frame()? {
                self.take(frame, &mut other);
            }
            self.feed();
            if self.turn(connection, exit.is_some())? {
                last_data = Instant::now();
            }
            if exit.is_none() {
                exit = self.running.exit_code().map_err(OperationError::system("wait for", "command"))?;
                if exit.is_some() {
                    self.measure_rest();
                    last_data = Instant::now();
                }
            }
            let Some(code) = exit else { continue };
            let silent = last_data.elapsed() >= SILENCE && self.sink_has_room(connection);
            self.outputs.retain(|output| output.remaining.map_or(!silent, |rest| rest > 0));
            if self.outputs.is_empty() {
                return Ok(code);
            }
        }
    }

    /// Waits for something to happen and reads what the command wrote. Tells whether there was any.
    fn turn(&mut self, connection: &mut Connection, ended: bool) -> Result<bool, OperationError> {
        let listening = if self.pending.len() < MAX_PENDING { Listening::Yes } else { Listening::No };
        let count = if self.sink_has_room(connection) { self.outputs.len() } else { 0 };
        let mut others: Vec<(BorrowedFd<'_>, PollFlags)> =
            self.outputs.iter().take(count).map(|output| (output.fd.as_fd(), PollFlags::IN)).collect();
        let watch = self.running.watch().filter(|_| !ended);
        others.extend(watch.map(|fd| (fd, PollFlags::IN)));
        let input = self.input.as_ref().filter(|_| !self.pending.is_empty());
        others.extend(input.map(|fd| (fd.as_fd(), PollFlags::OUT)));
        let timeout = match (ended, watch) {
            (true, _) => Some(SILENCE),
            (false, None) => Some(TICK),
            (false, Some(_)) => None,
        };
        let happened = connection.wait(listening, &others, timeout)?;
        let readable: Vec<bool> = happened.iter().take(count).map(|flags| !flags.is_empty()).collect();
        self.read_outputs(connection, &readable)
    }

    fn read_outputs(
        &mut self,
        connection: &mut Connection,
        readable: &[bool],
    ) -> Result<bool, OperationError> {
        let mut any = false;
        let mut index = 0;
        let mut result: Result<(), Lost> = Ok(());
        let (chunk, sink) = (&mut self.chunk, &mut self.sink);
        self.outputs.retain_mut(|output| {
            let ready = readable.get(index).copied().unwrap_or(false);
            index += 1;
            if !ready || result.is_err() {
                return true;
            }
            match rustix::io::read(&output.fd, &mut chunk[..]) {
                Ok(0) => false,
                Ok(count) => {
                    any = true;
                    if let Some(rest) = &mut output.remaining {
                        *rest = rest.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
                    }
                    result = sink.put(connection, output.channel, chunk.get(..count).unwrap_or_default());
                    true
                }
                Err(Errno::AGAIN | Errno::INTR) => true,
                // A terminal nobody has open any more says EIO.
                Err(_) => false,
            }
        });
        result?;
        Ok(any)
    }

    fn take(&mut self, frame: HostFrame, other: &mut impl FnMut(HostFrame)) {
        match frame {
            // Input after its end, or for a command that closed its own: nobody reads it.
            HostFrame::Input { .. } if self.closing || self.input.is_none() => {}
            HostFrame::Input { data } => self.pending.extend_from_slice(&data),
            HostFrame::Close {} if self.closing => {}
            HostFrame::Close {} => {
                self.closing = true;
                if self.input_end == InputEnd::EndOfFileCharacter {
                    self.pending.push(0x04);
                }
            }
            frame => other(frame),
        }
    }

    /// Writes what waits to the command.
    fn feed(&mut self) {
        let Some(fd) = &self.input else { return };
        while !self.pending.is_empty() {
            match rustix::io::write(fd, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // It does not want to read: its own affair.
                Err(_) => {
                    self.pending.clear();
                    self.input = None;
                    return;
                }
            }
        }
        if self.closing && self.input_end == InputEnd::ClosePipe {
            self.input = None;
        }
    }

    /// The command is dead, so what it wrote is all in the pipes already: that much is read and no more, since
    /// something it left in the background may hold them open for ever.
    fn measure_rest(&mut self) {
        if self.input_end == InputEnd::EndOfFileCharacter {
            return;
        }
        for output in &mut self.outputs {
            output.remaining = Some(rustix::io::ioctl_fionread(&output.fd).unwrap_or(0));
        }
    }

    fn sink_has_room(&self, connection: &Connection) -> bool {
        matches!(self.sink, Sink::Capture { .. }) || connection.has_room()
    }
}

impl Sink {
    fn put(&mut self, connection: &mut Connection, channel: Channel, data: &[u8]) -> Result<(), Lost> {
        match (self, channel) {
            (Self::Stream, channel) => connection.send_data(channel, data),
            (Self::Capture { stdout, .. }, Channel::Stdout) => {
                stdout.put(data);
                Ok(())
            }
            (Self::Capture { stderr, .. }, Channel::Stderr) => {
                stderr.put(data);
                Ok(())
            }
        }
    }
}

impl Captured {
    fn put(&mut self, data: &[u8]) {
        let kept = data.len().min(MAX_CAPTURE - self.bytes.len());
        self.bytes.extend_from_slice(data.get(..kept).unwrap_or_default());
        self.truncated |= kept < data.len();
    }
}
