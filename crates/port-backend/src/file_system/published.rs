//! What lies in the directory of a variant, whoever filled it.

use std::path::Path;

use port_content::{FsError, fs, limit};
use port_model::{Digest, FileName};

use super::{CONFIG, MANIFEST, failed};
use crate::backend::{Documents, Found, FoundFile};
use crate::error::{BackendError, ErrorKind, NothingPublished};
use crate::sidecar;

/// The files and documents of a variant.
pub(super) fn find(directory: &Path) -> Result<Found, BackendError> {
    let mut files = Vec::new();
    let nothing = || {
        let (location, operation) = (directory.display().to_string(), "find a published variant");
        BackendError::new(ErrorKind::NotFound, location, operation, NothingPublished)
    };
    let Some(paths) = optional(directory, fs::read_dir(directory))? else { return Err(nothing()) };
    for path in paths {
        // Hidden files and side-cars are ours or nobody's; a name that could not be published was not.
        let Ok(name) = FileName::of_path(&path) else { continue };
        // A link or device was not published: what it leads to is nobody's to hand out.
        let metadata = fs::symlink_metadata(&path).map_err(failed("look at what is published", directory))?;
        if metadata.is_file() && !name.as_str().ends_with(sidecar::SUFFIX) {
            files.push(FoundFile { digest: digest_beside(directory, &path)?, size: metadata.len(), name });
        }
    }
    if files.is_empty() {
        return Err(nothing());
    }
    Ok(Found { files, documents: documents(directory)? })
}

fn digest_beside(directory: &Path, path: &Path) -> Result<Option<Digest>, BackendError> {
    let mut sidecar = path.as_os_str().to_owned();
    sidecar.push(sidecar::SUFFIX);
    let Some(text) = optional(directory, fs::read_to_string(Path::new(&sidecar), limit::RECORD))? else {
        return Ok(None);
    };
    sidecar::parse(&text).map(Some).map_err(|source| {
        let operation = format!("read the side-car `{}`", Path::new(&sidecar).display());
        BackendError::new(ErrorKind::Corrupt, directory.display().to_string(), operation, source)
    })
}

fn documents(directory: &Path) -> Result<Option<Documents>, BackendError> {
    let read = |name: &str| optional(directory, fs::read(&directory.join(name), limit::DOCUMENT));
    match (read(MANIFEST)?, read(CONFIG)?) {
        (Some(manifest), Some(config)) => Ok(Some(Documents { manifest, config })),
        (None, None) => Ok(None),
        (manifest, _) => {
            let absent = if manifest.is_some() { CONFIG } else { MANIFEST };
            let location = directory.display().to_string();
            let reason = format!("`{absent}` is gone although the other document is there");
            Err(BackendError::new(ErrorKind::Corrupt, location, "read the documents", reason))
        }
    }
}

fn optional<T>(directory: &Path, result: Result<T, FsError>) -> Result<Option<T>, BackendError> {
    match result {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some).map_err(failed("read", directory)),
    }
}
