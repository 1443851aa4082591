//! How the components of a push are published: as they are, compressed, or packed (docs/formats/layouts.md).

use std::path::Path;
use std::sync::Arc;

use futures_util::future::{Either, select};
use port_backend::ErrorKind;
use port_content::aside;
use port_content::hashing::digest_of;
use port_layout::Blob;
use port_layout::native::{self, Stored};
use port_model::{Bundle, Component, ComponentKind, Encoding};
use port_packed::PackedError;
use tokio::sync::Mutex;
use tokio::task::JoinError;

use crate::copy::CopyError;
use crate::describe::small_blocks;
use crate::error::OpsError;
use crate::mounts::Mounts;
use crate::packed::deltas::publish;
use crate::packed::pack::upload_file;
use crate::packed::parent::{self, Parent, ParentChoice};
use crate::packed::{map_of, pack};
use crate::preflight::Preflight;
use crate::published::Entry;
use crate::push::PushOptions;
use crate::source::Source;
use crate::target::Target;
use crate::{compressed, published};

/// Encodes the components of one push. They are in the store, except for [those](goes_out_as_it_is) that go there on their way out.
pub(crate) struct Encoder<'a> {
    /// Where they go.
    pub(crate) source: Source<'a>,
    pub(crate) target: Target<'a>,
    pub(crate) bundle: &'a Bundle,
    pub(crate) options: &'a PushOptions,
    /// What need not be sent.
    pub(crate) mounts: &'a Mounts,
    /// Whether it may be sent.
    pub(crate) preflight: &'a Preflight<'a>,
    /// Held by the thread that packs.
    pub(crate) packing: Arc<Mutex<()>>,
}

/// Whether a file of this kind and size is encoded from where it lies, and goes into the store meanwhile.
pub(crate) fn goes_out_as_it_is(
    source: Source<'_>,
    target: Target<'_>,
    kind: ComponentKind,
    size: u64,
) -> bool {
    let readable = matches!(target.artifact.encoding(kind), Encoding::Raw | Encoding::Packed);
    source.repository.is_some() && readable && size >= aside::LARGE
}

/// The components as they are published.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    /// One for each component, in their order.
    pub(crate) stored: Vec<Stored>,
    /// Bytes that went out already.
    pub(crate) moved: u64,
    /// For each component, bytes of its file that were published before: all of them, or what the parent has; `None` where
    /// nothing but the backend knows.
    pub(crate) found: Vec<Option<u64>>,
    /// What the packed component was packed against.
    parent: Option<Parent>,
}

impl Encoder<'_> {
    /// Encodes what is not encoded yet.
    pub(crate) async fn encode(&self) -> Result<Encoded, OpsError> {
        let mut encoded = Encoded::default();
        for component in &self.bundle.components {
            let store = &self.source.workspace.store;
            let (stored, found) = if store.has_sound(&component.digest)? {
                let path = store.blob_path(&component.digest);
                self.encode_file(component, &path, &mut encoded).await?
            } else {
                self.encode_beside(component, &mut encoded).await?
            };
            encoded.stored.push(stored);
            encoded.found.push(found);
        }
        Ok(encoded)
    }

    /// Encodes what is not in the store yet, and goes there meanwhile: both read the file itself. Its digest was taken before, so
    /// that a change in between is found, and before anything names the blob.
    async fn encode_beside(
        &self,
        component: &Component,
        encoded: &mut Encoded,
    ) -> Result<(Stored, Option<u64>), OpsError> {
        let local = self.target.local_path(component.kind, &component.file_name);
        let result = self.take_in_and_encode(component, &local, encoded).await;
        // Nothing may write into the store when the operation is over, nor be cut off by the end of the program.
        drop(self.packing.lock().await);
        let raw = self.target.artifact.encoding(component.kind) == Encoding::Raw;
        match result {
            // What was sent as it is, the registry has hashed.
            Ok(done) if raw => Ok(done),
            Err(error @ OpsError::Store(_)) => Err(error),
            result => {
                // A file that changed is the cause of whatever else went wrong.
                let found = self.source.workspace.store.digest_of_file(&local);
                match found.is_ok_and(|(digest, _)| digest == component.digest) {
                    true => result,
                    false => Err(OpsError::ChangedOnItsWay { path: local }),
                }
            }
        }
    }

    /// Both at the same time. The first that fails ends the other, except that what is taken in is waited for.
    async fn take_in_and_encode(
        &self,
        component: &Component,
        local: &Path,
        encoded: &mut Encoded,
    ) -> Result<(Stored, Option<u64>), OpsError> {
        let raw = self.target.artifact.encoding(component.kind) == Encoding::Raw;
        let store = self.source.workspace.store.clone();
        let (path, digest) = (local.to_owned(), component.digest.clone());
        let taking = tokio::task::spawn_blocking(move || match raw {
            true => store.ingest_aside(&path, &digest),
            // Deltas and later versions read it again.
            false => store.ingest_expected(&path, &digest),
        });
        let encoding = std::pin::pin!(self.encode_file(component, local, encoded));
        let lost = |error: JoinError| std::panic::resume_unwind(error.into_panic());
        match select(taking, encoding).await {
            Either::Left((taken, encoding)) => {
                taken.unwrap_or_else(lost)?;
                encoding.await
            }
            Either::Right((result, taking)) => {
                taking.await.unwrap_or_else(lost)?;
                result
            }
        }
    }

    /// `path` is where the component's bytes are.
    async fn encode_file(
        &self,
        component: &Component,
        path: &Path,
        encoded: &mut Encoded,
    ) -> Result<(Stored, Option<u64>), OpsError> {
        match self.target.artifact.encoding(component.kind) {
            Encoding::Raw => Ok((self.raw(component, path, encoded).await?, None)),
            Encoding::Zstd => match self.known(component, Encoding::Zstd).await? {
                Some(known) => Ok((known, Some(component.size))),
                None => {
                    self.preflight.ask().await?;
                    Ok((compressed::compress(self.source.workspace, component).await?, None))
                }
            },
            Encoding::Packed => self.packed(component, path, encoded).await,
        }
    }

    /// What is in the store is sent with the documents.
    async fn raw(
        &self,
        component: &Component,
        path: &Path,
        encoded: &mut Encoded,
    ) -> Result<Stored, OpsError> {
        let Some(repository) = self.source.repository else { return Ok(Stored::Raw) };
        let digest = &component.digest;
        if path == self.source.workspace.store.blob_path(digest) {
            return Ok(Stored::Raw);
        }
        self.preflight.ask().await?;
        if let Some(manifest) = self.foreseen(encoded)? {
            self.check_conflict(&manifest).await?;
        }
        let blob = Blob { digest: digest.clone(), size: component.size };
        encoded.moved += upload_file(path, repository, &blob, self.mounts.get(digest)).await?;
        Ok(Stored::Raw)
    }

    async fn packed(
        &self,
        component: &Component,
        path: &Path,
        encoded: &mut Encoded,
    ) -> Result<(Stored, Option<u64>), OpsError> {
        let Some(repository) = self.source.repository else { return Ok((Stored::Raw, None)) };
        if let Some(known) = self.known(component, Encoding::Packed).await? {
            return Ok((known, Some(component.size)));
        }
        self.preflight.ask().await?;
        // Its manifest is not known yet, but it is another than the one that is published. Where the encoding was asked for, what is
        // published was not looked at above, and may be the same.
        if self.options.parent == ParentChoice::Auto {
            self.check_conflict(&native::encode(self.bundle, digest_of).manifest).await?;
        }
        self.note_small_blocks(component, path)?;
        let find = async || parent::find(self.source, &self.options.parent, component.kind).await;
        encoded.parent = find().await?;
        let pack = async |parent| {
            let busy = Arc::clone(&self.packing).lock_owned().await;
            let to = (repository, self.mounts);
            pack::pack(self.source.workspace, to, (component, path), parent, busy).await
        };
        let mut outcome = pack(encoded.parent.clone()).await;
        if let Err(OpsError::Packed(error @ PackedError::OtherImage { .. })) = &outcome
            && let Some(parent) = &encoded.parent
        {
            let workspace = self.source.workspace;
            workspace.note(format!("{}: {error}; it is removed here and brought anew", parent.name));
            workspace.store.check_blob(&parent.component.digest)?;
            encoded.parent = find().await?;
            outcome = pack(encoded.parent.clone()).await;
        }
        let outcome = outcome?;
        encoded.moved += outcome.moved;
        Ok((outcome.stored, Some(outcome.in_parent)))
    }

    fn note_small_blocks(&self, component: &Component, path: &Path) -> Result<(), OpsError> {
        let workspace = self.source.workspace;
        if let Some(size) = small_blocks(path)? {
            workspace.note(format!(
                "{}: ext4 with blocks of {size} bytes shares little between versions; make it with `mke2fs -b 4096`",
                component.file_name
            ));
        }
        Ok(())
    }

    /// How the same file was encoded before, here or by whoever published it, if what that takes is still to be had.
    ///
    /// A parent that was asked for is a wish to pack: nothing else repairs a published map that lies.
    async fn known(&self, component: &Component, encoding: Encoding) -> Result<Option<Stored>, OpsError> {
        if encoding == Encoding::Packed && self.options.parent != ParentChoice::Auto {
            return Ok(None);
        }
        let same = |decoded: native::Decoded| {
            let pairs = decoded.bundle.components.into_iter().zip(decoded.stored);
            let mut fits = pairs
                .filter(|(other, stored)| other.digest == component.digest && stored.encoding() == encoding);
            fits.next().map(|(_, stored)| stored)
        };
        let store = &self.source.workspace.store;
        let entry = store.resolve(&self.target.name())?;
        let here = entry.and_then(|entry| crate::packed::local::decoded(self.source.workspace, &entry));
        if let Some(stored) = here.and_then(same)
            && self.has_all(component, &stored)?
        {
            return Ok(Some(stored));
        }
        let documents = match self.source.backend.resolve(self.source.reference, self.source.variant).await {
            // What is damaged there is what a push repairs.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Corrupt) => None,
            other => other?.documents,
        };
        let decoded = documents.and_then(|found| native::decode_stored(&found.manifest, &found.config).ok());
        let Some(stored) = decoded.and_then(same) else { return Ok(None) };
        match self.is_published(component, &stored).await {
            Ok(there) => Ok(Some(stored).filter(|_| there)),
            Err(error) => {
                let reason = crate::error::chain(&error);
                let name = &component.file_name;
                self.source.workspace.note(format!("{name}: what is published is encoded anew: {reason}"));
                Ok(None)
            }
        }
    }

    /// Whether everything that `component` was published as is still there. Only the map is fetched: the rest is not needed
    /// here, and a blob that the registry lost cannot be had from it.
    async fn is_published(&self, component: &Component, stored: &Stored) -> Result<bool, OpsError> {
        let Source { workspace, repository, .. } = self.source;
        let Some(repository) = repository else { return Ok(false) };
        for blob in stored.blobs(component) {
            let here = workspace.store.has_sound(&blob.digest)?;
            if !here && !repository.has_blob(&blob.digest).await.map_err(CopyError::from)? {
                return Ok(false);
            }
        }
        if let Stored::Packed { map, packs } = stored {
            self.source.blob(component, map).await?;
            map_of(workspace, component, map, packs)?;
        }
        Ok(true)
    }

    fn has_all(&self, component: &Component, stored: &Stored) -> Result<bool, OpsError> {
        for blob in stored.blobs(component) {
            if !self.source.workspace.store.has_sound(&blob.digest)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The manifest that will be published, where what is still to be encoded tells: files that go out as they are.
    fn foreseen(&self, encoded: &Encoded) -> Result<Option<Vec<u8>>, OpsError> {
        let rest = self.bundle.components.get(encoded.stored.len()..).unwrap_or_default();
        if rest.iter().any(|component| self.target.artifact.encoding(component.kind) != Encoding::Raw) {
            return Ok(None);
        }
        let stored: Vec<Stored> =
            encoded.stored.iter().cloned().chain(rest.iter().map(|_| Stored::Raw)).collect();
        Ok(Some(native::encode_stored(self.bundle, &stored, digest_of)?.manifest))
    }

    /// Refuses a push that the index would refuse, before its work is done.
    async fn check_conflict(&self, manifest: &[u8]) -> Result<(), OpsError> {
        let entry = Entry { bundle: self.bundle, manifest, strategy: self.options.strategy };
        published::check(self.source.backend, self.target, &entry).await
    }

    /// Publishes deltas to what was published; adds what went out to `moved`.
    pub(crate) async fn publish_deltas(
        &self,
        encoded: &Encoded,
        manifest: &Blob,
        moved: &mut u64,
    ) -> Result<(), OpsError> {
        let count = self.options.deltas.unwrap_or(self.target.artifact.distribution.deltas);
        let Some(repository) = self.source.repository.filter(|_| count > 0) else { return Ok(()) };
        for (component, stored) in self.bundle.components.iter().zip(&encoded.stored) {
            let Stored::Packed { map, packs } = stored else { continue };
            let map = &Arc::new(map_of(self.source.workspace, component, map, packs)?);
            let target = publish::Target { component, map, manifest };
            let plan = publish::Parents { count: count as usize, first: encoded.parent.as_ref() };
            publish::publish(self.source, repository, target, plan, moved).await?;
        }
        Ok(())
    }
}
