//! What a set of files is, as a bundle: from `port.lock` where they are what was built, else by looking at them.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use port_config::LockEntry;
use port_content::fs;
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

/// The block size of an ext4 image, where it is smaller than the blocks that packing compares: what one version has in one
/// place, another may have a kilobyte further on.
pub(crate) fn small_blocks(path: &Path) -> Result<Option<u64>, OpsError> {
    const PACKED: u64 = 4096;
    let (file, _) = fs::open_regular(path)?;
    let mut superblock = [0; 64];
    if file.read_exact_at(&mut superblock, 1024).is_err() {
        return Ok(None);
    }
    let is_ext4 = superblock.get(56..58) == Some(&[0x53, 0xef][..]);
    let size = superblock.get(24).map(|shift| 1024u64 << (*shift).min(16));
    Ok(size.filter(|size| is_ext4 && *size < PACKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ext4_image_with_small_blocks_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let image = |magic: [u8; 2], shift: u8| {
            let mut bytes = vec![0; 4096];
            bytes[1024 + 24] = shift;
            bytes[1024 + 56..1024 + 58].copy_from_slice(&magic);
            bytes
        };
        for (bytes, expected) in [
            (image([0x53, 0xef], 0), Some(1024)),
            (image([0x53, 0xef], 1), Some(2048)),
            (image([0x53, 0xef], 2), None),
            (image([0x53, 0xef], 255), None),
            (image([0, 0], 0), None),
            (b"short".to_vec(), None),
        ] {
            port_content::atomic::write(&path, &bytes).unwrap();
            assert_eq!(small_blocks(&path).unwrap(), expected);
        }
    }
}
