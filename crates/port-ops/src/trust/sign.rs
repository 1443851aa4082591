//! sign: a manifest's digest, signed, where everybody who finds the manifest finds the signature.
//!
//! ```text
//! tag       sha256-<hex>.sig: one manifest, one layer per signature (cosign 1 and 2)
//! referrer  a bundle that refers to the manifest (cosign 3, sigstore bundle 0.3)
//! ```
//!
//! Signing twice with one key changes nothing: signatures and documents are the same bytes every time. Whoever signs at the same
//! time loses nothing (`port_registry::Repository::merge_manifest`).

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_layout::oci::{Annotations, to_bytes};
use port_layout::{Blob, Descriptor, Manifest, media_types};
use port_model::Digest;
use port_registry::{MergeError, TagOrDigest};
use port_trust::{SecretKey, SignedName, Statement, bundle, simple_signing, statement};
use serde::Serialize;

use crate::copy::{Node, Place, Side};
use crate::trust::error::TrustError;
use crate::trust::gather::{attached_tag, manifest};
use crate::trust::subject::Subject;

/// In which forms a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureForms {
    /// cosign's tag.
    Tag,
    /// A bundle that refers to the manifest.
    Referrer,
    /// Both.
    #[default]
    Both,
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignReport {
    /// The place.
    pub place: Place,
    /// The name that the signatures say; none in a layout.
    pub name: Option<SignedName>,
    /// The fingerprint of the key.
    pub fingerprint: Digest,
    /// What was signed, and where the signatures are.
    pub signed: Vec<SignedManifest>,
}

/// One manifest that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedManifest {
    /// Its digest.
    pub digest: Digest,
    /// The tag that holds a signature.
    pub tag: Option<String>,
    /// The referrer that holds one.
    pub referrer: Option<Digest>,
}

/// Signs these manifests of one place.
pub(crate) async fn sign_all(
    side: &Side,
    subject: &Subject,
    manifests: &[Descriptor],
    key: &SecretKey,
    forms: SignatureForms,
) -> Result<SignReport, TrustError> {
    let name = subject.name.as_ref();
    let mut signed = Vec::new();
    for manifest in manifests {
        let mut done = SignedManifest { digest: manifest.digest.clone(), tag: None, referrer: None };
        if forms != SignatureForms::Tag {
            let text = name.map(SignedName::as_str).unwrap_or_default();
            let statement =
                Statement::about(&manifest.digest, text, statement::SIGNATURE, serde_json::json!({}));
            done.referrer = Some(put_bundle(side, manifest, &statement, key).await?);
        }
        if forms != SignatureForms::Referrer {
            done.tag = Some(put_tag(side, subject, manifest, key).await?);
        }
        signed.push(done);
    }
    let fingerprint = key.public().fingerprint();
    Ok(SignReport { place: subject.place.clone(), name: name.cloned(), fingerprint, signed })
}

/// Writes a statement as a bundle that refers to `about`; returns the referrer's digest.
pub(crate) async fn put_bundle(
    side: &Side,
    about: &Descriptor,
    statement: &Statement,
    key: &SecretKey,
) -> Result<Digest, TrustError> {
    let layer = side.put_small_blob(&bundle::sign(statement, key).into()).await?;
    let config = side.put_small_blob(&Bytes::from_static(b"{}")).await?;
    let annotations: Annotations = [
        (bundle::CONTENT_ANNOTATION.to_owned(), bundle::CONTENT.to_owned()),
        (bundle::PREDICATE_ANNOTATION.to_owned(), statement.predicate_type.clone()),
    ]
    .into();
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_types::OCI_MANIFEST.to_owned(),
        artifact_type: Some(bundle::MEDIA_TYPE.to_owned()),
        config: config.descriptor(media_types::EMPTY_CONFIG),
        layers: vec![layer.descriptor(bundle::MEDIA_TYPE)],
        subject: Some(Descriptor::new(&about.media_type, about.digest.clone(), about.size)),
        annotations,
    };
    let node = node(&manifest, Some(about.digest.clone()));
    side.put(&node).await?;
    Ok(node.descriptor.digest)
}

/// Adds a signature to cosign's tag; returns the tag.
async fn put_tag(
    side: &Side,
    subject: &Subject,
    about: &Descriptor,
    key: &SecretKey,
) -> Result<String, TrustError> {
    let Some(name) = &subject.name else {
        return Err(TrustError::Unsignable {
            what: subject.place.to_string(),
            reason: "cosign's tag form says a repository, and a layout has none; sign with `--form referrer`"
                .to_owned(),
        });
    };
    let payload = Bytes::from(simple_signing::payload(&about.digest, name.as_str()));
    let blob = side.put_small_blob(&payload).await?;
    let mut layer = blob.descriptor(simple_signing::MEDIA_TYPE);
    let signature = port_trust::simple_signing::signature(key, &payload);
    layer.annotations.insert(simple_signing::SIGNATURE_ANNOTATION.to_owned(), signature);
    let tag = attached_tag(&about.digest, "sig");
    let before = match side.find(&tag).await? {
        Some(found) => manifest(&side.document(&found).await?),
        None => None,
    };
    // A registry may refuse a manifest whose config it lacks.
    side.put_small_blob(&config(&with(before.as_ref(), &layer))).await?;
    match side {
        Side::Layout { .. } => {
            let node = node(&tag_manifest(with(before.as_ref(), &layer)), None);
            side.put(&node).await?;
            side.tag(&node, &tag).await?;
        }
        Side::Registry(repository) => merge(side, repository, &tag, &layer).await?,
    }
    Ok(tag)
}

async fn merge(
    side: &Side,
    repository: &port_registry::Repository,
    tag: &str,
    layer: &Descriptor,
) -> Result<(), TrustError> {
    let wrong = |reason: String| TrustError::Unsignable { what: tag.to_owned(), reason };
    let name = tag.parse().map_err(|error: port_model::ReferenceError| wrong(error.to_string()))?;
    // The config names every layer, so it is there before: one more try where somebody else added a layer meanwhile.
    for _ in 0..TRIES {
        let missing = std::sync::Mutex::new(None);
        let add = |found: Option<&port_registry::Manifest>| -> Result<Option<(String, Bytes)>, String> {
            let before = match found {
                Some(found) => {
                    let read = manifest(&found.bytes);
                    Some(read.ok_or_else(|| "what is there is no manifest of signatures".to_owned())?)
                }
                None => None,
            };
            if before.as_ref().is_some_and(|before| before.layers.contains(layer)) {
                return Ok(None);
            }
            let layers = with(before.as_ref(), layer);
            if let Ok(mut missing) = missing.lock() {
                *missing = Some(config(&layers));
            }
            let bytes = to_bytes(&tag_manifest(layers));
            Ok(Some((media_types::OCI_MANIFEST.to_owned(), bytes.into())))
        };
        let merged = repository.merge_manifest(&TagOrDigest::Tag(Clone::clone(&name)), &add).await;
        let config = missing.into_inner().unwrap_or_default();
        let there = match &config {
            Some(config) => side.has_small_blob(config).await?,
            None => true,
        };
        if let (Some(config), false) = (&config, there) {
            side.put_small_blob(config).await?;
        }
        match merged {
            Ok(()) => return Ok(()),
            Err(MergeError::Refused(reason)) => return Err(wrong(reason)),
            Err(MergeError::Registry(error)) if there => return Err(error.into()),
            // Refused for the config, which is there now.
            Err(MergeError::Registry(_)) => {}
        }
    }
    Err(wrong("others sign it at the same time, again and again".to_owned()))
}

/// How often a signature is added anew because somebody else added one.
const TRIES: u32 = 8;

fn with(before: Option<&Manifest>, layer: &Descriptor) -> Vec<Descriptor> {
    let mut layers = before.map(|before| before.layers.clone()).unwrap_or_default();
    if !layers.contains(layer) {
        layers.push(layer.clone());
    }
    layers
}

fn tag_manifest(layers: Vec<Descriptor>) -> Manifest {
    let bytes = config(&layers);
    let config = Blob { digest: digest_of(&bytes), size: bytes.len() as u64 };
    Manifest {
        schema_version: 2,
        media_type: media_types::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config: config.descriptor(media_types::OCI_CONFIG),
        layers,
        subject: None,
        annotations: Annotations::new(),
    }
}

/// What cosign has as the config of its manifest: an image whose layers are the payloads.
fn config(layers: &[Descriptor]) -> Bytes {
    let digests: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    let history: Vec<_> =
        layers.iter().map(|_| serde_json::json!({ "created": "0001-01-01T00:00:00Z" })).collect();
    let config = serde_json::json!({
        "architecture": "", "config": {}, "created": "0001-01-01T00:00:00Z", "history": history, "os": "",
        "rootfs": { "diff_ids": digests, "type": "layers" },
    });
    config.to_string().into()
}

fn node(manifest: &Manifest, subject: Option<Digest>) -> Node {
    let bytes = Bytes::from(to_bytes(manifest));
    let descriptor = Descriptor::new(media_types::OCI_MANIFEST, digest_of(&bytes), bytes.len() as u64);
    let mut listed = descriptor.clone();
    listed.artifact_type.clone_from(&manifest.artifact_type);
    listed.annotations.clone_from(&manifest.annotations);
    Node { descriptor, bytes, subject, listed, belongs_to: None }
}
