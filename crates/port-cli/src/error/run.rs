//! Advice for packages that do not run, and for test boots.

use port_ops::DoctorError;
use port_ops::run::package::{PackageRunError, VolumeError};

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
            PackageRunError::NoPorts { .. } => {
                let hint = "give it a card with `--network tap:DEVICE`, and reach it at its address";
                (Exit::Usage, vec![hint.to_owned()])
            }
            PackageRunError::NoVolumes { .. } => {
                (Exit::Usage, vec!["give it its files in an initrd, with `--initrd FILE`".to_owned()])
            }
            PackageRunError::Volume(VolumeError::Files(ref error)) if error.is_not_found() => {
                (Exit::NotFound, vec![])
            }
            PackageRunError::Arguments { .. } | PackageRunError::Volume(_) => (Exit::Usage, vec![]),
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
