//! The `port-v1` layout: what Port publishes today, one variant per tag, in the shape of `oras push`.
//!
//! One manifest with the empty config; the variant's file is a layer whose title is its base name, and a guest
//! image's initrd is a second one (acceptance Pu-20 … Pu-26, C-1). The variant stands in the tag alone, so the
//! reader is told it. What this layout has no field for is reported by [`encode`], never lost unseen.

use port_model::{
    ArtifactClass, Bundle, Component, ComponentFormat, ComponentKind, Digest, FileName, FileNameError,
    Variant,
};

use crate::annotations::TITLE;
use crate::document::{self, Document, DocumentError};
use crate::media_types;
use crate::native::Encoded;
use crate::oci::{self, Annotations, Descriptor, Manifest};

/// The config blob: an empty JSON object.
pub const EMPTY_CONFIG: &[u8] = b"{}";
/// The base name of a guest image's companion.
pub const INITRD_NAME: &str = "initrd.cpio.gz";
/// The empty config in base64, as `oras push` puts it into the descriptor.
const EMPTY_CONFIG_DATA: &str = "e30=";
/// SHA-256 of the two bytes `{}` (image-spec, "Guidance for an Empty Descriptor").
const EMPTY_CONFIG_HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A bundle as documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortV1 {
    /// Config and manifest.
    pub documents: Encoded,
    /// Fields of the bundle that this layout cannot hold, for the caller to say.
    pub left_out: Vec<&'static str>,
}

/// What is asked for; none of it stands in the manifest for sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Kernel or guest image.
    pub class: ArtifactClass,
    /// The variant that the tag names.
    pub variant: Variant,
    /// The base name of the variant's local path.
    pub file_name: FileName,
}

/// A manifest as a bundle, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Main file and initrd. There are no kernel facts, boot arguments or provenance in this layout, and the
    /// format of a kernel is raw until its bytes were looked at.
    pub bundle: Bundle,
    /// Layers that are neither.
    pub ignored: Vec<Descriptor>,
}

/// Why documents and bundle do not fit.
#[derive(Debug, thiserror::Error)]
pub enum PortV1Error {
    /// The bundle has no main file, or one that this layout has no place for.
    #[error("the {class} cannot be published as port-v1: {reason}")]
    Unsupported {
        /// Kernel or guest image.
        class: ArtifactClass,
        /// What it has too much or too little.
        reason: String,
    },
    /// No manifest.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// An index where a manifest should be.
    #[error("the document is an index: expected the manifest of one variant")]
    Index,
    /// A title that leads out of the directory, or is no path.
    #[error("a layer is titled `{title}`: expected a relative path without `..`")]
    UnsafeTitle {
        /// The title.
        title: String,
    },
    /// A title whose base name Port does not take.
    #[error("a layer's title cannot be a file name")]
    FileName(#[from] FileNameError),
    /// No layer, or several, of that base name.
    #[error("{} layers are titled `{file_name}`: expected one, the titles are {}", count, words(titles))]
    NotOne {
        /// The base name that was looked for.
        file_name: String,
        /// How many layers have it.
        count: usize,
        /// Every title there is.
        titles: Vec<String>,
    },
    /// The layer is of another class.
    #[error("the layer `{file_name}` is a {found}: expected a {expected}")]
    Class {
        /// Its base name.
        file_name: FileName,
        /// What was asked for.
        expected: ArtifactClass,
        /// What its media type says.
        found: ArtifactClass,
    },
}

fn words(titles: &[String]) -> String {
    if titles.is_empty() {
        return "none".to_owned();
    }
    titles.iter().map(|title| format!("`{title}`")).collect::<Vec<_>>().join(", ")
}

/// The descriptor of the empty config.
pub fn empty_config() -> Descriptor {
    let digest = Digest::from_sha256_hex(EMPTY_CONFIG_HEX);
    // A constant of 64 hex digits; the zero digest could only make the manifest unreadable.
    let digest = digest.unwrap_or_else(|_| Digest::sha256(&[0; 32]));
    Descriptor {
        data: Some(EMPTY_CONFIG_DATA.to_owned()),
        ..Descriptor::new(media_types::EMPTY_CONFIG, digest, EMPTY_CONFIG.len() as u64)
    }
}

/// Writes a bundle down as Port publishes it today.
///
/// # Errors
/// [`PortV1Error::Unsupported`] where a component has no place: bytes are never dropped.
pub fn encode(bundle: &Bundle) -> Result<PortV1, PortV1Error> {
    let unsupported = |reason| PortV1Error::Unsupported { class: bundle.class, reason };
    let main = bundle.main().ok_or_else(|| unsupported("it has no main component".to_owned()))?;
    let mut layers = vec![layer(main, main.file_name.as_str())];
    let mut rest: Vec<&Component> = bundle.components.iter().filter(|c| *c != main).collect();
    if bundle.class == ArtifactClass::GuestImage
        && let Some(at) = rest.iter().position(|c| c.kind == ComponentKind::Initrd)
    {
        layers.push(layer(rest.remove(at), INITRD_NAME));
    }
    if let Some(other) = rest.first() {
        return Err(unsupported(format!("it has no place for the {} `{}`", other.kind, other.file_name)));
    }
    if main.file_name.as_str() == INITRD_NAME {
        return Err(unsupported(format!("its main file is named `{INITRD_NAME}`")));
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_types::OCI_MANIFEST.to_owned(),
        artifact_type: Some(media_types::UNKNOWN_ARTIFACT.to_owned()),
        config: empty_config(),
        layers,
        subject: None,
        annotations: Annotations::new(),
    };
    let documents = Encoded { config: EMPTY_CONFIG.to_vec(), manifest: oci::to_bytes(&manifest) };
    Ok(PortV1 { documents, left_out: left_out(bundle) })
}

fn layer(component: &Component, title: &str) -> Descriptor {
    let media_type = media_types::layer(component.kind, component.format);
    let mut descriptor = Descriptor::new(media_type, component.digest.clone(), component.size);
    descriptor.annotations.insert(TITLE.to_owned(), title.to_owned());
    descriptor
}

fn left_out(bundle: &Bundle) -> Vec<&'static str> {
    let fields = [
        ("kernel", bundle.kernel.is_some()),
        ("boot_arguments", bundle.boot_arguments.is_some()),
        ("provenance", bundle.provenance.is_some()),
    ];
    fields.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect()
}

/// Reads what Port or a plain `oras push` published. The caller has checked the manifest's digest.
///
/// # Errors
/// [`PortV1Error`] where a title is unsafe or the wanted file is not there exactly once.
pub fn decode(manifest: &[u8], wanted: &Wanted) -> Result<Decoded, PortV1Error> {
    let Document::Manifest(manifest) = document::read(manifest, None)? else {
        return Err(PortV1Error::Index);
    };
    let mut ignored = manifest.layers;
    for layer in &ignored {
        check_title(layer.title().unwrap_or("untitled"))?;
    }
    let main = take(&mut ignored, wanted.file_name.as_str())?;
    if let Some(found) = media_types::class_of_layer(&main.media_type).filter(|c| *c != wanted.class) {
        return Err(PortV1Error::Class {
            file_name: wanted.file_name.clone(),
            expected: wanted.class,
            found,
        });
    }
    let mut components = vec![component(wanted.class.main_kind(), wanted.file_name.clone(), &main)];
    let has_initrd = ignored.iter().any(|layer| base_name(layer) == Some(INITRD_NAME));
    if wanted.class == ArtifactClass::GuestImage && has_initrd {
        let initrd = take(&mut ignored, INITRD_NAME)?;
        components.push(component(ComponentKind::Initrd, INITRD_NAME.parse()?, &initrd));
    }
    let bundle = Bundle {
        class: wanted.class,
        variant: wanted.variant,
        components,
        kernel: None,
        boot_arguments: None,
        provenance: None,
    };
    Ok(Decoded { bundle, ignored })
}

/// `oras` refuses these too: a title is where it writes the file.
fn check_title(title: &str) -> Result<(), PortV1Error> {
    let drive = title.as_bytes().get(1) == Some(&b':');
    let parent = title.split(['/', '\\']).any(|part| part == "..");
    if title.is_empty() || title.starts_with(['/', '\\']) || drive || parent || title.contains('\0') {
        return Err(PortV1Error::UnsafeTitle { title: title.to_owned() });
    }
    Ok(())
}

fn base_name(layer: &Descriptor) -> Option<&str> {
    layer.title().and_then(|title| title.rsplit('/').next())
}

/// The layer with exactly this title, else the only one with this base name (acceptance Pu-22).
fn take(layers: &mut Vec<Descriptor>, file_name: &str) -> Result<Descriptor, PortV1Error> {
    let positions = |matches: &dyn Fn(&Descriptor) -> bool| -> Vec<usize> {
        layers.iter().enumerate().filter(|(_, layer)| matches(layer)).map(|(at, _)| at).collect()
    };
    let mut found = positions(&|layer| layer.title() == Some(file_name));
    if found.is_empty() {
        found = positions(&|layer| base_name(layer) == Some(file_name));
    }
    match found.as_slice() {
        [only] => Ok(layers.remove(*only)),
        several => Err(PortV1Error::NotOne {
            file_name: file_name.to_owned(),
            count: several.len(),
            titles: layers.iter().filter_map(Descriptor::title).map(str::to_owned).collect(),
        }),
    }
}

fn component(kind: ComponentKind, file_name: FileName, layer: &Descriptor) -> Component {
    let format = format_of(kind, &layer.media_type);
    Component { kind, format, file_name, size: layer.size, digest: layer.digest.clone() }
}

/// What the media type says. A kernel's says nothing, and names mislead (an arm64 `vmlinux` is an `Image`), so
/// a kernel is raw until somebody has looked at its bytes.
fn format_of(kind: ComponentKind, media_type: &str) -> ComponentFormat {
    use ComponentFormat::{CpioGz, Erofs, Ext4, Raw, Squashfs};
    match kind {
        ComponentKind::Initrd => CpioGz,
        ComponentKind::Rootfs => [Ext4, Squashfs, Erofs]
            .into_iter()
            .find(|format| media_types::layer(ComponentKind::Rootfs, *format) == media_type)
            .unwrap_or(Raw),
        ComponentKind::Kernel | ComponentKind::KernelDbg => Raw,
    }
}

#[cfg(test)]
mod tests;
