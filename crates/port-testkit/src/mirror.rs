//! A mirror of the Firecracker CI bucket on loopback, in memory: listings in pages as S3 gives them, objects with ranges and
//! entity tags, the redirect to the newest release, and faults on order. One request per connection.

mod shapes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use port_content::hashing::digest_of;

pub use shapes::bucket_keys;

/// What goes wrong with requests for one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed after so many bytes of the body, so many times.
    Cut {
        /// Bytes of the body that are sent.
        after: usize,
        /// How often.
        times: usize,
    },
    /// Every answer is closed after a third of its body, always.
    Third,
    /// No byte at or behind this offset is ever sent.
    Beyond(usize),
    /// Other bytes of the same length.
    Corrupt,
    /// This status, with a short text.
    Status(u16),
    /// A few bytes at a time, with pauses.
    Slow,
    /// A redirect to this address.
    Redirect(String),
    /// The whole body, whatever range was asked for.
    NoRanges,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Arc<Vec<u8>>>,
    files: BTreeMap<String, Arc<Vec<u8>>>,
    faults: BTreeMap<String, Fault>,
    release: String,
    page: usize,
    requests: Vec<String>,
    sent: u64,
}

/// The mirror. It goes away when it is dropped.
pub struct Mirror {
    address: String,
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

impl Mirror {
    /// Starts an empty mirror whose newest release is this one.
    pub fn start(release: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State { release: release.to_owned(), page: 1000, ..State::default() };
        let (state, over) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(false)));
        let (seen, stop) = (Arc::clone(&state), Arc::clone(&over));
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), state) = (stream, Arc::clone(&seen)) else { return };
                // A client that hangs up in the middle is part of some tests.
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state, over, acceptor: Some(acceptor) }
    }

    /// A mirror with thousands of keys of the CI line and architecture, of which this kernel and this root are to be chosen.
    pub fn of_pair(release: &str, architecture: &str, kernel: &[u8], rootfs: &[u8]) -> Self {
        let mirror = Self::start(release);
        let line = release.rsplit_once('.').unwrap().0;
        mirror.put_pair(line, architecture, kernel, rootfs);
        mirror
    }

    /// Adds a CI line as [`Mirror::of_pair`] does.
    pub fn put_pair(&self, line: &str, architecture: &str, kernel: &[u8], rootfs: &[u8]) {
        let prefix = format!("firecracker-ci/{line}/{architecture}/");
        for key in bucket_keys(&prefix) {
            self.put(&key, key.as_bytes());
        }
        self.put(&format!("{prefix}vmlinux-6.1.155"), kernel);
        self.put(&format!("{prefix}ubuntu-24.04.squashfs"), rootfs);
    }

    /// The bucket's URL.
    pub fn bucket_url(&self) -> String {
        format!("http://{}/bucket", self.address)
    }

    /// The URL that leads to the newest release.
    pub fn releases_url(&self) -> String {
        format!("http://{}/releases/latest", self.address)
    }

    /// The URL of a file beside the bucket.
    pub fn file_url(&self, name: &str) -> String {
        format!("http://{}/files/{name}", self.address)
    }

    /// Puts an object into the bucket.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.state().objects.insert(key.to_owned(), Arc::new(bytes.to_vec()));
    }

    /// Takes an object out of the bucket.
    pub fn remove(&self, key: &str) {
        self.state().objects.remove(key);
    }

    /// Puts a file beside the bucket; gives its URL.
    pub fn put_file(&self, name: &str, bytes: &[u8]) -> String {
        self.state().files.insert(name.to_owned(), Arc::new(bytes.to_vec()));
        self.file_url(name)
    }

    /// Publishes another release.
    pub fn release(&self, release: &str) {
        release.clone_into(&mut self.state().release);
    }

    /// How many keys a page of a listing has.
    pub fn page(&self, keys: usize) {
        self.state().page = keys;
    }

    /// Makes requests whose path ends so go wrong.
    pub fn fault(&self, path_end: &str, fault: Fault) {
        self.state().faults.insert(path_end.to_owned(), fault);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// The requests that came since this was last asked, as `GET /path`.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    /// Bytes of bodies that were sent.
    pub fn sent(&self) -> u64 {
        self.state().sent
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // One more connection, so that the acceptor looks; then nobody listens any more.
        let _ = TcpStream::connect(&self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// A request, as far as a mirror needs it.
struct Request {
    method: String,
    path: String,
    query: String,
    range: Option<(usize, Option<usize>)>,
    if_range: Option<String>,
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request =
        Request { method, path: decoded(path), query: query.to_owned(), range: None, if_range: None };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? <= 2 {
            return Some(request);
        }
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let (start, end) = value.strip_prefix("bytes=")?.split_once('-')?;
                request.range = Some((start.parse().ok()?, end.parse().ok()));
            }
            "if-range" => request.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let request = read_request(&stream)?;
    let (fault, body) = {
        let mut state = state.lock().unwrap();
        let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
        state.requests.push(format!("{} {}{query}", request.method, request.path));
        let (fault, body) = (take_fault(&mut state, &request.path), answer(&state, &request));
        (fault, body)
    };
    match (fault, body) {
        (Some(Fault::Status(status)), _) => send(&stream, state, status, "", b"refused", None),
        (Some(Fault::Redirect(to)), _) => {
            send(&stream, state, 302, &format!("location: {to}\r\n"), b"", None)
        }
        (_, Answer::Redirect(to)) => send(&stream, state, 302, &format!("location: {to}\r\n"), b"", None),
        (_, Answer::Nothing) => send(&stream, state, 404, "", b"<Error><Code>NoSuchKey</Code></Error>", None),
        (fault, Answer::Body(body)) => object(&stream, state, &request, &body, fault.as_ref()),
    }
}

/// The fault of a path; a cut is used up.
fn take_fault(state: &mut State, path: &str) -> Option<Fault> {
    let end = state.faults.keys().find(|end| path.ends_with(*end))?.clone();
    match state.faults.get_mut(&end)? {
        Fault::Cut { times: 0, .. } => None,
        fault => {
            let found = fault.clone();
            if let Fault::Cut { times, .. } = fault {
                *times -= 1;
            }
            Some(found)
        }
    }
}

enum Answer {
    Body(Arc<Vec<u8>>),
    Redirect(String),
    Nothing,
}

fn answer(state: &State, request: &Request) -> Answer {
    let found =
        |body: Option<&Arc<Vec<u8>>>| body.map_or(Answer::Nothing, |body| Answer::Body(Arc::clone(body)));
    match request.path.as_str() {
        "/releases/latest" => Answer::Redirect(format!("/releases/tag/{}", state.release)),
        path if path.starts_with("/releases/tag/") => Answer::Body(Arc::new(b"<html></html>".to_vec())),
        "/bucket" | "/bucket/" => Answer::Body(Arc::new(listing(state, &request.query).into_bytes())),
        path => match (path.strip_prefix("/bucket/"), path.strip_prefix("/files/")) {
            (Some(key), _) => found(state.objects.get(key)),
            (_, Some(name)) => found(state.files.get(name)),
            _ => Answer::Nothing,
        },
    }
}

/// A page as S3 writes it; the token is the key that the next page begins behind.
fn listing(state: &State, query: &str) -> String {
    let parameter = |wanted: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| decoded(value)).next()
    };
    let prefix = parameter("prefix").unwrap_or_default();
    let after = parameter("continuation-token").map(|token| token.trim_end_matches("==").to_owned());
    let keys: Vec<&String> = state
        .objects
        .keys()
        .filter(|key| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after))
        .collect();
    let page = &keys[..keys.len().min(state.page)];
    let truncated = page.len() < keys.len();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>spec.ccfc.min</Name><Prefix>{}</Prefix>",
        escaped(&prefix)
    );
    if let Some(last) = page.last().filter(|_| truncated) {
        write!(xml, "<NextContinuationToken>{}==</NextContinuationToken>", escaped(last)).unwrap();
    }
    write!(
        xml,
        "<KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>{truncated}</IsTruncated>",
        page.len()
    )
    .unwrap();
    for key in page {
        let size = state.objects[*key].len();
        write!(
            xml,
            "<Contents><Key>{}</Key><LastModified>2025-10-01T00:00:00.000Z</LastModified><ETag>&quot;0&quot;</ETag>\
             <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            escaped(key)
        )
        .unwrap();
    }
    xml + "</ListBucketResult>"
}

fn object(
    stream: &TcpStream,
    state: &Mutex<State>,
    request: &Request,
    body: &[u8],
    fault: Option<&Fault>,
) -> Option<()> {
    let corrupt: Vec<u8>;
    let body = if fault == Some(&Fault::Corrupt) {
        corrupt = body.iter().map(|byte| byte ^ 1).collect();
        &corrupt
    } else {
        body
    };
    let tag = format!("\"{}\"", digest_of(body).short());
    let same = request.if_range.as_ref().is_none_or(|wanted| *wanted == tag);
    let range = request.range.filter(|_| same && fault != Some(&Fault::NoRanges));
    let head = format!("etag: {tag}\r\naccept-ranges: bytes\r\n");
    if request.method == "HEAD" {
        return send(stream, state, 200, &head, b"", None);
    }
    let start = range.map_or(0, |(start, _)| start);
    let beyond = match fault {
        Some(Fault::Beyond(offset)) => Some(Fault::Cut { after: offset.saturating_sub(start), times: 1 }),
        _ => None,
    };
    let fault = beyond.as_ref().or(fault);
    match range {
        Some((start, _)) if start >= body.len() => send(stream, state, 416, &head, b"", None),
        Some((start, end)) => {
            let end = end.map_or(body.len(), |end| (end + 1).min(body.len()));
            let head = format!("{head}content-range: bytes {start}-{}/{}\r\n", end - 1, body.len());
            send(stream, state, 206, &head, &body[start..end], fault)
        }
        None => send(stream, state, 200, &head, body, fault),
    }
}

fn send(
    mut stream: &TcpStream,
    state: &Mutex<State>,
    status: u16,
    head: &str,
    body: &[u8],
    fault: Option<&Fault>,
) -> Option<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let (end, block, pause) = match fault {
        Some(Fault::Cut { after, .. }) => ((*after).min(length), 1 << 16, 0),
        Some(Fault::Third) => (length.div_ceil(3), 1 << 16, 0),
        Some(Fault::Slow) => (length, length.div_ceil(10).max(1), 20),
        _ => (length, 1 << 16, 0),
    };
    for block in body[..end].chunks(block) {
        stream.write_all(block).ok()?;
        state.lock().unwrap().sent += block.len() as u64;
        std::thread::sleep(std::time::Duration::from_millis(pause));
    }
    Some(())
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&apos;")
}

/// Percent-decoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).filter(|_| *first == b'%');
        let byte = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
