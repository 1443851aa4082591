//! kraft's own directory (acceptance K-10, K-11, Ku-16), shared with kraft:
//!
//! ```text
//! <runtime directory>/oci/
//!   digests/<algorithm>/<hex>                         every blob
//!   indexes/<reference, each `:` turned into `/`>     a link to the index's blob
//!   .port/                                            Port's lock and unfinished downloads; kraft looks nowhere else
//! ```
//!
//! kraft knows no lock, rewrites an index through its link without giving the blob another name, and writes blobs in
//! place: an index counts as it is read, every other blob is compared with its name before it is used.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use port_content::atomic::{self, AtomicFile};
use port_content::fs::Context as _;
use port_content::hashing::Hasher;
use port_content::lock::{self, Mode};
use port_content::{fs, hashing, limit, sparse, verify};
use port_layout::annotations::CONTAINERD_NAME;
use port_layout::kraftkit::{self, DEFAULT_REGISTRY};
use port_layout::{Blob, IndexDocument};
use port_model::{Digest, Reference};

use super::form::{self, BlobFile, Change, Form, Stat, Write};
use super::{Listing, Named, PackageStore, Swept};
use crate::packages::PackageError;

/// The directory that kraft gives its packages below its runtime directory.
const DIRECTORY: &str = "oci";
/// The runtime directory's mode: its group may write, and new files are its group's (acceptance K-11).
const RUNTIME_MODE: u32 = 0o2775;
/// References have fewer parts.
const DEEPEST: usize = 160;

pub(super) struct KraftDirectory {
    runtime: PathBuf,
    root: PathBuf,
}

impl KraftDirectory {
    pub(super) fn new(runtime: &Path) -> Self {
        Self { runtime: runtime.to_owned(), root: runtime.join(DIRECTORY) }
    }

    fn ensure(&self) -> Result<(), PackageError> {
        if !fs::exists(&self.runtime) {
            fs::create_dir_all(&self.runtime)?;
            fs::set_mode(&self.runtime, RUNTIME_MODE)?;
        }
        for directory in ["digests/sha256", "indexes", ".port/partial"] {
            fs::create_dir_all(&self.root.join(directory))?;
        }
        Ok(())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("digests").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// What every new blob is called until its digest is known.
    fn incoming(&self) -> PathBuf {
        self.root.join("digests/sha256/incoming")
    }

    fn indexes(&self) -> PathBuf {
        self.root.join("indexes")
    }

    /// Where a name is kept.
    fn place(&self, reference: &Reference) -> PathBuf {
        self.indexes().join(parts(reference))
    }

    /// Where kraft keeps a name of the default registry that was given without it (acceptance C-10).
    fn short_place(&self, reference: &Reference) -> Option<PathBuf> {
        let short = Path::new(reference.repository()).join(reference.version());
        (reference.registry() == DEFAULT_REGISTRY).then(|| self.indexes().join(short))
    }

    /// The index at a place; `None` where nothing is, or its blob is gone.
    fn read(&self, place: &Path) -> Result<Option<Named>, PackageError> {
        let bytes = match fs::read(place, limit::DOCUMENT) {
            Err(error) if error.is_not_found() => return Ok(None),
            // A directory of longer names.
            Err(_) if fs::metadata(place).is_ok_and(|found| found.is_dir()) => return Ok(None),
            Err(source) if leads_nowhere(place) => {
                return Err(PackageError::NoIndex { path: place.to_owned(), source });
            }
            other => other?,
        };
        let subject = || format!("`{}`", place.display());
        let index = IndexDocument::read(&bytes, None)
            .map_err(|source| PackageError::Document { subject: subject(), source })?;
        let reference = self.name_of(place, &index)?;
        let blob = fs::read_link(place).ok().and_then(|target| blob_of(&target));
        let digest = hashing::digest_of(&bytes);
        Ok(Some(Named { reference, index, digest, blob, place: place.to_owned() }))
    }

    /// The name that the index says of itself, where it belongs at this place: a port of a registry cannot be told from a
    /// repository by the place alone (acceptance C-11). Else the place's.
    fn name_of(&self, place: &Path, index: &IndexDocument) -> Result<Reference, PackageError> {
        let own = index.annotations().get(CONTAINERD_NAME).and_then(|name| kraftkit::parse_name(name).ok());
        if let Some(own) = own
            && (self.place(&own) == place || self.short_place(&own).as_deref() == Some(place))
        {
            return Ok(own);
        }
        let inside = place.strip_prefix(self.indexes()).unwrap_or(place);
        let name = inside.parent().unwrap_or(Path::new("")).display();
        let tag = inside.file_name().unwrap_or_default().to_string_lossy();
        Ok(kraftkit::parse_name(&format!("{name}:{tag}"))?)
    }

    fn walk(&self, directory: &Path, depth: usize, places: &mut Vec<PathBuf>) -> Result<(), PackageError> {
        if depth > DEEPEST || !fs::exists(directory) {
            return Ok(());
        }
        for path in fs::read_dir(directory)? {
            // References have no part that begins with a dot: leftovers of a kill.
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                continue;
            }
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => self.walk(&path, depth + 1, places)?,
                _ => places.push(path),
            }
        }
        Ok(())
    }

    /// Removes a name, and the directories that it leaves empty.
    fn unlink(&self, place: &Path) -> Result<(), PackageError> {
        fs::remove_file(place)?;
        let mut directory = place.parent();
        while let Some(empty) = directory.filter(|directory| **directory != self.indexes()) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            directory = empty.parent();
        }
        Ok(())
    }

    /// Everything that a name leads to; `None` where a name cannot be read, and so all may be needed.
    fn used(&self, store: &PackageStore) -> Result<Option<BTreeSet<Digest>>, PackageError> {
        let listing = self.listing()?;
        if !listing.unreadable.is_empty() {
            return Ok(None);
        }
        let mut used = BTreeSet::new();
        for named in &listing.named {
            let reached = store.reach(named);
            if !reached.whole {
                return Ok(None);
            }
            used.extend(reached.digests);
        }
        Ok(Some(used))
    }
}

/// Whether there is a link in a circle, or to what is no file: no index will ever be read there.
fn leads_nowhere(place: &Path) -> bool {
    match (fs::symlink_metadata(place), fs::metadata(place)) {
        (Ok(_), Ok(found)) => !found.is_file(),
        // Not where somebody else may read it.
        (Ok(link), Err(error)) => link.is_symlink() && error.source.kind() != ErrorKind::PermissionDenied,
        (Err(_), _) => false,
    }
}

/// Whether a link is there whose index is not.
fn is_dangling(place: &Path) -> bool {
    let is_link = fs::symlink_metadata(place).is_ok_and(|found| found.is_symlink());
    is_link && fs::metadata(place).is_err_and(|error| error.is_not_found())
}

/// `unikraft.org/hello/latest`; every part was checked, so it stays below.
fn parts(reference: &Reference) -> PathBuf {
    let name = format!("{}/{}:{}", reference.registry(), reference.repository(), reference.version());
    PathBuf::from(name.replace(':', "/"))
}

/// The blob that a link names by its last two parts, wherever it points.
fn blob_of(target: &Path) -> Option<Digest> {
    let hex = target.file_name()?.to_str()?;
    let algorithm = target.parent()?.file_name()?.to_str()?;
    format!("{algorithm}:{hex}").parse().ok()
}

impl Form for KraftDirectory {
    fn describe(&self) -> String {
        format!("kraft's directory `{}`", self.root.display())
    }

    fn stat(&self, digest: &Digest) -> Result<Option<Stat>, PackageError> {
        form::stat(&self.blob_path(digest))
    }

    fn bytes(&self, blob: &Blob) -> Result<Option<Vec<u8>>, PackageError> {
        form::bytes(&self.blob_path(&blob.digest))
    }

    fn open(&self, blob: &Blob) -> Result<Option<BlobFile>, PackageError> {
        form::open(self.blob_path(&blob.digest))
    }

    fn is_sound(&self, blob: &Blob) -> Result<bool, PackageError> {
        let path = self.blob_path(&blob.digest);
        let (file, metadata) = match fs::open_regular(&path) {
            Err(error) if error.is_not_found() => return Ok(false),
            other => other?,
        };
        let mut hasher = Hasher::of(blob.digest.algorithm());
        sparse::hash_to(&file, &mut hasher, metadata.len()).context("read", &path)?;
        Ok(verify::check(hasher, &blob.digest, Some(blob.size)).is_ok())
    }

    fn add(&self, _: &str, write: Write<'_>) -> Result<Blob, PackageError> {
        self.ensure()?;
        let place = self.incoming();
        let mut file = AtomicFile::create(&place)?;
        write(file.file()).context("write", &place)?;
        let (digest, size) = hashing::digest_file(file.path())?;
        file.commit_as(&self.blob_path(&digest))?;
        Ok(Blob { digest, size })
    }

    fn partial_path(&self, digest: &Digest) -> Result<PathBuf, PackageError> {
        self.ensure()?;
        Ok(self.root.join(".port/partial").join(digest.hex()))
    }

    fn adopt(&self, partial: &Path, blob: &Blob) -> Result<(), PackageError> {
        let place = self.blob_path(&blob.digest);
        if let Some(directory) = place.parent() {
            fs::create_dir_all(directory)?;
        }
        atomic::place(partial, &place)?;
        Ok(())
    }

    fn change(&self) -> Result<Change, PackageError> {
        self.ensure()?;
        let lock = lock::lock(&self.root.join(".port/lock"), Mode::Exclusive)?;
        // What a kill left of a blob that was being written.
        atomic::sweep_beside(&self.incoming())?;
        Ok(Change { _lock: lock, _operation: None })
    }

    fn listing(&self) -> Result<Listing, PackageError> {
        let (mut listing, mut places) = (Listing::default(), Vec::new());
        self.walk(&self.indexes(), 0, &mut places)?;
        for place in places {
            match self.read(&place) {
                Ok(Some(named)) => listing.named.push(named),
                // Twice, since others put another index there.
                Ok(None) if is_dangling(&place) => match self.read(&place) {
                    Ok(None) if is_dangling(&place) => {
                        listing.unreadable.push((place, "the index that it leads to is gone".to_owned()));
                    }
                    Ok(named) => listing.named.extend(named),
                    Err(error) => listing.unreadable.push((place, error.to_string())),
                },
                Ok(None) => {}
                Err(error) => listing.unreadable.push((place, error.to_string())),
            }
        }
        Ok(listing)
    }

    fn find(&self, reference: &Reference) -> Result<Option<Named>, PackageError> {
        for place in [Some(self.place(reference)), self.short_place(reference)].into_iter().flatten() {
            if let Some(named) = self.read(&place)?
                && named.reference == *reference
            {
                return Ok(Some(named));
            }
        }
        Ok(None)
    }

    fn save(
        &self,
        name: &Reference,
        index: &[u8],
        before: Option<&Named>,
        _: &PackageStore,
    ) -> Result<Digest, PackageError> {
        let place = self.place(name);
        if let Some(other) = self.read(&place)?.filter(|there| there.reference != *name) {
            let (expected, found) = (name.to_string(), other.reference.to_string());
            return Err(PackageError::Taken { path: place, expected, found });
        }
        let blob = self.add("index", &mut |file| std::io::Write::write_all(file, index))?;
        let depth = parts(name).components().filter(|part| matches!(part, Component::Normal(_))).count();
        // From the link's own directory to the digests, so that the whole can be moved.
        let target = format!("{}digests/sha256/{}", "../".repeat(depth), blob.digest.hex());
        // What a kill left of this name.
        atomic::sweep_beside(&place)?;
        atomic::symlink(Path::new(&target), &place)?;
        if let Some(short) = before.filter(|before| before.place != place) {
            self.unlink(&short.place)?;
        }
        Ok(blob.digest)
    }

    fn forget(&self, named: &Named) -> Result<(), PackageError> {
        self.unlink(&named.place)
    }

    fn forget_broken(&self, reference: &Reference) -> Result<bool, PackageError> {
        let mut is_gone = false;
        for place in [Some(self.place(reference)), self.short_place(reference)].into_iter().flatten() {
            if is_dangling(&place) || self.read(&place).is_err_and(|error| error.is_of_index()) {
                self.unlink(&place)?;
                is_gone = true;
            }
        }
        Ok(is_gone)
    }

    fn sweep(&self, candidates: &[Digest], store: &PackageStore) -> Result<Swept, PackageError> {
        let mut swept = Swept::default();
        let Some(used) = self.used(store)? else { return Ok(swept) };
        for digest in candidates.iter().filter(|digest| !used.contains(digest)) {
            let path = self.blob_path(digest);
            if let Some(metadata) = fs::try_metadata(&path)? {
                fs::remove_file(&path)?;
                swept.blobs += 1;
                swept.bytes += metadata.len();
            }
        }
        Ok(swept)
    }
}
