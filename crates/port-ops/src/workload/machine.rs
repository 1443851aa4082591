//! The files of a `hybrid-kvm` workload: which kernel it boots, and what is made of its root in the workload's room.
//!
//! ```text
//! kernel.path, kernel.version ──► kernel                                 read where it lies
//! directory ── Port's ext4 writer ──► machine/root.ext4 ─┬─► initrd that brings the agent along
//! image ─────────────────────────────────────────────────┘   and the modules of this kernel
//! overlay ──► layer.ext4, kept until the workload is removed
//! ```
//!
//! Invariant: nothing is written before the workload's name is claimed, and a root is only read.

use std::path::{Path, PathBuf};

use port_build::VisitedRoot;
use port_config::ImageFormat;
use port_content::atomic::AtomicFile;
use port_content::fs;
use port_drivers::{Lower, MachineFiles, Vmm};
use port_image::ext4::{self, Ext4Options, ImageSize};
use port_image::{Attributes, Tree};
use port_model::ComponentFormat;
use port_runtime::{SearchPath, host, qemu};
use port_workload::{KernelSource, Launch, Plan, WritableLayer};

use super::{Surroundings, WorkloadError};
use crate::build;
use crate::error::OpsError;

/// How large a kept layer may get. What is not written is a hole.
const LAYER_BYTES: u64 = 4 << 30;
/// What the guest mounts its own file systems at; a read-only root must have them.
const MOUNT_POINTS: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/tmp"];
/// Where distributions put kernels, by version.
const KERNELS: [&str; 2] = ["/boot/vmlinuz-{version}", "/lib/modules/{version}/vmlinuz"];
/// Where they put what belongs to one.
const MODULES: &str = "/lib/modules";

/// A machine that is not made yet.
pub(super) struct MachinePlan {
    pub(super) files: MachineFiles,
    lower: Lower,
    format: ImageFormat,
    modules: Vec<String>,
    places: Vec<PathBuf>,
}

/// What a plan's machine is made of; none where its mode is no machine.
pub(super) fn plan(
    plan: &Plan,
    lower: &Lower,
    room: &Path,
    vmm: Option<Vmm>,
    search: &SearchPath,
) -> Result<Option<MachinePlan>, WorkloadError> {
    let Launch::HybridKvm { kernel, modules, .. } = &plan.launch else { return Ok(None) };
    let (root, format) = match lower {
        Lower::Directory(_) => (room.join("machine/root.ext4"), ImageFormat::Ext4),
        Lower::Image(path) => (path.clone(), format_of(path)?),
    };
    let keeps = !plan.root.read_only && plan.root.writable_layer == WritableLayer::Overlay;
    let files = MachineFiles {
        vmm: vmm.unwrap_or_else(|| first_there(search)),
        architecture: host::ARCHITECTURE,
        kernel: kernel_file(kernel)?,
        initrd: room.join("machine/initrd.cpio"),
        root,
        root_type: format.component_format().as_str().to_owned(),
        layer: keeps.then(|| room.join("layer.ext4")),
        console: room.join("machine/console.log"),
        shares: room.join("shares"),
        verdicts: room.parent().map(|rooms| rooms.join(".accelerator")),
    };
    let places = plan.mounts.iter().map(|mount| mount.container.clone()).collect();
    Ok(Some(MachinePlan { files, lower: lower.clone(), format, modules: modules.clone(), places }))
}

/// QEMU first: it needs no KVM. Where none is there, it is QEMU that is asked for.
fn first_there(search: &SearchPath) -> Vmm {
    let programs = [
        (qemu::program_name(host::ARCHITECTURE), Vmm::Qemu),
        (port_runtime::firecracker::PROGRAM, Vmm::Firecracker),
        (port_runtime::cloud_hypervisor::PROGRAM, Vmm::CloudHypervisor),
    ];
    let found = programs.into_iter().find(|(program, _)| search.find(program).is_some());
    found.map_or(Vmm::Qemu, |(_, vmm)| vmm)
}

fn kernel_file(kernel: &KernelSource) -> Result<PathBuf, WorkloadError> {
    match kernel {
        KernelSource::Path(path) => {
            fs::canonicalize(path).map_err(|source| WorkloadError::Kernel { path: path.clone(), source })
        }
        KernelSource::Version(version) => {
            let places: Vec<PathBuf> =
                KERNELS.iter().map(|place| place.replace("{version}", version).into()).collect();
            let found = places.iter().find(|place| fs::exists(place)).cloned();
            found.ok_or_else(|| WorkloadError::NoKernel { version: version.clone(), places })
        }
    }
}

fn format_of(image: &Path) -> Result<ImageFormat, WorkloadError> {
    let unreadable = |source: port_image::ImageError| WorkloadError::from(OpsError::from(source));
    match port_image::detect_format(image).map_err(unreadable)? {
        Some(ComponentFormat::Ext4) => Ok(ImageFormat::Ext4),
        Some(ComponentFormat::Squashfs) => Ok(ImageFormat::Squashfs),
        Some(ComponentFormat::Erofs) => Ok(ImageFormat::Erofs),
        _ => Err(WorkloadError::NoImage { path: image.to_owned() }),
    }
}

impl MachinePlan {
    /// Makes the files. The room is the caller's alone.
    pub(super) async fn make(&self, surroundings: &Surroundings) -> Result<(), WorkloadError> {
        let files = &self.files;
        if let Lower::Directory(directory) = &self.lower {
            self.make_root(directory)
                .map_err(|error| WorkloadError::Image { path: directory.clone(), source: Box::new(error) })?;
        }
        if let Some(layer) = files.layer.as_deref().filter(|layer| !fs::exists(layer)) {
            let options = Ext4Options::new(ImageSize::Bytes(LAYER_BYTES), "layer");
            let made = write(&Tree::new(), &options, layer).and_then(|file| Ok(file.commit()?));
            made.map_err(|error| WorkloadError::Image { path: layer.to_owned(), source: Box::new(error) })?;
        }
        let workspace = (surroundings.open_workspace)()?;
        let root = VisitedRoot {
            kernel: &files.kernel,
            rootfs: &files.root,
            format: self.format,
            architecture: files.architecture,
            modules: Some(Path::new(MODULES)),
            named: &self.modules,
        };
        build::without_target(&workspace, async |context| {
            Ok(port_build::visitor_initrd(context, &root, &files.initrd).await?)
        })
        .await?;
        Ok(())
    }

    /// The directory as an image, with the places that are mounted over.
    fn make_root(&self, directory: &Path) -> Result<(), OpsError> {
        let mut tree = Tree::from_directory(directory)?;
        let places = MOUNT_POINTS.iter().map(PathBuf::from).chain(self.places.iter().cloned());
        for place in places {
            let place = place.to_string_lossy().into_owned();
            if tree.get(&place).is_none() {
                tree.add_directory(&place, Attributes::new(0o755))?;
            }
        }
        let options = Ext4Options::new(ImageSize::Minimal { free_percent: 0 }, "root");
        // Made anew by every run, so a power cut costs nothing.
        Ok(write(&tree, &options, &self.files.root)?.commit_unflushed()?)
    }
}

/// Not placed yet.
fn write(tree: &Tree, options: &Ext4Options, path: &Path) -> Result<AtomicFile, OpsError> {
    let mut file = AtomicFile::create(path)?;
    ext4::write(tree, options, file.file())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_19_v_20_a_kernel_is_found_by_path_or_version_or_named_as_missing() {
        let error = kernel_file(&KernelSource::Version("9.9.9-none".to_owned())).unwrap_err().to_string();
        assert!(
            error.contains("/boot/vmlinuz-9.9.9-none") && error.contains("/lib/modules/9.9.9-none"),
            "{error}"
        );
        let directory = tempfile::tempdir().unwrap();
        let kernel = directory.path().join("vmlinux");
        assert!(kernel_file(&KernelSource::Path(kernel.clone())).is_err());
        port_content::atomic::write(&kernel, b"x").unwrap();
        let found = kernel_file(&KernelSource::Path(kernel.clone())).unwrap();
        assert_eq!(found, kernel.canonicalize().unwrap());
    }

    #[test]
    fn v_5_qemu_is_asked_for_where_no_monitor_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let search = SearchPath::new([directory.path().to_owned()]);
        assert_eq!(first_there(&search), Vmm::Qemu);
        let firecracker = directory.path().join("firecracker");
        port_content::atomic::write(&firecracker, b"").unwrap();
        fs::set_mode(&firecracker, 0o755).unwrap();
        assert_eq!(first_there(&search), Vmm::Firecracker);
    }
}
