//! squashfs by `unsquashfs`, with wildcards off.

use std::path::Path;

use super::{Found, quotable};
use crate::check::UNSQUASHFS;
use crate::error::ImageError;
use crate::tool::{Invocation, path_argument};
use crate::tree::TreePath;

/// What `unsquashfs` calls the root in listings.
const ROOT: &str = "squashfs-root";
/// How much a listing may say, in bytes: a path that is a directory lists all that is in it.
const LISTING_LIMIT: u64 = 256 << 20;

pub(super) fn find(image: &Path, path: &TreePath) -> Result<Found, ImageError> {
    if path.is_root() {
        // The tool takes no `/`; every image that it can open has a root.
        command().arg("-s").arg(path_argument(image)).run()?;
        return Ok(Found::Other);
    }
    let name = format!("{ROOT}{}", quotable(path)?);
    let command = command().args(["-no-progress", "-lln"]).arg(path_argument(image));
    let output = command.arg(quotable(path)?).stdout_limit(LISTING_LIMIT).run()?;
    // mode owner size date time name [-> target]
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| is_about(line, &name));
    Ok(match line {
        None => Found::Nothing,
        Some(line) if line.starts_with('-') => {
            let size = line.split_whitespace().nth(2).and_then(|size| size.parse().ok());
            size.map_or(Found::Other, Found::File)
        }
        Some(_) => Found::Other,
    })
}

fn is_about(line: &str, name: &str) -> bool {
    let listed = line.find(ROOT).and_then(|start| line.get(start..)).unwrap_or_default();
    listed == name || (line.starts_with('l') && listed.starts_with(&format!("{name} -> ")))
}

pub(super) fn read(image: &Path, path: &TreePath, size: u64) -> Result<Vec<u8>, ImageError> {
    let command = command().arg("-cat").arg(path_argument(image)).arg(quotable(path)?);
    Ok(command.stdout_limit(size).run()?.stdout)
}

fn command() -> Invocation {
    UNSQUASHFS.command().arg("-no-wildcards")
}
