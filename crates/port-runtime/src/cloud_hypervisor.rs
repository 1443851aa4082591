//! The Cloud Hypervisor driver: everything on its command line, the guest's console on standard input and output.

use std::path::PathBuf;
use std::time::Instant;

use async_trait::async_trait;

use crate::driver::{Driver, Machine};
use crate::error::RuntimeError;
use crate::kvm_vmm::KvmVmm;
use crate::machine_spec::MachineSpec;
use crate::search_path::SearchPath;

mod render;

pub use render::render;

/// The program.
pub const PROGRAM: &str = "cloud-hypervisor";

/// Boots machines with Cloud Hypervisor.
#[derive(Debug, Clone)]
pub struct CloudHypervisorDriver {
    /// Where the program is looked for.
    pub search: SearchPath,
    /// Where run directories are made.
    pub run_root: PathBuf,
}

#[async_trait]
impl Driver for CloudHypervisorDriver {
    fn name(&self) -> &'static str {
        PROGRAM
    }

    async fn boot(&self, spec: &MachineSpec) -> Result<Machine, RuntimeError> {
        let requested = Instant::now();
        let purpose = "machines of the substrate `cloud-hypervisor`";
        let vmm = KvmVmm { program: PROGRAM, purpose, search: &self.search, run_root: &self.run_root };
        let program = vmm.check(spec)?;
        let directory = vmm.directory()?;
        vmm.start(spec, &program, &render(spec), directory, requested)
    }
}
