//! containerd as a place for packages, labelled as kraft labels it (acceptance K-8, K-9, Ku-23):
//!
//! ```text
//! image `unikraft.org/hello:latest` ─► index ─gc.ref…m.N─► manifests ─gc.ref…l.N─► layers, config
//! every content: containerd.io/gc.root (kraft needs no references), kraftkit.sh/oci.mediaType
//! ```
//!
//! Other people's images are in the same namespace: they are neither changed nor removed, and nothing is ever deleted by
//! digest. What no package leads to loses its root label, and containerd collects it unless something of its own leads
//! there; content with labels that are neither kraft's nor containerd's keeps its root, since somebody else may have set it.
//! What is added belongs to a lease until this value goes, so that it is not collected before it is named.

mod labels;

use std::collections::BTreeSet;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use port_containerd::{Address, Collection, Containerd, Image, Labels, Lease, NewContent, Target};
use port_content::fs::Context as _;
use port_content::hashing::Hasher;
use port_content::lock::{self, Mode};
use port_content::{FsError, fs, hashing, limit, sparse, verify};
use port_layout::kraftkit;
use port_layout::media_types::OCI_INDEX;
use port_layout::{Blob, IndexDocument};
use port_model::{Digest, Reference};

use super::form::{BlobFile, Change, Form, Stat, Write};
use super::{Listing, Named, PackageStore, Swept};
use crate::packages::{PackageError, time};

/// A lease that nobody ends, since Port was killed, ends by itself.
const LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// Which containerd.
#[derive(Debug, Clone)]
pub struct ContainerdPlace {
    /// Its socket.
    pub address: Address,
    /// The namespace.
    pub namespace: String,
    /// Where unfinished downloads, passing copies and the lock are: a directory of the user's cache.
    pub scratch: PathBuf,
    /// The time, from which leases last.
    pub now: SystemTime,
}

pub(super) struct ContainerdStore {
    client: Containerd,
    namespace: String,
    scratch: PathBuf,
    lease_end: String,
    lease: Mutex<Option<Lease>>,
}

impl ContainerdStore {
    pub(super) fn open(place: &ContainerdPlace) -> Result<Self, PackageError> {
        let client = Containerd::connect(&place.address, &place.namespace)?;
        // One directory for each namespace of each containerd: their names are changed under locks of their own.
        let name = hashing::digest_of(format!("{}\n{}", place.address, place.namespace).as_bytes());
        Ok(Self {
            client,
            namespace: place.namespace.clone(),
            scratch: place.scratch.join(name.short()),
            lease_end: time::rfc_3339(place.now.checked_add(LEASE).unwrap_or(place.now)),
            lease: Mutex::new(None),
        })
    }

    /// The lease of this value, made when it is first needed.
    fn lease(&self) -> Result<Lease, PackageError> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = &*lease {
            return Ok(lease.clone());
        }
        let made = self.client.create_lease(labels::of_lease(&self.lease_end))?;
        Ok(lease.insert(made).clone())
    }

    /// A file that nobody else sees, and that a kill leaves nothing of.
    fn passing_file(&self) -> Result<std::fs::File, PackageError> {
        fs::create_dir_all(&self.scratch)?;
        Ok(tempfile::tempfile_in(&self.scratch).context("create a file in", &self.scratch)?)
    }

    fn upload(&self, file: std::fs::File, blob: &Blob) -> Result<(), PackageError> {
        // CRASH: a kill leaves it to the lease alone, and containerd collects it with that.
        let content =
            NewContent { file, digest: blob.digest.clone(), size: blob.size, labels: Labels::new() };
        Ok(self.client.write(&self.lease()?, content)?)
    }

    /// A blob's bytes in a passing file, which stands at its beginning.
    fn fetch(&self, blob: &Blob) -> Result<Option<std::fs::File>, PackageError> {
        use std::io::Seek as _;
        let copied = self.client.read(&blob.digest, blob.size, self.passing_file()?)?;
        let Some(mut file) = copied else { return Ok(None) };
        file.rewind().context("read", &self.scratch)?;
        Ok(Some(file))
    }

    /// The index that an image leads to; `None` where it leads to something else, or kraft removed the index, which leaves
    /// the image.
    fn named(&self, image: &Image) -> Result<Option<Named>, PackageError> {
        let Ok(reference) = kraftkit::parse_name(&image.name) else { return Ok(None) };
        if image.target.media_type != OCI_INDEX {
            return Ok(None);
        }
        let blob = Blob { digest: image.target.digest.clone(), size: image.target.size };
        let Some(bytes) = self.bytes(&blob)? else { return Ok(None) };
        // containerd hashed it when it came, and not when it was read from a disk.
        let mut hasher = Hasher::of(blob.digest.algorithm());
        hasher.update(&bytes);
        verify::check(hasher, &blob.digest, Some(blob.size)).map_err(|source| {
            let subject = format!("the index of `{}` in {}", image.name, self.describe());
            PackageError::Mismatch { subject, source }
        })?;
        let index = IndexDocument::read(&bytes, Some(OCI_INDEX))
            .map_err(|source| PackageError::Document { subject: format!("`{}`", image.name), source })?;
        Ok(Some(Named {
            reference,
            index,
            digest: blob.digest.clone(),
            blob: Some(blob.digest),
            place: PathBuf::from(&image.name),
        }))
    }

    /// The images that a name may be: in full and, where that is how kraft was asked, without the default registry (C-10).
    fn images(&self, reference: &Reference) -> Result<Vec<Image>, PackageError> {
        let full = reference.to_string();
        let short = full.strip_prefix(kraftkit::DEFAULT_REGISTRY).and_then(|rest| rest.strip_prefix('/'));
        let mut images = Vec::new();
        for name in [Some(full.as_str()), short].into_iter().flatten() {
            images.extend(self.client.image(name)?);
        }
        Ok(images)
    }

    /// Refuses a name that leads to something of others.
    fn refuse_foreign(&self, name: &str) -> Result<(), PackageError> {
        let Some(image) = self.client.image(name)? else { return Ok(()) };
        let found = match self.named(&image)? {
            Some(named) if kraftkit::is_listed(&named.index) => return Ok(()),
            Some(_) => "one without it".to_owned(),
            None if image.target.media_type == OCI_INDEX => return Ok(()),
            None => format!("`{}`", image.target.media_type),
        };
        let (name, place) = (name.to_owned(), self.describe());
        Err(PackageError::Foreign { name, place, expected: "an index with kraft's marker", found })
    }

    /// Everything that packages lead to; `None` where one of them cannot be read, and so all may be needed.
    fn used(&self, store: &PackageStore) -> Result<Option<BTreeSet<Digest>>, PackageError> {
        let listing = self.listing()?;
        if !listing.unreadable.is_empty() {
            return Ok(None);
        }
        let mut used = BTreeSet::new();
        for named in &listing.named {
            let reached = store.reach(named);
            // Of others' images, containerd knows what they need.
            if !reached.whole && kraftkit::is_listed(&named.index) {
                return Ok(None);
            }
            used.extend(reached.digests);
        }
        Ok(Some(used))
    }

    /// Makes containerd collect now.
    fn collect(&self) -> Result<(), PackageError> {
        let lease = self.client.create_lease(labels::of_lease(&self.lease_end))?;
        Ok(self.client.end_lease(lease, Collection::Now)?)
    }
}

impl Drop for ContainerdStore {
    fn drop(&mut self) {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(lease) = lease {
            // It ends by itself otherwise.
            let _ = self.client.end_lease(lease, Collection::Later);
        }
    }
}

impl Form for ContainerdStore {
    fn describe(&self) -> String {
        format!("containerd at `{}`, namespace `{}`", self.client.address(), self.namespace)
    }

    fn stat(&self, digest: &Digest) -> Result<Option<Stat>, PackageError> {
        let found = self.client.content(digest)?;
        Ok(found.map(|found| Stat { size: found.size, time: found.created }))
    }

    fn bytes(&self, blob: &Blob) -> Result<Option<Vec<u8>>, PackageError> {
        use std::io::Read as _;
        if blob.size > limit::DOCUMENT {
            let reason = format!("{} bytes: expected at most {}", blob.size, limit::DOCUMENT);
            let subject = PathBuf::from(blob.digest.to_string());
            return Err(FsError::new("read", &subject, std::io::Error::other(reason)).into());
        }
        let Some(file) = self.fetch(blob)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit::DOCUMENT).read_to_end(&mut bytes).context("read", &self.scratch)?;
        Ok(Some(bytes))
    }

    fn open(&self, blob: &Blob) -> Result<Option<BlobFile>, PackageError> {
        let Some(file) = self.fetch(blob)? else { return Ok(None) };
        // The file has no name; as long as it is open it can be reached by its number.
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Some(BlobFile { file, path, length: blob.size }))
    }

    /// containerd names nothing that it did not hash. What is asked for is going to be used: it is kept from now on.
    fn is_sound(&self, blob: &Blob) -> Result<bool, PackageError> {
        let is_here = || Ok(self.stat(&blob.digest)?.is_some_and(|found| found.size == blob.size));
        if !is_here()? {
            return Ok(false);
        }
        self.client.keep(&self.lease()?, &blob.digest)?;
        is_here()
    }

    fn add(&self, _: &str, write: Write<'_>) -> Result<Blob, PackageError> {
        use std::io::Seek as _;
        let mut file = self.passing_file()?;
        write(&mut file).context("write", &self.scratch)?;
        let (digest, size) = sparse::digest(&file).context("read", &self.scratch)?;
        file.rewind().context("read", &self.scratch)?;
        let blob = Blob { digest, size };
        self.upload(file, &blob)?;
        Ok(blob)
    }

    fn partial_path(&self, digest: &Digest) -> Result<PathBuf, PackageError> {
        let directory = self.scratch.join("partial");
        fs::create_dir_all(&directory)?;
        Ok(directory.join(digest.hex()))
    }

    fn adopt(&self, partial: &Path, blob: &Blob) -> Result<(), PackageError> {
        let (file, _) = fs::open_regular_itself(partial)?;
        self.upload(file, blob)
    }

    fn change(&self) -> Result<Change, PackageError> {
        fs::create_dir_all(&self.scratch)?;
        let lock = lock::lock(&self.scratch.join("lock"), Mode::Exclusive)?;
        Ok(Change { _lock: lock, _operation: None })
    }

    fn listing(&self) -> Result<Listing, PackageError> {
        let mut listing = Listing::default();
        for image in self.client.images()? {
            match self.named(&image) {
                Ok(named) => listing.named.extend(named),
                Err(error @ PackageError::Containerd(_)) => return Err(error),
                Err(error) => listing.unreadable.push((PathBuf::from(image.name), error.to_string())),
            }
        }
        Ok(listing)
    }

    fn find(&self, reference: &Reference) -> Result<Option<Named>, PackageError> {
        for image in self.images(reference)? {
            if let Some(named) = self.named(&image)?.filter(|named| kraftkit::is_listed(&named.index)) {
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
        store: &PackageStore,
    ) -> Result<Digest, PackageError> {
        let full = name.to_string();
        self.refuse_foreign(&full)?;
        let blob = self.add("index", &mut |file| std::io::Write::write_all(file, index))?;
        let document = IndexDocument::read(index, Some(OCI_INDEX))
            .map_err(|source| PackageError::Document { subject: format!("`{full}`"), source })?;
        for (digest, labels) in labels::below(name, &document, store)? {
            self.client.label(&digest, labels)?;
        }
        let labels = labels::of_index(name, &document);
        self.client.label(&blob.digest, labels::rooted(labels.clone()))?;
        let target =
            Target { media_type: OCI_INDEX.to_owned(), digest: blob.digest.clone(), size: blob.size };
        self.client.set_image(&Image { name: full, target, labels }, &[labels::MANIFESTS])?;
        if let Some(short) = before.filter(|before| before.place != Path::new(&name.to_string())) {
            self.forget(short)?;
        }
        Ok(blob.digest)
    }

    fn forget(&self, named: &Named) -> Result<(), PackageError> {
        Ok(self.client.remove_image(&named.place.to_string_lossy())?)
    }

    fn forget_broken(&self, reference: &Reference) -> Result<bool, PackageError> {
        let mut is_gone = false;
        for image in self.images(reference)? {
            match self.named(&image) {
                Err(PackageError::Document { .. }) => self.client.remove_image(&image.name)?,
                Err(PackageError::Mismatch { .. }) => {
                    self.client.remove_image(&image.name)?;
                    // Else it would be taken for what it is called when it is written again.
                    self.client.label(&image.target.digest, labels::of_no_root())?;
                    self.collect()?;
                }
                _ => continue,
            }
            is_gone = true;
        }
        Ok(is_gone)
    }

    fn sweep(&self, candidates: &[Digest], store: &PackageStore) -> Result<Swept, PackageError> {
        let mut swept = Swept::default();
        let Some(used) = self.used(store)? else { return Ok(swept) };
        let mut loose = Vec::new();
        for digest in candidates.iter().collect::<BTreeSet<_>>() {
            let found = self.client.content(digest)?.filter(|_| !used.contains(digest));
            // What somebody else labelled as well, somebody else may have rooted.
            if let Some(found) = found.filter(|found| labels::are_known(&found.labels)) {
                self.client.label(digest, labels::of_no_root())?;
                loose.push((digest, found.size));
            }
        }
        if loose.is_empty() {
            return Ok(swept);
        }
        self.collect()?;
        for (digest, size) in loose {
            if self.client.content(digest)?.is_none() {
                swept.blobs += 1;
                swept.bytes += size;
            }
        }
        Ok(swept)
    }
}
