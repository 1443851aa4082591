//! The Firecracker driver: one configuration file, no API socket, the guest's console on standard input and output.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use async_trait::async_trait;
use port_content::atomic;

use crate::confinement::Confinement;
use crate::driver::{Driver, Machine};
use crate::error::RuntimeError;
use crate::kvm_vmm::{KvmVmm, vsock_socket};
use crate::machine_spec::MachineSpec;
use crate::search_path::SearchPath;

mod render;

pub use render::render;

/// The program.
pub const PROGRAM: &str = "firecracker";

/// Boots machines with Firecracker.
#[derive(Debug, Clone)]
pub struct FirecrackerDriver {
    /// Where the program is looked for.
    pub search: SearchPath,
    /// Where run directories are made.
    pub run_root: PathBuf,
    /// What the VMM is started through.
    pub confinement: Confinement,
}

#[async_trait]
impl Driver for FirecrackerDriver {
    fn name(&self) -> &'static str {
        PROGRAM
    }

    async fn boot(&self, spec: &MachineSpec) -> Result<Machine, RuntimeError> {
        let requested = Instant::now();
        let purpose = "machines of the substrate `firecracker`";
        let vmm = KvmVmm {
            program: PROGRAM,
            purpose,
            search: &self.search,
            run_root: &self.run_root,
            confinement: &self.confinement,
        };
        let program = vmm.check(spec)?;
        let directory = vmm.directory()?;
        let (configuration, log) = (directory.path().join("machine.json"), directory.path().join("vmm.log"));
        atomic::write(&configuration, render(spec, &vsock_socket(directory.path())).as_bytes())?;
        // Its own words would come on the guest's console; Firecracker wants the file to be there.
        atomic::write(&log, b"")?;
        let arguments: [OsString; 7] = [
            "--no-api".into(),
            "--config-file".into(),
            configuration.into(),
            "--log-path".into(),
            log.into(),
            "--level".into(),
            "Warn".into(),
        ];
        vmm.start(spec, &program, &arguments, directory, requested)
    }
}
