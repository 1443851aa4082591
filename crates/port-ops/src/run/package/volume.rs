//! A package's volumes: directories of the host that the unikernel reads by 9p (acceptance Ku-32).
//!
//! Not here: who shares them, and whether it can (the VMM). Invariant: what is written into the boot arguments ends no word and no
//! field of the unikernel's list of mounts; what is read-only is so by the host's doing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use port_content::{FsError, fs};
use port_runtime::{Share, ShareWay};

/// Words that are no volume, and volumes that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Not a directory and a place.
    #[error(
        "`{0}` is no volume: expected `DIRECTORY:PATH[:ro]`, or `DIRECTORY:TAG[:ro]` for a guest that mounts it itself"
    )]
    Form(String),
    /// A path that unikernels cannot be told.
    #[error(
        "`{found}` cannot be told to a unikernel: expected an absolute path without spaces, quotes, `\\`, `,` and `]`"
    )]
    Path {
        /// The path in the guest.
        found: String,
    },
    /// A tag of other letters.
    #[error("`{found}` is no tag: expected 1 to 20 lower case letters, digits and `-`")]
    Tag {
        /// As given.
        found: String,
    },
    /// Two of one name.
    #[error("two volumes are called `{tag}`: expected another tag for `{directory}`", directory = directory.display())]
    Twice {
        /// In the guest.
        tag: String,
        /// The second one.
        directory: PathBuf,
    },
    /// Something else.
    #[error("`{path}` is no directory: expected one to share", path = path.display())]
    NoDirectory {
        /// On the host.
        path: PathBuf,
    },
    /// It cannot be looked at.
    #[error(transparent)]
    Files(#[from] FsError),
}

/// A directory of the host for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    directory: PathBuf,
    place: Place,
    read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The unikernel mounts it there at its start.
    Path(String),
    /// The guest's program mounts it.
    Tag(String),
}

impl FromStr for Volume {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, VolumeError> {
        let form = || VolumeError::Form(text.to_owned());
        let (volume, read_only) = match text.strip_suffix(":ro") {
            Some(volume) => (volume, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (directory, place) = volume.rsplit_once(':').ok_or_else(form)?;
        if directory.is_empty() || place.is_empty() {
            return Err(form());
        }
        Ok(Self { directory: directory.into(), place: place.parse()?, read_only })
    }
}

impl FromStr for Place {
    type Err = VolumeError;

    fn from_str(text: &str) -> Result<Self, VolumeError> {
        let found = || text.to_owned();
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'\\,]".contains(c);
        if text.starts_with('/') {
            return if text.chars().all(plain) {
                Ok(Self::Path(found()))
            } else {
                Err(VolumeError::Path { found: found() })
            };
        }
        let of_tag = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=20).contains(&text.len()) && text.bytes().all(of_tag) {
            return Ok(Self::Tag(found()));
        }
        Err(VolumeError::Tag { found: found() })
    }
}

/// What the VMM shares, and the unikernel's boot argument, where it is to mount some: as kraft numbers and writes them.
pub(super) fn shares(volumes: &[Volume]) -> Result<(Vec<Share>, Option<String>), VolumeError> {
    let (mut shares, mut mounts, mut tags) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, volume) in (1..).zip(volumes) {
        let tag = match &volume.place {
            Place::Tag(tag) => tag.clone(),
            Place::Path(path) => {
                mounts.push(format!("\"fs{number}:{path}:9pfs:::mkmp\""));
                format!("fs{number}")
            }
        };
        if !tags.insert(tag.clone()) {
            return Err(VolumeError::Twice { tag, directory: volume.directory.clone() });
        }
        let path = fs::canonicalize(&volume.directory)?;
        if !fs::metadata(&path)?.is_dir() {
            return Err(VolumeError::NoDirectory { path: volume.directory.clone() });
        }
        shares.push(Share { tag, path, way: ShareWay::NineP { read_only: volume.read_only } });
    }
    let argument = (!mounts.is_empty()).then(|| format!("vfs.fstab=[ {} ]", mounts.join(" ")));
    Ok((shares, argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ku_32_volumes_are_shared_and_said_as_kraft_says_them() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().canonicalize().unwrap();
        port_content::atomic::write(&own.join("a:b/file"), b"x").unwrap();
        let volumes = |texts: &[&str]| -> Vec<Volume> {
            texts.iter().map(|text| format!("{}{text}", own.display()).parse().unwrap()).collect()
        };
        let (found, argument) = shares(&volumes(&[":/srv", "/a:b:/etc/x:ro", ":data:rw"])).unwrap();
        let share = |tag: &str, path: &str, read_only| Share {
            tag: tag.to_owned(),
            path: format!("{}{path}", own.display()).into(),
            way: ShareWay::NineP { read_only },
        };
        assert_eq!(found, [share("fs1", "", false), share("fs2", "/a:b", true), share("data", "", false)]);
        let expected = r#"vfs.fstab=[ "fs1:/srv:9pfs:::mkmp" "fs2:/etc/x:9pfs:::mkmp" ]"#;
        assert_eq!(argument.as_deref(), Some(expected));
        assert_eq!(shares(&volumes(&[":data"])).unwrap().1, None, "the guest's own affair");
        for (texts, expected) in [
            (&[":a", ":a:ro"][..], "two volumes are called `a`"),
            (&[":/srv", ":fs1"], "two volumes are called `fs1`"),
            (&["/a:b/file:/srv"], "is no directory: expected one to share"),
            (&["/absent:/srv"], "/absent`"),
        ] {
            let error = shares(&volumes(texts)).unwrap_err().to_string();
            assert!(error.contains(expected), "{texts:?}: {error}");
        }
    }

    #[test]
    fn ku_32_what_is_no_volume_is_refused() {
        for (text, expected) in [
            ("", "`` is no volume"),
            ("/srv", "expected `DIRECTORY:PATH[:ro]`"),
            (":/srv", "is no volume"),
            ("/srv:", "is no volume"),
            ("/srv:ro", "is no volume"),
            ("/srv:/a b", "`/a b` cannot be told to a unikernel"),
            ("/srv:/a\"b", "cannot be told"),
            ("/srv:/a]", "cannot be told"),
            ("/srv:srv/x", "`srv/x` is no tag: expected 1 to 20 lower case letters"),
            ("/srv:a-tag-of-so-many-letters", "is no tag"),
        ] {
            let error = text.parse::<Volume>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
