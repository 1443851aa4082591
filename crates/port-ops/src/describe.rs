//! What a set of files is, as a bundle: from `port.lock` where they are what was built, else by looking at them.

use port_config::LockEntry;
use port_model::{ArtifactClass, Bundle, Component, ComponentFormat, ComponentKind, KernelFacts};

use crate::error::OpsError;
use crate::local::HashedFile;
use crate::target::Target;
use crate::workspace::Workspace;

/// Describes the files of `target`, the main one first.
pub(crate) fn bundle(
    workspace: &Workspace,
    target: Target<'_>,
    files: &[HashedFile],
) -> Result<Bundle, OpsError> {
    let components = files.iter().map(component).collect::<Result<Vec<_>, _>>()?;
    let lock = workspace.lock()?;
    let entry = lock.get(&target.artifact.name, target.variant()).filter(|entry| made(entry, &components));
    Ok(Bundle {
        class: target.artifact.class,
        variant: target.variant(),
        kernel: match entry {
            Some(entry) => entry.kernel.clone(),
            None => facts(target, files)?,
        },
        components,
        boot_arguments: None,
        provenance: entry.map(port_build::provenance),
    })
}

/// Whether these are the files that the lock entry's build made, all of them.
pub(crate) fn made(entry: &LockEntry, components: &[Component]) -> bool {
    entry.outputs.len() == components.len()
        && entry
            .outputs
            .iter()
            .all(|output| components.iter().any(|c| c.file_name == output.file && c.digest == output.digest))
}

fn component(file: &HashedFile) -> Result<Component, OpsError> {
    Ok(Component {
        kind: file.kind,
        format: format(file)?,
        file_name: file.name.clone(),
        size: file.size,
        digest: file.digest.clone(),
    })
}

/// The format by the file's magic numbers; [`ComponentFormat::Raw`] where it is none that the role can have.
fn format(file: &HashedFile) -> Result<ComponentFormat, OpsError> {
    use ComponentFormat::{BzImage, CpioGz, Erofs, Ext4, Image, Squashfs, Vmlinux};
    let allowed: &[ComponentFormat] = match file.kind {
        ComponentKind::Kernel | ComponentKind::KernelDbg => &[Vmlinux, BzImage, Image],
        ComponentKind::Initrd => &[CpioGz],
        ComponentKind::Rootfs => &[Ext4, Squashfs, Erofs],
    };
    let found = port_image::check::detect_format(&file.path)?;
    Ok(found.filter(|format| allowed.contains(format)).unwrap_or(ComponentFormat::Raw))
}

/// What can be read off files that no build of ours recorded: a kernel's release.
fn facts(target: Target<'_>, files: &[HashedFile]) -> Result<Option<KernelFacts>, OpsError> {
    let Some(main) = files.first().filter(|_| target.artifact.class == ArtifactClass::Kernel) else {
        return Ok(None);
    };
    let release = port_kernel::facts::scan(&main.path)?.banner.map(|banner| banner.release);
    Ok(release.map(|release| KernelFacts { release: Some(release), modules: Vec::new() }))
}
