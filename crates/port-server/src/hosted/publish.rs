//! From files to what is published: the manifest of a variant, its tag, and the readable paths.

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_content::limit;
use port_layout::annotations::TITLE;
use port_layout::{Descriptor, Manifest, media_types, oci, port_v1};
use port_model::digest::Algorithm;
use port_model::{Digest, FileName, INITRD_FILE_NAME};

use super::HostedError;
use super::metadata::Place;
use crate::catalog::{Catalog, Expected, ManifestError, PutManifest, StoredManifest};
use crate::name::TagOrDigest;
use crate::storage::{Condition, StorageError};

/// Annotations of a manifest that this server made around documents which are none themselves.
const DOCUMENT_MANIFEST: &str = "vnd.port.hosted.manifest";
const DOCUMENT_CONFIG: &str = "vnd.port.hosted.config";
/// How often a writer tries again that another one was faster than.
const TRIES: usize = 32;
/// The most files at one readable path that are tidied up.
const MOST_FILES: usize = 1000;

/// One file of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: FileName,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// What describes the files, as the client wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Documents {
    pub(super) manifest: Bytes,
    pub(super) config: Bytes,
}

/// A variant as it is published.
pub(super) struct Published {
    pub(super) stored: StoredManifest,
    pub(super) manifest: Manifest,
}

impl Published {
    /// The files: layers with a plain name whose bytes are the file's own.
    pub(super) fn files(&self) -> Vec<File> {
        let layers = self.manifest.layers.iter().filter(|layer| !is_encoded(layer));
        let files = layers.filter_map(|layer| {
            let name = layer.title()?.rsplit('/').next()?.parse().ok()?;
            Some(File { name, digest: layer.digest.clone(), size: layer.size })
        });
        files.collect()
    }

    /// Whether there is a file that is here in another form only.
    pub(super) fn has_encoded(&self) -> bool {
        self.manifest.layers.iter().any(is_encoded)
    }

    /// The documents that the client wrote, where there are any.
    pub(super) async fn documents(
        &self,
        catalog: &Catalog,
        place: &Place,
    ) -> Result<Option<Documents>, HostedError> {
        let named =
            |key: &str| self.manifest.annotations.get(key).and_then(|text| text.parse::<Digest>().ok());
        let read =
            async |digest: &Digest| catalog.read_blob(&place.repository, digest, limit::DOCUMENT).await;
        if let (Some(manifest), Some(config)) = (named(DOCUMENT_MANIFEST), named(DOCUMENT_CONFIG)) {
            let both = (read(&manifest).await?, read(&config).await?);
            return Ok(both.0.zip(both.1).map(|(manifest, config)| Documents { manifest, config }));
        }
        if self.manifest.artifact_type.as_deref() == Some(media_types::UNKNOWN_ARTIFACT) {
            // Nobody said anything about these files but their names.
            return Ok(None);
        }
        let config = read(&self.manifest.config.digest).await?;
        Ok(config.map(|config| Documents { manifest: self.stored.bytes.clone(), config }))
    }
}

/// Whether a layer's bytes are another form of a file: packs, or compressed.
fn is_encoded(layer: &Descriptor) -> bool {
    let packed = [media_types::PACKED_MAP, media_types::PACKED_PACK, media_types::PACKED_DELTA];
    packed.contains(&layer.media_type.as_str()) || layer.media_type.ends_with("+zstd")
}

/// What a variant's tag means; nothing where it is no manifest of files.
pub(super) async fn find(catalog: &Catalog, place: &Place) -> Result<Option<Published>, HostedError> {
    let name = TagOrDigest::Tag(place.tag.clone());
    Ok(read(catalog, place, name).await?)
}

async fn read(
    catalog: &Catalog,
    place: &Place,
    name: TagOrDigest,
) -> Result<Option<Published>, StorageError> {
    let Some(stored) = catalog.manifest(&place.repository, &name).await? else { return Ok(None) };
    let manifest = serde_json::from_slice::<Manifest>(&stored.bytes).ok();
    Ok(manifest.map(|manifest| Published { stored, manifest }))
}

/// Puts one file into what is published of its variant, beside the others. Its blob is had by the repository.
pub(super) async fn add(catalog: &Catalog, place: &Place, file: File) -> Result<(), HostedError> {
    for _ in 0..TRIES {
        let target = catalog.tag(&place.repository, &place.tag).await?.map(|target| target.digest);
        let (before, expected) = match target {
            Some(digest) => {
                let before = read(catalog, place, TagOrDigest::Digest(digest.clone())).await?;
                (before, Expected::Manifest(digest))
            }
            None => (None, Expected::Nothing),
        };
        let mut files = before.as_ref().map(Published::files).unwrap_or_default();
        files.retain(|other| other.name != file.name);
        files.push(file.clone());
        files.sort_by_key(|file| (file.name.as_str() == INITRD_FILE_NAME, file.name.clone()));
        match put(catalog, place, &manifest_of(&files, None), Some(expected)).await {
            Err(ManifestError::Moved { .. }) => {}
            other => {
                other?;
                return Ok(project(catalog, place).await?);
            }
        }
    }
    Err(HostedError::conflict("others publish this variant all the time; try again"))
}

/// Keeps the documents of a variant whose files are here; gives its manifest, which nothing names yet.
pub(super) async fn keep(
    catalog: &Catalog,
    place: &Place,
    files: &[File],
    documents: &Documents,
) -> Result<Bytes, HostedError> {
    let config = digest_of(&documents.config);
    catalog.put_blob(&place.repository, &config, documents.config.clone()).await?;
    let manifest = if describes(documents, &config, files) {
        documents.manifest.clone()
    } else {
        let manifest = digest_of(&documents.manifest);
        catalog.put_blob(&place.repository, &manifest, documents.manifest.clone()).await?;
        manifest_of(files, Some((&manifest, &config)))
    };
    put(catalog, place, &manifest, None).await?;
    Ok(manifest)
}

/// Publishes a variant whose documents are kept, in place of what was there.
pub(super) async fn name(catalog: &Catalog, place: &Place, manifest: &Bytes) -> Result<(), HostedError> {
    put(catalog, place, manifest, Some(Expected::Anything)).await?;
    Ok(project(catalog, place).await?)
}

/// Whether the client's own manifest can stand for the files.
fn describes(documents: &Documents, config: &Digest, files: &[File]) -> bool {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&documents.manifest) else { return false };
    let listed = |file: &File| {
        let layer = manifest.layers.iter().find(|layer| layer.title() == Some(file.name.as_str()));
        layer.is_some_and(|layer| layer.digest == file.digest && layer.size == file.size)
    };
    manifest.media_type == media_types::OCI_MANIFEST
        && manifest.config.digest == *config
        && manifest.layers.len() == files.len()
        && files.iter().all(listed)
}

fn manifest_of(files: &[File], documents: Option<(&Digest, &Digest)>) -> Bytes {
    let layers = files.iter().map(|file| {
        let mut layer = Descriptor::new(media_type(&file.name), file.digest.clone(), file.size);
        layer.annotations.insert(TITLE.to_owned(), file.name.to_string());
        layer
    });
    let named = documents.map(|(manifest, config)| {
        [
            (DOCUMENT_MANIFEST.to_owned(), manifest.to_string()),
            (DOCUMENT_CONFIG.to_owned(), config.to_string()),
        ]
    });
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_types::OCI_MANIFEST.to_owned(),
        artifact_type: Some(media_types::UNKNOWN_ARTIFACT.to_owned()),
        config: port_v1::empty_config(),
        layers: layers.collect(),
        subject: None,
        annotations: named.into_iter().flatten().collect(),
    };
    oci::to_bytes(&manifest).into()
}

/// The API has names only, so names decide.
fn media_type(name: &FileName) -> &'static str {
    let name = name.as_str();
    match name.rsplit('.').next() {
        _ if name == INITRD_FILE_NAME => "application/vnd.port.initrd.v1+gzip",
        _ if name.starts_with("vmlinu") || name == "bzImage" || name == "Image" => {
            "application/vnd.port.kernel.v1+binary"
        }
        Some("ext4") => "application/vnd.port.guest-image.v1+ext4",
        Some("squashfs") => "application/vnd.port.guest-image.v1+squashfs",
        Some("erofs") => "application/vnd.port.guest-image.v1+erofs",
        _ => "application/octet-stream",
    }
}

/// Puts the manifest, and moves the tag to it where something is expected of the tag.
async fn put(
    catalog: &Catalog,
    place: &Place,
    manifest: &Bytes,
    expected: Option<Expected>,
) -> Result<(), ManifestError> {
    let empty = Bytes::from_static(port_v1::EMPTY_CONFIG);
    catalog.put_blob(&place.repository, &port_v1::empty_config().digest, empty).await?;
    let put = PutManifest {
        media_type: media_types::OCI_MANIFEST.to_owned(),
        bytes: manifest.clone(),
        digest: None,
        tags: expected.iter().map(|_| place.tag.clone()).collect(),
        expected: expected.unwrap_or(Expected::Anything),
    };
    catalog.put_manifest(&place.repository, put).await.map(drop)
}

/// Makes the readable paths what the tag means (acceptance P-39, C-5), and again where it moved meanwhile.
///
/// CRASH: a kill leaves the paths of the version before; they are made anew by the next push, and a pull asks the tag.
pub(super) async fn project(catalog: &Catalog, place: &Place) -> Result<(), StorageError> {
    for _ in 0..TRIES {
        let target = catalog.tag(&place.repository, &place.tag).await?.map(|target| target.digest);
        let published = match &target {
            Some(digest) => read(catalog, place, TagOrDigest::Digest(digest.clone())).await?,
            None => None,
        };
        let files = published.as_ref().map(Published::files).unwrap_or_default();
        place_files(catalog, place, &files).await?;
        let after = catalog.tag(&place.repository, &place.tag).await?;
        if after.map(|after| after.digest) == target {
            return Ok(());
        }
    }
    Ok(())
}

/// Puts exactly these files, each with its side-car, at the readable path.
async fn place_files(catalog: &Catalog, place: &Place, files: &[File]) -> Result<(), StorageError> {
    let mut names = Vec::new();
    for file in files {
        let sidecar = format!("{}.sha256", file.name);
        if file.digest.algorithm() != Algorithm::Sha256
            || !catalog.copy_blob(&file.digest, &place.path(file.name.as_str())).await?
        {
            continue;
        }
        let line = format!("{}  {}\n", file.digest.hex(), file.name);
        let _written = catalog.storage().put(&place.path(&sidecar), line.into(), Condition::Always).await?;
        names.extend([file.name.to_string(), sidecar]);
    }
    for child in catalog.storage().list(&place.directory(), None, MOST_FILES).await? {
        if !names.contains(&child.name) {
            let _gone = catalog.storage().delete(&place.path(&child.name), Condition::Always).await?;
        }
    }
    Ok(())
}
