//! run of a base image: a kernel and a root that know nothing of Port, booted so that a command runs in the root.
//!
//! ```text
//! kernel, root ─► initrd with the guest agent (port-build, visitor) ─► MachineSpec ─► the same way as a machine of port.toml
//! ```
//!
//! Invariants: the files are only read: a writable root gets its writes into files of the VMM's, which go with it; the boot
//! arguments are the base image's, and what Port adds overrides none of them. Who keeps the files from being deleted meanwhile is
//! the caller.

use std::path::PathBuf;

use port_build::VisitedRoot;
use port_config::ImageFormat;
use port_content::FsError;
use port_model::{Architecture, Cmdline, ProtectionMode, Substrate, Variant};
use port_runtime::{AgentChannel, Console, Disk, DiskAccess, KernelFamily, MachineSpec};
use tempfile::TempDir;

use super::{Plan, Purpose, RUN_ROOT, console_device};
use crate::build;
use crate::error::OpsError;
use crate::workspace::Workspace;

/// What a base image gets where nobody says, in MiB.
pub const DEFAULT_MEMORY_MIB: u32 = 512;

/// What is booted.
#[derive(Debug, Clone)]
pub struct BaseImageFiles {
    /// What it is called in reports.
    pub name: String,
    /// What it runs on.
    pub architecture: Architecture,
    /// The kernel.
    pub kernel: PathBuf,
    /// The root file system.
    pub rootfs: PathBuf,
    /// What the root is.
    pub format: ImageFormat,
    /// Whether the machine gets the root read-only.
    pub read_only: bool,
    /// What the kernel is booted with.
    pub boot_arguments: String,
}

/// A base image that is ready to boot.
#[derive(Debug)]
pub struct BaseImagePlan {
    /// As of a machine of `port.toml`.
    pub plan: Plan,
    /// Where the initrd is; removed when dropped.
    _directory: TempDir,
}

/// Makes the initrd and says how the base image boots.
///
/// # Errors
/// [`OpsError`], before anything is started.
pub async fn plan(
    workspace: &Workspace,
    image: &BaseImageFiles,
    memory_mib: u32,
    purpose: Purpose,
) -> Result<BaseImagePlan, OpsError> {
    let cmdline = cmdline(image, purpose)?;
    let directory = tempfile::Builder::new().prefix("port-base-image-").tempdir_in(RUN_ROOT);
    let directory = directory
        .map_err(|source| FsError::new("create a directory in", std::path::Path::new(RUN_ROOT), source))?;
    let initrd = directory.path().join("initrd.cpio");
    let root = VisitedRoot {
        kernel: &image.kernel,
        rootfs: &image.rootfs,
        format: image.format,
        architecture: image.architecture,
        modules: None,
        named: &[],
    };
    build::without_target(workspace, async |context| {
        Ok(port_build::visitor_initrd(context, &root, &initrd).await?)
    })
    .await?;
    let access = if image.read_only { DiskAccess::ReadOnly } else { DiskAccess::Ephemeral };
    let spec = MachineSpec {
        architecture: image.architecture,
        vcpus: 1,
        memory_mib,
        kernel: image.kernel.clone(),
        family: KernelFamily::Linux,
        initrd: Some(initrd),
        cmdline,
        disks: vec![Disk { id: "rootfs".to_owned(), path: image.rootfs.clone(), access }],
        shares: Vec::new(),
        network: None,
        agent: (purpose == Purpose::Command).then(AgentChannel::default),
        console: if purpose == Purpose::Console { Console::Stream } else { Console::Discard },
    };
    let variant = Variant::new(image.architecture, Substrate::Firecracker, ProtectionMode::Standard);
    let plan = Plan { machine: image.name.clone(), variant, spec };
    Ok(BaseImagePlan { plan, _directory: directory })
}

/// The base image's arguments, then what the host needs.
fn cmdline(image: &BaseImageFiles, purpose: Purpose) -> Result<Cmdline, OpsError> {
    let wrong = |error: port_model::CmdlineError| OpsError::Machine {
        machine: image.name.clone(),
        reason: format!("its boot arguments cannot be used: {error}"),
    };
    let mut cmdline = Cmdline::parse(&image.boot_arguments).map_err(wrong)?;
    cmdline.default_to("root", "/dev/vda");
    cmdline.default_to("panic", "1");
    if cmdline.get("console") != Some(console_device(image.architecture)) {
        cmdline.push("console", console_device(image.architecture));
    }
    if image.read_only && cmdline.get("ro").is_none() {
        cmdline.push("ro", "");
    }
    cmdline.default_to("rootfstype", image.format.component_format().as_str());
    cmdline.default_to("port.guest_control_port", &AgentChannel::default().control_port.to_string());
    if purpose == Purpose::Console {
        cmdline.default_to("port.console", "shell");
    }
    cmdline.check().map_err(wrong)?;
    Ok(cmdline)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(read_only: bool, boot_arguments: &str, purpose: Purpose) -> String {
        let image = BaseImageFiles {
            name: "latest".to_owned(),
            architecture: Architecture::X86_64,
            kernel: "vmlinux".into(),
            rootfs: "rootfs".into(),
            format: if read_only { ImageFormat::Squashfs } else { ImageFormat::Ext4 },
            read_only,
            boot_arguments: boot_arguments.to_owned(),
        };
        cmdline(&image, purpose).unwrap().to_string()
    }

    #[test]
    fn su_7_a_base_image_boots_with_its_own_arguments_and_its_roots_access() {
        assert_eq!(
            words(true, "console=ttyS0 reboot=k panic=1 pci=off ro rootfstype=squashfs", Purpose::Command),
            "console=ttyS0 reboot=k panic=1 pci=off ro rootfstype=squashfs root=/dev/vda port.guest_control_port=7000"
        );
        assert_eq!(
            words(false, "console=hvc0 root=/dev/vdb init=/x", Purpose::Console),
            "console=hvc0 root=/dev/vdb init=/x panic=1 console=ttyS0 rootfstype=ext4 port.guest_control_port=7000 port.console=shell"
        );
        assert!(words(true, "console=ttyS0", Purpose::Command).contains(" ro "));
    }
}
