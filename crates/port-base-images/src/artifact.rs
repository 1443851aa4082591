//! One file of a bundle into the store: copied, fetched, or there already (acceptance S-19, S-84 … S-91).
//!
//! Nothing is named before its size and digest are right. What a broken download left is continued by the next one.

use std::path::Path;

use port_content::{atomic, fs, hashing};
use port_model::Digest;
use port_store::{Blob, Store};
use port_transport::{Downloaded, Failure};

use crate::error::PrepareProblem;
use crate::manager::{BaseImageManager, blocking};
use crate::options::{CacheUse, Network, Request};
use crate::plan::{At, Wanted};

/// The most that one file of a bundle may be, in bytes.
const LARGEST: u64 = 1 << 40;

impl BaseImageManager {
    /// Brings a file into the store.
    pub(crate) async fn bring(&self, wanted: &Wanted, request: &Request) -> Result<Blob, PrepareProblem> {
        match &wanted.at {
            At::Path(path) => self.copy(wanted, path).await,
            At::Store => {
                self.stored(wanted).await?.ok_or_else(|| PrepareProblem::Lost { label: wanted.label })
            }
            At::Url(url) => {
                if request.cache == CacheUse::Allowed
                    && let Some(blob) = self.stored(wanted).await?
                {
                    return Ok(blob);
                }
                if request.network == Network::Offline {
                    return Err(PrepareProblem::Offline { label: wanted.label, url: url.clone() });
                }
                self.fetch(wanted, url, request.cache).await
            }
        }
    }

    async fn copy(&self, wanted: &Wanted, path: &Path) -> Result<Blob, PrepareProblem> {
        let (store, wanted, path) = (self.store.clone(), wanted.clone(), path.to_owned());
        blocking(move || {
            wanted.check_size(fs::metadata(&path)?.len())?;
            let blob = store.ingest_file(&path)?;
            wanted.check(&blob.digest, blob.size)?;
            Ok(blob)
        })
        .await
    }

    /// The blob that is wanted, if it is known and here.
    async fn stored(&self, wanted: &Wanted) -> Result<Option<Blob>, PrepareProblem> {
        let Some(digest) = wanted.sha256.clone() else { return Ok(None) };
        let (store, wanted) = (self.store.clone(), wanted.clone());
        blocking(move || {
            let blob = sound(&store, &digest)?;
            match &blob {
                Some(blob) => wanted.check_size(blob.size).map(|()| Some(blob.clone())),
                None => Ok(None),
            }
        })
        .await
    }

    async fn fetch(&self, wanted: &Wanted, url: &str, cache: CacheUse) -> Result<Blob, PrepareProblem> {
        // Where the digest is not known, the address says which download it is.
        let name = wanted.sha256.clone().unwrap_or_else(|| hashing::digest_of(url.as_bytes()));
        let store = self.store.clone();
        let claimed = name.clone();
        let _claim = blocking(move || Ok(store.claim(&claimed)?)).await?;
        if cache == CacheUse::Allowed
            && let Some(blob) = self.stored(wanted).await?
        {
            return Ok(blob);
        }
        let partial = self.store.partial_path(&name)?;
        let limits = port_transport::Wanted { size: wanted.size, limit: LARGEST };
        let fetched = self.options.client.gather(url, &partial, limits, &*self.options.reporter).await;
        let fetched = fetched.map_err(|source| match source.failure {
            Failure::OtherSize { expected, found } => {
                PrepareProblem::Size { label: wanted.label, expected, found }
            }
            _ => PrepareProblem::Fetch { label: wanted.label, source },
        })?;
        let (store, wanted) = (self.store.clone(), wanted.clone());
        blocking(move || adopt(&store, &wanted, &name, &partial, &fetched)).await
    }
}

/// Makes a complete download a blob; what is not what it should be goes, so that the next try starts clean.
fn adopt(
    store: &Store,
    wanted: &Wanted,
    name: &Digest,
    partial: &Path,
    fetched: &Downloaded,
) -> Result<Blob, PrepareProblem> {
    let Downloaded { digest, size } = fetched;
    let checked = wanted.check(digest, *size);
    port_transport::forget(partial)?;
    if let Err(problem) = checked {
        fs::remove_file(partial)?;
        return Err(problem);
    }
    if digest == name {
        return Ok(store.adopt(digest, *size)?);
    }
    let _claim = store.claim(digest)?;
    if let Some(blob) = sound(store, digest)? {
        fs::remove_file(partial)?;
        return Ok(blob);
    }
    atomic::place(partial, &store.partial_path(digest)?)?;
    Ok(store.adopt(digest, *size)?)
}

/// A blob that is here and sound.
fn sound(store: &Store, digest: &Digest) -> Result<Option<Blob>, PrepareProblem> {
    if !store.has_sound(digest)? {
        return Ok(None);
    }
    let size = fs::metadata(&store.blob_path(digest))?.len();
    Ok(Some(Blob { digest: digest.clone(), size }))
}

impl Wanted {
    fn check_size(&self, found: u64) -> Result<(), PrepareProblem> {
        match self.size {
            Some(expected) if expected != found => {
                Err(PrepareProblem::Size { label: self.label, expected, found })
            }
            _ => Ok(()),
        }
    }

    fn check(&self, found: &Digest, size: u64) -> Result<(), PrepareProblem> {
        self.check_size(size)?;
        match &self.sha256 {
            Some(expected) if expected != found => {
                let (expected, found) = (expected.clone(), found.clone());
                Err(PrepareProblem::Digest { label: self.label, expected, found })
            }
            _ => Ok(()),
        }
    }
}
