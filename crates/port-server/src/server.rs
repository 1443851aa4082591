//! The listener: connections, their limits, and an end in good order.
//!
//! ```text
//! bind ─► accept (a permit per connection) ─► HTTP/1.1 (head within a time and a size) ─► App::handle
//!            └─ told to stop: no new connections; requests under way are answered, idle connections closed, then the deadline
//! ```
//!
//! HTTP/2 comes with TLS, where its preface cannot stall unseen; plain connections are HTTP/1.1.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::catalog::{Catalog, Sparse};
use crate::gate::Gate;
use crate::observe::{Event, Observer};
use crate::random;
use crate::storage::Storage;

/// The largest head of a request, in bytes.
const LARGEST_HEAD: usize = 32 * 1024;
/// How much of a connection is read ahead, in bytes: bodies come in pieces of up to this.
const READ_AHEAD: usize = 512 * 1024;

/// What a server is made of.
pub struct Settings {
    /// Where bytes are kept.
    pub storage: Arc<dyn Storage>,
    /// Who may do what.
    pub gate: Arc<dyn Gate>,
    /// The name of the control plane, which is part of the paths that its clients may name.
    pub control_plane: String,
    /// Whether manifests may name blobs that are not there.
    pub sparse: Sparse,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// How much is allowed.
    pub limits: Limits,
}

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time; more wait to be taken.
    pub connections: usize,
    /// How long the head of a request may take, and a connection may idle.
    pub head: Duration,
    /// How long requests under way may take when the server is told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 16_384, head: Duration::from_secs(30), drain: Duration::from_secs(30) }
    }
}

/// Why a server does not begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen at {address}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The operating system gives no random numbers.
    #[error("no random name can be made")]
    Random(#[source] std::io::Error),
}

/// A server that is bound and not yet answering.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    limits: Limits,
}

impl Server {
    /// Takes the address; port 0 is any free one.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(settings: Settings, address: SocketAddr) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let run: String = random::hex().map_err(ServeError::Random)?.chars().take(8).collect();
        let app = App {
            catalog: Catalog::new(settings.storage, settings.sparse),
            gate: settings.gate,
            control_plane: settings.control_plane,
            observer: settings.observer,
            run,
            requests: AtomicU64::new(0),
            draining: AtomicBool::new(false),
        };
        Ok(Self { listener, address: bound, app: Arc::new(app), limits: settings.limits })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` comes, and then until what is under way has ended or the time for it is over. True if all of it has.
    pub async fn run(self, stop: impl Future<Output = ()>) -> bool {
        let observer = Arc::clone(&self.app.observer);
        let storage = self.app.catalog.storage().describe();
        observer.event(&Event::Listening { address: self.address, storage });
        let graceful = GracefulShutdown::new();
        tokio::select! {
            () = self.accept(&graceful) => {}
            () = stop => {}
        }
        self.app.draining.store(true, Ordering::Relaxed);
        observer.event(&Event::Draining);
        drop(self.listener);
        let complete = tokio::time::timeout(self.limits.drain, graceful.shutdown()).await.is_ok();
        observer.event(&Event::Stopped { complete });
        complete
    }

    async fn accept(&self, graceful: &GracefulShutdown) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    let connection = graceful.watch(self.connection(stream, remote));
                    tokio::spawn(async move {
                        // How a connection ends is the client's affair; requests have their records.
                        let _ = connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    self.app.observer.event(&Event::AcceptFailed { reason: error.to_string() });
                    // Out of file descriptors, most likely: some will be free in a moment.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + use<> {
        // An answer's head and its first bytes are two writes; they must not wait for each other.
        let _ = stream.set_nodelay(true);
        let app = Arc::clone(&self.app);
        let service = service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(app.handle(remote, request).await) }
        });
        http1::Builder::new()
            // NOTE: without a timer the limit on heads is silently none.
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(READ_AHEAD.max(LARGEST_HEAD))
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
    }
}
