//! run: a manifest → a job in a room, and a supervisor that runs it.
//!
//! ```text
//! resolved manifest ─► Plan ─► root file system on this host ─► driver ─► Job ─► room ─► supervisor
//! ```
//!
//! Not here: how a container is made and watched (`port-drivers`). A root comes from a directory, an image or the store;
//! other sources are refused by name before anything is written.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use port_content::fs;
use port_drivers::{Attachment, Host, Job, Lower, Request, Room, Rooms, Started, Starter, driver_for};
use port_runtime::SearchPath;
use port_workload::{Plan, RootSource, plan};

use super::{ManifestRequest, Placed, Severity, Surroundings, WorkloadError, examine};

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The manifest.
    pub manifest: ManifestRequest,
    /// What runs in it; empty for a shell.
    pub command: Vec<String>,
    /// Whether what the host cannot keep becomes a warning.
    pub best_effort: bool,
    /// Whether somebody stays with it.
    pub attachment: Attachment,
}

/// What a run needs of the host.
#[derive(Debug, Clone)]
pub struct RunSurroundings {
    /// Where workloads' rooms are; absolute.
    pub rooms: PathBuf,
    /// Who asks.
    pub user: u32,
    /// Where programs are looked for.
    pub path: Vec<PathBuf>,
    /// `port-launcher`, where it is there.
    pub launcher: Option<PathBuf>,
    /// `port` itself, which becomes the supervisor.
    pub port: PathBuf,
    /// The arguments that make it one, before the room.
    pub supervise: Vec<String>,
}

/// A workload that was started.
#[derive(Debug)]
pub struct RunStarted {
    /// Its room.
    pub room: Room,
    /// Its supervisor.
    pub supervisor: Started,
    /// What is odd in its manifest.
    pub findings: Vec<Placed>,
}

/// Starts a workload. It may not run yet: its supervisor knows.
///
/// # Errors
/// What the manifest says cannot be, cannot be run, or runs already.
pub async fn run(
    request: &RunRequest,
    surroundings: &Surroundings,
    host: &RunSurroundings,
) -> Result<RunStarted, WorkloadError> {
    let (plan, findings) = planned(&request.manifest, surroundings).await?;
    let driver = driver_for(&plan)?;
    fs::create_dir_all(&host.rooms).map_err(|source| WorkloadError::Driver(Box::new(source.into())))?;
    let room = Rooms::new(host.rooms.clone()).room(&plan.name);
    let job: Job =
        driver.prepare(&plan, &asked(request, &plan, &room, surroundings)?, &drivers_host(host))?;
    let path: OsString = SearchPath::new(host.path.iter().cloned()).to_value();
    let starter = Starter { program: host.port.clone(), arguments: host.supervise.clone(), path };
    let supervisor = port_drivers::start(&room, &job, &starter, request.attachment)?;
    Ok(RunStarted { room, supervisor, findings })
}

async fn planned(
    manifest: &ManifestRequest,
    surroundings: &Surroundings,
) -> Result<(Plan, Vec<Placed>), WorkloadError> {
    let (resolved, findings) = examine(manifest, surroundings).await?;
    let invalid = |findings: Vec<Placed>| WorkloadError::Invalid { file: manifest.file.clone(), findings };
    let is_error = |placed: &Placed| placed.finding.severity == Severity::Error;
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.into_iter().partition(is_error);
    if !errors.is_empty() {
        return Err(invalid(errors));
    }
    match plan(&resolved.manifest) {
        Ok(plan) => Ok((plan, warnings)),
        // Only what a plan needs and a manifest does not is found here for the first time.
        Err(problems) => Err(invalid(resolved.findings(&problems).into_iter().filter(is_error).collect())),
    }
}

fn asked(
    request: &RunRequest,
    plan: &Plan,
    room: &Room,
    surroundings: &Surroundings,
) -> Result<Request, WorkloadError> {
    Ok(Request {
        lower: lower(plan, surroundings)?,
        command: request.command.clone(),
        room: room.directory().to_owned(),
        best_effort: request.best_effort,
    })
}

fn drivers_host(host: &RunSurroundings) -> Host {
    Host {
        user: host.user,
        search: SearchPath::new(host.path.iter().cloned()),
        launcher: host.launcher.clone(),
    }
}

/// What the root is mounted from.
fn lower(plan: &Plan, surroundings: &Surroundings) -> Result<Lower, WorkloadError> {
    let unsupported = |found: String| {
        WorkloadError::from(port_drivers::DriverError::Unsupported {
            name: plan.name.clone(),
            key: "storage.rootfs",
            found,
            expected: "a directory, an image or `cas://`, the only roots of containers so far",
        })
    };
    match &plan.root.source {
        RootSource::Path(path) => at(path),
        RootSource::Stored(digest) => {
            let store = (surroundings.open_store)().map_err(|error| WorkloadError::Store(Box::new(error)))?;
            at(&store.blob_path(digest))
        }
        RootSource::Published(reference) => Err(unsupported(format!("oci://{reference}"))),
        RootSource::Artifact(name) => Err(unsupported(format!("artifact://{name}"))),
        RootSource::BaseImage(name) => Err(unsupported(format!("base-image://{name}"))),
    }
}

fn at(path: &Path) -> Result<Lower, WorkloadError> {
    let unreadable = |source| WorkloadError::Root { path: path.to_owned(), source };
    let path = fs::canonicalize(path).map_err(unreadable)?;
    let found = fs::metadata(&path).map_err(unreadable)?;
    Ok(if found.is_dir() { Lower::Directory(path) } else { Lower::Image(path) })
}
