//! What turns a plan into a job: one driver per mode.

use std::path::PathBuf;

use port_runtime::SearchPath;
use port_workload::{Launch, Mode, Plan};

use crate::container::ContainerDriver;
use crate::emulated::EmulatedDriver;
use crate::error::DriverError;
use crate::job::{Job, Lower};
use crate::machine::{MachineDriver, MachineFiles};
use crate::native::NativeDriver;

/// Turns plans of one mode into jobs.
///
/// Contract: `prepare` starts and changes nothing; equal plans, requests and hosts give equal jobs; what the driver cannot
/// honour is refused with the manifest's key, or with every reason at once where the host is what is in the way. With
/// `best_effort` the second kind becomes warnings of the job.
pub trait Driver: Send + Sync {
    /// The mode, in the manifest's word.
    fn mode(&self) -> Mode;

    /// The job of a plan.
    ///
    /// # Errors
    /// What cannot be honoured.
    fn prepare(&self, plan: &Plan, request: &Request, host: &Host) -> Result<Job, DriverError>;
}

/// What a run asks for besides the plan.
#[derive(Debug, Clone)]
pub struct Request {
    /// What its root is mounted from.
    pub lower: Lower,
    /// What runs in it; empty for a shell.
    pub command: Vec<String>,
    /// The workload's room.
    pub room: PathBuf,
    /// The files of its machine, where its mode is one; they need not be there yet.
    pub machine: Option<MachineFiles>,
    /// Whether what the host cannot keep becomes a warning.
    pub best_effort: bool,
}

/// What drivers need to know of the host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Who asks; mounts and containers are root's.
    pub user: u32,
    /// Where programs are looked for.
    pub search: SearchPath,
    /// `port-launcher`, static, where it is there.
    pub launcher: Option<PathBuf>,
    /// The release of its kernel.
    pub kernel_release: String,
}

/// The driver of a plan's mode.
pub fn driver_for(plan: &Plan) -> Box<dyn Driver> {
    match &plan.launch {
        Launch::Container => Box::new(ContainerDriver),
        Launch::HybridNative { .. } => Box::new(NativeDriver),
        Launch::HybridKvm { .. } => Box::new(MachineDriver),
        Launch::HybridEmulated => Box::new(EmulatedDriver),
    }
}
