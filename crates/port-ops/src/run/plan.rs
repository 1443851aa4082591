//! From a `[machines.NAME]` table to a [`MachineSpec`]: which files, whether they fit, which boot arguments.

use std::path::{Path, PathBuf};

use port_config::{Machine, RootfsOverlay};
use port_model::{ArtifactClass, Bundle, Cmdline, ComponentFormat, ComponentKind, Variant};
use port_runtime::{AgentChannel, ChannelKind, Console, Disk, DiskAccess, KernelFamily, MachineSpec};
use serde::Serialize;

use super::{Purpose, console_device};
use crate::error::OpsError;
use crate::inspect::{local_bundle, stored_bundle};
use crate::local;
use crate::target::Target;
use crate::trust::Policies;
use crate::trust::local::require_local;
use crate::workspace::Workspace;

/// A machine that is ready to boot: everything looked up, verified and found to fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The machine's name.
    pub machine: String,
    /// Which variant of its artifacts.
    pub variant: Variant,
    /// What the driver gets.
    pub spec: MachineSpec,
}

impl Plan {
    /// Reaches the guest's agent this way or not at all.
    pub fn insist_on(&mut self, channel: ChannelKind) {
        if let Some(agent) = &mut self.spec.agent {
            agent.only = Some(channel);
        }
    }

    /// Tells the guest how large the terminal at the console's other end is.
    pub fn set_console_size(&mut self, columns: u16, lines: u16) {
        self.spec.cmdline.default_to("port.console_size", &format!("{columns}x{lines}"));
    }
}

/// Plans a machine with the variant that its table names.
pub fn plan(workspace: &Workspace, machine: &str, purpose: Purpose) -> Result<Plan, OpsError> {
    let machine = workspace.project.machine(machine)?;
    let policies = Policies::of(workspace)?;
    plan_variant(workspace, machine, machine.variant, purpose, &policies)
}

/// Plans a machine with another variant of its artifacts, of files that these policies take.
pub(crate) fn plan_variant(
    workspace: &Workspace,
    machine: &Machine,
    variant: Variant,
    purpose: Purpose,
    policies: &Policies,
) -> Result<Plan, OpsError> {
    let kernel = files(workspace, &machine.kernel, ArtifactClass::Kernel, variant, policies)?;
    let guest = files(workspace, &machine.guest_image, ArtifactClass::GuestImage, variant, policies)?;
    check_fit(machine, &kernel.bundle, &guest.bundle)?;
    let spec = MachineSpec {
        architecture: variant.architecture,
        vcpus: machine.vcpu_count,
        memory_mib: machine.memory_mib,
        kernel: kernel.main,
        family: KernelFamily::Linux,
        initrd: guest.path_of(ComponentKind::Initrd),
        cmdline: cmdline(machine, variant, &guest.bundle, purpose)?,
        disks: disks(machine, guest.main)?,
        shares: Vec::new(),
        network: None,
        agent: (purpose == Purpose::Command).then_some(AgentChannel {
            vsock_cid: machine.guest.vsock_cid,
            control_port: machine.guest.control_port,
            only: None,
            side_ports: 0,
        }),
        console: console(machine, purpose),
    };
    Ok(Plan { machine: machine.name.clone(), variant, spec })
}

/// The root of a guest image whose files these policies take.
pub(crate) fn guest_image(
    workspace: &Workspace,
    name: &str,
    variant: Variant,
    policies: &Policies,
) -> Result<PathBuf, OpsError> {
    Ok(files(workspace, name, ArtifactClass::GuestImage, variant, policies)?.main)
}

/// The files of one artifact, and what they are.
struct Files {
    bundle: Bundle,
    main: PathBuf,
    /// The directory of the companions.
    directory: PathBuf,
}

impl Files {
    fn path_of(&self, kind: ComponentKind) -> Option<PathBuf> {
        self.bundle.component(kind).map(|component| self.directory.join(&component.file_name))
    }
}

/// The local files; where they are not there, the cache's, restored from the store.
fn files(
    workspace: &Workspace,
    name: &str,
    class: ArtifactClass,
    variant: Variant,
    policies: &Policies,
) -> Result<Files, OpsError> {
    let target = Target::exact(workspace, name, variant)?;
    if target.artifact.class != class {
        let (name, found) = (name.to_owned(), target.artifact.class);
        return Err(OpsError::WrongClass { name, found, expected: class });
    }
    match local::files(target) {
        Ok(files) => {
            let bundle = local_bundle(workspace, target, files)?;
            require_local(workspace, policies, target, &bundle)?;
            refuse_standard(workspace, target, &bundle)?;
            let main = target.config.path.clone();
            let directory = main.parent().unwrap_or(Path::new("")).to_owned();
            Ok(Files { bundle, main, directory })
        }
        Err(absent @ OpsError::NoLocalFile { .. }) => match stored_bundle(workspace, target)? {
            Some(bundle) => {
                require_local(workspace, policies, target, &bundle)?;
                cached(workspace, target, bundle)
            }
            None => Err(absent),
        },
        Err(error) => Err(error),
    }
}

fn cached(workspace: &Workspace, target: Target<'_>, bundle: Bundle) -> Result<Files, OpsError> {
    refuse_standard(workspace, target, &bundle)?;
    for component in &bundle.components {
        let path = target.cache_path(&component.file_name);
        workspace.store.materialise(&component.digest, component.size, &path)?;
    }
    let main = target.cache_path(&target.config.file_name);
    let directory = main.parent().unwrap_or(Path::new("")).to_owned();
    Ok(Files { bundle, main, directory })
}

fn refuse_standard(workspace: &Workspace, target: Target<'_>, bundle: &Bundle) -> Result<(), OpsError> {
    match bundle.main() {
        Some(main) => crate::pvm::refuse_standard(workspace, target, &main.digest),
        None => Ok(()),
    }
}

/// Modules load into exactly one kernel release: another kernel would hang at a disk that it cannot see.
fn check_fit(machine: &Machine, kernel: &Bundle, guest: &Bundle) -> Result<(), OpsError> {
    let release = |bundle: &Bundle| bundle.kernel.as_ref().and_then(|kernel| kernel.release.clone());
    let carries_modules = guest.kernel.as_ref().is_some_and(|kernel| !kernel.modules.is_empty());
    match (release(guest), release(kernel)) {
        (Some(wanted), Some(found)) if carries_modules && wanted != found => Err(OpsError::KernelMismatch {
            guest_image: machine.guest_image.clone(),
            wanted,
            kernel: machine.kernel.clone(),
            found,
        }),
        _ => Ok(()),
    }
}

/// What the machine's table says, then what the host needs; what the user wrote is never overridden, except
/// that a read-only disk is not mounted writable.
fn cmdline(
    machine: &Machine,
    variant: Variant,
    guest: &Bundle,
    purpose: Purpose,
) -> Result<Cmdline, OpsError> {
    let mut cmdline = machine.kernel_args.clone();
    cmdline.default_to("root", "/dev/vda");
    cmdline.default_to("panic", "1");
    if cmdline.get("console") != Some(console_device(variant.architecture)) {
        cmdline.push("console", console_device(variant.architecture));
    }
    let format = guest.component(ComponentKind::Rootfs).map(|rootfs| rootfs.format);
    let read_only_format = matches!(format, Some(ComponentFormat::Squashfs | ComponentFormat::Erofs));
    if machine.rootfs_read_only || read_only_format || machine.rootfs_overlay != RootfsOverlay::None {
        cmdline.push("ro", "");
    }
    if let Some(format @ (ComponentFormat::Ext4 | ComponentFormat::Squashfs | ComponentFormat::Erofs)) =
        format
    {
        cmdline.default_to("rootfstype", format.as_str());
    }
    match machine.rootfs_overlay {
        RootfsOverlay::None => {}
        RootfsOverlay::Tmpfs => cmdline.default_to("port.rootfs_overlay", "tmpfs"),
        RootfsOverlay::Disk => cmdline.default_to("port.rootfs_overlay", "1"),
    }
    cmdline.default_to("port.guest_control_port", &machine.guest.control_port.to_string());
    if purpose == Purpose::Console {
        cmdline.default_to("port.console", "shell");
    }
    cmdline.check().map_err(|error| wrong(machine, error.to_string()))?;
    Ok(cmdline)
}

/// The root disk, whose image is never written, then the volume, whose image is.
fn disks(machine: &Machine, rootfs: PathBuf) -> Result<Vec<Disk>, OpsError> {
    let pristine = machine.rootfs_read_only || machine.rootfs_overlay != RootfsOverlay::None;
    let access = if pristine { DiskAccess::ReadOnly } else { DiskAccess::Ephemeral };
    let mut disks = vec![Disk { id: "rootfs".to_owned(), path: rootfs, access }];
    for volume in &machine.volumes {
        let access = if volume.read_only { DiskAccess::ReadOnly } else { DiskAccess::ReadWrite };
        disks.push(Disk { id: "volume".to_owned(), path: volume.path.clone(), access });
    }
    if machine.rootfs_overlay == RootfsOverlay::Disk
        && !machine.volumes.iter().any(|volume| !volume.read_only)
    {
        let reason = "`rootfs_overlay = \"disk\"` needs a writable volume for the guest's writes";
        return Err(wrong(machine, reason.to_owned()));
    }
    Ok(disks)
}

fn console(machine: &Machine, purpose: Purpose) -> Console {
    match (purpose, &machine.guest.console_log) {
        (Purpose::Console, _) => Console::Stream,
        (Purpose::Command, Some(path)) => Console::Log(path.clone()),
        (Purpose::Command, None) => Console::Discard,
    }
}

fn wrong(machine: &Machine, reason: String) -> OpsError {
    OpsError::Machine { machine: machine.name.clone(), reason }
}
