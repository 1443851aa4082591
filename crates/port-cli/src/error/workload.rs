//! Advice for workload manifests that cannot be had.

use port_ops::workload::WorkloadError;
use port_ops::workload::drivers::DriverError;

use super::{CommandError, Exit, advice, registry, store};

impl From<WorkloadError> for CommandError {
    fn from(error: WorkloadError) -> Self {
        match error {
            WorkloadError::Ops(error) => Self::from(*error),
            error => {
                let (exit, hints) = said(&error);
                Self::of(&error, exit, hints)
            }
        }
    }
}

fn said(error: &WorkloadError) -> (Exit, Vec<String>) {
    match error {
        WorkloadError::Read { source, .. } if source.is_not_found() => (Exit::NotFound, vec![]),
        WorkloadError::Malformed(_) | WorkloadError::Invalid { .. } | WorkloadError::Name { .. } => {
            (Exit::Usage, vec![])
        }
        WorkloadError::Store(error) | WorkloadError::Ops(error) => advice(error),
        WorkloadError::DamagedRoot { .. } => {
            (Exit::Failed, vec!["`port store verify` says more, and `--repair` mends it".to_owned()])
        }
        WorkloadError::Root { source, .. } if source.is_not_found() => (Exit::NotFound, vec![]),
        WorkloadError::Kernel { source, .. } if source.is_not_found() => (Exit::NotFound, vec![]),
        WorkloadError::NoKernel { .. } => {
            (Exit::NotFound, vec!["name its file with `kernel.path` in place of `kernel.version`".to_owned()])
        }
        WorkloadError::Image { source, .. } => advice(source),
        WorkloadError::Driver(error) => driver(error),
        WorkloadError::Stored { source, .. } => store::advice(source),
        WorkloadError::Read { .. }
        | WorkloadError::Root { .. }
        | WorkloadError::Kernel { .. }
        | WorkloadError::NoImage { .. }
        | WorkloadError::NoManifest { .. }
        | WorkloadError::NoRoot { .. } => (Exit::Failed, vec![]),
        WorkloadError::Registry(error) => {
            (registry::exit(error.kind()), registry::hint(error).into_iter().collect())
        }
    }
}

impl From<DriverError> for CommandError {
    fn from(error: DriverError) -> Self {
        let (exit, hints) = driver(&error);
        Self::of(&error, exit, hints)
    }
}

fn driver(error: &DriverError) -> (Exit, Vec<String>) {
    let one = |exit, hint: &str| (exit, vec![hint.to_owned()]);
    match error {
        DriverError::NotRoot { .. } => one(Exit::Failed, "run it with `sudo`"),
        DriverError::Missing { program, .. } if program == "port-launcher" => {
            one(Exit::NotFound, "build it with `cargo xtask agent`, or name it with `PORT_LAUNCHER_BIN`")
        }
        DriverError::Missing { .. } => (Exit::NotFound, vec![]),
        DriverError::Unkept { .. } => {
            one(Exit::Failed, "`--best-effort` runs it all the same, and says what is missing")
        }
        DriverError::Running { .. } => one(Exit::Failed, "stop it first with `port workload stop`"),
        DriverError::Unknown { .. } => one(Exit::NotFound, "`port workload list` says what is known"),
        DriverError::NotRunning { .. } => one(Exit::Failed, "`port workload logs` says what it wrote"),
        DriverError::Unsupported { .. } | DriverError::Profile(_) => (Exit::Usage, vec![]),
        DriverError::Machine(error) => super::runtime(error),
        DriverError::Files(error) if error.is_not_found() => (Exit::NotFound, vec![]),
        _ => (Exit::Failed, vec![]),
    }
}
