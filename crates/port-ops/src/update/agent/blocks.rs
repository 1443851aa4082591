//! A root file system of which this machine has most blocks already: the others are fetched, and it is put together beside the slots.
//!
//! ```text
//! block index ─► what the slots' root file systems have ─► ranges of the rest ─► together ─► hashed as a whole
//! ```
//!
//! The index is a hint of the publisher's. Invariant: what comes of it is the part that was signed, or it is nothing, and the part is
//! fetched whole. CRASH: fetched ranges stay and are not fetched again; what was put together is put together once more.

use std::fs::File;
use std::path::{Path, PathBuf};

use port_content::{FsError, fs};
use port_layout::Descriptor;
use port_packed::block_index::{BlockIndex, Sharing};
use port_packed::limit::BLOCK_INDEX_BYTES;
use port_packed::{Control, PackedError};
use port_registry::{Partial, Repository};
use port_update::release::Part;

use super::AgentError;
use crate::update::UpdateError;

/// Percent of the data that must be found for no more to be looked through.
const ENOUGH: u64 = 90;

/// What is at hand.
struct AtHand {
    sharing: Sharing,
    seeds: Vec<File>,
}

/// What came of it.
pub(super) enum Shared {
    /// Nothing: there is nothing at hand, or the index is of no use.
    Nothing,
    /// Something else: the index lies, or the ranges are others. What was fetched is not to be used.
    Wrong,
    /// The part.
    Whole {
        /// Where it lies.
        path: PathBuf,
        /// Bytes of it that were fetched.
        fetched: u64,
    },
}

/// Puts `part` together from what `seeds` have and the rest.
pub(super) async fn share(
    repository: &Repository,
    index: &Descriptor,
    part: &Part,
    (partial, seeds): (&Partial, &[PathBuf]),
) -> Result<Shared, AgentError> {
    if seeds.is_empty() || index.size > BLOCK_INDEX_BYTES {
        return Ok(Shared::Nothing);
    }
    // A hint that does not come is none.
    let bytes = repository.blob_to_memory(&index.digest, index.size, BLOCK_INDEX_BYTES).await;
    let Ok(bytes) = bytes else { return Ok(Shared::Nothing) };
    let Ok(index) = BlockIndex::decode(&bytes) else { return Ok(Shared::Nothing) };
    if index.image_digest() != &part.digest || index.image_size() != part.size {
        return Ok(Shared::Nothing);
    }
    let paths = seeds.to_vec();
    let Some(at_hand) = blocking(partial.path(), move || look(index, &paths)).await? else {
        return Ok(Shared::Nothing);
    };
    let missing = at_hand.sharing.missing();
    let fetched = missing.iter().map(|range| range.end - range.start).sum();
    if !missing.is_empty() {
        repository.fetch_ranges(&part.digest, part.size, &missing, partial).await?;
    }
    let (from, path) = (partial.path().to_owned(), partial.path().with_extension("image"));
    let target = path.clone();
    let whole = blocking(partial.path(), move || assemble(&at_hand, &from, &target)).await?;
    Ok(if whole { Shared::Whole { path, fetched } } else { Shared::Wrong })
}

/// Reads what lies here; nothing where none of it is of use.
fn look(index: BlockIndex, paths: &[PathBuf]) -> Result<Option<AtHand>, AgentError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut at_hand = AtHand { sharing: Sharing::new(index), seeds: Vec::new() };
    for path in paths {
        if at_hand.sharing.has_percent(ENOUGH) {
            break;
        }
        // A slot that cannot be read has no blocks.
        let Ok((file, _)) = fs::open_regular_itself(path) else { continue };
        let number = at_hand.seeds.len();
        let _ = at_hand.sharing.add_file(number, &file, threads, &Control::default());
        at_hand.seeds.push(file);
    }
    Ok((at_hand.sharing.found() > 0).then_some(at_hand))
}

/// Says whether it is what it should be.
fn assemble(at_hand: &AtHand, from: &Path, target: &Path) -> Result<bool, AgentError> {
    fs::remove_file(target)?;
    let (image, _) = fs::open_regular_itself(from)?;
    let file = fs::create_new(target)?;
    let seeds: Vec<&File> = at_hand.seeds.iter().collect();
    match at_hand.sharing.assemble(&seeds, &image, &file, &mut |_| ()) {
        Ok(()) => Ok(true),
        Err(PackedError::WrongImage { .. }) => {
            fs::remove_file(target)?;
            Ok(false)
        }
        Err(error) => Err(UpdateError::from(error).into()),
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, AgentError> + Send + 'static,
) -> Result<T, AgentError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| FsError::new("read", path, std::io::Error::other(error)))?
}
