//! The listener: connections, their limits, and an end in good order.
//!
//! ```text
//! bind ─► accept (a permit per connection, so many per client) ─► TLS ─► HTTP/1.1 (head within a time and a size) ─► App::handle
//!            └─ told to stop: no new connections; requests under way are answered, idle connections closed, then the deadline
//! ```
//!
//! There is no HTTP/2: a connection has one request at a time, and cannot open and reset thousands.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::app::{App, Site};
use crate::audit::Audit;
use crate::catalog::{Catalog, Sparse};
use crate::gate::{Clock, Gate};
use crate::guarded::Guarded;
use crate::limiter::{Limiter, Ticks};
use crate::limits::Limits;
use crate::maintenance::{Maintenance, Rules};
use crate::meters::Open;
use crate::observe::{Cause, Event, Observer};
use crate::open_files;
use crate::random;
use crate::readiness::Readiness;
use crate::storage::Storage;
use crate::tls::{Looked, Tls};

/// How much of a connection is read ahead, in bytes: bodies come in pieces of up to this.
/// As much of an answer waits for a client that is slower than the storage.
const READ_AHEAD: usize = 128 * 1024;

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
    /// What time it is.
    pub clock: Clock,
    /// How time passes for what a client may do in a second.
    pub ticks: Ticks,
    /// How much is allowed.
    pub limits: Limits,
    /// What connections are secured with; plain ones where there is nothing.
    pub tls: Option<Tls>,
    /// Who did what, for good.
    pub audit: Option<Audit>,
    /// Where clients reach this server, if it is not what they call it: `https://registry.example.org`.
    pub public_url: Option<String>,
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
    tls: Option<Tls>,
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
            catalog: Catalog::new(settings.storage, settings.sparse).with_limits(&settings.limits),
            gate: settings.gate,
            control_plane: settings.control_plane,
            observer: settings.observer,
            run,
            requests: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            readiness: Readiness::default(),
            meters: Arc::default(),
            clock: settings.clock,
            ticks: settings.ticks,
            site: Site {
                public_url: settings.public_url,
                scheme: if settings.tls.is_some() { "https" } else { "http" },
            },
            limiter: Limiter::new(settings.limits.per_client()),
            least_rate: settings.limits.least_rate,
            audit: settings.audit,
        };
        Ok(Self { listener, address: bound, app: Arc::new(app), limits: settings.limits, tls: settings.tls })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is to be done beside answering, for whoever lets it run.
    pub fn maintenance(&self, rules: Rules) -> Maintenance {
        Maintenance {
            catalog: self.app.catalog.clone(),
            observer: Arc::clone(&self.app.observer),
            meters: Arc::clone(&self.app.meters),
            clock: Arc::clone(&self.app.clock),
            rules,
        }
    }

    /// Answers until `stop` comes, and then until what is under way has ended or the time for it is over. True if all of it has.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> bool {
        let observer = Arc::clone(&self.app.observer);
        let storage = self.app.catalog.storage().describe();
        observer.event(&Event::Listening { address: self.address, storage });
        let graceful = GracefulShutdown::new();
        let tls = self.tls.take();
        let acceptor = tls.as_ref().map(Tls::acceptor);
        tokio::select! {
            () = self.accept(&graceful, acceptor) => {}
            () = renew(tls, self.limits.certificate, observer.as_ref()) => {}
            () = stop => {}
        }
        self.app.draining.store(true, Ordering::Relaxed);
        observer.event(&Event::Draining);
        drop(self.listener);
        let complete = tokio::time::timeout(self.limits.drain, graceful.shutdown()).await.is_ok();
        observer.event(&Event::Stopped { complete });
        complete
    }

    async fn accept(&self, graceful: &GracefulShutdown, acceptor: Option<TlsAcceptor>) {
        let permits = Arc::new(Semaphore::new(open_files::connections(self.limits.connections)));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    // Who has enough connections gets no more, so that others get theirs.
                    let Some(counted) = self.app.limiter.connect(remote.ip(), (self.app.ticks)()) else {
                        continue;
                    };
                    let open = Open::count(&self.app.meters);
                    let connection = self.connection(stream, remote, acceptor.clone(), graceful.watcher());
                    tokio::spawn(async move {
                        connection.await;
                        drop((permit, counted, open));
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

    /// Serves a connection. How it ends is the client's affair; requests have their records.
    fn connection(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        watcher: Watcher,
    ) -> impl Future<Output = ()> + use<> {
        // An answer's head and its first bytes are two writes; they must not wait for each other.
        let _ = stream.set_nodelay(true);
        let app = Arc::clone(&self.app);
        let (head, handshake) = (self.limits.head, self.limits.handshake);
        async move {
            let Some(acceptor) = acceptor else { return serve(app, stream, remote, head, watcher).await };
            // A handshake that stalls holds its permit no longer than this.
            if let Ok(Ok(stream)) = tokio::time::timeout(handshake, acceptor.accept(stream)).await {
                serve(app, stream, remote, head, watcher).await;
            }
        }
    }
}

async fn serve(
    app: Arc<App>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    remote: SocketAddr,
    head: Duration,
    watcher: Watcher,
) {
    let stream = Guarded::new(stream, app.least_rate);
    let budget = stream.budget();
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, budget) = (Arc::clone(&app), Arc::clone(&budget));
        budget.lift();
        // In a place of its own: a connection that waits for a request has no room for one.
        Box::pin(async move {
            let answer = app.handle(remote, request).await;
            budget.restore();
            Ok::<_, Infallible>(answer)
        })
    });
    let connection = http1::Builder::new()
        // NOTE: without a timer the limit on heads is silently none.
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(READ_AHEAD)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    let _ = watcher.watch(connection).await;
}

/// Looks at the files of the certificate now and then, for as long as the server runs.
async fn renew(tls: Option<Tls>, pause: Duration, observer: &dyn Observer) {
    let Some(mut tls) = tls else { return std::future::pending().await };
    loop {
        tokio::time::sleep(pause).await;
        // Two small files: they are read here.
        match tls.look() {
            Ok(Looked::Same) => {}
            Ok(Looked::Changed) => observer.event(&Event::CertificateChanged),
            Err(error) => observer.event(&Event::CertificateRefused { reason: Cause::of(&error).0 }),
        }
    }
}
