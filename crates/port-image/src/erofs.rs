//! EROFS images by `mkfs.erofs`, from a staging directory.
//!
//! Data stands apart from inodes (`noinline_data`), so that a small change does not shift everything and
//! blocks deduplicate between versions. Not representable without root: other owners than root, devices,
//! extended attributes. Every entry gets the one time of the options.
//!
//! Invariant: the image depends on the tree, the options and the version of the tool, which is returned for
//! the build record.

use std::path::Path;

use port_content::fs;

use crate::error::ImageError;
use crate::staging::Staging;
use crate::tool::{Tool, ToolRecord, path_argument};
use crate::tree::Tree;

/// The word for this format in messages.
const FORMAT: &str = "erofs";
/// The tool that writes it.
pub const MKFS_EROFS: Tool = Tool::new("mkfs.erofs", "erofs-utils");

/// How data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: what deduplicates best when compressed in transport.
    None,
    /// LZ4 with the thorough compressor, at a level from 1 to 12.
    Lz4hc(u8),
}

/// Everything about the image that does not come from the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErofsOptions {
    /// How data is compressed.
    pub compression: Compression,
    /// The file system's UUID.
    pub uuid: [u8; 16],
    /// The time of the file system and of every entry, in seconds since 1970.
    pub timestamp: u32,
}

impl ErofsOptions {
    /// Uncompressed, time 0, a UUID that depends on `name` alone.
    pub fn new(name: &str) -> Self {
        let uuid = crate::ext4::derived_uuid("erofs uuid", name);
        Self { compression: Compression::None, uuid, timestamp: 0 }
    }
}

/// Writes the tree to `image`, replacing what is there. A staging directory beside `image` is used meanwhile.
pub fn write(tree: &Tree, options: &ErofsOptions, image: &Path) -> Result<ToolRecord, ImageError> {
    if let Compression::Lz4hc(level) = options.compression
        && !(1..=12).contains(&level)
    {
        let (expected, found) = ("1 to 12".to_owned(), level.to_string());
        return Err(ImageError::Option { format: FORMAT, option: "lz4hc level", expected, found });
    }
    // `--version` is an option from 1.6 on; before, the tool says its version ahead of the complaint.
    let version = MKFS_EROFS.version(&["--version"])?;
    let staging = Staging::new(FORMAT, tree, image)?;
    // NOTE: an image of a former run that is longer would keep its end.
    fs::create_scratch(image)?;
    let mut command = MKFS_EROFS.command().args(["--quiet", "--all-root", "-Enoinline_data", "-x-1"]);
    command = command.arg(format!("-T{}", options.timestamp)).arg(format!("-U{}", hyphenated(&options.uuid)));
    if let Compression::Lz4hc(level) = options.compression {
        command = command.arg(format!("-zlz4hc,{level}"));
    }
    command.arg(path_argument(image)).arg(path_argument(staging.path())).run()?;
    Ok(ToolRecord { tool: MKFS_EROFS.name, version })
}

fn hyphenated(uuid: &[u8; 16]) -> String {
    let mut text = String::new();
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use port_model::ComponentFormat;

    use super::*;
    use crate::check::{Verdict, check_filesystem};
    use crate::inspect::ImageReader;
    use crate::testing::images_of_two_places;
    use crate::tree::{Attributes, Kind};

    fn have_tool() -> bool {
        let present = MKFS_EROFS.version(&["--version"]).is_ok();
        if !present {
            println!("skipped: mkfs.erofs (package erofs-utils) is not installed");
        }
        present
    }

    fn sample() -> Tree {
        let mut tree = Tree::new();
        tree.add_file("/bin/tool", "#!/bin/sh\n", Attributes::new(0o4755)).unwrap();
        tree.add_file("/large", vec![7; 100_000], Attributes::new(0o400)).unwrap();
        tree.add_directory("/closed", Attributes::new(0o500)).unwrap();
        tree.add_file("/closed/inside", "x", Attributes::new(0o600)).unwrap();
        tree.add_symlink("/link", "bin/tool").unwrap();
        tree.add_device("/pipe", Kind::Fifo, Attributes::new(0o600)).unwrap();
        tree
    }

    #[test]
    fn both_compressions_are_clean_and_read_back() {
        if !have_tool() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        for compression in [Compression::None, Compression::Lz4hc(9)] {
            let options = ErofsOptions { compression, ..ErofsOptions::new("test") };
            let record = write(&sample(), &options, &image).unwrap();
            assert!(record.version.starts_with("mkfs.erofs "), "{record:?}");
            let report = check_filesystem(&image, ComponentFormat::Erofs).unwrap();
            assert_eq!(report.verdict, Verdict::Clean, "{report:?}");
            let reader = ImageReader::open(&image, ComponentFormat::Erofs).unwrap();
            assert_eq!(reader.read_file("/bin/tool", 100).unwrap(), b"#!/bin/sh\n");
            assert_eq!(reader.read_file("/large", 1 << 20).unwrap(), vec![7; 100_000]);
        }
        assert_eq!(port_content::fs::read_dir(directory.path()).unwrap(), [image], "no staging is left");
    }

    #[test]
    fn order_place_and_file_system_of_the_input_do_not_matter() {
        if !have_tool() {
            return;
        }
        let [image, other] = images_of_two_places(|tree, image| {
            write(tree, &ErofsOptions::new("x"), image).unwrap();
        });
        assert!(image == other);
        assert!(image.len() > 60 * 4096, "every file has a block of its own, apart from the inodes");
    }

    #[test]
    fn what_needs_root_is_refused_and_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let device = (Kind::CharDevice { major: 1, minor: 3 }, Attributes::new(0o666));
        let owned = (Kind::File("x".into()), Attributes::new(0o644).owner(1, 0));
        let labelled = (Kind::File("x".into()), Attributes::new(0o644).xattr("user.a", "1"));
        for (kind, attributes) in [device, owned, labelled] {
            let mut tree = Tree::new();
            tree.add_device("/x", kind, attributes).unwrap();
            if have_tool() {
                let error = write(&tree, &ErofsOptions::new("x"), &image).unwrap_err();
                assert!(matches!(error, ImageError::NotRepresentable { format: "erofs", .. }), "{error}");
            }
        }
        assert!(fs::read_dir(directory.path()).unwrap().is_empty());
    }
}
