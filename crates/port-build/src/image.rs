//! A tree becomes an image of the recipe's format, with nothing in it that is random or of today.

use port_config::{ImageFormat, Recipe};
use port_content::atomic::AtomicFile;
use port_image::Tree;
use port_image::erofs::{self, ErofsOptions};
use port_image::ext4::{self, Ext4Options, ImageSize, derived_uuid};
use port_image::squashfs::{self, SquashfsOptions};

use crate::error::BuildError;

/// The label where the recipe gives none.
const LABEL: &str = "port-rootfs";
/// Free space in an ext4 image whose recipe gives no size, in percent of what is used.
const FREE_PERCENT: u32 = 50;
/// The smallest such image, in MiB: room for logs and copied files. What is free is a hole and costs nothing.
const SMALLEST_MIB: u64 = 64;
const MIB: u64 = 1024 * 1024;

/// The volume label.
pub(crate) fn label(recipe: &Recipe) -> &str {
    recipe.label.as_deref().unwrap_or(LABEL)
}

/// Writes `tree` into `file`; returns what wrote it, for the record. UUID and hash seed come from `seed`.
pub(crate) fn write(
    tree: &Tree,
    recipe: &Recipe,
    seed: &str,
    file: &mut AtomicFile,
) -> Result<String, BuildError> {
    let uuid = derived_uuid("rootfs uuid", seed);
    let path = file.path().to_owned();
    let record = match recipe.format {
        ImageFormat::Ext4 => {
            let size = match recipe.size_mib {
                Some(mib) => ImageSize::Bytes(u64::from(mib) * MIB),
                None => ImageSize::Minimal { free_percent: FREE_PERCENT },
            };
            let hash_seed = derived_uuid("rootfs hash seed", seed);
            let mut options = Ext4Options { uuid, hash_seed, ..Ext4Options::new(size, label(recipe)) };
            if recipe.size_mib.is_none() {
                let size = ext4::minimal_size(tree, &options, FREE_PERCENT)?;
                options.size = ImageSize::Bytes(size.max(SMALLEST_MIB * MIB));
            }
            ext4::write(tree, &options, file.file())?;
            return Ok("Port's ext4 writer".to_owned());
        }
        ImageFormat::Squashfs => squashfs::write(tree, &SquashfsOptions::default(), &path)?,
        ImageFormat::Erofs => erofs::write(tree, &ErofsOptions { uuid, ..ErofsOptions::new(seed) }, &path)?,
    };
    Ok(record.version)
}
