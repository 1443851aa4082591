//! `port control-plane serve` (acceptance P-17): from the configuration and the flags to a running server.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use port_config::{ControlPlane, TokenSource};
use port_ops::Workspace;
use port_server::catalog::Sparse;
use port_server::gate::{AnonymousPull, Tokens};
use port_server::{Server, Settings};
use tokio::signal::unix::{SignalKind, signal};

use super::edge::{EdgeFlags, clock};
use super::log::Log;
use super::place::{self, StorageFlags};
use super::upkeep::MaintenanceFlags;
use crate::args::Global;
use crate::commands::workspace;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of serve.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which control plane of `port.toml`.
    #[arg(long, value_name = "NAME")]
    control_plane: String,
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7040")]
    bind: SocketAddr,
    #[command(flatten)]
    storage: StorageFlags,
    /// Let everybody read without a token.
    #[arg(long)]
    anonymous_pull: bool,
    /// Take manifests that name blobs which were not pushed (mirrors that fill themselves later).
    #[arg(long)]
    sparse_manifests: bool,
    #[command(flatten)]
    edge: EdgeFlags,
    #[command(flatten)]
    maintenance: MaintenanceFlags,
}

/// Serves until SIGTERM or SIGINT, then answers what is under way.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let workspace = workspace(global, ui)?;
    let found = workspace.project.control_plane(&arguments.control_plane);
    let plane = found.map_err(port_ops::OpsError::from)?;
    let token = token(plane, &workspace)?;
    let anonymous = if arguments.anonymous_pull { AnonymousPull::Allowed } else { AnonymousPull::Refused };
    let storage = place::open(plane, &arguments.storage).await?;
    let (audience, header) = (&plane.audience, &plane.auth.header);
    let gate = Tokens::open(Arc::clone(&storage), &token, audience, header, anonymous, clock()).await?;
    let settings = Settings {
        storage,
        gate: Arc::new(gate),
        observer: Arc::new(Log::new(ui)),
        clock: clock(),
        ticks: Arc::new(std::time::Instant::now),
        sparse: if arguments.sparse_manifests { Sparse::Accepted } else { Sparse::Refused },
        control_plane: plane.name.clone(),
        limits: arguments.edge.limits(),
        tls: arguments.edge.tls()?,
        audit: arguments.edge.audit()?,
        public_url: arguments.edge.public_url(),
    };
    let stop = stop()?;
    // Before the server counts how many connections it may take.
    port_server::open_files::raise();
    let server = Server::bind(settings, arguments.bind).await?;
    let maintenance = tokio::spawn(server.maintenance(arguments.maintenance.rules()).run());
    let complete = server.run(stop).await;
    // As good as a kill, which it is made for.
    maintenance.abort();
    if complete {
        return Ok(());
    }
    let message =
        "the server was told to stop, and requests were still under way when the time for them was over";
    Err(CommandError::new(Exit::Failed, message))
}

/// The token that opens everything (acceptance P-60).
fn token(plane: &ControlPlane, workspace: &Workspace) -> Result<String, CommandError> {
    let TokenSource::Env { variable } = &plane.auth.source;
    (workspace.environment.variable)(variable).ok_or_else(|| {
        let message = format!(
            "the control plane `{}` takes its token from the environment variable `{variable}`, which is not set",
            plane.name
        );
        CommandError::new(Exit::Usage, message).hint(format!("set it for the server and its clients: {variable}=…"))
    })
}

/// Comes when somebody asks the server to end.
fn stop() -> Result<impl Future<Output = ()>, CommandError> {
    let failed = |error| CommandError::new(Exit::Failed, format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
