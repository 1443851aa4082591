//! A server in this process, on a port of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use port_server::catalog::Sparse;
use port_server::gate::{AnonymousPull, OneToken};
use port_server::observe::{Event, Observer, RequestRecord};
use port_server::storage::Folder;
use port_server::{Limits, Server, Settings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The token of every server of the tests.
pub const TOKEN: &str = "a-token-for-tests";

/// Keeps what it is told.
#[derive(Default)]
pub struct Told {
    pub requests: Mutex<Vec<RequestRecord>>,
    pub events: Mutex<Vec<Event>>,
}

impl Observer for Told {
    fn request(&self, record: &RequestRecord) {
        self.requests.lock().unwrap().push(record.clone());
    }

    fn event(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
    }
}

/// A server that answers.
pub struct Running {
    pub address: SocketAddr,
    pub told: Arc<Told>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<bool>,
}

impl Running {
    /// A server over the folder `root`.
    pub async fn over(root: &Path) -> Self {
        Self::with(root, AnonymousPull::Refused).await
    }

    pub async fn with(root: &Path, anonymous: AnonymousPull) -> Self {
        let told = Arc::<Told>::default();
        let settings = Settings {
            storage: Arc::new(Folder::open(root).unwrap()),
            gate: Arc::new(OneToken::new(TOKEN, "port-demo", "authorization", anonymous)),
            control_plane: "demo".to_owned(),
            sparse: Sparse::Refused,
            observer: Arc::clone(&told) as Arc<dyn Observer>,
            clock: Arc::new(jiff::Timestamp::now),
            ticks: Arc::new(std::time::Instant::now),
            limits: Limits { drain: Duration::from_secs(10), ..Limits::default() },
            tls: None,
            audit: None,
            public_url: None,
        };
        Self::of(settings, told).await
    }

    /// A server with these settings, which tell `told`.
    pub async fn of(settings: Settings, told: Arc<Told>) -> Self {
        let server = Server::bind(settings, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self::serving(server, told)
    }

    /// A server that was bound.
    pub fn serving(server: Server, told: Arc<Told>) -> Self {
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            server
                .run(async {
                    let _ = stopped.await;
                })
                .await
        });
        Self { address, told, stop, task }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Tells it to stop; true if everything was answered.
    pub async fn stop(self) -> bool {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}
