//! Is this image what it says it is, and sound? By magic numbers and by the formats' own checkers.
//!
//! Read-only, without mounting and without root. A damaged image is a finding, not an error: errors are for
//! images that cannot be looked at.

use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::read::GzDecoder;
use port_content::fs;
use port_model::ComponentFormat;

use crate::cpio;
use crate::error::ImageError;
use crate::tool::{Invocation, Tool, path_argument};

/// Checks ext4.
pub const E2FSCK: Tool = Tool::new("e2fsck", "e2fsprogs");
/// Lists squashfs.
pub const UNSQUASHFS: Tool = Tool::new("unsquashfs", "squashfs-tools");
/// Checks EROFS.
pub const FSCK_EROFS: Tool = Tool::new("fsck.erofs", "erofs-utils");

/// How much of a file is looked at for magic numbers, in bytes.
const HEAD: u64 = 4096;
/// How much of a listing is read, in bytes: some million entries.
const LISTING_LIMIT: u64 = 256 << 20;
/// The most entries that an initial RAM disk may have to be checked.
const ENTRY_LIMIT: usize = 1_000_000;

/// How many of a checker's last lines a report keeps.
const WORDS_KEPT: usize = 40;

/// Where a format's magic number is.
const MAGIC: [(u64, &[u8], ComponentFormat); 6] = [
    (1080, &[0x53, 0xef], ComponentFormat::Ext4),
    (0, b"hsqs", ComponentFormat::Squashfs),
    (1024, &[0xe2, 0xe1, 0xf5, 0xe0], ComponentFormat::Erofs),
    (0, b"\x7fELF", ComponentFormat::Vmlinux),
    (0x202, b"HdrS", ComponentFormat::BzImage),
    (56, b"ARM\x64", ComponentFormat::Image),
];

/// What a checker found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to complain about.
    Clean,
    /// The image has errors.
    Damaged,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// What was checked as.
    pub format: ComponentFormat,
    /// The checker: an external tool with its arguments, or Port itself.
    pub checker: String,
    /// What it found.
    pub verdict: Verdict,
    /// Its last lines.
    pub words: String,
}

impl CheckReport {
    /// Whether there is nothing to complain about.
    pub fn is_clean(&self) -> bool {
        self.verdict == Verdict::Clean
    }
}

/// The format of a file by its magic numbers; `None` for one that Port does not know.
pub fn detect_format(path: &Path) -> Result<Option<ComponentFormat>, ImageError> {
    let (file, metadata) = fs::open_regular(path)?;
    let mut head = vec![0; usize::try_from(metadata.len().min(HEAD)).unwrap_or_default()];
    file.read_exact_at(&mut head, 0).map_err(ImageError::read("image"))?;
    let found = MAGIC.into_iter().find(|(offset, magic, _)| {
        let start = usize::try_from(*offset).unwrap_or(usize::MAX);
        head.get(start..).is_some_and(|rest| rest.starts_with(magic))
    });
    if let Some((_, _, format)) = found {
        return Ok(Some(format));
    }
    Ok(is_cpio_gz(&head).then_some(ComponentFormat::CpioGz))
}

/// Whether the head of a gzip stream unpacks to the head of a newc archive.
fn is_cpio_gz(head: &[u8]) -> bool {
    let mut magic = [0; 6];
    GzDecoder::new(head).read_exact(&mut magic).is_ok() && &magic == b"070701"
}

/// Checks an image without changing it.
///
/// ext4 by `e2fsck -fn`, EROFS by `fsck.erofs`, cpio by reading it to its end; for squashfs, which has no
/// checker, `unsquashfs` reads all metadata.
pub fn check_filesystem(path: &Path, format: ComponentFormat) -> Result<CheckReport, ImageError> {
    // So that an absent image is an error about the image, not a finding of a tool.
    fs::open_regular(path)?;
    let image = path_argument(path);
    match format {
        ComponentFormat::Ext4 => by_tool(E2FSCK.command().arg("-fn").arg(image), format),
        ComponentFormat::Squashfs => {
            let list = UNSQUASHFS.command().args(["-no-progress", "-lln"]).arg(image);
            by_tool(list.stdout_limit(LISTING_LIMIT), format)
        }
        ComponentFormat::Erofs => by_tool(FSCK_EROFS.command().arg("--extract").arg(image), format),
        ComponentFormat::CpioGz => check_cpio(path),
        // Kernels, and whatever has no entries.
        _ => {
            let (image, operation) = (path.to_owned(), "check it as a file system");
            Err(ImageError::Unsupported { image, format, operation })
        }
    }
}

fn by_tool(command: Invocation, format: ComponentFormat) -> Result<CheckReport, ImageError> {
    let checker = command.to_string();
    let output = command.accept_any_status().run()?;
    let verdict = if output.status.success() { Verdict::Clean } else { Verdict::Damaged };
    Ok(CheckReport { format, checker, verdict, words: output.last_lines(WORDS_KEPT) })
}

fn check_cpio(path: &Path) -> Result<CheckReport, ImageError> {
    let (file, _) = fs::open_regular(path)?;
    let (verdict, words) = match cpio::list_gz(&mut std::io::BufReader::new(file), ENTRY_LIMIT) {
        Ok(tree) => (Verdict::Clean, format!("{} entries", tree.len())),
        Err(ImageError::Read { source, .. }) => (Verdict::Damaged, source.to_string()),
        Err(error) => (Verdict::Damaged, error.to_string()),
    };
    Ok(CheckReport { format: ComponentFormat::CpioGz, checker: "port cpio reader".into(), verdict, words })
}

#[cfg(test)]
mod tests {
    use port_content::atomic;

    use super::*;
    use crate::ext4::{self, Ext4Options, ImageSize};
    use crate::tree::{Attributes, Tree};

    fn sample() -> Tree {
        let mut tree = Tree::new();
        tree.add_file("/init", "#!/bin/sh\n", Attributes::new(0o755)).unwrap();
        tree
    }

    #[test]
    fn p_74_a_damaged_image_is_a_finding_with_the_tools_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        let image = fs::create_scratch(&path).unwrap();
        ext4::write(&sample(), &Ext4Options::new(ImageSize::Bytes(1 << 20), "x"), &image).unwrap();
        assert_eq!(detect_format(&path).unwrap(), Some(ComponentFormat::Ext4));
        if E2FSCK.version(&["-V"]).is_err() {
            println!("skipped: e2fsck (package e2fsprogs) is not installed");
            return;
        }
        assert!(check_filesystem(&path, ComponentFormat::Ext4).unwrap().is_clean());
        // The block bitmap of the first group, behind superblock and descriptors.
        image.write_all_at(&[0], 2 * 4096).unwrap();
        let report = check_filesystem(&path, ComponentFormat::Ext4).unwrap();
        assert_eq!(report.verdict, Verdict::Damaged);
        assert!(report.words.contains("Block bitmap differences"), "{report:?}");
        assert!(report.checker.starts_with("e2fsck -fn "), "{report:?}");
    }

    #[test]
    fn formats_are_told_by_their_magic() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut archive = Vec::new();
        cpio::write_gz(&sample(), &mut archive).unwrap();
        let mut table =
            vec![(archive, Some(ComponentFormat::CpioGz)), (b"hello".to_vec(), None), (vec![], None)];
        for (offset, magic, format) in MAGIC {
            table.push(([vec![0; offset as usize], magic.to_vec()].concat(), Some(format)));
        }
        for (bytes, format) in table {
            atomic::write(&path, &bytes).unwrap();
            assert_eq!(detect_format(&path).unwrap(), format);
        }
    }

    #[test]
    fn an_archive_is_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut archive = Vec::new();
        cpio::write_gz(&sample(), &mut archive).unwrap();
        atomic::write(&path, &archive).unwrap();
        let report = check_filesystem(&path, ComponentFormat::CpioGz).unwrap();
        assert_eq!((report.verdict, report.words.as_str()), (Verdict::Clean, "2 entries"));
        let last = archive.len() - 6;
        archive[last] ^= 1;
        atomic::write(&path, &archive).unwrap();
        assert_eq!(check_filesystem(&path, ComponentFormat::CpioGz).unwrap().verdict, Verdict::Damaged);
        assert!(check_filesystem(&path, ComponentFormat::Vmlinux).is_err());
        assert!(check_filesystem(&directory.path().join("absent"), ComponentFormat::Ext4).is_err());
    }
}
