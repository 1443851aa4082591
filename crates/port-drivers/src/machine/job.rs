//! A machine as a workload's supervisor boots it, and the files that it is made of.

use std::path::PathBuf;

use port_model::Architecture;
use port_runtime::{
    CloudHypervisorDriver, Confinement, Driver, FirecrackerDriver, MachineSpec, QemuDriver, SearchPath,
};
use serde::{Deserialize, Serialize};

use crate::exec::joining;
use crate::job::Volume;

/// Where machines' sockets are: socket paths must stay below 108 bytes (unix(7)).
const RUN_ROOT: &str = "/tmp";

/// Which program runs a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vmm {
    /// QEMU, with KVM where it works and its translator where not.
    Qemu,
    /// Firecracker.
    Firecracker,
    /// Cloud Hypervisor.
    CloudHypervisor,
}

/// The files of a machine. They are made when the workload's name is claimed.
#[derive(Debug, Clone)]
pub struct MachineFiles {
    /// What runs it.
    pub vmm: Vmm,
    /// What its kernel and programs are for.
    pub architecture: Architecture,
    /// The kernel.
    pub kernel: PathBuf,
    /// The initrd that brings the agent along.
    pub initrd: PathBuf,
    /// The image of the root, which is only read.
    pub root: PathBuf,
    /// The root's file system, in the kernel's word.
    pub root_type: String,
    /// The image that keeps its writes, where they are kept.
    pub layer: Option<PathBuf>,
    /// Where its console goes.
    pub console: PathBuf,
    /// The directory in whose entries its volumes are mounted.
    pub shares: PathBuf,
    /// Where it is remembered whether KVM works here.
    pub verdicts: Option<PathBuf>,
}

impl MachineFiles {
    /// Where a volume is mounted for its virtiofsd.
    pub(crate) fn share(&self, number: usize) -> PathBuf {
        self.shares.join(number.to_string())
    }
}

/// A machine of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineJob {
    /// What runs it.
    pub vmm: Vmm,
    /// What is booted.
    pub spec: MachineSpec,
    /// Where the VMM is looked for.
    pub(crate) search: SearchPath,
    /// Where it is remembered whether KVM works here.
    pub(crate) verdicts: Option<PathBuf>,
    /// What the VMM is started through: the launcher with the rules for its files.
    pub(crate) confinement: Vec<String>,
    /// The launcher, which is copied into the guest.
    pub(crate) launcher: Option<PathBuf>,
    /// What it sees of the host, in the order of the spec's shares.
    pub(crate) volumes: Vec<Volume>,
    /// The most processes.
    pub(crate) pids: Option<u64>,
}

impl MachineJob {
    /// What boots it, in these control groups and with what rules the monitor has.
    pub(crate) fn driver(&self, groups: &[PathBuf]) -> Box<dyn Driver> {
        let (search, run_root) = (self.search.clone(), PathBuf::from(RUN_ROOT));
        let words = joining(groups, &self.confinement).into_iter();
        let confinement = Confinement::new(std::iter::once("/bin/sh".into()).chain(words));
        match self.vmm {
            Vmm::Qemu => {
                Box::new(QemuDriver { search, run_root, verdicts: self.verdicts.clone(), confinement })
            }
            Vmm::Firecracker => Box::new(FirecrackerDriver { search, run_root, confinement }),
            Vmm::CloudHypervisor => Box::new(CloudHypervisorDriver { search, run_root, confinement }),
        }
    }
}
