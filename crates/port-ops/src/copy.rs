//! copy: a manifest, or an index with all that is in it, from a registry or an image layout to another, with what refers
//! to it and what cosign attached to it below tags of its own. Bytes and digests stay what they are; only what the destination lacks is moved.
//!
//! ```text
//! place ─► side ─► graph (all documents, bounded) ─► blobs ─► manifests ─► indexes ─► referrers ─► attachments' tags ─► tag
//! ```
//!
//! CRASH: the tag is the last to change. What was moved before a kill or a refusal is found there by the next try.

mod error;
mod graph;
mod layout;
mod place;
pub(crate) mod side;
mod transfer;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use port_layout::index::{IndexDocument, Published, variants};
use port_layout::{Descriptor, document};
use port_model::{Digest, Reporter, Variant};
use port_registry::Client;
use port_registry::credentials::{CredentialFiles, CredentialPaths};
use port_store::Store;
use serde::Serialize;

pub use error::CopyError;
pub(crate) use graph::{Facts, Node};
pub use place::Place;
pub(crate) use side::Side;

use crate::login::RegistryAccess;
use graph::{Attachment, Graph};
use transfer::Scratch;

/// How many blobs move at the same time.
const AT_ONCE: usize = 4;

/// What copying needs to know, without a project.
#[derive(Clone)]
pub struct Surroundings {
    /// Where credentials for registries are.
    pub credential_paths: CredentialPaths,
    /// Who listens to progress.
    pub reporter: Arc<dyn Reporter>,
    /// How registries are reached.
    pub access: RegistryAccess,
    /// The root of a store, whose partial files are continued after a kill.
    pub store: Option<PathBuf>,
    /// The user's cache directory for Port, where partial files are where there is no store.
    pub cache: Option<PathBuf>,
}

impl Surroundings {
    /// A client for every registry that these places name.
    pub(crate) fn client(&self, places: &[&Place]) -> Client {
        let credentials = Arc::new(CredentialFiles::new(self.credential_paths.clone()));
        let registries = places.iter().filter_map(|place| place.registry());
        Client::new(self.access.options(registries), credentials, Arc::clone(&self.reporter))
    }
}

/// What is to be copied of a place.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// Whether what refers or is attached to it stays behind.
    pub no_referrers: bool,
    /// This variant of an index alone.
    pub variant: Option<Variant>,
    /// Every variant of an index below its own tag as well, as push publishes them.
    pub all_variants: bool,
}

/// How a thing came to be at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was moved.
    Copied,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was there.
    Found,
}

/// What copy did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyReport {
    /// From where.
    pub source: Place,
    /// To where.
    pub destination: Place,
    /// Digest of the manifest or index that was asked for.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// The manifest that had the destination's tag before.
    pub replaced: Option<Digest>,
    /// Tags that variants were given.
    pub variant_tags: Vec<String>,
    /// Manifests and indexes, in the order in which they were written.
    pub manifests: Vec<CopiedManifest>,
    /// Blobs.
    pub blobs: Vec<CopiedBlob>,
    /// Tags by which cosign finds what is attached.
    pub attachments: Vec<CopiedAttachment>,
    /// Referrers that the source lists and does not have.
    pub absent_referrers: Vec<Digest>,
    /// Blobs that stayed behind: their media type says that only their vendor hands them out.
    pub withheld_blobs: Vec<Digest>,
    /// How many bytes were moved.
    pub moved_bytes: u64,
}

/// One manifest or index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What it refers or is attached to, where it came along for that.
    pub refers_to: Option<Digest>,
    /// How it came there.
    pub outcome: Outcome,
}

/// One tag of cosign's, made of the digest that something is attached to: `sha256-<hex>.sig`, `.att` or `.sbom`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedAttachment {
    /// The tag.
    pub tag: String,
    /// The manifest that has it now.
    pub digest: Digest,
    /// The manifest that the destination had there before.
    pub replaced: Option<Digest>,
}

/// One blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopiedBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// How it came there.
    pub outcome: Outcome,
}

/// Copies what `source` names to `destination`.
///
/// # Errors
/// [`CopyError`]; then the destination's tag is what it was.
pub async fn copy(
    surroundings: &Surroundings,
    source: &Place,
    destination: &Place,
    options: CopyOptions,
) -> Result<CopyReport, CopyError> {
    let client = surroundings.client(&[source, destination]);
    let from = Side::source(&client, source)?;
    let root = from.resolve(source).await?;
    let published = published(&from, &root, options).await?;
    let root = match options.variant {
        Some(variant) => one(&from, &published, variant)?,
        None => root,
    };
    if let Some(expected) = destination.digest().filter(|expected| **expected != root.digest) {
        let reason = format!("the destination is to have {expected}, found {}", root.digest);
        return Err(CopyError::Refused { place: from.to_string(), reason });
    }
    let graph = Graph::read(&from, &root, !options.no_referrers).await?;
    let to = Side::destination(&client, destination)?;
    let store = surroundings.store.as_deref().map(Store::open).transpose()?;
    let scratch = Scratch::new(store.as_ref(), surroundings.cache.as_deref())?;
    let (from, to) = (&from, &to);
    let copying = Copying { from, to, scratch: &scratch };
    let mut report = copying.all(source, destination, &root, &graph).await?;
    report.attachments = copying.tag_attachments(&graph).await?;
    if options.all_variants {
        report.variant_tags = copying.tag_variants(destination, &published, &graph).await?;
    }
    if let (Some(name), Some(node)) = (destination.name(), node(&graph, &root.digest)) {
        // A selected variant keeps what its index said of it.
        let node = Node { descriptor: root.clone(), ..node.clone() };
        report.replaced = to.tag(&node, name).await?;
    }
    if let Side::Layout { layout, .. } = to {
        layout.tidy();
    }
    Ok(report)
}

/// The variants of the index, where the options speak of variants.
async fn published(
    from: &Side,
    root: &Descriptor,
    options: CopyOptions,
) -> Result<Vec<Published>, CopyError> {
    if options.variant.is_none() && !options.all_variants {
        return Ok(Vec::new());
    }
    let bytes = from.document(root).await?;
    let index = IndexDocument::read(&bytes, Some(&root.media_type));
    let index = index.map_err(|source| CopyError::Document {
        place: from.to_string(),
        digest: root.digest.clone(),
        source: Box::new(source),
    })?;
    Ok(variants(&index))
}

/// What is taken for a variant: its manifest, where `root` is an index, else `root` itself, whose variant is for its reader to see.
pub(crate) async fn manifest_of(
    from: &Side,
    root: &Descriptor,
    variant: Variant,
) -> Result<Descriptor, CopyError> {
    if document::kind_of(&root.media_type) != Some(document::DocumentKind::Index) {
        return Ok(root.clone());
    }
    let options = CopyOptions { variant: Some(variant), ..CopyOptions::default() };
    one(from, &published(from, root, options).await?, variant)
}

/// The one manifest of a variant.
fn one(from: &Side, published: &[Published], variant: Variant) -> Result<Descriptor, CopyError> {
    let mut matching = published.iter().filter(|entry| entry.variant == variant);
    let others: Vec<String> =
        published.iter().map(|entry| format!("{} {}", entry.class, entry.variant)).collect();
    let place = from.to_string();
    match (matching.next(), matching.next()) {
        (Some(entry), None) => Ok(entry.descriptor.clone()),
        (Some(_), Some(_)) => {
            Err(CopyError::Selection { place, reason: format!("`{variant}` is there more than once") })
        }
        (None, _) => {
            let found = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
            Err(CopyError::Selection { place, reason: format!("expected `{variant}`, found: {found}") })
        }
    }
}

fn node<'a>(graph: &'a Graph, digest: &Digest) -> Option<&'a Node> {
    graph.nodes.iter().find(|node| &node.descriptor.digest == digest)
}

struct Copying<'a> {
    from: &'a Side,
    to: &'a Side,
    scratch: &'a Scratch,
}

impl Copying<'_> {
    /// Everything but tags.
    async fn all(
        &self,
        source: &Place,
        destination: &Place,
        root: &Descriptor,
        graph: &Graph,
    ) -> Result<CopyReport, CopyError> {
        let blobs = stream::iter(&graph.blobs).map(|blob| self.blob(blob)).buffered(AT_ONCE);
        let blobs: Vec<CopiedBlob> = blobs.try_collect().await?;
        let mut manifests = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let outcome = self.to.put(node).await?;
            manifests.push(CopiedManifest {
                digest: node.descriptor.digest.clone(),
                media_type: node.descriptor.media_type.clone(),
                bytes: node.descriptor.size,
                refers_to: node.belongs_to.clone(),
                outcome,
            });
        }
        let subjects: BTreeSet<Digest> = graph.nodes.iter().filter_map(|node| node.subject.clone()).collect();
        self.to.list_referrers(&subjects)?;
        let moved = blobs.iter().map(|blob| (blob.bytes, blob.outcome));
        let moved = moved.chain(manifests.iter().map(|manifest| (manifest.bytes, manifest.outcome)));
        let moved_bytes =
            moved.filter(|(_, outcome)| *outcome == Outcome::Copied).map(|(bytes, _)| bytes).sum();
        Ok(CopyReport {
            source: source.clone(),
            destination: destination.clone(),
            digest: root.digest.clone(),
            media_type: root.media_type.clone(),
            replaced: None,
            variant_tags: Vec::new(),
            manifests,
            blobs,
            attachments: Vec::new(),
            absent_referrers: graph.absent.clone(),
            withheld_blobs: graph.withheld.clone(),
            moved_bytes,
        })
    }

    async fn blob(&self, blob: &Descriptor) -> Result<CopiedBlob, CopyError> {
        let outcome = transfer::blob(self.from, self.to, blob, self.scratch).await?;
        Ok(CopiedBlob { digest: blob.digest.clone(), bytes: blob.size, outcome })
    }

    /// Gives what is attached its tags. The source's attachment replaces another of the same tag: a manifest that was signed
    /// once more comes with all of its signatures.
    async fn tag_attachments(&self, graph: &Graph) -> Result<Vec<CopiedAttachment>, CopyError> {
        let mut tagged = Vec::with_capacity(graph.attachments.len());
        for Attachment { tag, digest } in &graph.attachments {
            let Some(node) = node(graph, digest) else { continue };
            let replaced = self.to.tag(node, tag).await?;
            tagged.push(CopiedAttachment { tag: tag.clone(), digest: digest.clone(), replaced });
        }
        Ok(tagged)
    }

    /// Gives every variant its own tag, `<version>-<arch>-<substrate>-<mode>`, by which plain `oras pull` finds it.
    async fn tag_variants(
        &self,
        destination: &Place,
        published: &[Published],
        graph: &Graph,
    ) -> Result<Vec<String>, CopyError> {
        let mut tags = Vec::new();
        let Some(version) = destination.name() else { return Ok(tags) };
        for entry in published {
            let Some(node) = node(graph, &entry.descriptor.digest) else { continue };
            let tag = format!("{version}-{}", entry.variant.tag_suffix());
            self.to.tag(node, &tag).await?;
            tags.push(tag);
        }
        Ok(tags)
    }
}
