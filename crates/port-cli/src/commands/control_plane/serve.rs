//! `port control-plane serve` (acceptance P-17): from the configuration and the flags to a running server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use port_config::{ControlPlane, TokenSource};
use port_ops::Workspace;
use port_server::catalog::Sparse;
use port_server::gate::{AnonymousPull, OneToken};
use port_server::storage::Folder;
use port_server::{Limits, Server, Settings};
use tokio::signal::unix::{SignalKind, signal};

use super::log::Log;
use crate::args::Global;
use crate::commands::workspace;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Where a control plane's storage lies, with its name behind it (acceptance P-11, P-39).
const HOSTED: &str = ".port/hosted";

/// Arguments of serve.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which control plane of `port.toml`.
    #[arg(long, value_name = "NAME")]
    control_plane: String,
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7040")]
    bind: SocketAddr,
    /// The folder that keeps everything, in place of `.port/hosted/<NAME>`.
    #[arg(long, value_name = "DIRECTORY")]
    storage: Option<PathBuf>,
    /// Let everybody read without a token.
    #[arg(long)]
    anonymous_pull: bool,
    /// Take manifests that name blobs which were not pushed (mirrors that fill themselves later).
    #[arg(long)]
    sparse_manifests: bool,
}

/// Serves until SIGTERM or SIGINT, then answers what is under way.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let workspace = workspace(global, ui)?;
    let found = workspace.project.control_plane(&arguments.control_plane);
    let plane = found.map_err(port_ops::OpsError::from)?;
    let token = token(plane, &workspace)?;
    let anonymous = if arguments.anonymous_pull { AnonymousPull::Allowed } else { AnonymousPull::Refused };
    let gate = OneToken::new(&token, &plane.audience, &plane.auth.header, anonymous);
    let root = arguments.storage.unwrap_or_else(|| Path::new(HOSTED).join(&plane.name));
    let storage = Folder::open(&root)?;
    let settings = Settings {
        storage: Arc::new(storage),
        gate: Arc::new(gate),
        observer: Arc::new(Log::new(ui)),
        sparse: if arguments.sparse_manifests { Sparse::Accepted } else { Sparse::Refused },
        control_plane: plane.name.clone(),
        limits: Limits::default(),
    };
    let stop = stop()?;
    let server = Server::bind(settings, arguments.bind).await?;
    if server.run(stop).await {
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
