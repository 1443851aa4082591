//! A release as documents: one manifest per architecture, then the index under the shared tags.
//!
//! Invariant: every index entry carries its platform, since agents skip one without (acceptance C-34, Ou-24).

use port_model::Architecture;

use super::{INITRAMFS_NAME, KERNEL_NAME, Metadata, ROOT_NAME};
use crate::annotations::{KUBESOLO_CHANNEL, KUBESOLO_VERSION, RELEASE_BOOT_ARGUMENTS, TITLE};
use crate::index::{Entry, IndexDocument};
use crate::media_types::{
    KUBESOLO_INITRAMFS, KUBESOLO_KERNEL, OCI_INDEX, OCI_MANIFEST, RELEASE_ROOT, RELEASE_ROOT_INDEX,
    UNKNOWN_ARTIFACT,
};
use crate::native::Encoded;
use crate::oci::{self, Annotations, Blob, Descriptor, Index, Manifest, Platform};
use crate::port_v1;

/// One architecture's manifest, for the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexPart {
    /// Which architecture.
    pub architecture: Architecture,
    /// The manifest.
    pub manifest: Blob,
    /// What the manifest says of itself.
    pub metadata: Metadata,
}

/// Why a release cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A field that agents need is empty or does not fit its use.
    #[error("the release's {field} is `{found}`: expected {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What would do.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file of no bytes.
    #[error("the {file} has 0 bytes: expected at least one")]
    EmptyFile {
        /// Kernel or initramfs.
        file: &'static str,
    },
    /// An index of nothing.
    #[error("the index would have no entries: expected one per architecture")]
    NoParts,
    /// Two manifests for one architecture.
    #[error("two manifests are for `{architecture}`: expected one")]
    Duplicate {
        /// Go's name.
        architecture: &'static str,
    },
    /// Manifests of different releases.
    #[error(
        "the manifest for `{architecture}` has the {field} `{found}`: expected `{expected}` as the others"
    )]
    Differs {
        /// Go's name.
        architecture: &'static str,
        /// Version or channel.
        field: &'static str,
        /// The first manifest's.
        expected: String,
        /// This one's.
        found: String,
    },
}

/// The tag of one architecture's manifest: `v0.3.0-amd64`.
pub fn single_tag(version: &str, architecture: Architecture) -> String {
    format!("{version}-{}", architecture.oci_name())
}

/// What a release has besides KubeSolo's two files. KubeSolo's agent does not see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// The root file system.
    pub root_filesystem: Option<Blob>,
    /// Its block index.
    pub root_index: Option<Blob>,
    /// What the kernel is to be started with; nothing is said where it is empty.
    pub boot_arguments: String,
}

/// Writes one architecture's manifest, in the shape of `oras push`. The architecture's annotation is set here.
///
/// # Errors
/// [`PublishError`] where version or channel cannot be a tag, or a file is empty.
pub fn encode(
    metadata: &Metadata,
    architecture: Architecture,
    kernel: &Blob,
    initramfs: &Blob,
) -> Result<Encoded, PublishError> {
    encode_with(metadata, architecture, (kernel, initramfs), &Extra::default())
}

/// The same, with what Port's agent takes besides.
///
/// # Errors
/// As [`encode`].
pub fn encode_with(
    metadata: &Metadata,
    architecture: Architecture,
    (kernel, initramfs): (&Blob, &Blob),
    extra: &Extra,
) -> Result<Encoded, PublishError> {
    check(metadata, architecture)?;
    let files = [
        ("kernel", KUBESOLO_KERNEL, KERNEL_NAME, Some(kernel)),
        ("initramfs", KUBESOLO_INITRAMFS, INITRAMFS_NAME, Some(initramfs)),
        ("root file system", RELEASE_ROOT, ROOT_NAME, extra.root_filesystem.as_ref()),
        ("block index", RELEASE_ROOT_INDEX, "rootfs.img.blocks", extra.root_index.as_ref()),
    ];
    let mut layers = Vec::with_capacity(files.len());
    for (file, media_type, title, blob) in files {
        let Some(blob) = blob else { continue };
        if blob.size == 0 {
            return Err(PublishError::EmptyFile { file });
        }
        let mut layer = Descriptor::new(media_type, blob.digest.clone(), blob.size);
        layer.annotations.insert(TITLE.to_owned(), title.to_owned());
        layers.push(layer);
    }
    let said = Metadata { architecture: architecture.oci_name().to_owned(), ..metadata.clone() };
    let mut annotations = said.to_annotations();
    if !extra.boot_arguments.is_empty() {
        annotations.insert(RELEASE_BOOT_ARGUMENTS.to_owned(), extra.boot_arguments.clone());
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        artifact_type: Some(UNKNOWN_ARTIFACT.to_owned()),
        config: port_v1::empty_config(),
        layers,
        subject: None,
        annotations,
    };
    Ok(Encoded { config: port_v1::EMPTY_CONFIG.to_vec(), manifest: oci::to_bytes(&manifest) })
}

/// Writes the index over the architectures' manifests, in the order of Go's names.
///
/// # Errors
/// [`PublishError`] where there is nothing, an architecture stands twice, or the manifests are not one release.
pub fn encode_index(parts: &[IndexPart]) -> Result<Vec<u8>, PublishError> {
    let mut sorted: Vec<&IndexPart> = parts.iter().collect();
    sorted.sort_by_key(|part| part.architecture.oci_name());
    let first = sorted.first().ok_or(PublishError::NoParts)?;
    let duplicate = sorted.iter().zip(sorted.iter().skip(1)).find(|(a, b)| a.architecture == b.architecture);
    if let Some((part, _)) = duplicate {
        return Err(PublishError::Duplicate { architecture: part.architecture.oci_name() });
    }
    for part in &sorted {
        check(&part.metadata, part.architecture)?;
        same("version", &first.metadata.version, &part.metadata.version, part)?;
        same("channel", &first.metadata.channel, &part.metadata.channel, part)?;
    }
    let annotations = Annotations::from([
        (KUBESOLO_VERSION.to_owned(), first.metadata.version.clone()),
        (KUBESOLO_CHANNEL.to_owned(), first.metadata.channel.clone()),
    ]);
    let index = Index {
        schema_version: 2,
        media_type: OCI_INDEX.to_owned(),
        manifests: sorted.into_iter().map(entry).collect(),
        annotations,
    };
    Ok(oci::to_bytes(&index))
}

/// Puts manifests into an index that is there, each before those of architectures whose name comes later. What is in the
/// index stays as it was written, to the byte; a manifest that is in it is not added.
///
/// That the index is of the same release, and has no other manifests for these architectures, is for the caller to see.
pub fn extend_index(existing: IndexDocument, parts: &[IndexPart]) -> IndexDocument {
    let mut entries = existing.entries().to_vec();
    for part in parts.iter().filter(|part| !existing.contains(&part.manifest.digest)) {
        let name = part.architecture.oci_name();
        let is_later = |known: &Entry| {
            let platform = known.descriptor().platform.as_ref();
            platform.is_some_and(|platform| platform.os == "linux" && platform.architecture.as_str() > name)
        };
        let at = entries.iter().position(is_later).unwrap_or(entries.len());
        entries.insert(at, Entry::new(entry(part)));
    }
    existing.with_entries(entries)
}

/// NOTE: no artifact type here: `skopeo copy` drops it, and the index would get another digest.
fn entry(part: &IndexPart) -> Descriptor {
    Descriptor {
        platform: Some(Platform::linux(part.architecture)),
        ..Descriptor::new(OCI_MANIFEST, part.manifest.digest.clone(), part.manifest.size)
    }
}

fn same(field: &'static str, expected: &str, found: &str, part: &IndexPart) -> Result<(), PublishError> {
    if expected == found {
        return Ok(());
    }
    Err(PublishError::Differs {
        architecture: part.architecture.oci_name(),
        field,
        expected: expected.to_owned(),
        found: found.to_owned(),
    })
}

/// Version and channel become tags; the version with the architecture behind it.
fn check(metadata: &Metadata, architecture: Architecture) -> Result<(), PublishError> {
    let refuse = |field, expected: String, found: &str| {
        Err(PublishError::Field { field, expected, found: found.to_owned() })
    };
    let fields = [("version", &metadata.version, 128 - "-amd64".len()), ("channel", &metadata.channel, 128)];
    for (field, text, longest) in fields {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        if !first || text.len() > longest || !text.chars().all(fits) {
            return refuse(field, format!("a tag of at most {longest} characters"), text);
        }
    }
    if metadata.version == metadata.channel {
        return refuse("channel", "another word than the version".to_owned(), &metadata.channel);
    }
    let said = &metadata.architecture;
    if !said.is_empty() && said != architecture.oci_name() {
        return refuse("architecture", format!("`{}`", architecture.oci_name()), said);
    }
    Ok(())
}
