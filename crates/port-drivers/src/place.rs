//! Places in a root that may be anybody's: made where they are missing, and never behind a link, which could lead out of it.

use std::path::{Component, Path, PathBuf};

use port_content::fs;

use crate::error::DriverError;

/// What a place is made as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

/// A place in the root, made where it is not there; a link on the way to it is refused.
pub(crate) fn place(root: &Path, inside: &Path, kind: Kind) -> Result<PathBuf, DriverError> {
    let mut path = root.to_owned();
    let mut parts = inside.components().filter(|part| matches!(part, Component::Normal(_))).peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_symlink() => {
                return Err(DriverError::Linked { place: inside.to_owned() });
            }
            Ok(_) => {}
            Err(error) if !error.is_not_found() => return Err(error.into()),
            Err(_) if parts.peek().is_none() && kind == Kind::File => drop(fs::create_new(&path)?),
            Err(_) => fs::create_dir_all(&path)?,
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_of_a_root_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(&root).unwrap();
        fs::symlink(Path::new("/etc"), &root.join("tmp")).unwrap();
        for inside in ["/tmp", "/tmp/x"] {
            let error = place(&root, Path::new(inside), Kind::Directory).unwrap_err();
            assert!(error.to_string().contains("is a link"), "{error}");
        }
        let made = place(&root, Path::new("/a/b/file"), Kind::File).unwrap();
        assert!(fs::metadata(&made).unwrap().is_file() && made.starts_with(&root));
        assert_eq!(place(&root, Path::new("/a/b/file"), Kind::File).unwrap(), made);
    }
}
