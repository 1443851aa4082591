//! `manifest.json` of a bundle: what it is, where it came from, what its files measured (acceptance S-11, S-20 … S-23, S-98).
//!
//! Paths are written absolute, and read as what lies in the directory that the manifest was found in: a cache may be moved
//! (acceptance S-32, C-31).

use std::path::{Path, PathBuf};

use port_content::{FsError, atomic, fs, limit};
use port_model::{Architecture, Digest};
use serde::{Deserialize, Serialize};

use crate::artifact_name;
use crate::bundle_id::BundleId;
use crate::error::PrepareProblem;
use crate::preset::{Preset, RootfsType};

/// The name of a bundle's manifest in its directory.
pub(crate) const MANIFEST_NAME: &str = "manifest.json";

/// A bundle, as it is recorded and reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseImage {
    /// Which preset it was made for.
    pub preset: Preset,
    /// Which architecture it boots on.
    pub arch: Architecture,
    /// The CI line, or `hosted`.
    pub ci_version: String,
    /// The Firecracker release that it goes with.
    pub firecracker_version: String,
    /// Its name.
    pub bundle_id: BundleId,
    /// Its directory.
    pub bundle_dir: PathBuf,
    /// The kernel.
    pub kernel_image_path: PathBuf,
    /// The root file system.
    pub rootfs_path: PathBuf,
    /// What the root is.
    pub rootfs_type: RootfsType,
    /// Whether a machine gets the root read-only.
    pub rootfs_is_read_only: bool,
    /// What the kernel is booted with.
    pub boot_args: String,
    /// Where it came from.
    pub source: Source,
    /// SHA-256 of both files in lower-case hex, as measured.
    #[serde(default)]
    pub checksums: PerFile<String>,
    /// Sizes of both files in bytes, as measured.
    #[serde(default)]
    pub sizes: PerFile<u64>,
    /// When it was made, in ISO 8601, UTC.
    pub created_at: String,
    /// When it was last handed out.
    pub last_accessed_at: String,
}

/// One value for each of the two files. A bundle that lacks one is never handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerFile<T> {
    /// The kernel's.
    pub kernel: Option<T>,
    /// The root's.
    pub rootfs: Option<T>,
}

impl<T> Default for PerFile<T> {
    fn default() -> Self {
        Self { kernel: None, rootfs: None }
    }
}

/// Where a bundle came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Source {
    /// The Firecracker CI bucket, or a mirror of it (acceptance S-42).
    FirecrackerCi {
        /// The bucket's URL.
        bucket_url: String,
        /// The kernel's key.
        kernel_key: String,
        /// The root's key.
        rootfs_key: String,
    },
    /// A hosted manifest (acceptance S-67).
    HostedManifest {
        /// Its URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest_url: Option<String>,
        /// Its path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        manifest_path: Option<PathBuf>,
        /// The kernel's URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel_url: Option<String>,
        /// The root's URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rootfs_url: Option<String>,
        /// The kernel's path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kernel_source_path: Option<PathBuf>,
        /// The root's path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rootfs_source_path: Option<PathBuf>,
    },
    /// A registry.
    Registry {
        /// The reference.
        reference: String,
        /// What it resolved to.
        manifest_digest: Digest,
    },
}

impl BaseImage {
    /// Reads the bundle in a directory; `None` where there is no readable manifest.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        Self::try_read(directory).ok().flatten()
    }

    /// Reads the bundle in a directory; `None` where there is no manifest.
    ///
    /// # Errors
    /// In words, where one is there and cannot be read, or is torn.
    pub(crate) fn try_read(directory: &Path) -> Result<Option<Self>, String> {
        let path = directory.join(MANIFEST_NAME);
        let bytes = match fs::read(&path, limit::RECORD) {
            Ok(bytes) => bytes,
            // Also where the directory is a file, which no bundle is.
            Err(_) if fs::symlink_metadata(&path).is_err_and(|error| is_absent(&error)) => return Ok(None),
            Err(error) => return Err(error.source.to_string()),
        };
        let recorded: Self = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        Ok(Some(recorded.rebased(directory)))
    }

    /// The same bundle in the directory that it was found in, whose name is its id: locks are by directory, and a copy of a bundle
    /// is another one. Paths that were recorded outside their bundle stay as they are, and [`BaseImage::is_contained`] says so.
    fn rebased(self, directory: &Path) -> Self {
        let found = |path: &Path| {
            let relative = path.strip_prefix(&self.bundle_dir).unwrap_or(path);
            artifact_name::inside(directory, relative).unwrap_or_else(|| path.to_owned())
        };
        let (kernel_image_path, rootfs_path) = (found(&self.kernel_image_path), found(&self.rootfs_path));
        let name = directory.file_name().and_then(std::ffi::OsStr::to_str);
        let bundle_id = name.and_then(|name| name.parse().ok()).unwrap_or(self.bundle_id);
        Self { bundle_id, bundle_dir: directory.to_owned(), kernel_image_path, rootfs_path, ..self }
    }

    /// Whether both files lie inside the bundle (acceptance S-93).
    pub(crate) fn is_contained(&self) -> bool {
        let inside = |path: &Path| {
            artifact_name::inside(&self.bundle_dir, path).is_some_and(|path| path != self.bundle_dir)
        };
        inside(&self.kernel_image_path) && inside(&self.rootfs_path)
    }

    /// Writes the manifest into a directory, which may be another one than the bundle's: it is prepared beside its place.
    /// The directory is made where it is missing (acceptance S-99).
    pub(crate) fn write(&self, directory: &Path) -> Result<(), PrepareProblem> {
        Ok(atomic::write(&directory.join(MANIFEST_NAME), &self.to_bytes()?)?)
    }

    /// Writes it in place without waiting for the disk: only its last access changed, and a manifest that a power cut tore is a
    /// miss, which costs no download while the store holds the files.
    pub(crate) fn touch(&self) -> Result<(), PrepareProblem> {
        let path = self.bundle_dir.join(MANIFEST_NAME);
        let bytes = self.to_bytes()?;
        let mut file = atomic::AtomicFile::create(&path)?;
        let written = std::io::Write::write_all(&mut file, &bytes);
        written.map_err(|source| FsError::new("write", &path, source))?;
        // As it was made: others who may read the cache are served from it, too.
        Ok(file.mode(0o644).commit_unflushed()?)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, PrepareProblem> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(PrepareProblem::Record)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

fn is_absent(error: &FsError) -> bool {
    error.is_not_found() || error.source.kind() == std::io::ErrorKind::NotADirectory
}

#[cfg(test)]
pub(crate) mod tests;
