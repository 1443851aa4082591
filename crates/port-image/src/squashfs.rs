//! Squashfs images by `mksquashfs`, fed a tar stream: exact owners, modes and devices without root.
//!
//! Not representable: a root directory of another owner than root, or with extended attributes; and times
//! that differ from entry to entry, unless the root and the file system have the latest of them, because
//! `mksquashfs` takes the time of a root from nowhere else.
//!
//! Invariant: the image depends on the tree, the options and the version of the tool, which is returned for
//! the build record; not on the host's directory order, clock or number of processors.

use std::path::Path;

use crate::error::ImageError;
use crate::tar_stream;
use crate::tool::{Invocation, Tool, ToolRecord, path_argument};
use crate::tree::{Tree, TreePath};

/// The word for this format in messages.
const FORMAT: &str = "squashfs";
/// The tool that writes it.
pub const MKSQUASHFS: Tool = Tool::new("mksquashfs", "squashfs-tools");

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: what deduplicates best when compressed in transport.
    None,
    /// What every kernel with squashfs reads.
    Gzip,
    /// Fast to read.
    Lz4,
    /// Smallest.
    Xz,
    /// Small and fast to read, at a level from 1 to 22.
    Zstd(u8),
}

/// Everything about the image that does not come from the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SquashfsOptions {
    /// How blocks are compressed.
    pub compression: Compression,
    /// Bytes of a data block: a power of two from 4096 to 1 MiB.
    pub block_size: u32,
    /// Creation time of the file system, in seconds since 1970.
    pub timestamp: u32,
}

impl Default for SquashfsOptions {
    /// zstd at the tool's own default level 15, blocks of 128 KiB, time 0.
    fn default() -> Self {
        Self { compression: Compression::Zstd(15), block_size: 128 * 1024, timestamp: 0 }
    }
}

/// Writes the tree to `image`, replacing what is there.
pub fn write(tree: &Tree, options: &SquashfsOptions, image: &Path) -> Result<ToolRecord, ImageError> {
    validate(tree, options)?;
    let version = MKSQUASHFS.version(&["-version"])?;
    let block_size = options.block_size.to_string();
    let mut command = MKSQUASHFS.command().arg("-").arg(path_argument(image));
    command = command.args(["-tar", "-noappend", "-no-progress", "-quiet", "-reproducible"]);
    command = command.args(["-b", &block_size]).args(compression_arguments(options.compression));
    if let Some(root) = tree.get("/") {
        command = command.arg("-root-mode").arg(format!("{:o}", root.attributes.mode));
    }
    command = with_times(command, tree, options.timestamp)?;
    command.run_with_input(|stdin| tar_stream::write(tree, stdin))?;
    Ok(ToolRecord { tool: MKSQUASHFS.name, version })
}

fn validate(tree: &Tree, options: &SquashfsOptions) -> Result<(), ImageError> {
    let refuse = |option, expected: &str, found: String| {
        Err(ImageError::Option { format: FORMAT, option, expected: expected.to_owned(), found })
    };
    if !options.block_size.is_power_of_two() || !(4096..=1 << 20).contains(&options.block_size) {
        return refuse("block size", "a power of two from 4096 to 1048576", options.block_size.to_string());
    }
    if let Compression::Zstd(level) = options.compression
        && !(1..=22).contains(&level)
    {
        return refuse("zstd level", "1 to 22", level.to_string());
    }
    let Some(root) = tree.get("/").map(|root| &root.attributes) else { return Ok(()) };
    if !root.xattrs.is_empty() || (root.uid, root.gid) != (0, 0) {
        return Err(not_representable("mksquashfs takes neither its owner nor extended attributes for it"));
    }
    tar_stream::refuse_times(FORMAT, tree)
}

/// A tar stream does not say what time the root has, and the tool would take the clock.
fn with_times(command: Invocation, tree: &Tree, timestamp: u32) -> Result<Invocation, ImageError> {
    let root = tree.get("/").map_or(0, |root| root.attributes.mtime);
    let latest = tree.iter().map(|(_, entry)| entry.attributes.mtime).max().unwrap_or(0);
    if tree.iter().all(|(_, entry)| entry.attributes.mtime == root) {
        let [all, own] = [root.to_string(), timestamp.to_string()];
        return Ok(command.args(["-all-time", &all, "-mkfs-time", &own]));
    }
    if latest > timestamp.into() || root != i64::from(timestamp) {
        return Err(not_representable(
            "times differ from entry to entry, so its time and the file system's must be the latest of them",
        ));
    }
    // The variable sets the file system's time and is an upper bound for all others, the clock included.
    Ok(command.env("SOURCE_DATE_EPOCH", timestamp.to_string()))
}

fn not_representable(reason: &str) -> ImageError {
    ImageError::NotRepresentable { format: FORMAT, path: TreePath::root(), reason: reason.to_owned() }
}

fn compression_arguments(compression: Compression) -> Vec<String> {
    let words: &[&str] = match compression {
        // The compressor is named in the superblock all the same: one that every kernel has.
        Compression::None => &["-comp", "gzip", "-noI", "-noD", "-noF", "-noX"],
        Compression::Gzip => &["-comp", "gzip"],
        Compression::Lz4 => &["-comp", "lz4"],
        Compression::Xz => &["-comp", "xz"],
        Compression::Zstd(_) => &["-comp", "zstd", "-Xcompression-level"],
    };
    let level = if let Compression::Zstd(level) = compression { Some(level.to_string()) } else { None };
    words.iter().map(|word| (*word).to_owned()).chain(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Verdict, check_filesystem};
    use crate::inspect::ImageReader;
    use crate::testing::images_of_two_places;
    use crate::tree::{Attributes, Kind};
    use port_content::atomic;
    use port_model::ComponentFormat;

    fn have_tool() -> bool {
        let present = MKSQUASHFS.version(&["-version"]).is_ok();
        if !present {
            println!("skipped: mksquashfs (package squashfs-tools) is not installed");
        }
        present
    }

    fn sample() -> Tree {
        let mut tree = Tree::new();
        tree.add_directory("/", Attributes::new(0o700)).unwrap();
        tree.add_file("/bin/tool", "#!/bin/sh\n", Attributes::new(0o4755).owner(100_000, 5)).unwrap();
        tree.add_file(format!("/long/{}", "n".repeat(200)), "x", Attributes::new(0o600)).unwrap();
        tree.add_symlink("/link", "t".repeat(150)).unwrap();
        tree.add_device("/dev/null", Kind::CharDevice { major: 1, minor: 3 }, Attributes::new(0o666))
            .unwrap();
        tree
    }

    #[test]
    fn owners_modes_and_devices_are_exact() {
        if !have_tool() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let record = write(&sample(), &SquashfsOptions::default(), &image).unwrap();
        assert!(record.version.contains("mksquashfs version"), "{record:?}");
        let listing = Tool::new("unsquashfs", "squashfs-tools").command().args(["-lln", "-UTC"]).arg(&image);
        let listing = String::from_utf8(listing.run().unwrap().stdout).unwrap();
        let expected = [
            "drwx------ 0/0                      61 1970-01-01 00:00 squashfs-root\n",
            "-rwsr-xr-x 100000/5                 10 1970-01-01 00:00 squashfs-root/bin/tool",
            "-rw------- 0/0                       1 1970-01-01 00:00 squashfs-root/long/nnn",
            "crw-rw-rw- 0/0                   1,  3 1970-01-01 00:00 squashfs-root/dev/null",
            "-> tttttt",
        ];
        for line in expected {
            assert!(listing.contains(line), "{line}: {listing}");
        }
    }

    #[test]
    fn extended_attributes_reach_the_image() {
        use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};
        let directory = tempfile::tempdir().unwrap();
        if !have_tool() || lsetxattr(directory.path(), "user.probe", b"x", XattrFlags::empty()).is_err() {
            println!("skipped: the temporary directory holds no extended attributes to extract to");
            return;
        }
        let mut tree = Tree::new();
        tree.add_file("/x", "x", Attributes::new(0o644).xattr("user.a", b"one\n\0two".as_slice())).unwrap();
        let (image, out) = (directory.path().join("image"), directory.path().join("out"));
        write(&tree, &SquashfsOptions::default(), &image).unwrap();
        let extract = Tool::new("unsquashfs", "squashfs-tools").command().args(["-no-progress", "-d"]);
        extract.arg(&out).arg(&image).run().unwrap();
        let mut value = [0_u8; 100];
        let length = lgetxattr(out.join("x"), "user.a", &mut value).unwrap();
        assert_eq!(&value[..length], b"one\n\0two");
    }

    #[test]
    fn times_are_exact_or_refused() {
        if !have_tool() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let tree = |root: i64, file: i64| {
            let mut tree = Tree::new();
            tree.add_directory("/", Attributes::new(0o755).mtime(root)).unwrap();
            tree.add_file("/x", "x", Attributes::new(0o644).mtime(file)).unwrap();
            tree
        };
        let table = [(0, 0, 86_400, true), (86_400, 86_400, 0, true), (86_400, 0, 86_400, true)];
        let refused = [(0, 86_400, 86_400, false), (86_400, 0, 0, false), (0, 86_400, 0, false)];
        for (root, file, timestamp, good) in table.into_iter().chain(refused) {
            let options = SquashfsOptions { timestamp, ..Default::default() };
            let result = write(&tree(root, file), &options, &image);
            assert_eq!(result.is_ok(), good, "{result:?}");
            if good {
                let list =
                    Tool::new("unsquashfs", "squashfs-tools").command().args(["-lln", "-UTC"]).arg(&image);
                let listing = String::from_utf8(list.run().unwrap().stdout).unwrap();
                let days: Vec<_> = listing.lines().map(|line| line.contains("1970-01-02")).collect();
                assert_eq!(days, [root > 0, file > 0], "{listing}");
            }
        }
    }

    #[test]
    fn order_place_and_file_system_of_the_input_do_not_matter() {
        if !have_tool() {
            return;
        }
        let [image, other] = images_of_two_places(|tree, image| {
            write(tree, &SquashfsOptions::default(), image).unwrap();
        });
        assert!(image == other);
    }

    #[test]
    fn every_compression_is_clean_and_reads_back() {
        if !have_tool() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        for compression in [Compression::None, Compression::Gzip, Compression::Xz, Compression::Zstd(3)] {
            write(&sample(), &SquashfsOptions { compression, ..Default::default() }, &image).unwrap();
            let report = check_filesystem(&image, ComponentFormat::Squashfs).unwrap();
            assert_eq!(report.verdict, Verdict::Clean, "{report:?}");
            let reader = ImageReader::open(&image, ComponentFormat::Squashfs).unwrap();
            assert_eq!(reader.read_file("/bin/tool", 100).unwrap(), b"#!/bin/sh\n");
        }
    }

    #[test]
    fn options_and_sources_are_checked() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        for bad in [
            SquashfsOptions { block_size: 5000, ..Default::default() },
            SquashfsOptions { compression: Compression::Zstd(23), ..Default::default() },
        ] {
            assert!(matches!(write(&sample(), &bad, &image), Err(ImageError::Option { .. })));
        }
        let mut tree = Tree::new();
        tree.add_file("/x", "x", Attributes::new(0o644).mtime(-1)).unwrap();
        let error = write(&tree, &SquashfsOptions::default(), &image).unwrap_err();
        assert!(matches!(error, ImageError::NotRepresentable { .. }), "{error}");
        let source = directory.path().join("source");
        atomic::write(&source, b"one").unwrap();
        let mut tree = Tree::new();
        tree.add_host_file("/x", &source, Attributes::new(0o644)).unwrap();
        atomic::write(&source, b"three").unwrap();
        if have_tool() {
            let error = write(&tree, &SquashfsOptions::default(), &image).unwrap_err();
            assert!(matches!(error, ImageError::Tool(crate::ToolError::Input { .. })), "{error}");
        }
    }
}
