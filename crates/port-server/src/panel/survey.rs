//! What is in a repository, read for people: versions, their variants, the files of each, and who refers to it.
//!
//! A page of tags at a time: no request reads more than [`MOST_TAGS`] manifests. What cannot be read as a bundle is shown as its layers.

use std::collections::BTreeMap;

use port_content::limit;
use port_layout::{Manifest, media_types, native};
use port_model::{Architecture, Digest, ProtectionMode, Substrate, Variant};

use crate::catalog::{Catalog, StoredManifest};
use crate::name::{RepositoryName, Tag, TagOrDigest};
use crate::storage::StorageError;

/// How many tags are on a page.
pub(super) const MOST_TAGS: usize = 200;
/// How many layers and referrers are shown of one manifest.
const MOST_SHOWN: usize = 100;
const SIGNATURE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.";
const PREDICATE: &str = "dev.sigstore.bundle.predicateType";
const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// A page of a repository.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// By version, the highest name first.
    pub(super) versions: BTreeMap<std::cmp::Reverse<String>, Version>,
    /// What is no version of a bundle.
    pub(super) others: Vec<Entry>,
    /// The raw bytes of all files on the page.
    pub(super) raw: u64,
    /// The bytes that are stored for them, each blob once.
    pub(super) stored: BTreeMap<Digest, u64>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Version {
    /// The manifest that lists the variants.
    pub(super) index: Option<Digest>,
    pub(super) variants: Vec<(Variant, Entry)>,
}

/// What one tag means.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) tag: Tag,
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) files: Vec<File>,
    pub(super) referrers: Vec<Referrer>,
    /// The cosign signature that stands beside it under a tag.
    pub(super) signature_tag: Option<String>,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    /// Its role, or its media type.
    pub(super) kind: String,
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// How it is stored, where that is known, and in how many bytes.
    pub(super) stored: Option<(&'static str, u64, usize)>,
}

impl Entry {
    /// Whether tools that know nothing of Port get the files.
    pub(super) fn is_plain(&self) -> bool {
        self.files.iter().all(|file| file.stored.is_none_or(|(encoding, _, _)| encoding == "raw"))
    }
}

#[derive(Debug)]
pub(super) struct Referrer {
    pub(super) what: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// Reads a page of a repository, behind the tag `after`.
pub(super) async fn of(
    catalog: &Catalog,
    repository: &RepositoryName,
    after: Option<&str>,
) -> Result<Survey, StorageError> {
    let mut survey = Survey::default();
    let mut tags = catalog.tags(repository, after, MOST_TAGS + 1).await?;
    if tags.len() > MOST_TAGS {
        tags.truncate(MOST_TAGS);
        survey.next = tags.last().map(|tag| tag.as_str().to_owned());
    }
    for tag in tags {
        // Cosign's signatures are shown with what they sign.
        if is_companion(&tag) {
            continue;
        }
        let name = TagOrDigest::Tag(tag.clone());
        let Some(stored) = catalog.manifest(repository, &name).await? else { continue };
        let is_index = port_layout::document::kind_of(&stored.media_type)
            == Some(port_layout::document::DocumentKind::Index);
        let entry = survey.entry(catalog, repository, tag, &stored).await?;
        match version_of(&entry.tag) {
            Some((version, variant)) => {
                let version = survey.versions.entry(std::cmp::Reverse(version)).or_default();
                version.variants.push((variant, entry));
            }
            None if is_index => {
                let version = std::cmp::Reverse(entry.tag.as_str().to_owned());
                survey.versions.entry(version).or_default().index = Some(entry.digest);
            }
            None => survey.others.push(entry),
        }
    }
    Ok(survey)
}

/// `sha256-<hex>` with or without an ending: what stands beside a manifest of that digest.
fn is_companion(tag: &Tag) -> bool {
    let hex = tag.as_str().strip_prefix("sha256-").unwrap_or("");
    hex.len() >= 64 && hex.bytes().take(64).all(|byte| byte.is_ascii_hexdigit())
}

/// The version and the variant that a tag is the name of.
fn version_of(tag: &Tag) -> Option<(String, Variant)> {
    Architecture::ALL.iter().find_map(|architecture| {
        Substrate::ALL.iter().find_map(|substrate| {
            ProtectionMode::ALL.iter().find_map(|mode| {
                let variant = Variant::new(*architecture, *substrate, *mode);
                let version = tag.as_str().strip_suffix(&variant.tag_suffix())?.strip_suffix('-')?;
                Some((version.to_owned(), variant))
            })
        })
    })
}

impl Survey {
    async fn entry(
        &mut self,
        catalog: &Catalog,
        repository: &RepositoryName,
        tag: Tag,
        stored: &StoredManifest,
    ) -> Result<Entry, StorageError> {
        let files = match serde_json::from_slice::<Manifest>(&stored.bytes) {
            Ok(manifest) => self.files(catalog, repository, stored, &manifest).await?,
            Err(_) => Vec::new(),
        };
        let digest = stored.digest.clone();
        let found = catalog.referrers(repository, &digest).await?;
        let referrers = found.into_iter().take(MOST_SHOWN).map(|entry| {
            let predicate = entry.annotations.get(PREDICATE).map(String::as_str);
            let what = described(entry.artifact_type.as_deref().unwrap_or(&entry.media_type), predicate);
            Referrer { what, digest: entry.digest, size: entry.size }
        });
        let referrers = referrers.collect();
        let signature_tag = format!("{}-{}.sig", digest.algorithm().as_str(), digest.hex());
        let signature_tag = match signature_tag.parse::<Tag>() {
            Ok(tag) => catalog.tag(repository, &tag).await?.map(|_| tag.as_str().to_owned()),
            Err(_) => None,
        };
        Ok(Entry { tag, digest, media_type: stored.media_type.clone(), files, referrers, signature_tag })
    }

    async fn files(
        &mut self,
        catalog: &Catalog,
        repository: &RepositoryName,
        stored: &StoredManifest,
        manifest: &Manifest,
    ) -> Result<Vec<File>, StorageError> {
        for blob in manifest.layers.iter().chain([&manifest.config]) {
            self.stored.insert(blob.digest.clone(), blob.size);
        }
        if manifest.config.media_type == media_types::CONFIG
            && let Some(config) =
                catalog.read_blob(repository, &manifest.config.digest, limit::DOCUMENT).await?
            && let Ok(decoded) = native::decode_stored(&stored.bytes, &config)
        {
            return Ok(self.components(&decoded));
        }
        self.raw = manifest.layers.iter().fold(self.raw, |sum, layer| sum.saturating_add(layer.size));
        let layers = manifest.layers.iter().take(MOST_SHOWN);
        Ok(layers
            .map(|layer| File {
                name: layer.title().unwrap_or("(no name)").to_owned(),
                kind: layer.media_type.clone(),
                size: layer.size,
                digest: layer.digest.clone(),
                stored: None,
            })
            .collect())
    }

    fn components(&mut self, decoded: &native::Decoded) -> Vec<File> {
        let pairs = decoded.bundle.components.iter().zip(&decoded.stored);
        let files = pairs.map(|(component, stored)| {
            let blobs = stored.blobs(component);
            let bytes = blobs.iter().fold(0u64, |sum, blob| sum.saturating_add(blob.size));
            File {
                name: component.file_name.to_string(),
                kind: format!("{}, {}", component.kind, component.format),
                size: component.size,
                digest: component.digest.clone(),
                stored: Some((stored.encoding().as_str(), bytes, blobs.len())),
            }
        });
        let files: Vec<File> = files.collect();
        self.raw = files.iter().fold(self.raw, |sum, file| sum.saturating_add(file.size));
        files
    }
}

/// What a referrer is, in a word where we know it.
fn described(artifact_type: &str, predicate: Option<&str>) -> String {
    match predicate {
        Some(SIGN_PREDICATE) => "signature".to_owned(),
        Some(predicate) if artifact_type.starts_with(SIGNATURE_BUNDLE) => format!("attestation, {predicate}"),
        _ if artifact_type == media_types::PACKED_DELTA => "delta from an earlier version".to_owned(),
        _ => artifact_type.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_what_they_are() {
        let of = |tag: &str| version_of(&tag.parse().unwrap()).map(|(version, _)| version);
        assert_eq!(of("v1-x86_64-firecracker-pvm").as_deref(), Some("v1"));
        assert_eq!(of("1.2-rc-aarch64-qemu-standard").as_deref(), Some("1.2-rc"));
        assert_eq!(of("v1"), None);
        let hex = "0".repeat(64);
        assert!(is_companion(&format!("sha256-{hex}.sig").parse().unwrap()));
        assert!(is_companion(&format!("sha256-{hex}").parse().unwrap()));
        assert!(!is_companion(&"sha256-abc".parse().unwrap()));
    }

    #[test]
    fn referrers_are_called_what_they_are() {
        let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
        for (artifact_type, predicate, expected) in [
            (bundle, Some(SIGN_PREDICATE), "signature"),
            (bundle, Some("https://slsa.dev/provenance/v1"), "attestation, https://slsa.dev/provenance/v1"),
            (media_types::PACKED_DELTA, None, "delta from an earlier version"),
            ("application/x", None, "application/x"),
        ] {
            assert_eq!(described(artifact_type, predicate), expected);
        }
    }
}
