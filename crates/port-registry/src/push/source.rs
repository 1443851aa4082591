//! The local bytes of a blob, hashed again after a registry said that it got others.
//!
//! Not done before an upload: the registry hashes what arrives. Only its complaint makes it worth knowing which side is
//! wrong.

use std::fs::File;
use std::io;
use std::sync::Arc;

use port_content::FsError;
use port_content::hashing::Hasher;
use port_content::sparse;
use port_content::verify::{self, Mismatch};
use port_model::Digest;

use crate::error::Failure;
use crate::request::body::{Body, FilePart};

/// Compares the whole of a body with its name; `None` where they fit.
pub(crate) async fn check(body: &Body, digest: &Digest) -> Result<Option<Mismatch>, Failure> {
    let FilePart { file, path, length, .. } = match body {
        Body::Part(part) => part,
        Body::Bytes(bytes) => return Ok(compare(bytes, digest)),
        Body::Empty => return Ok(compare(&[], digest)),
    };
    let (file, name, length) = (Arc::clone(file), digest.clone(), *length);
    let checked = tokio::task::spawn_blocking(move || check_file(&file, length, &name)).await;
    checked
        .map_err(io::Error::other)
        .flatten()
        .map_err(|source| Failure::Local(FsError::new("read again", path, source)))
}

fn compare(bytes: &[u8], digest: &Digest) -> Option<Mismatch> {
    let mut hasher = Hasher::of(digest.algorithm());
    hasher.update(bytes);
    verify::check(hasher, digest, None).err()
}

/// A file that became shorter meanwhile has zeros for what is gone, and another digest.
fn check_file(file: &File, size: u64, digest: &Digest) -> io::Result<Option<Mismatch>> {
    let mut hasher = Hasher::of(digest.algorithm());
    sparse::hash_to(file, &mut hasher, size)?;
    Ok(verify::check(hasher, digest, Some(size)).err())
}
