//! A small S3 on loopback, in memory, for tests of what stores in buckets: conditional writes and removals, listings in pages, copies, parts.
//! Not a server for use: one request per connection, no limits, one bucket, signatures looked at and not computed.
//!
//! It misbehaves on order: a [`Hook`] sees every request first, listings can be made to lag, conditions to be ignored.

mod gateway;
mod server;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

pub use crate::registry::Request;
pub use gateway::Gateway;

/// The one bucket.
pub const BUCKET: &str = "port-demo";
/// The one access key.
pub const ACCESS_KEY: &str = "AKIAPORTTESTKIT";
/// Its secret, which nothing may repeat.
pub const SECRET_KEY: &str = "a-secret-of-the-testkit";

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is answered.
    None,
    /// It is answered with this status and this word, and nothing is done.
    Error(u16, &'static str),
    /// It is done, and the connection closes without an answer.
    LoseAnswer,
    /// It is answered, and the connection closes after so many bytes of the body.
    CutAnswer(usize),
}

/// Looks at a request before the server does.
pub type Hook = Box<dyn Fn(&Request) -> Fault + Send + Sync>;

/// What the server keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Conditions of writes.
    pub conditional_writes: bool,
    /// Conditions of removals.
    pub conditional_removals: bool,
    /// The most entries of a page.
    pub page: usize,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { conditional_writes: true, conditional_removals: true, page: 1000 }
    }
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Arc<Vec<u8>>,
    etag: String,
    mark: Option<String>,
    changed: Timestamp,
}

struct Multipart {
    key: String,
    parts: BTreeMap<u32, Object>,
    begun: Timestamp,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    multiparts: BTreeMap<String, Multipart>,
    /// What listings show, where they lag.
    stale: Option<BTreeMap<String, Object>>,
    requests: Vec<Request>,
    next: usize,
}

/// The server.
pub struct S3 {
    address: String,
    state: Arc<Mutex<State>>,
}

struct Server {
    abilities: Abilities,
    hook: Hook,
    state: Arc<Mutex<State>>,
}

impl Default for S3 {
    fn default() -> Self {
        Self::with(Abilities::default(), Box::new(|_| Fault::None))
    }
}

impl S3 {
    /// Starts a server on a free port of the loopback address.
    pub fn with(abilities: Abilities, hook: Hook) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::<Mutex<State>>::default();
        let server = Arc::new(Server { abilities, hook, state: Arc::clone(&state) });
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

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The keys of all objects.
    pub fn keys(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// The requests that came, in order, without bodies.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// From now on listings show what there is now.
    pub fn freeze_listings(&self) {
        let mut state = self.state();
        state.stale = Some(state.objects.clone());
    }

    /// Listings show what there is.
    pub fn thaw_listings(&self) {
        self.state().stale = None;
    }

    /// How many uploads of S3's own are open.
    pub fn multiparts(&self) -> usize {
        self.state().multiparts.len()
    }

    /// Begins an upload of S3's own so many hours ago, as a kill leaves it.
    pub fn leave_multipart(&self, key: &str, hours: i64) {
        let begun = Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        let mut state = self.state();
        let id = format!("left-{}", state.multiparts.len());
        state.multiparts.insert(id, Multipart { key: key.to_owned(), parts: BTreeMap::new(), begun });
    }
}
