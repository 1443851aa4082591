//! An OCI image layout directory (image-spec 1.1, "Image Layout"), of anybody's or Port's own store.
//!
//! ```text
//! oci-layout      {"imageLayoutVersion": "1.0.0"}
//! index.json      names → manifests; referrers: see `referrers`
//! blobs/ALGORITHM/HEX
//! ```
//!
//! Others fill such directories: symbolic links in them are not followed, sizes and digests are checked whenever
//! something is read. CRASH: a blob is there only whole, and `index.json` changes last and at once.

mod referrers;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _};
use port_content::hashing::{BUFFER, Hasher};
use port_content::verify::{self, Mismatch};
use port_content::{FsError, atomic, limit, lock, sparse};
use port_layout::annotations::REF_NAME;
use port_layout::index::{Entry, IndexDocument, name_of};
use port_layout::{Descriptor, document};
use port_model::Digest;
use port_model::digest::Algorithm;
use port_store::Store;

use crate::copy::CopyError;

/// What every image layout has.
const MARK: &str = "oci-layout";
const MARK_TEXT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";
/// What Port's own store has besides.
const STORE_MARK: &str = "meta.json";

/// See the module.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    is_store: bool,
    /// Keeps garbage collection away from Port's own store.
    _operation: Option<port_store::Operation>,
}

impl Layout {
    /// Opens a layout that must be there.
    pub(crate) fn open(root: &Path) -> Result<Self, CopyError> {
        let wrong = |reason: String| CopyError::NoLayout { path: root.to_owned(), reason };
        if !fs::exists(&root.join(MARK)) {
            return Err(wrong(format!("it has no file `{MARK}`")));
        }
        let mark = read_itself(&root.join(MARK), limit::RECORD)?;
        let mark: serde_json::Value = serde_json::from_slice(&mark)
            .map_err(|error| wrong(format!("its `{MARK}` is no JSON: {error}")))?;
        match mark.get("imageLayoutVersion").and_then(serde_json::Value::as_str) {
            Some(version) if version.starts_with("1.") => {}
            found => {
                let found = found.unwrap_or("none");
                return Err(wrong(format!("expected version 1 of the format, found `{found}`")));
            }
        }
        for directory in ["blobs", "blobs/sha256", "blobs/sha512"] {
            let path = root.join(directory);
            if fs::exists(&path) && !fs::symlink_metadata(&path)?.is_dir() {
                return Err(wrong(format!("its `{directory}` is no directory of its own")));
            }
        }
        let is_store = fs::exists(&root.join(STORE_MARK));
        let operation = if is_store { Some(Store::open(root)?.operation()?) } else { None };
        Ok(Self { root: root.to_owned(), is_store, _operation: operation })
    }

    /// Opens a layout, or makes one where nothing is yet.
    pub(crate) fn open_or_create(root: &Path) -> Result<Self, CopyError> {
        if !fs::exists(&root.join(MARK)) {
            if fs::exists(root) && !fs::read_dir(root)?.is_empty() {
                let reason = format!("it has other files and no `{MARK}`; name a new or empty directory");
                return Err(CopyError::NoLayout { path: root.to_owned(), reason });
            }
            fs::create_dir_all(&root.join("blobs/sha256"))?;
            atomic::write(&root.join(MARK), MARK_TEXT)?;
            atomic::write(&root.join("index.json"), &IndexDocument::default().to_bytes())?;
        }
        Self::open(root)
    }

    /// The directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Where a blob is gathered before it is whole. What lies there is continued, if it is a file: who filled the
    /// directory does not decide where else bytes go.
    pub(crate) fn partial_path(&self, digest: &Digest) -> Result<PathBuf, CopyError> {
        let directory = self.partial_directory();
        fs::create_dir_all(&directory)?;
        let partial = directory.join(digest.hex());
        let journal = directory.join(format!("{}.ranges", digest.hex()));
        let claim = directory.join(format!("{}.claim", digest.hex()));
        let is_link =
            |path: &Path| fs::exists(path) && fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
        if let Some(link) = [&directory, &partial, &journal, &claim].into_iter().find(|path| is_link(path)) {
            return Err(self.refused(format!("`{}` is a symbolic link", link.display())));
        }
        Ok(partial)
    }

    fn partial_directory(&self) -> PathBuf {
        self.root.join(if self.is_store { "partial" } else { ".partial" })
    }

    /// The one entry of this name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Descriptor>, CopyError> {
        let index = self.index()?;
        let mut found = index.entries().iter().map(Entry::descriptor).filter(|d| name_of(d) == Some(name));
        let Some(first) = found.next() else { return Ok(None) };
        if found.any(|other| other.digest != first.digest) {
            return Err(
                self.refused(format!("its `index.json` has the name `{name}` for different manifests"))
            );
        }
        Ok(Some(first.clone()))
    }

    /// What an entry of `index.json` says of a digest, else what lies there, said to be of the type that it calls itself.
    pub(crate) fn find_digest(&self, digest: &Digest) -> Result<Option<Descriptor>, CopyError> {
        let index = self.index()?;
        let mut entries = index.entries().iter().map(Entry::descriptor);
        if let Some(entry) = entries.find(|entry| &entry.digest == digest) {
            return Ok(Some(entry.clone()));
        }
        if !fs::exists(&self.blob_path(digest)) {
            return Ok(None);
        }
        let bytes = read_itself(&self.blob_path(digest), limit::DOCUMENT)?;
        let media_type = media_type_of(&bytes).unwrap_or_default();
        Ok(Some(Descriptor::new(&media_type, digest.clone(), bytes.len() as u64)))
    }

    /// A small document, checked against its name.
    pub(crate) fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, CopyError> {
        let path = self.blob_path(&descriptor.digest);
        if !fs::exists(&path) {
            return Err(self.absent(&descriptor.digest));
        }
        let bytes = read_itself(&path, limit::DOCUMENT)?;
        let mut hasher = Hasher::of(descriptor.digest.algorithm());
        hasher.update(&bytes);
        verify::check(hasher, &descriptor.digest, Some(descriptor.size))
            .map_err(|source| self.mismatch(&descriptor.digest, source))?;
        Ok(bytes)
    }

    /// A blob that is there and right: opened, and read once to be sure.
    pub(crate) fn blob(&self, descriptor: &Descriptor) -> Result<(File, PathBuf), CopyError> {
        let path = self.blob_path(&descriptor.digest);
        if !fs::exists(&path) {
            return Err(self.absent(&descriptor.digest));
        }
        let (file, metadata) = fs::open_regular_itself(&path)?;
        if metadata.len() != descriptor.size {
            let (expected, found) = (descriptor.size, metadata.len());
            let source = Mismatch::Size { expected, found, more: false };
            return Err(self.mismatch(&descriptor.digest, source));
        }
        self.check(&file, descriptor, &path)?;
        Ok((file, path))
    }

    /// A small blob, checked.
    pub(crate) fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, CopyError> {
        let path = self.blob_path(&descriptor.digest);
        if !fs::exists(&path) {
            return Err(self.absent(&descriptor.digest));
        }
        let bytes = read_itself(&path, limit.min(descriptor.size))?;
        let mut hasher = Hasher::of(descriptor.digest.algorithm());
        hasher.update(&bytes);
        verify::check(hasher, &descriptor.digest, Some(descriptor.size))
            .map_err(|source| self.mismatch(&descriptor.digest, source))?;
        Ok(bytes)
    }

    /// Whether a blob is there and right. One that is wrong is written anew.
    pub(crate) fn has(&self, descriptor: &Descriptor) -> Result<bool, CopyError> {
        match self.blob(descriptor) {
            Ok(_) => Ok(true),
            Err(CopyError::NotFound { .. } | CopyError::Mismatch { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn check(&self, file: &File, descriptor: &Descriptor, path: &Path) -> Result<(), CopyError> {
        let digest = &descriptor.digest;
        let (found, size) = digest_like(file, digest.algorithm()).context("read", path)?;
        if &found == digest && size == descriptor.size {
            return Ok(());
        }
        let source = if size == descriptor.size {
            Mismatch::Digest { expected: digest.clone(), found, size }
        } else {
            Mismatch::Size { expected: descriptor.size, found: size, more: false }
        };
        Err(self.mismatch(digest, source))
    }

    /// Adds a small document.
    pub(crate) fn add_bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<(), CopyError> {
        let mut file = atomic::AtomicFile::create(&self.blob_path(digest))?.mode(0o444);
        io::Write::write_all(&mut file, bytes).context("write", &self.blob_path(digest))?;
        file.commit()?;
        Ok(())
    }

    /// Adds a copy of a file, hashed where it lies: a reflink where possible.
    pub(crate) fn add_copy(&self, source: &File, descriptor: &Descriptor) -> Result<(), CopyError> {
        let place = self.blob_path(&descriptor.digest);
        let mut file = atomic::AtomicFile::create(&place)?.mode(0o444);
        sparse::copy(source, file.file(), &place)?;
        self.check(file.file(), descriptor, &place)?;
        file.commit()?;
        Ok(())
    }

    /// Makes the file at [`Layout::partial_path`] the blob; whoever wrote it has checked it where it lies, and has a claim to it.
    pub(crate) fn adopt(&self, digest: &Digest) -> Result<(), CopyError> {
        let (partial, place) = (self.partial_path(digest)?, self.blob_path(digest));
        if let Some(directory) = place.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::set_mode(&partial, 0o444)?;
        atomic::place(&partial, &place)?;
        Ok(())
    }

    /// Puts an entry into `index.json`: below a name, in place of what had it, or without one. Returns what had it.
    pub(crate) fn put(&self, entry: Descriptor, name: Option<&str>) -> Result<Option<Digest>, CopyError> {
        let _lock = self.lock_index()?;
        self.put_locked(entry, name)
    }

    /// Held while `index.json` is read and replaced.
    fn lock_index(&self) -> Result<lock::Lock, CopyError> {
        let lock_name = if self.is_store { "index.lock" } else { MARK };
        Ok(lock::lock(&self.root.join(lock_name), lock::Mode::Exclusive)?)
    }

    fn put_locked(&self, mut entry: Descriptor, name: Option<&str>) -> Result<Option<Digest>, CopyError> {
        let index = self.index()?;
        entry.annotations.remove(REF_NAME);
        if let Some(name) = name {
            entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        }
        let same = |d: &Descriptor| name_of(d) == name && (name.is_some() || d.digest == entry.digest);
        let before =
            index.entries().iter().map(Entry::descriptor).find(|d| same(d)).map(|d| d.digest.clone());
        if before.as_ref() == Some(&entry.digest) {
            return Ok(before);
        }
        let mut entries: Vec<Entry> =
            index.entries().iter().filter(|known| !same(known.descriptor())).cloned().collect();
        entries.push(Entry::new(entry));
        // The order of Port's store; others ask for none.
        entries.sort_by(|a, b| {
            let (a, b) = (a.descriptor(), b.descriptor());
            name_of(a).cmp(&name_of(b)).then_with(|| a.digest.cmp(&b.digest))
        });
        if entries.len() > document::MOST_ENTRIES {
            return Err(self.refused(format!("its `index.json` would have {} entries", entries.len())));
        }
        atomic::write(&self.root.join("index.json"), &index.with_entries(entries).to_bytes())?;
        Ok(before)
    }

    /// Removes what a copy no longer needs.
    pub(crate) fn tidy(&self) {
        if !self.is_store {
            // Not empty where another copy is at work or a partial blob waits to be continued.
            let _ = fs::remove_dir(&self.partial_directory());
        }
    }

    pub(crate) fn index(&self) -> Result<IndexDocument, CopyError> {
        let path = self.root.join("index.json");
        if !fs::exists(&path) {
            return Ok(IndexDocument::default());
        }
        let bytes = read_itself(&path, limit::DOCUMENT)?;
        IndexDocument::read(&bytes, None).map_err(|error| CopyError::NoLayout {
            path: self.root.clone(),
            reason: format!("its `index.json` cannot be read: {error}"),
        })
    }

    fn place(&self) -> String {
        format!("oci:{}", self.root.display())
    }

    fn absent(&self, digest: &Digest) -> CopyError {
        CopyError::NotFound { name: digest.to_string(), place: self.place() }
    }

    fn refused(&self, reason: String) -> CopyError {
        CopyError::Refused { place: self.place(), reason }
    }

    fn mismatch(&self, digest: &Digest, source: Mismatch) -> CopyError {
        CopyError::Mismatch { place: self.place(), digest: digest.clone(), source: Box::new(source) }
    }
}

/// The type that a document calls itself; an OCI one by its fields where it says none.
fn media_type_of(bytes: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    if let Some(own) = value.get("mediaType").and_then(serde_json::Value::as_str) {
        return Some(own.to_owned());
    }
    let index = value.get("manifests").is_some();
    Some(
        if index { port_layout::media_types::OCI_INDEX } else { port_layout::media_types::OCI_MANIFEST }
            .to_owned(),
    )
}

/// Reads a whole file of at most `limit` bytes, no symbolic link followed at its end.
fn read_itself(path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    let (file, _) = fs::open_regular_itself(path)?;
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > limit {
        let message = format!("at most {limit} bytes are read here");
        return Err(FsError::new("read", path, io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    Ok(bytes)
}

/// Digest and size of a file, in any algorithm.
fn digest_like(file: &File, algorithm: Algorithm) -> io::Result<(Digest, u64)> {
    use std::os::unix::fs::FileExt as _;
    if algorithm == Algorithm::Sha256 {
        return sparse::digest(file);
    }
    let mut hasher = Hasher::of(algorithm);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = file.read_at(&mut buffer, hasher.size())?;
        if count == 0 {
            let size = hasher.size();
            return Ok((hasher.finish(), size));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}
