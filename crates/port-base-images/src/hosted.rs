//! Hosted manifests: JSON text to checked values (acceptance S-61 … S-79, C-20 … C-25). Pure but for nothing: the text comes in.
//!
//! Every finding names the field; the first one ends the reading.

use std::fmt;
use std::path::{Path, PathBuf};

use port_model::{Architecture, Digest};
use serde_json::{Map, Value};

use crate::artifact_name;
use crate::bundle_id::BundleId;
use crate::preset::RootfsType;
use crate::record::MANIFEST_NAME;
use crate::release;

/// Where a hosted manifest comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    Path(PathBuf),
    /// A URL.
    Url(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "`{}`", path.display()),
            Self::Url(url) => write!(f, "`{url}`"),
        }
    }
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct ManifestProblem {
    /// The field, as `kernel.sha256`.
    pub field: String,
    /// What is wrong with it, as the rest of a sentence.
    pub reason: String,
}

impl ManifestProblem {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// A checked manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostedManifest {
    pub(crate) bundle_id: BundleId,
    pub(crate) firecracker_version: String,
    pub(crate) rootfs_type: RootfsType,
    pub(crate) rootfs_is_read_only: bool,
    pub(crate) boot_arguments: Option<String>,
    pub(crate) kernel: Artifact,
    pub(crate) rootfs: Artifact,
}

/// One of its two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) place: Place,
    /// Its name in the bundle.
    pub(crate) file_name: String,
    pub(crate) sha256: Option<Digest>,
    pub(crate) size: Option<u64>,
}

/// Where a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// At a URL.
    Url(String),
    /// On this machine.
    Path(PathBuf),
}

/// Checks a manifest that was read from `origin` for an architecture.
pub(crate) fn check(
    document: &Value,
    origin: &Origin,
    architecture: Architecture,
) -> Result<HostedManifest, ManifestProblem> {
    let fields =
        document.as_object().ok_or_else(|| ManifestProblem::new("(document)", "is no JSON object"))?;
    let fields = Fields { fields, label: "" };
    if fields.get("schemaVersion").and_then(Value::as_u64) != Some(1) {
        return Err(fields.wrong("schemaVersion", "expected 1"));
    }
    let bundle_id = fields.text("bundleId")?;
    let bundle_id = BundleId::try_from(bundle_id.to_owned())
        .map_err(|error| ManifestProblem::new("bundleId", format!("is not usable: {error}")))?;
    if fields.text("arch")? != architecture.as_str() {
        return Err(fields.wrong("arch", &format!("expected `{architecture}`, which was asked for")));
    }
    let firecracker_version = fields.text("firecrackerVersion")?.to_owned();
    if !release::is_version(&firecracker_version) {
        return Err(fields.wrong("firecrackerVersion", "expected `vX.Y.Z`"));
    }
    let rootfs_type: RootfsType = fields
        .text("rootfsType")?
        .parse()
        .map_err(|_| fields.wrong("rootfsType", "expected `ext4` or `squashfs`"))?;
    let rootfs_is_read_only = fields.flag("rootfsIsReadOnly")?.unwrap_or(rootfs_type.is_read_only());
    let boot_arguments = fields.boot_arguments()?;
    let kernel = artifact(&fields, "kernel", "vmlinux", origin)?;
    let rootfs = artifact(&fields, "rootfs", &format!("rootfs.{rootfs_type}"), origin)?;
    if kernel.file_name == rootfs.file_name {
        let reason = format!("has the file name of the kernel, `{}`", kernel.file_name);
        return Err(ManifestProblem::new("rootfs", reason));
    }
    Ok(HostedManifest {
        bundle_id,
        firecracker_version,
        rootfs_type,
        rootfs_is_read_only,
        boot_arguments,
        kernel,
        rootfs,
    })
}

fn artifact(
    manifest: &Fields<'_>,
    label: &'static str,
    fallback: &str,
    origin: &Origin,
) -> Result<Artifact, ManifestProblem> {
    let fields = manifest.get(label).and_then(Value::as_object);
    let fields = fields.ok_or_else(|| manifest.wrong(label, "expected an object with `url` or `path`"))?;
    let fields = Fields { fields, label };
    let place = place(&fields, label, origin)?;
    let sha256 = fields.sha256()?;
    if matches!(place, Place::Url(_)) && sha256.is_none() {
        return Err(fields.wrong("sha256", "expected 64 hex digits, which an artifact with `url` needs"));
    }
    let source = match &place {
        Place::Url(url) => url.clone(),
        Place::Path(path) => path.to_string_lossy().into_owned(),
    };
    let file_name = artifact_name::of(fields.file_name()?, Some(&source), fallback);
    if file_name == MANIFEST_NAME {
        return Err(ManifestProblem::new(
            label,
            format!("may not be called `{MANIFEST_NAME}`, as the bundle's own manifest is"),
        ));
    }
    Ok(Artifact { place, file_name, sha256, size: fields.size()? })
}

fn place(fields: &Fields<'_>, label: &str, origin: &Origin) -> Result<Place, ManifestProblem> {
    let wrong = |reason: &str| ManifestProblem::new(label, reason);
    match (fields.optional_text("url")?, fields.optional_text("path")?) {
        (None, None) => Err(wrong("needs a `url` or a `path`")),
        (Some(_), Some(_)) => Err(wrong("has both `url` and `path`: expected one of them")),
        (Some(url), None) if url.starts_with("https://") || url.starts_with("http://") => {
            Ok(Place::Url(url.to_owned()))
        }
        (Some(_), None) => Err(fields.wrong("url", "expected an http or https URL")),
        (None, Some(path)) => match origin {
            // Relative to the manifest, not to wherever somebody stands (acceptance C-25).
            Origin::Path(manifest) => Ok(Place::Path(manifest.parent().unwrap_or(Path::new("")).join(path))),
            Origin::Url(_) => Err(wrong("has a `path`, which a manifest from a URL may not")),
        },
    }
}

/// An object's fields, and how its findings are labelled.
struct Fields<'a> {
    fields: &'a Map<String, Value>,
    label: &'a str,
}

impl<'a> Fields<'a> {
    /// A field; `null` is none.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, expected: &str) -> ManifestProblem {
        let field = if self.label.is_empty() { name.to_owned() } else { format!("{}.{name}", self.label) };
        let reason = match self.get(name) {
            Some(found) => format!("is `{}`: {expected}", shortened(found)),
            None => format!("is missing: {expected}"),
        };
        ManifestProblem::new(field, reason)
    }

    fn text(&self, name: &str) -> Result<&'a str, ManifestProblem> {
        self.optional_text(name)?.ok_or_else(|| self.wrong(name, "expected a text"))
    }

    fn optional_text(&self, name: &str) -> Result<Option<&'a str>, ManifestProblem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "expected a text that is not empty")),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, ManifestProblem> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => {
                value.as_bool().map(Some).ok_or_else(|| self.wrong(name, "expected true or false"))
            }
        }
    }

    /// One line: it becomes one argument of a VMM.
    fn boot_arguments(&self) -> Result<Option<String>, ManifestProblem> {
        let name = "bootArgs";
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.contains(char::is_control) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong(name, "expected a text of one line")),
        }
    }

    fn sha256(&self) -> Result<Option<Digest>, ManifestProblem> {
        let name = "sha256";
        let Some(value) = self.get(name) else { return Ok(None) };
        let digest = value.as_str().and_then(|hex| Digest::from_sha256_hex(hex).ok());
        digest.map(Some).ok_or_else(|| self.wrong(name, "expected 64 hex digits"))
    }

    fn size(&self) -> Result<Option<u64>, ManifestProblem> {
        let name = "sizeBytes";
        let Some(value) = self.get(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| self.wrong(name, "expected an integer of 0 or more"))
    }

    fn file_name(&self) -> Result<Option<&'a str>, ManifestProblem> {
        let name = "fileName";
        let Some(value) = self.get(name) else { return Ok(None) };
        let usable = |text: &&str| {
            !matches!(*text, "" | "." | "..")
                && text.len() <= artifact_name::LONGEST
                && text.chars().all(artifact_name::is_plain)
        };
        let usable = value.as_str().filter(usable);
        usable.map(Some).ok_or_else(|| {
            self.wrong(name, "expected a plain base name of at most 200 letters, digits, `.`, `_`, `-`")
        })
    }
}

/// A value for a message: not a whole document.
fn shortened(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests;
