//! The trait and the plain data that it speaks.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use port_model::{Digest, FileName, Reference, Reporter, Variant};

use crate::error::BackendError;

/// One file to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its base name.
    pub name: FileName,
    /// Digest of its bytes.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where its bytes are, read-only.
    pub path: PathBuf,
    /// Another publication at the same place that may have the same bytes: a place that can take them from there is not
    /// sent them.
    pub elsewhere: Option<Reference>,
}

/// What describes the files: kept as bytes, since digests are over bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// The config that the manifest names.
    pub config: Vec<u8>,
}

/// One variant, ready to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Under which name.
    pub reference: Reference,
    /// Which variant.
    pub variant: Variant,
    /// The files, the main one first.
    pub files: Vec<PublishedFile>,
    /// The documents.
    pub documents: Documents,
}

/// One file that a backend has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Its base name.
    pub name: FileName,
    /// Its size in bytes, as the backend says.
    pub size: u64,
    /// Its digest, where the backend keeps one; a store that others filled may have none (acceptance C-5).
    pub digest: Option<Digest>,
}

/// One variant, as a backend has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The files, by name.
    pub files: Vec<FoundFile>,
    /// The documents, where the backend keeps them.
    pub documents: Option<Documents>,
}

/// A place where variants are published.
///
/// Publishing is all or nothing: whoever resolves while another publishes sees the old variant or the new
/// one. Publishing the same variant again replaces it. Implementations may be called from many tasks.
#[async_trait]
pub trait Backend: Send + Sync {
    /// What it is, for reports: `file-system artifact-store/demo-fs`.
    fn describe(&self) -> String;

    /// Where one file of a variant is, as the user would write it: a path or a remote reference.
    fn location(&self, reference: &Reference, variant: Variant, file: &FileName) -> String;

    /// Publishes a variant; returns the bytes moved: those that the place did not have, or could not find in what it has.
    ///
    /// Where the place has an index that stands for all variants of the reference, `merge` puts the variant into it. It gets
    /// the index that is there and gives the one that should be; it is asked again when another publisher came in
    /// between, and gives `None` when nothing is to be done. Where it refuses, whoever pulls the variant gets what they got
    /// before: the name moves last.
    async fn push(
        &self,
        publication: &Publication,
        merge: MergeIndex<'_>,
        reporter: &dyn Reporter,
    ) -> Result<u64, BackendError>;

    /// Finds out what the backend has of a variant. Absence is [`crate::ErrorKind::NotFound`].
    async fn resolve(&self, reference: &Reference, variant: Variant) -> Result<Found, BackendError>;

    /// Brings the bytes of one file to `target`, in place of what lies there or continuing it.
    ///
    /// `seeds` are files that lie here and may hold parts of it, the likeliest first: other versions, whatever they hold
    /// now. A backend that can tell which parts those are takes them from there. A seed that is gone is none.
    async fn fetch(
        &self,
        reference: &Reference,
        variant: Variant,
        file: &FoundFile,
        seeds: &[PathBuf],
        target: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Fetched, BackendError>;

    /// Removes what [`Backend::fetch`] keeps beside `target` to continue after a kill; the file itself has been moved
    /// to its place.
    fn forget(&self, _: &Path) -> Result<(), BackendError> {
        Ok(())
    }

    /// The index that stands for all variants of `reference`, where the backend has one.
    async fn index(&self, _: &Reference) -> Result<Option<Document>, BackendError> {
        Ok(None)
    }

    /// The manifest under the variant's own name, where the place has such names besides an index: somebody else may have
    /// given it without listing it anywhere.
    async fn named(&self, _: &Reference, _: Variant) -> Result<Option<Digest>, BackendError> {
        Ok(None)
    }
}

/// See [`Backend::push`]. An error is a refusal, in words.
pub type MergeIndex<'a> = &'a (dyn Fn(Option<&Document>) -> Result<Option<Document>, String> + Sync);

/// A document and its media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a fetch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched {
    /// How far the bytes may be trusted.
    pub check: Check,
    /// Bytes that came from the backend.
    pub moved: u64,
    /// Bytes of the file that came from the seeds.
    pub found: u64,
}

/// How far fetched bytes may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// They were checked against [`FoundFile::digest`] and size: where they lie, or on the way there by whoever wrote them.
    Done,
    /// The caller checks them, and removes them where they are others.
    Callers,
}
