//! ext4 by `debugfs`, one request at a time (acceptance P-75).

use std::path::Path;

use super::{Found, quotable};
use crate::error::ImageError;
use crate::tool::{Tool, ToolOutput, path_argument};
use crate::tree::TreePath;

/// Reads ext4.
const DEBUGFS: Tool = Tool::new("debugfs", "e2fsprogs");
/// How much a description of an inode may say, in bytes: it lists every extent.
const STAT_LIMIT: u64 = 16 << 20;

pub(super) fn find(image: &Path, path: &TreePath) -> Result<Found, ImageError> {
    let output = request(image, "stat", path, STAT_LIMIT)?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.starts_with("Inode: ") {
        // debugfs ends with 0 whatever it found, so only its words tell "not there" from "not readable".
        if ["File not found", "is not a directory"].iter().any(|words| output.stderr.contains(words)) {
            return Ok(Found::Nothing);
        }
        return Err(malformed(path, &output.words()));
    }
    if field(&text, "Type:") != Some("regular") {
        return Ok(Found::Other);
    }
    let size = field(&text, "Size:").and_then(|size| size.parse().ok());
    size.map(Found::File).ok_or_else(|| malformed(path, &text))
}

pub(super) fn read(image: &Path, path: &TreePath, size: u64) -> Result<Vec<u8>, ImageError> {
    Ok(request(image, "cat", path, size)?.stdout)
}

fn request(image: &Path, verb: &str, path: &TreePath, limit: u64) -> Result<ToolOutput, ImageError> {
    let request = format!("{verb} \"{}\"", quotable(path)?);
    let command = DEBUGFS.command().arg("-R").arg(request).arg(path_argument(image));
    Ok(command.env("DEBUGFS_PAGER", "__none__").stdout_limit(limit).run()?)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(name).nth(1)?.split_whitespace().next()
}

fn malformed(path: &TreePath, found: &str) -> ImageError {
    let (expected, found) = (format!("an inode for `{path}`"), found.trim().to_owned());
    ImageError::Malformed { format: "ext4", offset: 0, expected, found }
}
