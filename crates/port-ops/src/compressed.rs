//! The `zstd` encoding: a component's file, compressed as a whole.
//!
//! Level and number of threads are fixed, so that the same file gives the same blob. What it expands to is checked like any file.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use port_content::fs::Context as _;
use port_content::{FsError, sparse};
use port_layout::Blob;
use port_layout::native::Stored;
use port_model::Component;

use crate::error::OpsError;
use crate::workspace::Workspace;

/// Fast enough for gigabytes, and what `zstd` itself does unless told otherwise is 3.
const LEVEL: i32 = 9;

/// Compresses a component that is in the store.
pub(crate) fn compress(workspace: &Workspace, component: &Component) -> Result<Stored, OpsError> {
    let store = &workspace.store;
    let file = store.open_blob(&component.digest, component.size)?;
    let mut ingest = store.ingest(component.file_name.as_str())?;
    let path = ingest.path().to_owned();
    copy_compressed(file, ingest.file(), component.size).context("compress into", &path)?;
    let blob = ingest.commit(None)?;
    Ok(Stored::Zstd(Blob { digest: blob.digest, size: blob.size }))
}

fn copy_compressed(mut from: File, to: &mut File, size: u64) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(to, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(size))?;
    io::copy(&mut from, &mut encoder)?;
    encoder.finish().map(drop)
}

/// Makes the component's file from its compressed blob, both in the store.
pub(crate) fn expand(workspace: &Workspace, component: &Component, blob: &Blob) -> Result<(), OpsError> {
    let store = &workspace.store;
    let compressed = store.open_blob(&blob.digest, blob.size)?;
    let mut ingest = store.ingest(component.file_name.as_str())?;
    let path = ingest.path().to_owned();
    copy_expanded(compressed, ingest.file(), component.size)
        .map_err(|source| FsError::new("expand into", &path, source))?;
    ingest.commit(Some((&component.digest, component.size)))?;
    Ok(())
}

/// Never writes more than one byte beyond `size`: the check that follows tells what is wrong.
fn copy_expanded(from: File, to: &File, size: u64) -> io::Result<()> {
    let mut decoder = zstd::Decoder::new(from)?.take(size.saturating_add(1));
    let mut writer = sparse::SparseWriter::new(to);
    io::copy(&mut decoder, &mut writer)?;
    writer.flush()?;
    writer.finish().map(drop)
}
