//! What belongs to a manifest or index: every manifest and blob below it, and what refers or is attached to them, with an
//! end.
//!
//! All documents are read before anything moves, so what contradicts itself costs nothing. Who wrote them decides neither
//! how deep they nest, nor how many they are, nor how much memory they take.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use port_layout::{Descriptor, Document, document};
use port_model::Digest;
use serde::Deserialize;

use crate::copy::side::{Belongings, Side};
use crate::copy::{AT_ONCE, CopyError};

/// How deep indexes may nest.
const MOST_NESTING: usize = 4;
/// How far referrers of referrers are followed.
const MOST_LEVELS: usize = 8;
/// The most documents of one copy.
const MOST_DOCUMENTS: usize = 4096;
/// The most blobs of one copy.
const MOST_BLOBS: usize = 65_536;
/// The most bytes of documents of one copy; they are held in memory.
const MOST_BYTES: u64 = 64 << 20;

/// What is read of a document besides what it lists.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Facts {
    #[serde(default)]
    pub(crate) subject: Option<Descriptor>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Facts {
    /// The facts of a document; none where it cannot be read.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// The descriptor by which referrers are listed (OCI distribution-spec, "Listing Referrers").
    pub(crate) fn describe(self, descriptor: &Descriptor) -> Descriptor {
        let artifact_type = self.artifact_type.filter(|text| !text.is_empty());
        let by_config = self.config.map(|config| config.media_type);
        Descriptor {
            artifact_type: artifact_type.or(by_config),
            annotations: self.annotations.unwrap_or_default(),
            ..Descriptor::new(&descriptor.media_type, descriptor.digest.clone(), descriptor.size)
        }
    }
}

/// One manifest or index to copy.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Bytes,
    /// What it refers to.
    pub(crate) subject: Option<Digest>,
    /// How it is listed as a referrer.
    pub(crate) listed: Descriptor,
    /// What it came along for, because it refers or is attached to that.
    pub(crate) belongs_to: Option<Digest>,
}

/// A tag by which cosign finds what it attached to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) tag: String,
    pub(crate) digest: Digest,
}

/// Why a document is copied.
#[derive(Debug, Clone)]
enum Reason {
    /// It was asked for, or is listed in what was.
    Content,
    /// It refers to a manifest, and says so itself.
    RefersTo(Digest),
    /// A tag made of a manifest's digest says that it is attached to it.
    AttachedTo(Digest),
}

/// All that is to be copied.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// Documents, each behind what it lists and behind what it refers to.
    pub(crate) nodes: Vec<Node>,
    /// Blobs, each once.
    pub(crate) blobs: Vec<Descriptor>,
    /// Tags of what is attached.
    pub(crate) attachments: Vec<Attachment>,
    /// Referrers that are listed and not there.
    pub(crate) absent: Vec<Digest>,
    /// Blobs that their media type forbids to pass on.
    pub(crate) withheld: Vec<Digest>,
    seen: BTreeSet<Digest>,
    seen_blobs: BTreeMap<Digest, u64>,
    bytes: u64,
}

type Visit<'a> = Pin<Box<dyn Future<Output = Result<(), CopyError>> + Send + 'a>>;

impl Graph {
    /// Reads everything below `root`, and with `referrers` what refers to any of it.
    pub(crate) async fn read(source: &Side, root: &Descriptor, referrers: bool) -> Result<Self, CopyError> {
        let mut graph = Self::default();
        graph.visit(source, root.clone(), Reason::Content, 0).await?;
        if referrers {
            graph.follow(source).await?;
        }
        Ok(graph)
    }

    /// Follows referrers and attachments, level by level.
    async fn follow(&mut self, source: &Side) -> Result<(), CopyError> {
        let mut seen = 0;
        let mut level = 0;
        while seen < self.nodes.len() {
            let new = self.nodes.iter().skip(seen).map(|node| node.descriptor.digest.clone());
            let asked = stream::iter(new).map(|subject| source.belongings(subject)).buffered(AT_ONCE);
            let found: Vec<Belongings> = asked.try_collect().await?;
            seen = self.nodes.len();
            for belongings in found {
                self.take(source, belongings, level).await?;
            }
            level += 1;
        }
        Ok(())
    }

    /// Takes in what belongs to one manifest.
    async fn take(&mut self, source: &Side, found: Belongings, level: usize) -> Result<(), CopyError> {
        let Belongings { subject, referrers, attachments } = found;
        for referrer in referrers {
            self.take_one(source, referrer, Reason::RefersTo(subject.clone()), level).await?;
        }
        for (tag, attached) in attachments {
            let digest = attached.digest.clone();
            self.take_one(source, attached, Reason::AttachedTo(subject.clone()), level).await?;
            if !self.absent.contains(&digest) {
                self.attachments.push(Attachment { tag, digest });
            }
        }
        Ok(())
    }

    async fn take_one(
        &mut self,
        source: &Side,
        found: Descriptor,
        reason: Reason,
        level: usize,
    ) -> Result<(), CopyError> {
        if self.seen.contains(&found.digest) {
            return Ok(());
        }
        if level >= MOST_LEVELS {
            let reason = format!("referrers of referrers go on for more than {MOST_LEVELS} levels");
            return Err(refused(source, reason));
        }
        let (digest, before) = (found.digest.clone(), self.nodes.len());
        match self.visit(source, found, reason, 0).await {
            // Registries and tools forget to take a deleted referrer off the list.
            Err(error) if source.is_absent(&error) && before == self.nodes.len() => {
                self.absent.push(digest);
                Ok(())
            }
            other => other,
        }
    }

    fn visit<'a>(
        &'a mut self,
        source: &'a Side,
        descriptor: Descriptor,
        reason: Reason,
        depth: usize,
    ) -> Visit<'a> {
        Box::pin(async move {
            if !self.seen.insert(descriptor.digest.clone()) {
                return Ok(());
            }
            self.check_bounds(source, &descriptor, depth)?;
            let bytes = source.document(&descriptor).await?;
            let facts = Facts::of(&bytes);
            let own_subject = facts.subject.as_ref().map(|subject| subject.digest.clone());
            let belongs_to = match reason {
                Reason::Content => None,
                Reason::AttachedTo(subject) => Some(subject),
                Reason::RefersTo(subject) if own_subject.as_ref() == Some(&subject) => Some(subject),
                Reason::RefersTo(_) => {
                    let digest = &descriptor.digest;
                    let reason = format!("{digest} is listed as a referrer, and refers to another");
                    return Err(refused(source, reason));
                }
            };
            self.list(source, &descriptor, &bytes, depth).await?;
            let listed = facts.describe(&descriptor);
            self.nodes.push(Node { descriptor, bytes, subject: own_subject, listed, belongs_to });
            Ok(())
        })
    }

    /// Takes in what a document lists: blobs, and in an index other documents.
    async fn list(
        &mut self,
        source: &Side,
        descriptor: &Descriptor,
        bytes: &[u8],
        depth: usize,
    ) -> Result<(), CopyError> {
        let document = document::read(bytes, Some(&descriptor.media_type));
        let document = document.map_err(|error| CopyError::Document {
            place: source.to_string(),
            digest: descriptor.digest.clone(),
            source: Box::new(error),
        })?;
        match document {
            Document::Manifest(manifest) => {
                let mut blobs = std::iter::once(manifest.config).chain(manifest.layers);
                blobs.try_for_each(|blob| self.blob(source, blob))
            }
            Document::Index(index) => {
                for entry in index.manifests {
                    if document::kind_of(&entry.media_type).is_some() {
                        self.visit(source, entry, Reason::Content, depth + 1).await?;
                    } else {
                        // A build cache lists its layers in an index.
                        self.blob(source, entry)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn check_bounds(
        &mut self,
        source: &Side,
        descriptor: &Descriptor,
        depth: usize,
    ) -> Result<(), CopyError> {
        self.bytes = self.bytes.saturating_add(descriptor.size);
        let reason = match () {
            () if depth > MOST_NESTING => format!("its indexes nest deeper than {MOST_NESTING}"),
            () if self.seen.len() > MOST_DOCUMENTS => format!("it has more than {MOST_DOCUMENTS} manifests"),
            () if self.bytes > MOST_BYTES => format!("its manifests have more than {MOST_BYTES} bytes"),
            () => return Ok(()),
        };
        Err(refused(source, reason))
    }

    fn blob(&mut self, source: &Side, blob: Descriptor) -> Result<(), CopyError> {
        if is_withheld(&blob.media_type) {
            if !self.withheld.contains(&blob.digest) {
                self.withheld.push(blob.digest);
            }
            return Ok(());
        }
        match self.seen_blobs.insert(blob.digest.clone(), blob.size) {
            None => self.blobs.push(blob),
            Some(size) if size == blob.size => {}
            Some(size) => {
                let reason =
                    format!("{} is {size} bytes in one place and {} in another", blob.digest, blob.size);
                return Err(refused(source, reason));
            }
        }
        if self.blobs.len() + self.withheld.len() > MOST_BLOBS {
            return Err(refused(source, format!("it has more than {MOST_BLOBS} blobs")));
        }
        Ok(())
    }
}

/// Layers that come from their vendor alone (OCI image-spec, "Non-Distributable Layers"; Docker's foreign layers). Registries
/// take manifests without them.
fn is_withheld(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

fn refused(source: &Side, reason: String) -> CopyError {
    CopyError::Refused { place: source.to_string(), reason }
}
