//! A TCP proxy on loopback that cuts, slows, stalls, corrupts and reorders, and counts what went through. It knows
//! nothing of HTTP: what it does to a message is up to where its bytes fall.
//!
//! Faults are placed by the count of bytes that all connections have moved in one direction, so a test says "after 20
//! MiB of upload" and means it, however many connections the client opens. Each fault happens once.

mod tls;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use tls::{Clients, TlsFront};

/// What moves at once. Small enough that a slow link is smooth.
const CHUNK: usize = 64 << 10;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What happens to the connection whose bytes reach the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Both directions end at once.
    Cut,
    /// This direction ends; the other goes on.
    HalfClose,
    /// One bit of the byte at the mark is flipped.
    Corrupt,
    /// The halves of the chunk at the mark change places.
    Reorder,
    /// Nothing moves for so long.
    Stall(Duration),
}

/// A trouble and its place.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Of which bytes.
    pub direction: Direction,
    /// After so many bytes of all connections together.
    pub after: u64,
    /// What happens.
    pub trouble: Trouble,
}

/// How fast the link is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    /// Bytes per second and connection, each way; 0 is as fast as it goes.
    pub bytes_per_second: u64,
    /// What each chunk waits for.
    pub delay: Duration,
}

/// The proxy. It ends with the process: connections are threads.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    link: Link,
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    faults: Mutex<Vec<Fault>>,
}

impl Proxy {
    /// Listens on a free port and passes every connection on to `target` (`127.0.0.1:PORT`).
    pub fn start(target: &str, link: Link, faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            link,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            faults: Mutex::new(faults.to_vec()),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                accepting.connect(client);
            }
        });
        Self { address, shared }
    }

    /// `127.0.0.1:PORT`, to be used in place of the target's.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Bytes that came from clients.
    pub fn up(&self) -> u64 {
        self.shared.up.load(Ordering::SeqCst)
    }

    /// Bytes that went to clients.
    pub fn down(&self) -> u64 {
        self.shared.down.load(Ordering::SeqCst)
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Faults that have not happened yet.
    pub fn pending(&self) -> usize {
        self.shared.faults.lock().unwrap().len()
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(server) = TcpStream::connect(&self.target) else { return };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let (Ok(client_again), Ok(server_again)) = (client.try_clone(), server.try_clone()) else { return };
        for (direction, from, to) in
            [(Direction::Up, client, server), (Direction::Down, server_again, client_again)]
        {
            let shared = Arc::clone(self);
            // An end that goes away in the middle is what this is for.
            std::thread::spawn(move || drop(shared.pump(direction, from, to)));
        }
    }

    fn pump(&self, direction: Direction, mut from: TcpStream, mut to: TcpStream) -> std::io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = match from.read(&mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(length) => length,
            };
            let bytes = &mut chunk[..length];
            std::thread::sleep(self.link.delay + self.time_for(length));
            let before = self.counter(direction).fetch_add(length as u64, Ordering::SeqCst);
            let kept = match self.fault(direction, before, length) {
                None => bytes,
                Some((Trouble::Cut, at)) => {
                    let _ = to.write_all(&bytes[..at]);
                    let _ = from.shutdown(Shutdown::Both);
                    return to.shutdown(Shutdown::Both);
                }
                Some((Trouble::HalfClose, at)) => {
                    to.write_all(&bytes[..at])?;
                    return to.shutdown(Shutdown::Write);
                }
                Some((trouble, at)) => {
                    spoil(trouble, bytes, at);
                    bytes
                }
            };
            if to.write_all(kept).is_err() {
                // The other side is told, or it would wait for an answer to what nobody got.
                return from.shutdown(Shutdown::Both);
            }
        }
        to.shutdown(Shutdown::Write)
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn time_for(&self, length: usize) -> Duration {
        match self.link.bytes_per_second {
            0 => Duration::ZERO,
            speed => Duration::from_secs_f64(length as f64 / speed as f64),
        }
    }

    /// The fault whose mark lies within these bytes, and where in them.
    fn fault(&self, direction: Direction, before: u64, length: usize) -> Option<(Trouble, usize)> {
        let mut faults = self.faults.lock().unwrap();
        let range = before..before + length as u64;
        let index =
            faults.iter().position(|fault| fault.direction == direction && range.contains(&fault.after))?;
        let fault = faults.remove(index);
        Some((fault.trouble, usize::try_from(fault.after - before).unwrap()))
    }
}

fn spoil(trouble: Trouble, bytes: &mut [u8], at: usize) {
    match trouble {
        Trouble::Corrupt => bytes[at] ^= 1,
        Trouble::Reorder => bytes.rotate_left(bytes.len() / 2),
        Trouble::Stall(time) => std::thread::sleep(time),
        Trouble::Cut | Trouble::HalfClose => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends everything back.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut bytes = [0; 1024];
                    while let Ok(length) = stream.read(&mut bytes) {
                        if length == 0 || stream.write_all(&bytes[..length]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    fn through(faults: &[Fault]) -> (Vec<u8>, Proxy) {
        let proxy = Proxy::start(&echo(), Link::default(), faults);
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.write_all(&[7; 1000]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        let _ = stream.read_to_end(&mut back);
        (back, proxy)
    }

    #[test]
    fn bytes_pass_and_are_counted() {
        let (back, proxy) = through(&[]);
        assert_eq!(back, [7; 1000]);
        assert_eq!((proxy.up(), proxy.down(), proxy.connections()), (1000, 1000, 1));
    }

    #[test]
    fn faults_happen_where_they_were_placed_and_once() {
        let fault = |direction, trouble| Fault { direction, after: 300, trouble };
        let (back, proxy) = through(&[fault(Direction::Up, Trouble::Corrupt)]);
        assert_eq!((back.len(), back[299], back[300], back[301]), (1000, 7, 6, 7));
        assert_eq!(proxy.pending(), 0);
        assert_eq!(through(&[fault(Direction::Up, Trouble::HalfClose)]).0, [7; 300]);
        assert!(through(&[fault(Direction::Down, Trouble::Cut)]).0.len() <= 300);
        assert_eq!(through(&[fault(Direction::Up, Trouble::Stall(Duration::from_millis(1)))]).0, [7; 1000]);
    }
}
