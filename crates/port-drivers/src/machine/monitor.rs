//! Landlock rules for a machine's monitor: in this mode the profile confines the VMM, which stands between the guest and the host.
//!
//! | profile | reads and executes | writes besides |
//! | --- | --- | --- |
//! | strict, default | the system's programs and libraries, `/proc`, `/sys`, the machine's own files | the devices that VMMs use, its run directory, its layer |
//! | permissive | everything | everything but `/proc` and `/sys` |
//! | a file | what it lists | what it lists |

use port_runtime::confinement::RUN_DIRECTORY;
use port_runtime::{DiskAccess, MachineSpec};
use port_workload::{LandlockWord, Plan, Profile};

use crate::driver::{Host, Request};
use crate::error::DriverError;
use crate::landlock::Rules;

const READ: [&str; 9] =
    ["/bin", "/etc/ld.so.cache", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr", "/etc/qemu"];

/// What VMMs open of `/dev`: no disk of the host is among it.
const DEVICES: [&str; 9] = [
    "/dev/kvm",
    "/dev/net/tun",
    "/dev/null",
    "/dev/random",
    "/dev/shm",
    "/dev/urandom",
    "/dev/vhost-net",
    "/dev/vhost-vsock",
    "/dev/zero",
];

/// The launcher with the rules for this machine's VMM; nothing where there is no launcher, which is a reason of its own.
pub(super) fn confinement(
    plan: &Plan,
    spec: &MachineSpec,
    host: &Host,
    request: &Request,
) -> Result<Vec<String>, DriverError> {
    let Some(launcher) = &host.launcher else { return Ok(Vec::new()) };
    let mut words = vec![launcher.display().to_string(), "--no-new-privileges".to_owned()];
    words.extend(request.best_effort.then(|| "--best-effort".to_owned()));
    match &plan.security.landlock {
        Profile::Known(LandlockWord::Strict | LandlockWord::Default | LandlockWord::Custom) => {
            words.extend(of_its_files(spec, host));
        }
        other => words.extend(Rules::new(other, &[])?.options()),
    }
    words.push("--".to_owned());
    Ok(words)
}

/// The machine's files, and what programs need to start.
fn of_its_files(spec: &MachineSpec, host: &Host) -> Vec<String> {
    let shown = |path: &std::path::Path| path.display().to_string();
    let mut read: Vec<String> = READ.map(str::to_owned).into();
    read.push(shown(&spec.kernel));
    read.extend(spec.initrd.as_deref().map(shown));
    // A VMM need not be the system's.
    let vmms = ["qemu-system-x86_64", "qemu-system-aarch64", "firecracker", "cloud-hypervisor"];
    read.extend(vmms.iter().filter_map(|vmm| host.search.find(vmm)).map(|path| shown(&path)));
    let mut write: Vec<String> = DEVICES.map(str::to_owned).into();
    write.push(RUN_DIRECTORY.to_owned());
    for disk in &spec.disks {
        let list = if disk.access == DiskAccess::ReadWrite { &mut write } else { &mut read };
        list.push(shown(&disk.path));
    }
    let each = |option: &'static str, paths: Vec<String>| {
        paths.into_iter().flat_map(move |path| [option.to_owned(), path])
    };
    each("--read", read).chain(each("--write", write)).collect()
}
