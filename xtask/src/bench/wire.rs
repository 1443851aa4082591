//! A forwarder on loopback: it counts what passes, and where asked for makes the way long and narrow.
//!
//! ```text
//! client ─► read ─► queue of (when due, bytes) ─► wait until due ─► write ─► registry, and the same way back
//! ```
//! A connection costs one round trip before anything passes, as a handshake does. The queue holds more than what is
//! under way on such a line, so that it is the rate, and not the forwarder, that limits a connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

const BLOCK: usize = 64 * 1024;
/// Blocks under way in one direction of a connection.
const QUEUE: usize = 64;

/// A line that is not loopback.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) round_trip: Duration,
    /// Of each direction of each connection.
    pub(super) bytes_per_second: f64,
}

/// Forwards until dropped.
pub(super) struct Forwarder {
    address: SocketAddr,
    passed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Forwarder {
    pub(super) fn start(to: SocketAddr, line: Option<Line>) -> Outcome<Self> {
        let failed = |error: std::io::Error| Failure::new(format!("cannot listen on loopback: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (passed, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, ending) = (Arc::clone(&passed), Arc::clone(&over));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                // A registry that is gone shows as a connection that ends.
                let Ok(server) = TcpStream::connect(to) else { continue };
                connect(client, server, line, &counter);
            }
        });
        Ok(Self { address, passed, over })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that passed in both directions since this was last asked.
    pub(super) fn take_passed(&self) -> u64 {
        self.passed.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn connect(client: TcpStream, server: TcpStream, line: Option<Line>, passed: &Arc<AtomicU64>) {
    for stream in [&client, &server] {
        // Without it small requests would wait for acknowledgements; a connection that is gone already ends by itself.
        let _ = stream.set_nodelay(true);
    }
    let (Ok(back), Ok(forth)) = (client.try_clone(), server.try_clone()) else { return };
    for (from, to) in [(client, forth), (server, back)] {
        let passed = Arc::clone(passed);
        std::thread::spawn(move || match line {
            None => straight(from, to, &passed),
            Some(line) => {
                std::thread::sleep(line.round_trip);
                delayed(from, to, line, &passed);
            }
        });
    }
}

fn straight(mut from: TcpStream, mut to: TcpStream, passed: &AtomicU64) {
    let mut buffer = vec![0; BLOCK];
    while let Some(block) = read(&mut from, &mut buffer) {
        passed.fetch_add(block.len() as u64, Ordering::Relaxed);
        if to.write_all(block).is_err() {
            break;
        }
    }
    // Already closed is as good.
    let _ = to.shutdown(Shutdown::Write);
}

fn delayed(mut from: TcpStream, to: TcpStream, line: Line, passed: &AtomicU64) {
    let (sender, receiver): (SyncSender<(Instant, Vec<u8>)>, _) = sync_channel(QUEUE);
    std::thread::spawn(move || deliver(&receiver, to, line));
    let mut buffer = vec![0; BLOCK];
    while let Some(block) = read(&mut from, &mut buffer) {
        passed.fetch_add(block.len() as u64, Ordering::Relaxed);
        let due = Instant::now() + line.round_trip / 2;
        if sender.send((due, block.to_vec())).is_err() {
            return;
        }
    }
}

/// Each block when it is due, and not before the one ahead of it has had its time on the line.
fn deliver(blocks: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream, line: Line) {
    let mut free = Instant::now();
    while let Ok((due, block)) = blocks.recv() {
        let time = Duration::from_secs_f64(block.len() as f64 / line.bytes_per_second);
        free = free.max(due) + time;
        std::thread::sleep(free.saturating_duration_since(Instant::now()));
        if to.write_all(&block).is_err() {
            break;
        }
    }
    // Already closed is as good.
    let _ = to.shutdown(Shutdown::Write);
}

fn read<'a>(from: &mut TcpStream, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let count = from.read(buffer).ok().filter(|count| *count > 0)?;
    buffer.get(..count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends `size` bytes for one byte.
    fn server(size: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(&vec![7; size]).unwrap();
        });
        address
    }

    fn fetch(forwarder: &Forwarder) -> (usize, Duration) {
        let start = Instant::now();
        let mut stream = TcpStream::connect(forwarder.address()).unwrap();
        stream.write_all(&[1]).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        (bytes.len(), start.elapsed())
    }

    #[test]
    fn every_byte_is_counted_once() {
        let forwarder = Forwarder::start(server(1_000_000), None).unwrap();
        assert_eq!(fetch(&forwarder).0, 1_000_000);
        assert_eq!(forwarder.take_passed(), 1_000_001);
        assert_eq!(forwarder.take_passed(), 0);
    }

    #[test]
    fn a_line_has_its_round_trip_and_its_rate() {
        let line = Line { round_trip: Duration::from_millis(40), bytes_per_second: 5e6 };
        let forwarder = Forwarder::start(server(1_000_000), Some(line)).unwrap();
        let (size, elapsed) = fetch(&forwarder);
        assert_eq!(size, 1_000_000);
        // Two round trips and a fifth of a second; the rest is a machine that is busy.
        let least = Duration::from_millis(280);
        assert!((least..least * 4).contains(&elapsed), "{elapsed:?}");
    }
}
