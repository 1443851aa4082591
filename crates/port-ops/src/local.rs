//! The files of a variant at its local path: the main one, and the companions beside it.

use std::path::PathBuf;

use port_content::fs;
use port_model::{ArtifactClass, ComponentKind, Digest, FileName, INITRD_FILE_NAME};
use port_store::Blob;

use crate::error::OpsError;
use crate::target::Target;
use crate::workspace::Workspace;

/// One local file and its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    pub(crate) kind: ComponentKind,
    pub(crate) name: FileName,
    pub(crate) path: PathBuf,
}

/// A file whose digest was taken from the bytes at `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HashedFile {
    pub(crate) kind: ComponentKind,
    pub(crate) name: FileName,
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl HashedFile {
    /// A local file, hashed where it lies.
    /// A local file, hashed where it lies.
    pub(crate) fn local(workspace: &Workspace, file: LocalFile) -> Result<Self, OpsError> {
        let (digest, size) = workspace.store.digest_of_file(&file.path)?;
        Ok(Self { kind: file.kind, name: file.name, path: file.path, digest, size })
    }

    /// The same, of a file that is about to be published: one that rotted is refused.
    pub(crate) fn to_publish(workspace: &Workspace, file: LocalFile) -> Result<Self, OpsError> {
        let (digest, size) = workspace.store.digest_to_publish(&file.path)?;
        Ok(Self { kind: file.kind, name: file.name, path: file.path, digest, size })
    }

    /// A file's copy in the store.
    pub(crate) fn stored(workspace: &Workspace, kind: ComponentKind, name: FileName, blob: Blob) -> Self {
        let path = workspace.store.blob_path(&blob.digest);
        Self { kind, name, path, digest: blob.digest, size: blob.size }
    }
}

/// The files that are there, the main one first.
///
/// # Errors
/// [`OpsError::NoLocalFile`] without the main file; an absent companion is no error (acceptance C-1).
pub(crate) fn files(target: Target<'_>) -> Result<Vec<LocalFile>, OpsError> {
    let main = main(target);
    if fs::try_metadata(&main.path)?.is_none() {
        return Err(OpsError::NoLocalFile {
            artifact: target.artifact.name.clone(),
            variant: target.variant(),
            path: main.path,
        });
    }
    Ok(std::iter::once(main).chain(companion(target).filter(|file| fs::exists(&file.path))).collect())
}

/// The main file, whether it is there or not.
pub(crate) fn main(target: Target<'_>) -> LocalFile {
    let config = target.config;
    LocalFile { kind: target.main_kind(), name: config.file_name.clone(), path: config.path.clone() }
}

/// The initrd beside a guest image.
fn companion(target: Target<'_>) -> Option<LocalFile> {
    let name =
        INITRD_FILE_NAME.parse().ok().filter(|_| target.artifact.class == ArtifactClass::GuestImage)?;
    Some(LocalFile { kind: ComponentKind::Initrd, name, path: target.initrd_path() })
}
