//! Writing one file into a directory that is not published yet, from its published predecessor where that is cheaper.

use std::fs::File;
use std::path::Path;

use port_content::atomic::{self, AtomicFile};
use port_content::fs::Context as _;
use port_content::{FsError, fs, sparse};
use port_model::Digest;
use port_packed::block_index::{BlockIndex, Sharing};

use super::{index_file, predecessor};
use crate::backend::PublishedFile;
use crate::sidecar;

/// What lies there now.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) digest: Digest,
    /// Bytes that came from the file, holes and what a predecessor has left out.
    pub(super) moved: u64,
    index: Option<BlockIndex>,
}

/// Copies one file into `directory`, with its side-car and its block index. `published` are the directories that may hold
/// a predecessor, the best first.
///
/// The digest is that of what lies there: whoever publishes compares it.
pub(super) fn put(
    file: &PublishedFile,
    directory: &Path,
    published: &[predecessor::Candidate],
    tell: &mut (dyn FnMut(u64) + Send),
) -> Result<Put, FsError> {
    let (source, _) = fs::open_regular(&file.path)?;
    let mut target = AtomicFile::create(&directory.join(&file.name))?;
    let path = target.path().to_owned();
    let by_blocks = by_blocks(file, &source, target.file(), published, tell);
    let put = match by_blocks {
        Some(put) => put,
        None => whole(&source, target.file(), &path, tell)?,
    };
    target.commit()?;
    let sidecar = directory.join(format!("{}{}", file.name, sidecar::SUFFIX));
    atomic::write(&sidecar, sidecar::render(&file.digest, &file.name).as_bytes())?;
    if let Some(index) = &put.index {
        index_file::write(directory, &file.name, index)?;
    }
    Ok(put)
}

fn whole(
    source: &File,
    target: &File,
    path: &Path,
    tell: &mut (dyn FnMut(u64) + Send),
) -> Result<Put, FsError> {
    target.set_len(0).context("size", path)?;
    let moved = sparse::data_bytes(source).context("read", path)?;
    let size = sparse::copy_telling(source, target, path, tell)?;
    let index = if size < index_file::LEAST { None } else { index_file::of(target, None, path)? };
    let digest = match &index {
        Some(index) => index.image_digest().clone(),
        None => sparse::digest(target).context("read", path)?.0,
    };
    Ok(Put { digest, moved, index })
}

/// `None` where there is no predecessor, or it does not help. What is left in `target` then is of no use.
fn by_blocks(
    file: &PublishedFile,
    source: &File,
    target: &File,
    published: &[predecessor::Candidate],
    tell: &mut (dyn FnMut(u64) + Send),
) -> Option<Put> {
    if file.size < index_file::LEAST {
        return None;
    }
    let opened = published.iter().filter_map(|candidate| Some((candidate.open()?, candidate)));
    let predecessors: Vec<_> = opened.collect();
    if !predecessor::is_cheap(&predecessors.first()?.0, source, target) {
        return None;
    }
    let mut sharing = Sharing::new(index_file::of(source, Some(&file.digest), &file.path).ok()??);
    for (number, (file, candidate)) in predecessors.iter().enumerate() {
        // An index takes 4 MiB for each GiB of data: there is one at a time beside that of the file.
        if let Some(index) = candidate.index(file) {
            sharing.add_index(number, &index);
        }
    }
    let found = sharing.found();
    let files: Vec<&File> = predecessors.iter().map(|(file, _)| file).collect();
    if found == 0 {
        return None;
    }
    // A predecessor that is not what its index says is found here, and the file is copied as a whole.
    sharing.assemble(&files, source, target, &mut |copied| tell(copied.bytes())).ok()?;
    let index = sharing.into_wanted();
    let moved = index.data().saturating_sub(found);
    Some(Put { digest: index.image_digest().clone(), moved, index: Some(index) })
}
