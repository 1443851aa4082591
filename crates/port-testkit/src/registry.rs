//! A small OCI registry on loopback, in memory, for tests of clients: it can ask for credentials, lack abilities, and
//! misbehave on order. Not a registry for use: one request per connection, no limits.
//!
//! A [`Hook`] sees the head of every request first and can answer in the registry's place, cut either direction, or let
//! it pass. What a cut upload brought stays in its session, as good registries do it.

pub(crate) mod server;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use port_content::hashing::digest_of;

/// A request, as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET` and so on.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body; empty while a hook looks at it.
    pub body: Vec<u8>,
}

impl Request {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    fn query(&self, key: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let pair = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key);
        pair.map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/").replace('+', " "))
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The connection is closed after so many bytes of the body.
    cut: Option<usize>,
    /// The body never ends, and no length is announced.
    endless: bool,
}

impl Reply {
    /// An answer with this status and body.
    pub fn new(status: u16, body: &[u8]) -> Self {
        Self { status, body: body.to_vec(), ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Makes the body endless.
    #[must_use]
    pub fn endless(self) -> Self {
        Self { endless: true, ..self }
    }
}

/// What a hook decides about a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// The registry answers.
    Pass,
    /// This is the answer.
    Answer(Reply),
    /// The connection is closed after so many bytes of the request's body; they count as arrived.
    CutRequest(usize),
    /// The registry answers, and closes the connection after so many bytes of the body.
    CutAnswer(usize),
}

/// Looks at a request before the registry does.
pub type Hook = Box<dyn Fn(&Request) -> Action + Send + Sync>;

/// What the registry asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Nothing.
    #[default]
    Anyone,
    /// This user name and password, in base 64.
    Basic(String),
    /// Tokens of the token service at `/token`, which wants this user name and password in base 64 (or the refresh token
    /// `refresh`), unless empty. Each token is good for so many requests.
    Bearer {
        /// What the token service wants.
        basic: String,
        /// After so many requests a token has expired.
        uses: usize,
    },
}

/// What ETags blobs have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobEtags {
    /// None.
    Absent,
    /// The digest.
    Strong,
    /// The digest, marked as weak.
    Weak,
}

/// What the registry can do.
#[derive(Debug, Clone)]
pub struct Abilities {
    /// Whom it answers.
    pub access: Access,
    /// Ranges of blobs.
    pub ranges: bool,
    /// ETags of blobs; with strong ones `If-Range` is obeyed.
    pub blob_etags: BlobEtags,
    /// The referrers API.
    pub referrers: bool,
    /// ETags of manifests, and writing on condition.
    pub etags: bool,
    /// The most tags of one page.
    pub page: usize,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            access: Access::Anyone,
            ranges: true,
            blob_etags: BlobEtags::Strong,
            referrers: true,
            etags: true,
            page: 1000,
        }
    }
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Arc<Vec<u8>>>,
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    uploads: BTreeMap<String, Vec<u8>>,
    tokens: BTreeMap<String, usize>,
    requests: Vec<Request>,
    next: usize,
    received: u64,
    sent: u64,
}

/// The registry.
pub struct Registry {
    address: String,
    state: Arc<Mutex<State>>,
}

struct Server {
    address: String,
    abilities: Abilities,
    hook: Hook,
    state: Arc<Mutex<State>>,
}

impl Registry {
    /// Starts a registry that can everything and lets every request pass.
    pub fn start() -> Self {
        Self::with(Abilities::default(), Box::new(|_| Action::Pass))
    }

    /// Starts a registry on a free port of the loopback address.
    pub fn with(abilities: Abilities, hook: Hook) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::<Mutex<State>>::default();
        let server =
            Arc::new(Server { address: address.clone(), abilities, hook, state: Arc::clone(&state) });
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let server = Arc::clone(&server);
                // A client that hangs up in the middle is part of some tests.
                std::thread::spawn(move || server.serve(stream));
            }
        });
        Self { address, state }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.address
    }

    /// Puts a blob in; returns its digest.
    pub fn add_blob(&self, bytes: &[u8]) -> String {
        let digest = digest_of(bytes).to_string();
        self.state().blobs.insert(digest.clone(), Arc::new(bytes.to_vec()));
        digest
    }

    /// Makes the registry give these bytes for a blob, whatever its digest says.
    pub fn lie(&self, digest: &str, bytes: &[u8]) {
        self.state().blobs.insert(digest.to_owned(), Arc::new(bytes.to_vec()));
    }

    /// Loses a blob.
    pub fn lose_blob(&self, digest: &str) {
        self.state().blobs.remove(digest);
    }

    /// Puts a manifest in, below a tag and its digest; returns its digest.
    pub fn add_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let digest = digest_of(bytes).to_string();
        let mut state = self.state();
        for name in [tag, &digest] {
            let key = (repository.to_owned(), name.to_owned());
            state.manifests.insert(key, (media_type.to_owned(), bytes.to_vec()));
        }
        digest
    }

    /// A blob that was pushed.
    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.state().blobs.get(digest).map(|bytes| bytes.to_vec())
    }

    /// A manifest that was pushed.
    pub fn manifest(&self, repository: &str, name: &str) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), name.to_owned());
        self.state().manifests.get(&key).map(|(_, bytes)| bytes.clone())
    }

    /// The requests that came, in order, without bodies.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// How many upload sessions are open.
    pub fn sessions(&self) -> usize {
        self.state().uploads.len()
    }

    /// Bytes of bodies that came and that went.
    pub fn traffic(&self) -> (u64, u64) {
        let state = self.state();
        (state.received, state.sent)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
