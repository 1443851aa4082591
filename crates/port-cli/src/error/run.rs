//! Advice for packages that do not run, and for test boots.

use port_ops::DoctorError;
use port_ops::run::package::PackageRunError;

use super::{CommandError, Exit};

impl From<PackageRunError> for CommandError {
    fn from(error: PackageRunError) -> Self {
        let (exit, hints) = match error {
            PackageRunError::Package(error) => return error.into(),
            PackageRunError::Runtime(error) => return of_runtime(&error),
            PackageRunError::NoDriver { .. } => {
                (Exit::Failed, vec!["`port packages info` says what a package is packed for".to_owned()])
            }
            PackageRunError::GivenUp { .. } => {
                let hint = "KVM of this host cannot run this guest, as inside another virtual machine; QEMU can emulate what is packed for `qemu`";
                (Exit::Failed, vec![hint.to_owned()])
            }
            PackageRunError::Arguments { .. } | PackageRunError::NoNetwork { .. } => (Exit::Usage, vec![]),
            PackageRunError::Unready { .. } => (Exit::Bug, vec![]),
            PackageRunError::Files(_) | PackageRunError::Vmm { .. } | PackageRunError::Stuck { .. } => {
                (Exit::Failed, vec![])
            }
        };
        Self::of(&error, exit, hints)
    }
}

impl From<DoctorError> for CommandError {
    fn from(error: DoctorError) -> Self {
        let (exit, hints) = match &error {
            DoctorError::NoProbeKernel { .. } => {
                let remedy = "build it with `cargo xtask agent`, put it beside `port`, or name it with \
                              `PORT_PROBE_KERNEL_BIN`";
                (Exit::NotFound, vec![remedy.to_owned()])
            }
            DoctorError::Runtime(_) => (Exit::Failed, vec![]),
        };
        Self::of(&error, exit, hints)
    }
}

fn of_runtime(error: &port_runtime::RuntimeError) -> CommandError {
    use port_runtime::RuntimeError as R;
    let (exit, hint) = match error {
        R::MemoryTooSmall { .. } => (Exit::Usage, Some("give it more with `--memory-mib`")),
        R::VmmMissing { .. } => {
            (Exit::NotFound, Some("`port doctor` says what this host lacks and how to get it"))
        }
        R::Unsupported { .. } => (Exit::Failed, Some("`port doctor --boot` says what boots here")),
        _ => {
            let (exit, hints) = super::runtime(error);
            return CommandError::of(error, exit, hints);
        }
    };
    CommandError::of(error, exit, hint.map(str::to_owned).into_iter().collect())
}
