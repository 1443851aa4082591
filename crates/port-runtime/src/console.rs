//! The guest's serial console: carried where the spec says, its end kept, and watched for a kernel's panic.
//!
//! The VMM connects to a socket on which Port listens already when the VMM starts, so no byte is lost. Reading
//! never stops while the machine runs: a console that nobody reads would stall the guest.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use port_content::fs;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::error::{RuntimeError, Tail, channel_error};
use crate::machine_spec::Console;

/// How much of the console's end is kept.
const KEPT: usize = 16 * 1024;
/// A longer line is cut when looking for a panic.
const LONGEST_LINE: usize = 1024;
/// Pieces on their way to a reader of [`Console::Stream`].
const QUEUE: usize = 64;
const PANIC: &str = "Kernel panic - not syncing";

/// What the guest's console showed so far. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct ConsoleRecord {
    state: Arc<Mutex<State>>,
    panic: watch::Receiver<Option<String>>,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<u8>,
    line: Vec<u8>,
    first_byte: Option<Instant>,
}

/// A guest's console in a caller's hands: [`Console::Stream`].
#[derive(Debug)]
pub struct ConsoleStream {
    /// What the guest writes. It must be read to the end, or the guest stalls; dropping it is fine.
    pub output: mpsc::Receiver<Vec<u8>>,
    /// What the guest reads.
    pub input: ConsoleInput,
}

/// The guest's side of the keyboard.
pub struct ConsoleInput(Writer);

type Writer = Box<dyn AsyncWrite + Send + Unpin>;

impl std::fmt::Debug for ConsoleInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConsoleInput")
    }
}

impl ConsoleInput {
    /// Types `bytes`.
    ///
    /// # Errors
    /// The machine has ended.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), RuntimeError> {
        self.0.write_all(bytes).await.map_err(channel_error("write to the guest's console"))?;
        self.0.flush().await.map_err(channel_error("write to the guest's console"))
    }
}

/// Where the pump puts what it reads.
enum Sink {
    None,
    File(File),
    Stream(mpsc::Sender<Vec<u8>>),
}

/// A running pump.
#[derive(Debug)]
pub(crate) struct ConsolePump {
    pub(crate) record: ConsoleRecord,
    pub(crate) stream: Option<ConsoleStream>,
    /// `None` once it ended, and where a caller's reading sets the pace.
    task: Option<JoinHandle<()>>,
}

/// Waits for the VMM's connection and pumps it.
///
/// # Errors
/// A log file that cannot be made, or a broken socket.
pub(crate) async fn start(console: &Console, listener: UnixListener) -> Result<ConsolePump, RuntimeError> {
    let (socket, _) = listener.accept().await.map_err(channel_error("accept the VMM's console"))?;
    let (reader, writer) = socket.into_split();
    pump(console, reader, Box::new(writer))
}

/// Pumps a console that is connected already: `reader` has what the guest writes, `writer` takes what it reads.
///
/// # Errors
/// A log file that cannot be made.
pub(crate) fn pump(
    console: &Console,
    mut reader: impl AsyncRead + Send + Unpin + 'static,
    writer: Writer,
) -> Result<ConsolePump, RuntimeError> {
    let (mut sink, output) = match console {
        Console::Discard => (Sink::None, None),
        Console::Log(path) => (Sink::File(log_file(path)?), None),
        Console::Stream => {
            let (sender, receiver) = mpsc::channel(QUEUE);
            (Sink::Stream(sender), Some(receiver))
        }
    };
    let (panicked, panic) = watch::channel(None);
    let state = Arc::new(Mutex::new(State::default()));
    let record = ConsoleRecord { state: Arc::clone(&state), panic };
    // Without a reader there is nobody to type, but a dropped half would close the console's input.
    let (stream, idle_writer) = match output {
        Some(output) => (Some(ConsoleStream { output, input: ConsoleInput(writer) }), None),
        None => (None, Some(writer)),
    };
    let is_paced_by_caller = stream.is_some();
    let task = tokio::spawn(async move {
        let _idle_writer = idle_writer;
        let mut buffer = vec![0; 8 * 1024];
        // The end of the VMM and a broken socket are the same: there is no more console.
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            let bytes = buffer.get(..length).unwrap_or_default();
            let line = lock(&state).take(bytes);
            if let Some(line) = line {
                panicked.send_if_modified(|known| known.is_none() && known.replace(line).is_none());
            }
            sink.take(bytes).await;
        }
    });
    // A caller that waits for the machine's end before it reads on would otherwise wait for itself.
    Ok(ConsolePump { record, stream, task: (!is_paced_by_caller).then_some(task) })
}

fn log_file(path: &Path) -> Result<File, RuntimeError> {
    Ok(fs::create_scratch(path)?)
}

impl Sink {
    async fn take(&mut self, bytes: &[u8]) {
        let lost = match self {
            Self::None => false,
            Self::File(file) => file.write_all(bytes).is_err(),
            Self::Stream(sender) => sender.send(bytes.to_vec()).await.is_err(),
        };
        if lost {
            // A full disk or a reader that went away must not stall the guest.
            *self = Self::None;
        }
    }
}

impl State {
    /// Keeps the bytes; returns the line in which the kernel gave up.
    fn take(&mut self, bytes: &[u8]) -> Option<String> {
        self.first_byte.get_or_insert_with(Instant::now);
        self.kept.extend_from_slice(bytes);
        let over = self.kept.len().saturating_sub(2 * KEPT);
        if over > 0 {
            // In steps of a whole window, so that keeping costs nothing on average.
            self.kept.drain(..over + KEPT);
        }
        let mut panic = None;
        for byte in bytes {
            if *byte == b'\n' {
                panic = panic.or_else(|| panic_line(&self.line));
                self.line.clear();
            } else if self.line.len() < LONGEST_LINE {
                self.line.push(*byte);
            }
        }
        panic
    }
}

/// The panic's text without the kernel's time stamp.
fn panic_line(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let start = text.find(PANIC)?;
    let reason = text.get(start + PANIC.len()..)?.trim_start_matches(':').trim();
    Some(reason.chars().filter(|c| !c.is_control()).collect())
}

impl ConsoleRecord {
    /// The last lines.
    pub(crate) fn tail(&self) -> Tail {
        Tail::new("console", &lock(&self.state).kept)
    }

    pub(crate) fn first_byte(&self) -> Option<Instant> {
        lock(&self.state).first_byte
    }

    /// Why the kernel gave up, if it did.
    pub(crate) fn panic_reason(&self) -> Option<String> {
        self.panic.borrow().clone()
    }

    /// Waits until the kernel gives up; forever where it does not.
    pub(crate) async fn panicked(&self) -> String {
        let mut panic = self.panic.clone();
        let reason = match panic.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            // The console has ended without one.
            Err(_) => None,
        };
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }
}

impl ConsolePump {
    /// Waits until everything the guest wrote was taken. Call it after the VMM's end.
    pub(crate) async fn finish(&mut self) {
        if let Some(task) = &mut self.task {
            let _ = task.await;
            self.task = None;
        }
    }
}

impl Drop for ConsolePump {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The state is plain bytes: a panic elsewhere leaves nothing half-done in it.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_in_any_pieces_and_its_reason_is_the_line() {
        let text = b"[ 1.0] ok\r\n[ 1.3] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\nmore\r\n";
        for size in 1..text.len() {
            let mut state = State::default();
            let found: Vec<String> = text.chunks(size).filter_map(|piece| state.take(piece)).collect();
            assert_eq!(found, ["Attempted to kill init! exitcode=0x00000100"], "pieces of {size}");
        }
    }

    #[test]
    fn a_console_of_any_length_keeps_its_end_only() {
        let mut state = State::default();
        for number in 0..20_000 {
            assert_eq!(state.take(format!("line {number}\n").as_bytes()), None);
        }
        assert!((KEPT..=2 * KEPT).contains(&state.kept.len()), "{}", state.kept.len());
        assert!(state.kept.ends_with(b"line 19999\n"));
        state.take(&[b'x'; 100_000]);
        assert_eq!(state.line.len(), LONGEST_LINE);
    }

    #[tokio::test]
    async fn a_log_gets_every_byte_and_a_stream_goes_both_ways() {
        let directory = tempfile::tempdir().unwrap();
        let (path, log) = (directory.path().join("c.sock"), directory.path().join("console.log"));
        for console in [Console::Log(log.clone()), Console::Stream] {
            let _ = fs::remove_file(&path);
            let listener = UnixListener::bind(&path).unwrap();
            let mut vmm = tokio::net::UnixStream::connect(&path).await.unwrap();
            let mut pump = start(&console, listener).await.unwrap();
            vmm.write_all(b"booting\n").await.unwrap();
            if let Some(stream) = &mut pump.stream {
                assert_eq!(stream.output.recv().await.unwrap(), b"booting\n");
                stream.input.write(b"root\n").await.unwrap();
                let mut typed = [0; 5];
                vmm.read_exact(&mut typed).await.unwrap();
                assert_eq!(&typed, b"root\n");
            }
            drop(vmm);
            pump.finish().await;
            pump.finish().await;
            assert!(pump.record.first_byte().is_some());
            assert_eq!(pump.record.tail().lines, ["booting"]);
        }
        assert_eq!(fs::read(&log, 100).unwrap(), b"booting\n");
    }
}
