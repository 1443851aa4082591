//! A client that costs little: a thread for each connection, requests made once, bodies counted and thrown away.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

/// What every server answers.
pub(super) const PING: &str = "GET /v2/ HTTP/1.1\r\nHost: bench\r\n\r\n";
/// How much is read at once.
const PIECE: usize = 256 * 1024;
/// A server that hangs must not hang the benchmark.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes with their name.
pub(super) struct Body {
    pub(super) digest: String,
    pub(super) bytes: Vec<u8>,
}

/// The head of an answer, and how long its body was.
pub(super) struct Answered {
    status: u16,
    location: Option<String>,
    length: u64,
}

/// One connection, kept.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        // A request is one write; the answer must not wait for more.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(PATIENCE));
        Self { stream, buffer: vec![0; PIECE] }
    }

    /// Sends a request and takes the whole answer.
    pub(super) fn exchange(&mut self, request: &[u8]) -> io::Result<Answered> {
        self.stream.write_all(request)?;
        let (mut filled, head) = (0, loop_head(&mut self.stream, &mut self.buffer)?);
        filled += head.filled;
        let text = String::from_utf8_lossy(self.buffer.get(..head.end).unwrap_or_default()).into_owned();
        let broken = || io::Error::new(io::ErrorKind::InvalidData, format!("no answer of HTTP/1.1: {text}"));
        let status = text.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
        let header = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
        };
        let length: u64 = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if !request.starts_with(b"HEAD") {
            let mut left = length.saturating_sub((filled - head.end) as u64);
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                let taken = self.stream.read(self.buffer.get_mut(..most).unwrap_or_default())?;
                if taken == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                left -= taken as u64;
            }
        }
        Ok(Answered { status, location: header("location"), length })
    }
}

struct Head {
    end: usize,
    filled: usize,
}

/// Reads until the head is whole.
fn loop_head(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Head> {
    let mut filled = 0;
    loop {
        let taken = stream.read(buffer.get_mut(filled..).unwrap_or_default())?;
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += taken;
        let known = buffer.get(..filled).unwrap_or_default();
        if let Some(at) = known.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(Head { end: at + 4, filled });
        }
    }
}

/// Whom the requests go to.
pub(super) struct Load {
    address: SocketAddr,
    authorization: String,
}

impl Load {
    pub(super) fn new(address: SocketAddr, authorization: Option<String>) -> Self {
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n"));
        Self { address, authorization: authorization.unwrap_or_default() }
    }

    fn connect(&self) -> io::Result<Connection> {
        TcpStream::connect(self.address).map(Connection::new)
    }

    fn head(&self, method: &str, path: &str, more: &str) -> String {
        let Self { address, authorization } = self;
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}{more}\r\n")
    }

    /// Asks over and over on so many connections; gives how many requests were answered in a second.
    pub(super) fn requests(
        &self,
        method: &str,
        what: &str,
        connections: usize,
        span: Duration,
    ) -> Outcome<f64> {
        let accept = "Accept: application/vnd.oci.image.manifest.v1+json\r\n";
        let request = self.head(method, &format!("/v2/bench/{what}"), accept);
        let begun = Instant::now();
        let counts = self.on_each(connections, |connection| {
            let mut count = 0_u64;
            while begun.elapsed() < span {
                expect(&connection.exchange(request.as_bytes())?, 200)?;
                count += 1;
            }
            Ok(count)
        })?;
        Ok(counts.into_iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
    }

    /// So many connections read the same so many times, beginning together; gives when the last one was done.
    pub(super) fn pulls(&self, what: &str, connections: usize, times: usize, size: u64) -> Outcome<Duration> {
        let request = self.head("GET", &format!("/v2/bench/{what}"), "");
        let begun = Instant::now();
        self.on_each(connections, |connection| {
            for _ in 0..times {
                let answered = connection.exchange(request.as_bytes())?;
                expect(&answered, 200)?;
                if answered.length != size {
                    return Err(io::Error::other(format!("{} bytes came: expected {size}", answered.length)));
                }
            }
            Ok(())
        })?;
        Ok(begun.elapsed())
    }

    /// Pushes all of them at once, each on a connection of its own.
    pub(super) fn pushes(&self, bodies: &[Body]) -> Outcome<Duration> {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let begun = Instant::now();
        self.on_each(bodies.len(), |connection| {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            bodies.get(number).map_or(Ok(()), |body| self.push_over(connection, body))
        })?;
        Ok(begun.elapsed())
    }

    pub(super) fn push(&self, body: &Body) -> Outcome {
        let pushed = self.connect().and_then(|mut connection| self.push_over(&mut connection, body));
        pushed.map_err(|error| self.failed(&error))
    }

    /// In two requests, which every registry takes.
    fn push_over(&self, connection: &mut Connection, body: &Body) -> io::Result<()> {
        let begin = self.head("POST", "/v2/bench/blobs/uploads/", "Content-Length: 0\r\n");
        let begun = connection.exchange(begin.as_bytes())?;
        expect(&begun, 202)?;
        let location = begun.location.unwrap_or_default();
        // Some answer with a whole URL.
        let path = location.split_once("://").map_or(location.as_str(), |(_, rest)| {
            rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
        });
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}digest=sha256:{}", body.digest);
        let more =
            format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", body.bytes.len());
        connection.stream.write_all(self.head("PUT", &path, &more).as_bytes())?;
        expect(&connection.exchange(&body.bytes)?, 201)
    }

    pub(super) fn put_manifest(&self, tag: &str, media_type: &str, bytes: &[u8]) -> Outcome {
        let more = format!("Content-Type: {media_type}\r\nContent-Length: {}\r\n", bytes.len());
        let mut request = self.head("PUT", &format!("/v2/bench/manifests/{tag}"), &more).into_bytes();
        request.extend_from_slice(bytes);
        let put = self.connect().and_then(|mut connection| expect(&connection.exchange(&request)?, 201));
        put.map_err(|error| self.failed(&error))
    }

    /// Does the same on so many connections, which begin together.
    fn on_each<T: Send>(
        &self,
        connections: usize,
        work: impl Fn(&mut Connection) -> io::Result<T> + Sync,
    ) -> Outcome<Vec<T>> {
        let barrier = Barrier::new(connections);
        let one = || {
            let connected = self.connect();
            barrier.wait();
            work(&mut connected?)
        };
        let done: io::Result<Vec<T>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| io::Error::other("a panic"))?)
                .collect()
        });
        done.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::new(format!("a request to {}: {error}", self.address))
    }
}

fn expect(answered: &Answered, status: u16) -> io::Result<()> {
    let found = answered.status;
    if found == status {
        Ok(())
    } else {
        Err(io::Error::other(format!("answered {found}: expected {status}")))
    }
}

/// Answers every request on every connection with the file, which the kernel copies; for so many connections.
pub(super) fn serve_file(path: &Path, connections: usize) -> Outcome<SocketAddr> {
    let failed = |error: &io::Error| Failure::new(format!("cannot listen on loopback: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| failed(&error))?;
    let address = listener.local_addr().map_err(|error| failed(&error))?;
    let path = path.to_owned();
    thread::spawn(move || {
        let _ends_with_its_clients = thread::scope(|scope| -> io::Result<()> {
            for stream in listener.incoming().take(connections) {
                let (stream, path) = (stream?, path.clone());
                scope.spawn(move || answer_with(stream, &path));
            }
            Ok(())
        });
    });
    Ok(address)
}

fn answer_with(mut stream: TcpStream, path: &Path) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    while loop_head(&mut stream, &mut buffer).is_ok() {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
        io::copy(&mut file, &mut stream)?;
    }
    stream.shutdown(Shutdown::Both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_has_is_pulled_and_something_else_is_an_error() {
        let path = std::env::temp_dir().join(format!("port-xtask-load-{}", std::process::id()));
        std::fs::write(&path, vec![7; 300_000]).unwrap();
        let load = Load::new(serve_file(&path, 10).unwrap(), None);
        load.pulls("x", 3, 2, 300_000).unwrap();
        assert!(load.pulls("x", 1, 1, 299_999).unwrap_err().to_string().contains("300000 bytes came"));
        assert!(load.requests("GET", "x", 2, Duration::from_millis(20)).unwrap() > 0.0);
        std::fs::remove_file(&path).unwrap();
    }
}
