//! run: a manifest → a job in a room, and a supervisor that runs it.
//!
//! ```text
//! resolved manifest ─► Plan ─► root file system on this host ─► driver ─► Job ─► room ─► supervisor
//! ```
//!
//! Not here: where a root comes from (`roots.rs`), and how a container is made and watched (`port-drivers`).

use std::ffi::OsString;
use std::path::PathBuf;

use port_content::fs;
use port_drivers::{Attachment, Host, Job, Request, Room, Rooms, Started, Starter, Vmm, driver_for};
use port_runtime::SearchPath;
use port_workload::{Plan, RootSource, plan};

use super::{
    ManifestRequest, Placed, RootChoice, Severity, Surroundings, WorkloadError, examine, machine, roots,
};

/// What is run, and how.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// What its root is taken from besides the manifest.
    pub root: RootChoice,
    /// What runs in it; empty for a shell.
    pub command: Vec<String>,
    /// Whether what the host cannot keep becomes a warning.
    pub best_effort: bool,
    /// Whether somebody stays with it.
    pub attachment: Attachment,
    /// What runs its machine, where it is one; the first that is there where nobody says.
    pub vmm: Option<Vmm>,
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
}

/// What a manifest asks for, and nothing of it done.
#[derive(Debug)]
pub struct Planned {
    plan: Plan,
    /// What is odd in its manifest.
    pub findings: Vec<Placed>,
}

impl Planned {
    /// The preset of the base image that the root is of, where it is of one: it is to be made ready before [`run`].
    pub fn base_image(&self) -> Option<&str> {
        match &self.plan.root.source {
            RootSource::BaseImage(name) => Some(name),
            _ => None,
        }
    }
}

/// Starts a workload. It may not run yet: its supervisor knows.
///
/// # Errors
/// What it asks for cannot be run, its root cannot be had, or it runs already.
pub async fn run(
    planned: &Planned,
    request: &RunRequest,
    surroundings: &Surroundings,
    host: &RunSurroundings,
) -> Result<RunStarted, WorkloadError> {
    let plan = &planned.plan;
    let driver = driver_for(plan);
    let lower = roots::lower(plan, &request.root, surroundings).await?;
    fs::create_dir_all(&host.rooms).map_err(|source| WorkloadError::Driver(Box::new(source.into())))?;
    let room = Rooms::new(host.rooms.clone()).room(&plan.name);
    let search = SearchPath::new(host.path.iter().cloned());
    let machine = machine::plan(plan, &lower, room.directory(), request.vmm, &search)?;
    let asked = Request {
        lower,
        command: request.command.clone(),
        machine: machine.as_ref().map(|machine| machine.files.clone()),
        room: room.directory().to_owned(),
        best_effort: request.best_effort,
    };
    let job: Job = driver.prepare(plan, &asked, &drivers_host(host))?;
    let path: OsString = SearchPath::new(host.path.iter().cloned()).to_value();
    let starter = Starter { program: host.port.clone(), arguments: host.supervise.clone(), path };
    let claim = port_drivers::claim(&room)?;
    if let Some(machine) = &machine {
        machine.make(surroundings).await?;
    }
    let supervisor = port_drivers::start(claim, &job, &starter, request.attachment)?;
    Ok(RunStarted { room, supervisor })
}

/// Plans a manifest.
///
/// # Errors
/// What the manifest says cannot be.
pub async fn planned(
    manifest: &ManifestRequest,
    surroundings: &Surroundings,
) -> Result<Planned, WorkloadError> {
    let (resolved, findings) = examine(manifest, surroundings).await?;
    let invalid = |findings: Vec<Placed>| WorkloadError::Invalid { file: manifest.file.clone(), findings };
    let is_error = |placed: &Placed| placed.finding.severity == Severity::Error;
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.into_iter().partition(is_error);
    if !errors.is_empty() {
        return Err(invalid(errors));
    }
    match plan(&resolved.manifest) {
        Ok(plan) => Ok(Planned { plan, findings: warnings }),
        // Only what a plan needs and a manifest does not is found here for the first time.
        Err(problems) => Err(invalid(resolved.findings(&problems).into_iter().filter(is_error).collect())),
    }
}

fn drivers_host(host: &RunSurroundings) -> Host {
    Host {
        user: host.user,
        search: SearchPath::new(host.path.iter().cloned()),
        launcher: host.launcher.clone(),
        kernel_release: port_runtime::host::kernel_release(),
    }
}
