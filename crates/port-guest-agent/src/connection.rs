//! One connection to a host, whatever carries it: lines in, messages out, and the only `poll`.
//!
//! The descriptor never blocks. What cannot be written yet waits in `outgoing`; operations that produce much look
//! at [`Connection::has_room`] before they produce more, so a host that does not read stops the command it
//! started and not the agent's memory. Invariant: `outgoing` holds at most [`ROOM`] plus one message.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use port_guest_protocol::{
    AgentFrame, AgentLine, Channel, HostFrame, HostLine, LineBuffer, MAX_HOST_LINE, ProtocolError, RequestId,
    Response, decode_host_line, encode_line,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::error::{Lost, OperationError};

/// How much may wait for a host that does not read.
const ROOM: usize = 256 * 1024;
/// How long an operation may go without a sign to the host. While it takes no input, it hears no ping either.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    fd: OwnedFd,
    lines: LineBuffer,
    chunk: Vec<u8>,
    outgoing: Vec<u8>,
    sent: usize,
    /// An `accepted` went out and its last frame did not.
    pub(crate) streaming: bool,
    last_sign: Instant,
}

/// Whether to take in what the host says: no, while there is no place for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listening {
    Yes,
    No,
}

/// What the host wants of an operation that only sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    GoOn,
    Stop,
}

impl Connection {
    /// Takes a descriptor over; it becomes non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> Result<Self, Lost> {
        rustix::io::ioctl_fionbio(&fd, true).map_err(broken)?;
        let lines = LineBuffer::new(MAX_HOST_LINE);
        Ok(Self {
            fd,
            lines,
            chunk: vec![0; CHUNK],
            outgoing: Vec::new(),
            sent: 0,
            streaming: false,
            last_sign: Instant::now(),
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Forgets what came and what waits: the other end of a serial port was opened anew.
    pub(crate) fn reset(&mut self) {
        self.lines.clear();
        self.outgoing.clear();
        (self.sent, self.streaming) = (0, false);
    }

    /// Whether a line has begun and not ended.
    pub(crate) fn is_mid_line(&self) -> bool {
        self.lines.is_mid_line()
    }

    /// Whether more may be produced.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting() < ROOM
    }

    fn waiting(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Waits until something happens on the connection or on one of `others`, moves what can be moved, and gives
    /// back what happened to the others. Without a timeout it waits as long as it takes.
    pub(crate) fn wait(
        &mut self,
        listening: Listening,
        others: &[(BorrowedFd<'_>, PollFlags)],
        timeout: Option<Duration>,
    ) -> Result<Vec<PollFlags>, Lost> {
        let mut events = PollFlags::RDHUP;
        events.set(PollFlags::IN, listening == Listening::Yes);
        events.set(PollFlags::OUT, self.waiting() > 0);
        let is_deaf = self.streaming && listening == Listening::No;
        let timeout = if is_deaf { Some(timeout.unwrap_or(SIGN_OF_LIFE).min(SIGN_OF_LIFE)) } else { timeout };
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout).unwrap_or_default());
        let (own, happened) = {
            let mut polled = vec![PollFd::new(&self.fd, events)];
            polled.extend(others.iter().map(|(fd, events)| PollFd::from_borrowed_fd(*fd, *events)));
            match rustix::event::poll(&mut polled, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(broken(error)),
            }
            let mut happened = polled.iter().map(PollFd::revents);
            (happened.next().unwrap_or(PollFlags::empty()), happened.collect())
        };
        self.attend(own)?;
        if is_deaf && self.waiting() == 0 && self.last_sign.elapsed() >= SIGN_OF_LIFE {
            self.send_data(Channel::Stdout, &[])?;
        }
        Ok(happened)
    }

    fn attend(&mut self, happened: PollFlags) -> Result<(), Lost> {
        if happened.contains(PollFlags::IN) {
            // What was said before the end is still heard; the end comes as an empty read.
            self.receive()?;
        } else if happened.intersects(PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR | PollFlags::NVAL) {
            return Err(Lost::HungUp);
        }
        if happened.contains(PollFlags::OUT) { self.push_out() } else { Ok(()) }
    }

    fn receive(&mut self) -> Result<(), Lost> {
        match rustix::io::read(&self.fd, &mut self.chunk[..]) {
            Ok(0) => Err(Lost::HungUp),
            Ok(count) => {
                self.lines.push(self.chunk.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(broken(error)),
        }
    }

    fn push_out(&mut self) -> Result<(), Lost> {
        while self.waiting() > 0 {
            match rustix::io::write(&self.fd, self.outgoing.get(self.sent..).unwrap_or_default()) {
                Ok(count) => {
                    self.sent += count;
                    self.last_sign = Instant::now();
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(broken(error)),
            }
        }
        if self.waiting() == 0 && self.outgoing.capacity() > 4 * ROOM {
            // One large answer must not hold its memory for the life of the connection.
            self.outgoing = Vec::new();
            self.sent = 0;
        } else if self.waiting() == 0 || self.sent > ROOM {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Sends what waits, for at most `patience`.
    pub(crate) fn flush(&mut self, patience: Duration) -> Result<(), Lost> {
        let end = Instant::now() + patience;
        while self.waiting() > 0 && Instant::now() < end {
            self.wait(Listening::No, &[], Some(patience))?;
        }
        Ok(())
    }

    /// The next line that is already here.
    pub(crate) fn take_line(&mut self) -> Option<Result<Vec<u8>, ProtocolError>> {
        self.lines.next_line()
    }

    /// The next frame that is already here, while an operation runs. A request is refused, since one connection
    /// does one thing at a time; anything else cancels the operation, so a host that lost its place on a serial
    /// port gets it back with one empty line.
    pub(crate) fn take_frame(&mut self) -> Result<Option<HostFrame>, OperationError> {
        while let Some(line) = self.take_line() {
            match line.map_err(Into::into).and_then(|line| decode_host_line(&line)) {
                Ok(HostLine::Frame(frame)) => return Ok(Some(frame)),
                Ok(HostLine::Request(request)) => {
                    let message = "expected frames or nothing while an operation runs on this connection, found a request";
                    self.send(failed(Some(request.id), message.to_owned(), None))?;
                }
                Err(bad) => return Err(OperationError::BadFrame(bad.error)),
            }
        }
        Ok(None)
    }

    /// The next frame, waited for.
    pub(crate) fn next_frame(&mut self) -> Result<HostFrame, OperationError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            self.wait(Listening::Yes, &[], None)?;
        }
    }

    /// For operations that only send: waits until there is room, hears what the host says meanwhile, and tells
    /// whether it is `close`.
    pub(crate) fn make_room(&mut self) -> Result<Wish, OperationError> {
        let mut patience = Some(Duration::ZERO);
        loop {
            self.wait(Listening::Yes, &[], patience)?;
            while let Some(frame) = self.take_frame()? {
                if matches!(frame, HostFrame::Close {}) {
                    return Ok(Wish::Stop);
                }
            }
            if self.has_room() {
                return Ok(Wish::GoOn);
            }
            patience = None;
        }
    }

    /// Queues a message and sends what can be sent at once.
    pub(crate) fn send(&mut self, message: impl Into<AgentLine>) -> Result<(), Lost> {
        let line =
            encode_line(&message.into()).map_err(|error| Lost::Broken(std::io::Error::other(error)))?;
        self.outgoing.extend_from_slice(&line);
        self.push_out()
    }

    /// Begins a stream.
    pub(crate) fn accept(
        &mut self,
        id: &RequestId,
        stream: &str,
        size_bytes: Option<u64>,
    ) -> Result<(), Lost> {
        self.streaming = true;
        self.send(Response::Accepted { id: id.clone(), stream: stream.into(), size_bytes })
    }

    /// Sends bytes inside a stream.
    pub(crate) fn send_data(&mut self, channel: Channel, data: &[u8]) -> Result<(), Lost> {
        self.send(AgentFrame::Data { channel, data: data.to_vec() })
    }
}

/// A refusal.
pub(crate) fn failed(id: Option<RequestId>, message: String, exit_code: Option<i32>) -> Response {
    Response::Failed { id, message, exit_code }
}

fn broken(error: Errno) -> Lost {
    Lost::Broken(error.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_reset_forgets_both_directions() {
        let (mut host, agent) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(agent.into()).unwrap();
        host.write_all(b"{\"half\":").unwrap();
        connection.wait(Listening::Yes, &[], None).unwrap();
        assert!(connection.is_mid_line());
        while connection.has_room() {
            connection.send_data(Channel::Stdout, &[0; 4096]).unwrap();
        }
        connection.streaming = true;
        connection.reset();
        assert!(!connection.is_mid_line() && connection.has_room() && !connection.streaming);
        assert_eq!(connection.waiting(), 0);
    }

    #[test]
    fn what_waits_goes_out_in_order_when_the_host_reads() {
        let (mut host, agent) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(agent.into()).unwrap();
        let mut sent = Vec::new();
        while connection.has_room() {
            let frame = AgentFrame::Exit { code: i32::try_from(sent.len() % 1000).unwrap() };
            sent.extend(encode_line(&frame).unwrap());
            connection.send(frame).unwrap();
        }
        let expected = sent.len();
        let reader = std::thread::spawn(move || {
            let mut found = vec![0; expected];
            host.read_exact(&mut found).map(|()| found)
        });
        connection.flush(Duration::from_secs(20)).unwrap();
        assert!(reader.join().unwrap().unwrap() == sent);
        // The host's side was dropped with its thread.
        assert!(matches!(connection.wait(Listening::Yes, &[], None), Err(Lost::HungUp)));
    }
}
