//! A manifest or index as somebody sent it: what has to be known of it to keep it. Everything else in it is theirs.

use std::collections::BTreeMap;

use port_layout::media_types;
use port_model::Digest;
use serde::{Deserialize, Deserializer, Serialize};

/// The most blobs or manifests that one document may name.
const MOST_DESCRIPTORS: usize = 10_000;
/// Docker's layers that are never pushed.
const FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
/// OCI's layers that need not be pushed.
const NONDISTRIBUTABLE: &str = "application/vnd.oci.image.layer.nondistributable.v1.";

/// Why a document is refused.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// No JSON, or a field of another type, or one that is there twice.
    #[error("the manifest cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Its own media type is another one than the request's.
    #[error("the manifest says that it is `{found}`, and the request says `{expected}`")]
    MediaType {
        /// What the request said.
        expected: String,
        /// What the document says.
        found: String,
    },
    /// It is a manifest and an index at once, or neither (CVE-2021-41190).
    #[error("the document is no manifest and no index: {0}")]
    Ambiguous(&'static str),
    /// It names more than is reasonable.
    #[error("the document names {found} blobs or manifests: at most {MOST_DESCRIPTORS} are taken")]
    TooMany {
        /// How many.
        found: usize,
    },
}

/// What names a blob or another manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Where else it may be had.
    #[serde(default, deserialize_with = "null_is_default")]
    pub urls: Vec<String>,
}

impl Named {
    /// Whether it must be in the repository.
    fn must_be_here(&self) -> bool {
        let elsewhere = self.media_type == FOREIGN_LAYER || self.media_type.starts_with(NONDISTRIBUTABLE);
        !elsewhere && self.urls.is_empty()
    }
}

/// A document that can be kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Draft {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    config: Option<Named>,
    #[serde(default)]
    layers: Option<Vec<Named>>,
    #[serde(default)]
    manifests: Option<Vec<Named>>,
    /// To which manifest it refers.
    #[serde(default)]
    pub subject: Option<Named>,
    #[serde(default, deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, String>,
}

impl Draft {
    /// Reads and checks a document that was sent as `media_type`.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn read(bytes: &[u8], media_type: &str) -> Result<Self, DraftError> {
        let draft: Self = serde_json::from_slice(bytes)?;
        if let Some(found) = draft.media_type.as_deref().filter(|found| *found != media_type) {
            return Err(DraftError::MediaType { expected: media_type.to_owned(), found: found.to_owned() });
        }
        let is_index = draft.manifests.is_some();
        let is_manifest = draft.config.is_some() || draft.layers.is_some();
        if is_index && is_manifest {
            return Err(DraftError::Ambiguous("it has `manifests` beside `config` or `layers`"));
        }
        let index_type = [media_types::OCI_INDEX, media_types::DOCKER_MANIFEST_LIST].contains(&media_type);
        let manifest_type = [media_types::OCI_MANIFEST, media_types::DOCKER_MANIFEST].contains(&media_type);
        if (index_type && !is_index) || (manifest_type && draft.config.is_none()) {
            return Err(DraftError::Ambiguous("it lacks what its media type promises"));
        }
        let found = [&draft.layers, &draft.manifests].into_iter().flatten().map(Vec::len).sum();
        if found > MOST_DESCRIPTORS {
            return Err(DraftError::TooMany { found });
        }
        Ok(draft)
    }

    /// The blobs that must be in the repository. An index may name manifests that are not there.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        let named = self.config.iter().chain(self.layers.iter().flatten());
        named.filter(|blob| blob.must_be_here()).map(|blob| &blob.digest)
    }

    /// The entry of a list of referrers for it.
    pub fn referrer(&self, media_type: &str, digest: &Digest, size: u64) -> Referrer {
        let fallback = || self.config.as_ref().map(|config| config.media_type.clone());
        let artifact_type = self.artifact_type.clone().filter(|found| !found.is_empty()).or_else(fallback);
        Referrer {
            media_type: media_type.to_owned(),
            digest: digest.clone(),
            size,
            artifact_type,
            annotations: self.annotations.clone(),
        }
    }
}

/// An entry of a list of referrers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// What the referrer is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = r#"{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;

    #[test]
    fn a_document_is_one_thing() {
        let check = |text: String, media_type: &str, expected: &str| {
            let error = Draft::read(text.as_bytes(), media_type).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let manifest = media_types::OCI_MANIFEST;
        check("{".to_owned(), manifest, "cannot be read");
        check(format!(r#"{{"config":{EMPTY},"manifests":[]}}"#), manifest, "`manifests` beside");
        check(r#"{"layers":[]}"#.to_owned(), manifest, "lacks");
        check(r#"{"layers":[]}"#.to_owned(), media_types::OCI_INDEX, "lacks");
        check(format!(r#"{{"mediaType":"x/y","config":{EMPTY}}}"#), manifest, "`x/y`");
        check(format!(r#"{{"config":{EMPTY},"config":{EMPTY}}}"#), manifest, "duplicate field");
        check(r#"{"config":{"digest":"sha256:../../x"}}"#.to_owned(), manifest, "64 lower-case hex");
    }

    #[test]
    fn layers_that_are_elsewhere_need_not_be_here() {
        let layer = r#"{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"sha256:00136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
        let text = format!(r#"{{"config":{EMPTY},"layers":[{layer}]}}"#);
        let draft = Draft::read(text.as_bytes(), media_types::OCI_MANIFEST).unwrap();
        assert_eq!(draft.blobs().count(), 1);
    }
}
