//! Directories of files from which images are made: counted, copied, and changed in one place.

use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::bench::client::{make, remove};
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// Where programs are.
const PROGRAMS: &[&str] = &["usr/bin", "usr/sbin", "bin", "sbin"];
const ELF: &[u8] = b"\x7fELF";
/// Bytes of one file of [`fill`].
const FILLER_BYTES: u64 = 64 << 20;

/// A program that has another version's content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// In the image.
    pub(super) path: String,
    pub(super) size: u64,
}

/// Regular files below `tree`, and their bytes; a file with two names is there twice, as it is in the image.
pub(super) fn count(tree: &Path) -> Outcome<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    let mut pending = vec![tree.to_owned()];
    while let Some(directory) = pending.pop() {
        for path in workspace::entries(&directory)? {
            let metadata = look(&path)?;
            if metadata.is_dir() {
                pending.push(path);
            } else if metadata.is_file() {
                files += 1;
                bytes += metadata.len();
            }
        }
    }
    Ok((files, bytes))
}

/// What of a file is on the disk.
pub(super) fn allocated(path: &Path) -> Outcome<u64> {
    Ok(look(path)?.blocks() * 512)
}

/// A copy of `old` at `copy` with one program of `new`, that of about `size` bytes, and one line more in `settings`.
pub(super) fn with_one_program(
    old: &Path,
    new: &Path,
    copy: &Path,
    size: u64,
    settings: &str,
) -> Outcome<Replaced> {
    let Some((program, _)) = changed_program(old, new, size)? else {
        return Err(Failure::new(
            "no program differs between the two versions of the packages; run: apt-get update",
        ));
    };
    clone(old, copy)?;
    let (from, to) = (new.join(&program), copy.join(&program));
    // Removed first: a program with two names changes under one of them.
    std::fs::remove_file(&to).map_err(|error| Failure::io("remove", &to, &error))?;
    std::fs::copy(&from, &to).map_err(|error| Failure::io("copy", &from, &error))?;
    let file = copy.join(settings);
    let text = workspace::read_text(&file)?;
    workspace::write_text(&file, &format!("{text}# One line more.\n"))?;
    let size = look(&from)?.len();
    Ok(Replaced { path: format!("/{}", program.display()), size })
}

/// Files of numbers that compress by about a quarter, in `tree`; each is the same every time, and no two are alike.
pub(super) fn fill(tree: &Path, files: Range<u64>) -> Outcome {
    let directory = tree.join("var/lib/filler");
    make(&directory)?;
    for index in files {
        let mut state = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < FILLER_BYTES {
            // xorshift; two bits of every byte are the same, so that there is something to find for a compressor.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&(state & 0x3f3f_3f3f_3f3f_3f3f).to_le_bytes());
        }
        let path = directory.join(format!("{index:03}"));
        std::fs::write(&path, bytes).map_err(|error| Failure::io("write", &path, &error))?;
    }
    Ok(())
}

/// A copy of a tree; owners do not matter.
pub(super) fn clone(tree: &Path, copy: &Path) -> Outcome {
    remove(copy)?;
    let mut command = process::program("cp");
    process::read(command.args(["--archive", "--reflink=auto"]).arg(tree).arg(copy)).map(drop)
}

/// The program with another content in `new` whose size is nearest to `size`; of several the first by name.
fn changed_program(old: &Path, new: &Path, size: u64) -> Outcome<Option<(PathBuf, u64)>> {
    let mut best: Option<(PathBuf, u64)> = None;
    for folder in PROGRAMS.iter().filter(|folder| old.join(folder).is_dir()) {
        for path in workspace::entries(&old.join(folder))? {
            let Ok(relative) = path.strip_prefix(old) else { continue };
            let other = new.join(relative);
            let metadata = look(&path)?;
            let nearer = best.as_ref().is_none_or(|(_, distance)| metadata.len().abs_diff(size) < *distance);
            if is_program(&metadata) && nearer && other.is_file() && differ(&path, &other)? {
                best = Some((relative.to_owned(), metadata.len().abs_diff(size)));
            }
        }
    }
    Ok(best)
}

fn is_program(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

fn differ(a: &Path, b: &Path) -> Outcome<bool> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| Failure::io("read", path, &error));
    let (a, b) = (read(a)?, read(b)?);
    Ok(a.starts_with(ELF) && a != b)
}

fn look(path: &Path) -> Outcome<Metadata> {
    std::fs::symlink_metadata(path).map_err(|error| Failure::io("look at", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &Path, content: &str, mode: u32) {
        workspace::write_text(path, &format!("\u{7f}ELF{content}")).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_changed_program_nearest_in_size_is_replaced() {
        let root = std::env::temp_dir().join(format!("port-xtask-tree-{}", std::process::id()));
        let [old, new, copy] = ["old", "new", "copy"].map(|name| root.join(name));
        for (tree, word) in [(&old, "one"), (&new, "two")] {
            program(&tree.join("usr/bin/small"), word, 0o755);
            program(&tree.join("usr/bin/near"), &word.repeat(10), 0o755);
            program(&tree.join("usr/bin/same"), &"x".repeat(40), 0o755);
            program(&tree.join("usr/bin/text"), &word.repeat(13), 0o644);
            workspace::write_text(&tree.join("etc/settings"), "a\n").unwrap();
        }
        let replaced = with_one_program(&old, &new, &copy, 44, "etc/settings").unwrap();
        assert_eq!(replaced, Replaced { path: "/usr/bin/near".to_owned(), size: 34 });
        let of = |path: &str| workspace::read_text(&copy.join(path)).unwrap();
        assert!(of("usr/bin/near").ends_with("twotwo") && of("usr/bin/small").ends_with("one"));
        assert_eq!(of("etc/settings"), "a\n# One line more.\n");
        assert_eq!(count(&copy).unwrap().0, 5);
        assert!(with_one_program(&old, &old, &copy, 44, "etc/settings").is_err());
        remove(&root).unwrap();
    }
}
