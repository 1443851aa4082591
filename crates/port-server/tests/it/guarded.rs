//! Servers with stored tokens and limits of their own, and a client that speaks without a library.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use port_server::audit::Audit;
use port_server::catalog::Sparse;
use port_server::gate::{AnonymousPull, Clock, Gate, TokenDraft, TokenStore, Tokens};
use port_server::observe::Observer;
use port_server::storage::Folder;
use port_server::{LeastRate, Limits, Settings, Ticks, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::running::{Running, TOKEN, Told};

/// How a server differs from others.
pub struct Guarded<'a> {
    pub root: &'a Path,
    pub anonymous: AnonymousPull,
    pub limits: Limits,
    pub tls: Option<Tls>,
    pub audit: Option<Audit>,
    pub clock: Clock,
    pub ticks: Ticks,
}

pub fn clock() -> Clock {
    Arc::new(Timestamp::now)
}

impl<'a> Guarded<'a> {
    pub fn over(root: &'a Path) -> Self {
        Self {
            root,
            anonymous: AnonymousPull::Refused,
            limits: Limits::default(),
            tls: None,
            audit: None,
            clock: clock(),
            ticks: Arc::new(Instant::now),
        }
    }

    pub async fn start(self) -> Running {
        let (settings, told) = self.settings().await;
        Running::of(settings, told).await
    }

    /// What such a server is made of, and who is told.
    pub async fn settings(self) -> (Settings, Arc<Told>) {
        let told = Arc::<Told>::default();
        let storage = Arc::new(Folder::open(self.root).unwrap());
        let gate = Tokens::open(
            Arc::clone(&storage) as _,
            TOKEN,
            "port-demo",
            "authorization",
            self.anonymous,
            Arc::clone(&self.clock),
        );
        let settings = Settings {
            storage,
            gate: Arc::new(gate.await.unwrap()) as Arc<dyn Gate>,
            control_plane: "demo".to_owned(),
            sparse: Sparse::Refused,
            observer: Arc::clone(&told) as Arc<dyn Observer>,
            limits: self.limits,
            clock: self.clock,
            ticks: self.ticks,
            tls: self.tls,
            audit: self.audit,
            public_url: None,
        };
        (settings, told)
    }
}

/// Time that passes only when the test says so: by as many milliseconds as the number says.
pub fn still() -> (Ticks, Arc<AtomicU64>) {
    let (start, passed) = (Instant::now(), Arc::<AtomicU64>::default());
    let told = Arc::clone(&passed);
    (Arc::new(move || start + Duration::from_millis(told.load(Ordering::Relaxed))), passed)
}

/// Limits that run out within a test.
pub fn short() -> Limits {
    let short = Duration::from_millis(300);
    Limits {
        head: short,
        handshake: short,
        least_rate: LeastRate { span: short, bytes_per_second: 10_000 },
        drain: Duration::from_secs(10),
        ..Limits::default()
    }
}

/// A stored token with these scopes.
pub async fn token(root: &Path, scopes: &[&str]) -> String {
    let draft = TokenDraft {
        name: "ci".to_owned(),
        audience: "port-demo".to_owned(),
        grants: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
        expires: None,
    };
    let store = TokenStore::new(Arc::new(Folder::open(root).unwrap()));
    store.create(&draft, Timestamp::now()).await.unwrap().token
}

/// A connection from another address of this host: another client.
pub async fn connect_as(client: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((client, 0))).unwrap();
    socket.connect(server).await.unwrap()
}

/// Everything until the server ends the connection; a reset is an end, too.
pub async fn rest(stream: &mut TcpStream) -> String {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        text.extend_from_slice(&piece[..length]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A whole conversation: what is sent, and what comes until the end.
pub async fn say(server: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    rest(&mut stream).await
}
