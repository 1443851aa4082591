//! The Cloud Hypervisor driver: everything on its command line, the guest's console on standard input and output.

use std::path::PathBuf;
use std::time::Instant;

use async_trait::async_trait;

use crate::confinement::Confinement;
use crate::driver::{Driver, Machine};
use crate::error::RuntimeError;
use crate::kvm_vmm::{KvmVmm, vsock_socket};
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
    /// What the VMM is started through.
    pub confinement: Confinement,
}

#[async_trait]
impl Driver for CloudHypervisorDriver {
    fn name(&self) -> &'static str {
        PROGRAM
    }

    async fn boot(&self, spec: &MachineSpec) -> Result<Machine, RuntimeError> {
        let requested = Instant::now();
        let purpose = "machines of the substrate `cloud-hypervisor`";
        let vmm = KvmVmm {
            program: PROGRAM,
            purpose,
            search: &self.search,
            run_root: &self.run_root,
            confinement: &self.confinement,
        };
        check_paths(spec)?;
        let program = vmm.check(spec)?;
        let directory = vmm.directory()?;
        let arguments = render(spec, &vsock_socket(directory.path()));
        vmm.start(spec, &program, &arguments, directory, requested)
    }
}

/// Its lists know quotes, and nothing that takes a quote's meaning away.
fn check_paths(spec: &MachineSpec) -> Result<(), RuntimeError> {
    match spec.disks.iter().find(|disk| disk.path.to_string_lossy().contains('"')) {
        None => Ok(()),
        Some(disk) => {
            let reason = format!("expected a disk whose path has no `\"`, found `{}`", disk.path.display());
            Err(RuntimeError::Unsupported { driver: PROGRAM, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_spec::tests::sample;

    #[test]
    fn a_path_that_cannot_be_said_is_refused() {
        let mut spec = sample();
        assert!(check_paths(&spec).is_ok());
        spec.disks[0].path = "/a\",readonly=off,b.raw".into();
        let error = check_paths(&spec).unwrap_err().to_string();
        assert!(error.contains("expected a disk whose path has no `\"`, found `/a\",readonly"), "{error}");
    }
}
