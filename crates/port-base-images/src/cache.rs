//! What lies in the cache: listing bundles, and whether one may be handed out (acceptance S-92 … S-97, S-100).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use port_content::{fs, hashing};
use port_model::Digest;
use port_store::Store;

use crate::options::Scrutiny;
use crate::record::BaseImage;

/// What is wrong with a file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Its manifest is there, and cannot be read or is torn. It is no bundle then, and nothing deletes it (acceptance S-27).
    #[error("its `manifest.json` cannot be used: {reason}")]
    Manifest {
        /// Why not.
        reason: String,
    },
    /// A file lies outside the bundle.
    #[error("a file lies outside the bundle")]
    Outside,
    /// The manifest has no checksum or no size.
    #[error("the manifest has no checksum or no size of the {label}")]
    Unrecorded {
        /// `kernel` or `rootfs`.
        label: &'static str,
    },
    /// No regular file is there, or it cannot be read.
    #[error("the {label} cannot be read")]
    Unreadable {
        /// `kernel` or `rootfs`.
        label: &'static str,
    },
    /// It has another size.
    #[error("the {label} has another size: expected {expected} bytes, found {found}")]
    Size {
        /// `kernel` or `rootfs`.
        label: &'static str,
        /// As recorded.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// It has another digest.
    #[error("the {label} has another SHA-256: expected {expected}, found {found}")]
    Digest {
        /// `kernel` or `rootfs`.
        label: &'static str,
        /// As recorded.
        expected: String,
        /// What there is.
        found: String,
    },
}

/// Every bundle of a cache, the one that was handed out last first. A cache that cannot be read has none. Blocks.
pub fn list(cache: &Path) -> Vec<BaseImage> {
    let mut bundles: Vec<BaseImage> =
        directories(cache).filter_map(|directory| BaseImage::read(&directory)).collect();
    // Equal times are in the order of the directories, so that two lists of one cache are the same.
    bundles.sort_by_key(|bundle| std::cmp::Reverse(last_access(bundle)));
    bundles
}

/// The directories that have a manifest which cannot be used, with the reason, by name. Blocks.
pub(crate) fn torn(cache: &Path) -> Vec<(PathBuf, Flaw)> {
    let flaw = |directory: PathBuf| {
        let reason = BaseImage::try_read(&directory).err()?;
        Some((directory, Flaw::Manifest { reason }))
    };
    directories(cache).filter_map(flaw).collect()
}

/// What may be a bundle. What begins with a dot is none: locks, the store, and what a killed process was preparing.
fn directories(cache: &Path) -> impl Iterator<Item = PathBuf> {
    let hidden =
        |path: &PathBuf| path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    fs::read_dir(cache).unwrap_or_default().into_iter().filter(move |path| !hidden(path))
}

/// A time that cannot be read is long ago.
fn last_access(bundle: &BaseImage) -> jiff::Timestamp {
    bundle.last_accessed_at.parse().unwrap_or(jiff::Timestamp::MIN)
}

/// Checks a bundle's files. Reads all of them where they are not known, or where nothing is believed.
pub(crate) fn check(store: &Store, bundle: &BaseImage, scrutiny: Scrutiny) -> Result<(), Flaw> {
    match scrutiny {
        Scrutiny::Known => {
            check_with(store, bundle, |path| store.digest_of_file(path).ok().map(|(digest, _)| digest))
        }
        Scrutiny::Paranoid => check_all(store, bundle, &|_| ()),
    }
}

/// Reads every byte, and says how far it got.
pub(crate) fn check_all(store: &Store, bundle: &BaseImage, advance: &dyn Fn(u64)) -> Result<(), Flaw> {
    check_with(store, bundle, |path| {
        let (file, _) = fs::open_regular(path).ok()?;
        hashing::digest_reader(&mut Watched { file, advance }).ok().map(|(digest, _)| digest)
    })
}

fn check_with(
    store: &Store,
    bundle: &BaseImage,
    digest_of: impl Fn(&Path) -> Option<Digest>,
) -> Result<(), Flaw> {
    if !bundle.is_contained() {
        return Err(Flaw::Outside);
    }
    for file in files(bundle) {
        check_file(store, &file, &digest_of)?;
    }
    Ok(())
}

/// A file that says how much of it was read.
struct Watched<'a> {
    file: File,
    advance: &'a dyn Fn(u64),
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        if count > 0 {
            (self.advance)(count as u64);
        }
        Ok(count)
    }
}

/// One recorded file.
pub(crate) struct Recorded<'a> {
    pub(crate) label: &'static str,
    pub(crate) path: &'a PathBuf,
    pub(crate) checksum: Option<&'a String>,
    pub(crate) size: Option<u64>,
}

/// The two files of a bundle.
pub(crate) fn files(bundle: &BaseImage) -> [Recorded<'_>; 2] {
    let (sums, sizes) = (&bundle.checksums, &bundle.sizes);
    [
        Recorded {
            label: "kernel",
            path: &bundle.kernel_image_path,
            checksum: sums.kernel.as_ref(),
            size: sizes.kernel,
        },
        Recorded {
            label: "rootfs",
            path: &bundle.rootfs_path,
            checksum: sums.rootfs.as_ref(),
            size: sizes.rootfs,
        },
    ]
}

fn check_file(
    store: &Store,
    file: &Recorded<'_>,
    digest_of: impl Fn(&Path) -> Option<Digest>,
) -> Result<(), Flaw> {
    let label = file.label;
    let (Some(checksum), Some(expected)) = (file.checksum, file.size) else {
        return Err(Flaw::Unrecorded { label });
    };
    let unreadable = Flaw::Unreadable { label };
    // A link would lead out of the bundle.
    let metadata = fs::symlink_metadata(file.path).map_err(|_| unreadable.clone())?;
    if !metadata.is_file() {
        return Err(unreadable);
    }
    if metadata.len() != expected {
        return Err(Flaw::Size { label, expected, found: metadata.len() });
    }
    let found = digest_of(file.path).ok_or(unreadable)?;
    if found.hex().eq_ignore_ascii_case(checksum) {
        return Ok(());
    }
    // What is wrong in the bundle may be wrong in the store, too: both may be one file on the disk.
    if let Ok(digest) = Digest::from_sha256_hex(checksum) {
        let _ = store.check_blob(&digest);
    }
    Err(Flaw::Digest { label, expected: checksum.clone(), found: found.hex().to_owned() })
}
