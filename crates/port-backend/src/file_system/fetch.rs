//! Bringing one published file here: what files at hand have of it from there, the rest from the published file.
//!
//! ```text
//! <target>.next      is filled, hashed as a whole, then renamed onto the target
//! <target>.previous  what a killed fetch left of it: a seed of the next one
//! ```
//!
//! Invariant: what is at `target` came there whole, never in parts; several processes may fetch the same at once. With
//! [`Check::Done`] it is the file. With [`Check::Callers`] the published bytes are others than the side-car says: they are put
//! there all the same, since the caller knows what was expected and says so, and removes them.
//! CRASH: a kill leaves `.next`; the next fetch reads it as a seed, so that what came over a network does not come again.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use port_content::fs::Context as _;
use port_content::{FsError, atomic, fs, sparse};
use port_model::{Digest, FileName};
use port_packed::Control;
use port_packed::block_index::{Copied, Sharing};

use super::index_file;
use crate::backend::{Check, Fetched};

/// How many files are looked through.
const SEEDS: usize = 5;
/// Percent of the data that must be found for no more to be looked through: reading a whole file costs, too.
const ENOUGH: u64 = 90;

/// What is to be fetched.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The published file.
    pub(super) source: File,
    pub(super) directory: PathBuf,
    pub(super) name: FileName,
    pub(super) digest: Digest,
    pub(super) seeds: Vec<PathBuf>,
    pub(super) target: PathBuf,
}

/// A fetch that knows what it will read from where.
#[derive(Debug)]
pub(super) struct Prepared {
    wanted: Wanted,
    /// Locked; empty.
    next: File,
    by_blocks: Option<ByBlocks>,
    index_bytes: u64,
}

#[derive(Debug)]
struct ByBlocks {
    seeds: Vec<File>,
    sharing: Sharing,
}

/// What a person may want to know before it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outlook {
    pub(super) wanted: u64,
    pub(super) found: u64,
}

impl Wanted {
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.target.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// Looks through what is at hand.
    pub(super) fn prepare(self) -> Result<Prepared, FsError> {
        let next = self.claim()?;
        let mut prepared = Prepared { wanted: self, next, by_blocks: None, index_bytes: 0 };
        let Wanted { source, directory, name, digest, .. } = &prepared.wanted;
        let seeds = prepared.wanted.open_seeds();
        if seeds.is_empty() {
            return Ok(prepared);
        }
        let size = source.metadata().context("inspect", directory)?.len();
        let Some((index, bytes)) = index_file::read(directory, name, size) else { return Ok(prepared) };
        prepared.index_bytes = bytes;
        // Another tool may have replaced the file and left the index.
        if index.image_digest() != digest {
            return Ok(prepared);
        }
        let mut sharing = Sharing::new(index);
        for (number, seed) in seeds.iter().enumerate() {
            // A seed that cannot be read is none; what it gave before is checked with the whole.
            let _ = sharing.add_file(number, seed, index_file::threads(), &Control::default());
            if sharing.has_percent(ENOUGH) {
                break;
            }
        }
        if sharing.found() > 0 {
            prepared.by_blocks = Some(ByBlocks { seeds, sharing });
        }
        Ok(prepared)
    }

    /// Makes `.next` empty and ours. What it holds of a killed fetch is moved to `.previous`.
    fn claim(&self) -> Result<File, FsError> {
        let path = self.beside(".next");
        loop {
            let file = fs::open_writable_itself(&path)?;
            file.lock().context("lock", &path)?;
            let ours = file.metadata().context("inspect", &path)?;
            // While we waited, another process finished it, or moved it aside.
            let there = fs::try_metadata(&path)?;
            if there.is_none_or(|there| (there.dev(), there.ino()) != (ours.dev(), ours.ino())) {
                continue;
            }
            if ours.len() == 0 {
                return Ok(file);
            }
            let previous = self.beside(".previous");
            rustix::fs::rename(&path, &previous).context("rename onto", &previous)?;
        }
    }

    /// What a killed fetch left comes first: it is this very file.
    fn open_seeds(&self) -> Vec<File> {
        let left = [self.beside(".previous"), self.target.clone()];
        let paths = left.iter().chain(&self.seeds);
        let open = paths.filter_map(|path| fs::open_regular(path).ok());
        open.filter(|(_, metadata)| metadata.len() > 0).map(|(file, _)| file).take(SEEDS).collect()
    }
}

impl Prepared {
    pub(super) fn outlook(&self) -> Option<Outlook> {
        let sharing = &self.by_blocks.as_ref()?.sharing;
        Some(Outlook { wanted: sharing.wanted().data(), found: sharing.found() })
    }

    /// Fills the target.
    pub(super) fn run(self, tell: &mut (dyn FnMut(Copied) + Send)) -> Result<Fetched, FsError> {
        let Self { wanted, next, by_blocks, index_bytes } = self;
        let fetched = match by_blocks.map(|by_blocks| by_blocks.run(&wanted, &next, tell)) {
            Some(Ok(fetched)) => fetched,
            Some(Err(wasted)) => {
                let whole = wanted.whole(&next, tell)?;
                Fetched { moved: whole.moved + wasted, ..whole }
            }
            None => wanted.whole(&next, tell)?,
        };
        // The lock on `next` is held until the name is another's to use.
        atomic::place(&wanted.beside(".next"), &wanted.target)?;
        forget(&wanted.target)?;
        Ok(Fetched { moved: fetched.moved + index_bytes, ..fetched })
    }
}

impl ByBlocks {
    /// # Errors
    /// The bytes that came for nothing, where what came of it is not the file: the index lies, or a seed changed while it
    /// was read.
    fn run(
        &self,
        wanted: &Wanted,
        next: &File,
        tell: &mut (dyn FnMut(Copied) + Send),
    ) -> Result<Fetched, u64> {
        let seeds: Vec<&File> = self.seeds.iter().collect();
        let found = self.sharing.found();
        let moved = self.sharing.wanted().data().saturating_sub(found);
        self.sharing.assemble(&seeds, &wanted.source, next, tell).map_err(|_| moved)?;
        Ok(Fetched { check: Check::Done, moved, found })
    }
}

impl Wanted {
    fn whole(&self, next: &File, tell: &mut (dyn FnMut(Copied) + Send)) -> Result<Fetched, FsError> {
        next.set_len(0).context("size", &self.target)?;
        let moved = sparse::data_bytes(&self.source).context("read", &self.directory)?;
        let (found, _) = sparse::copy_hashing_telling(&self.source, next, &self.target, &mut |moved| {
            tell(Copied { found: 0, moved });
        })?;
        // Something else is for the caller to say: it knows what was expected, and why.
        let check = if found == self.digest { Check::Done } else { Check::Callers };
        Ok(Fetched { check, moved, found: 0 })
    }
}

/// Removes what a fetch keeps beside its target to go on after a kill.
pub(super) fn forget(target: &Path) -> Result<(), FsError> {
    let mut previous = target.to_owned().into_os_string();
    previous.push(".previous");
    fs::remove_file(Path::new(&previous))
}
