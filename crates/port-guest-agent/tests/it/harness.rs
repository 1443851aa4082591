//! Starts an agent over a temporary root and speaks to it as a host would.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use port_guest_protocol::{
    AgentFrame, AgentLine, Channel, ExecResult, HostFrame, HostLine, LineBuffer, MAX_AGENT_LINE, Operation,
    Request, Response, decode_agent_line, encode_line,
};
use rustix::event::{PollFd, PollFlags, Timespec};

/// Long enough for a busy machine; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Agent {
    process: Child,
    directory: tempfile::TempDir,
}

impl Agent {
    pub(crate) fn start(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        let socket = directory.path().join("run/agent.sock");
        // As an init that is a shell starts it with `&`.
        let process = Command::new("sh")
            .args(["-c", "trap '' INT QUIT; exec \"$@\"", "init", env!("CARGO_BIN_EXE_port-guest-agent")])
            .arg("--socket")
            .arg(&socket)
            .arg("--root")
            .arg(directory.path().join("root"))
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, directory }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("run/agent.sock")
    }

    /// Beside the root, outside of it.
    pub(crate) fn outside(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn root(&self, path: &str) -> PathBuf {
        self.directory.path().join("root").join(path)
    }

    pub(crate) fn connect(&self) -> Host {
        let mut stream = None;
        until("the agent listens", || {
            stream = UnixStream::connect(self.socket()).ok();
            stream.is_some()
        });
        Host::new(stream.unwrap().into())
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One side of a byte stream to the agent.
pub(crate) struct Host {
    fd: OwnedFd,
    lines: LineBuffer,
}

impl Host {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, lines: LineBuffer::new(MAX_AGENT_LINE) }
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        assert!(self.try_send_raw(bytes), "the agent hung up");
    }

    pub(crate) fn try_send_raw(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Ok(count) = rustix::io::write(&self.fd, bytes) else { return false };
            bytes = &bytes[count..];
        }
        true
    }

    pub(crate) fn send(&mut self, line: impl Into<HostLine>) {
        let line = encode_line(&line.into()).unwrap();
        self.send_raw(&line);
    }

    pub(crate) fn input(&mut self, data: &[u8]) {
        self.send(HostFrame::Input { data: data.to_vec() });
    }

    pub(crate) fn close(&mut self) {
        self.send(HostFrame::Close {});
    }

    /// The next line, or nothing if the agent ended the stream.
    pub(crate) fn try_receive(&mut self) -> Option<AgentLine> {
        let mut chunk = vec![0; 65536];
        loop {
            if let Some(line) = self.lines.next_line() {
                return Some(decode_agent_line(&line.unwrap()).unwrap());
            }
            assert!(self.is_readable(PATIENCE), "the agent is silent");
            match rustix::io::read(&self.fd, &mut chunk) {
                Ok(0) | Err(rustix::io::Errno::IO | rustix::io::Errno::CONNRESET) => return None,
                Ok(count) => self.lines.push(&chunk[..count]),
                Err(error) => panic!("cannot read: {error}"),
            }
        }
    }

    pub(crate) fn is_readable(&self, patience: Duration) -> bool {
        let fd = self.fd.as_fd();
        let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        rustix::event::poll(&mut polled, Some(&Timespec::try_from(patience).unwrap())).unwrap() > 0
    }

    pub(crate) fn receive(&mut self) -> AgentLine {
        self.try_receive().unwrap()
    }

    pub(crate) fn response(&mut self) -> Response {
        match self.receive() {
            AgentLine::Response(response) => response,
            AgentLine::Frame(frame) => panic!("expected a response, found {frame:?}"),
        }
    }

    pub(crate) fn frame(&mut self) -> AgentFrame {
        match self.receive() {
            AgentLine::Frame(frame) => frame,
            AgentLine::Response(response) => panic!("expected a frame, found {response:?}"),
        }
    }

    pub(crate) fn request(&mut self, operation: Operation) -> Response {
        self.send(Request { id: 1.into(), operation });
        let response = self.response();
        assert_eq!(response.id(), Some(&1.into()));
        response
    }

    /// Begins a stream.
    pub(crate) fn open(&mut self, operation: Operation) -> Option<u64> {
        match self.request(operation) {
            Response::Accepted { size_bytes, .. } => size_bytes,
            other => panic!("expected accepted, found {other:?}"),
        }
    }

    /// A request that is refused: its message and exit code.
    pub(crate) fn refused(&mut self, operation: Operation) -> (String, Option<i32>) {
        match self.request(operation) {
            Response::Failed { message, exit_code, .. } => (message, exit_code),
            other => panic!("expected failed, found {other:?}"),
        }
    }

    /// Runs a command without streaming.
    pub(crate) fn run(&mut self, command: &[&str]) -> (i32, ExecResult) {
        match self.request(exec(command, false)) {
            Response::Completed { exit_code, result, .. } => {
                (exit_code, serde_json::from_value(result).unwrap())
            }
            other => panic!("expected completed, found {other:?}"),
        }
    }

    /// Everything up to the last frame of a stream: outputs, errors, the frame.
    pub(crate) fn finish(&mut self) -> (Vec<u8>, Vec<u8>, AgentFrame) {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        loop {
            match self.frame() {
                AgentFrame::Data { channel: Channel::Stdout, data } => stdout.extend(data),
                AgentFrame::Data { channel: Channel::Stderr, data } => stderr.extend(data),
                last => return (stdout, stderr, last),
            }
        }
    }

    /// Reads data until `expected` was in it.
    pub(crate) fn until_output(&mut self, expected: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(expected) {
            match self.frame() {
                AgentFrame::Data { data, .. } => seen.push_str(&String::from_utf8_lossy(&data)),
                last => panic!("expected {expected:?}, found {seen:?} and {last:?}"),
            }
        }
        seen
    }

    pub(crate) fn assert_usable(&mut self) {
        match self.request(Operation::Ping {}) {
            Response::Completed { exit_code: 0, result, .. } => assert_eq!(result["protocol_version"], 1),
            other => panic!("expected a pong, found {other:?}"),
        }
    }
}

pub(crate) fn exec(command: &[&str], stream: bool) -> Operation {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Operation::Exec { command, cwd: None, env: BTreeMap::new(), stream }
}

/// Waits for something that happens soon.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "expected within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process runs; one that is dead and not reaped does not.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A message that says all of these.
#[track_caller]
pub(crate) fn assert_says(message: &str, expected: &[&str]) {
    for part in expected {
        assert!(message.contains(part), "expected {part:?} in {message:?}");
    }
}
