//! EROFS: `dump.erofs` says where a file is; an uncompressed one is read there, from any other the tool
//! `fsck.erofs` extracts the whole image into a scratch directory.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use port_content::fs::{self, Context as _};

use super::{Found, quotable};
use crate::check::FSCK_EROFS;
use crate::error::ImageError;
use crate::tool::{Tool, path_argument};
use crate::tree::TreePath;

/// Describes EROFS.
const DUMP_EROFS: Tool = Tool::new("dump.erofs", "erofs-utils");
/// The data layout "flat, not inline": the file is one run of blocks.
const FLAT_PLAIN: &str = "0";

pub(super) fn find(image: &Path, path: &TreePath) -> Result<Found, ImageError> {
    let Some(text) = describe(image, path)? else { return Ok(Found::Nothing) };
    if !text.lines().any(|line| line.starts_with("Size:") && line.ends_with("regular file")) {
        return Ok(Found::Other);
    }
    let size = field(&text, "Size:").and_then(|size| size.parse().ok());
    size.map(Found::File).ok_or_else(|| malformed(&text))
}

pub(super) fn read(image: &Path, path: &TreePath, size: u64) -> Result<Vec<u8>, ImageError> {
    let Some(text) = describe(image, path)? else { return Err(malformed("nothing")) };
    if size == 0 {
        return Ok(Vec::new());
    }
    if field(&text, "Layout:") == Some(FLAT_PLAIN)
        && let Some(offset) = physical_offset(&text)
    {
        let (file, metadata) = fs::open_regular(image)?;
        if offset.checked_add(size).is_none_or(|end| end > metadata.len()) {
            return Err(malformed(&format!("{size} bytes at {offset}, behind the end")));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_exact_at(&mut bytes, offset).context("read", image)?;
        return Ok(bytes);
    }
    extracted(image, path, size)
}

/// What the tool says about a path; `None` where the image does not have it.
fn describe(image: &Path, path: &TreePath) -> Result<Option<String>, ImageError> {
    let command = DUMP_EROFS.command().arg("-e").arg(format!("--path={}", quotable(path)?));
    let output = command.arg(path_argument(image)).run()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.lines().any(|line| line.starts_with("NID:")) {
        return Ok(Some(text));
    }
    // The tool ends with 0 whatever it found, so only its words tell "not there" from "not readable".
    let is_absent = output.stderr.contains("read inode failed");
    if is_absent { Ok(None) } else { Err(malformed(&output.words())) }
}

/// The physical start of the first extent: `0: 0.. 4096 | 4096 : 8192.. 12288 | 4096`.
fn physical_offset(text: &str) -> Option<u64> {
    let extent = text.lines().find_map(|line| line.trim_start().strip_prefix("0:"))?;
    let physical = extent.split(':').nth(1)?;
    physical.split("..").next()?.trim().parse().ok()
}

fn extracted(image: &Path, path: &TreePath, size: u64) -> Result<Vec<u8>, ImageError> {
    let scratch = tempfile::tempdir().context("create a scratch directory for", image)?;
    let mut extract = std::ffi::OsString::from("--extract=");
    extract.push(scratch.path().join("root"));
    FSCK_EROFS.command().arg(extract).arg("--no-preserve").arg(path_argument(image)).run()?;
    let host = path.below(&scratch.path().join("root"));
    // NOTE: a link inside the image must not lead out of the scratch directory, so none is followed.
    let mut above = host.as_path();
    while let Some(parent) = above.parent().filter(|parent| parent.starts_with(scratch.path())) {
        if fs::symlink_metadata(above)?.is_symlink() {
            return Err(malformed(&format!("a symbolic link on the way to `{path}`")));
        }
        above = parent;
    }
    Ok(fs::read(&host, size)?)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(name).nth(1)?.split_whitespace().next()
}

fn malformed(found: &str) -> ImageError {
    let (expected, found) = ("a description of an inode".to_owned(), found.trim().to_owned());
    ImageError::Malformed { format: "erofs", offset: 0, expected, found }
}
