//! Where a workload's root comes from, and the file or directory of this host that it is mounted from, read-only and without a
//! copy (acceptance V-39, C-46).
//!
//! ```text
//! path ───────────────────────────────────────────────────────────────────────────────┐
//! cas:// ────────── blob of the store ─ read again where it may have rotted ──────────┤
//! artifact:// ───── files of port.toml ─ policies, as port run asks them ─────────────┼─► Lower
//! oci:// ────────── resolved once ─ policies ─ transfer ─► blob of the store, a name ─┤
//! base-image:// ─── the caller makes it ready (port-base-images is above this crate) ─┘
//! ```
//!
//! Invariant: what was published is judged by the digest that was resolved, before a byte of its files is fetched, and what is
//! mounted is what that manifest names.

use std::path::{Path, PathBuf};

use port_backend::{Document, Documents, OciRegistry};
use port_content::fs;
use port_drivers::{DriverError, Lower};
use port_layout::native::{self, Decoded, Stored};
use port_layout::port_v1::{self, INITRD_NAME, Wanted};
use port_layout::{Descriptor, Manifest};
use port_model::{ArtifactClass, ComponentFormat, ComponentKind, Digest, Reference, Selector, Variant};
use port_registry::names_of;
use port_trust::SignedName;
use port_workload::{Plan, RootSource};

use super::{Surroundings, WorkloadError};
use crate::copy::{CopyError, Place, Side};
use crate::error::OpsError;
use crate::source::Source;
use crate::target::Target;
use crate::trust::Policies;
use crate::trust::require::require;
use crate::workspace::Workspace;
use crate::{published, pull, push, run};

/// The file systems that a root is mounted from.
const MOUNTABLE: [ComponentFormat; 3] =
    [ComponentFormat::Ext4, ComponentFormat::Squashfs, ComponentFormat::Erofs];

/// What a root is taken from besides the manifest.
#[derive(Debug, Clone, Default)]
pub struct RootChoice {
    /// Which variant of what is published or built.
    pub selector: Selector,
    /// The root of the plan's base image, where it has one: ready, and kept there by the caller until it is mounted.
    pub base_image: Option<PathBuf>,
}

/// What the root of a plan is mounted from.
pub(super) async fn lower(
    plan: &Plan,
    choice: &RootChoice,
    surroundings: &Surroundings,
) -> Result<Lower, WorkloadError> {
    match &plan.root.source {
        RootSource::Path(path) => at(path),
        RootSource::Stored(digest) => at(&stored(digest, surroundings)?),
        RootSource::Published(reference) => {
            let workspace = (surroundings.open_workspace)()?;
            let variant = choice.selector.resolve(workspace.host);
            at(&fetched(&workspace, reference, variant, surroundings).await?)
        }
        RootSource::Artifact(name) => {
            let workspace = (surroundings.open_workspace)()?;
            at(&built(&workspace, name, choice.selector)?)
        }
        RootSource::BaseImage(name) => match &choice.base_image {
            Some(path) => at(path),
            None => Err(DriverError::Unsupported {
                name: plan.name.clone(),
                key: "storage.rootfs",
                found: format!("base-image://{name}"),
                expected: "a base image that was made ready",
            }
            .into()),
        },
    }
}

fn at(path: &Path) -> Result<Lower, WorkloadError> {
    let unreadable = |source| WorkloadError::Root { path: path.to_owned(), source };
    let path = fs::canonicalize(path).map_err(unreadable)?;
    let found = fs::metadata(&path).map_err(unreadable)?;
    Ok(if found.is_dir() { Lower::Directory(path) } else { Lower::Image(path) })
}

/// A blob, checked as everybody who uses one checks it: a damaged one is not mounted.
fn stored(digest: &Digest, surroundings: &Surroundings) -> Result<PathBuf, WorkloadError> {
    let store = (surroundings.open_store)().map_err(|error| WorkloadError::Store(Box::new(error)))?;
    let path = store.blob_path(digest);
    if fs::exists(&path) && !store.has_sound(digest).map_err(OpsError::from)? {
        return Err(WorkloadError::DamagedRoot { digest: digest.clone() });
    }
    Ok(path)
}

/// The root of a guest image of `port.toml`, which was built or pulled before.
fn built(workspace: &Workspace, name: &str, selector: Selector) -> Result<PathBuf, OpsError> {
    let variant = Target::resolve(workspace, name, selector)?.variant();
    let policies = Policies::of(workspace)?;
    run::guest_image(workspace, name, variant, &policies)
}

/// The root of what is published: every file of it comes into the store, under a name that garbage collection sees.
async fn fetched(
    workspace: &Workspace,
    reference: &Reference,
    variant: Variant,
    surroundings: &Surroundings,
) -> Result<PathBuf, WorkloadError> {
    let (host, name) = names_of(reference);
    let client = surroundings.client(&host);
    let repository = client.repository(&host, &name)?;
    let side = Side::Registry(repository.clone());
    let manifest = manifest_of(&side, reference, variant).await?;
    let policies = (surroundings.policies)()?;
    let judged = require(&policies, Some(&side), &SignedName::of(reference), &manifest.digest).await;
    judged.map_err(OpsError::from)?;
    let decoded = described(&side, &manifest, reference, variant).await?;
    let root = root_of(&decoded, reference, variant)?;
    let backend = OciRegistry::new(client, "oci-registry".to_owned());
    let source = Source { workspace, backend: &backend, repository: Some(&repository), reference, variant };
    bring(source, &decoded, &manifest.digest).await?;
    Ok(workspace.store.blob_path(&root))
}

async fn bring(source: Source<'_>, decoded: &Decoded, manifest: &Digest) -> Result<(), OpsError> {
    let store = &source.workspace.store;
    let _operation = store.operation()?;
    for (component, stored) in decoded.bundle.components.iter().zip(&decoded.stored) {
        source.bring(component, stored, manifest, Path::new("")).await?;
    }
    let entry = push::write_documents(source.workspace, &decoded.bundle, &decoded.stored)?.entry;
    let name = source.reference.variant_name(source.variant);
    if store.resolve(&name)?.is_none_or(|there| there.digest != entry.digest) {
        store.tag(&name, entry)?;
    }
    Ok(())
}

/// The one manifest of the variant. A digest decides, where there is one; else the version's index, else the variant's own tag.
async fn manifest_of(
    side: &Side,
    reference: &Reference,
    variant: Variant,
) -> Result<Descriptor, WorkloadError> {
    let found = match named(side, reference, variant).await {
        Ok(found) => found,
        Err(error) => return Err(OpsError::from(error).into()),
    };
    let bytes = side.document(&found).await.map_err(OpsError::from)?;
    let document = Document { media_type: found.media_type.clone(), bytes: bytes.to_vec() };
    let refused = |error: port_layout::index::SelectError| no_root(reference, error.to_string());
    let selected = published::in_index(&document, ArtifactClass::GuestImage, variant).map_err(refused)?;
    Ok(selected.unwrap_or(found))
}

async fn named(side: &Side, reference: &Reference, variant: Variant) -> Result<Descriptor, CopyError> {
    if reference.digest().is_none() {
        for tag in [reference.variant_tag(variant), reference.version().to_owned()] {
            if let Some(found) = side.find(&tag).await? {
                return Ok(found);
            }
        }
    }
    let place: Place = reference.to_string().parse()?;
    side.resolve(&place).await
}

/// What the manifest says of its files: as Port writes it, or with nothing but titles.
async fn described(
    side: &Side,
    manifest: &Descriptor,
    reference: &Reference,
    variant: Variant,
) -> Result<Decoded, WorkloadError> {
    let manifest = side.document(manifest).await.map_err(OpsError::from)?.to_vec();
    let refused = |reason: String| no_root(reference, reason);
    let Ok(native) = native::decode_manifest(&manifest) else {
        return titled(&manifest, variant).map_err(refused);
    };
    let config =
        side.small_blob(&native.config, port_content::limit::DOCUMENT).await.map_err(OpsError::from)?;
    let documents = Documents { manifest, config: config.to_vec() };
    pull::check_config(&documents).map_err(refused)?;
    native::decode_stored(&documents.manifest, &documents.config)
        .map_err(|error| refused(crate::error::chain(&error)))
}

/// What `oras push`, or Port as published, made: the root is the one file that is no initrd.
fn titled(manifest: &[u8], variant: Variant) -> Result<Decoded, String> {
    let expected = "an image manifest with a root file system";
    let said: Manifest =
        port_layout::json::read(manifest, "manifest", expected).map_err(|error| error.to_string())?;
    let base = |layer: &Descriptor| {
        let name = Path::new(layer.title()?).file_name()?.to_str()?.to_owned();
        (name != INITRD_NAME).then_some(name)
    };
    let names: Vec<String> = said.layers.iter().filter_map(base).collect();
    let [name] = names.as_slice() else {
        return Err(format!("expected one titled file besides `{INITRD_NAME}`, found {}", names.len()));
    };
    let file_name = name.parse().map_err(|error: port_model::FileNameError| error.to_string())?;
    let wanted = Wanted { class: ArtifactClass::GuestImage, variant, file_name };
    let decoded = port_v1::decode(manifest, &wanted).map_err(|error| crate::error::chain(&error))?;
    let stored = decoded.bundle.components.iter().map(|_| Stored::Raw).collect();
    Ok(Decoded { bundle: decoded.bundle, stored })
}

/// The root's digest, where it is one of the variant, and can be mounted.
fn root_of(decoded: &Decoded, reference: &Reference, variant: Variant) -> Result<Digest, WorkloadError> {
    let bundle = &decoded.bundle;
    if bundle.class != ArtifactClass::GuestImage {
        return Err(no_root(reference, format!("expected a guest image, found a {}", bundle.class)));
    }
    if bundle.variant != variant {
        return Err(no_root(reference, format!("expected `{variant}`, found `{}`", bundle.variant)));
    }
    let Some(root) = bundle.component(ComponentKind::Rootfs) else {
        return Err(no_root(reference, "expected a root file system, found none".to_owned()));
    };
    if !MOUNTABLE.contains(&root.format) {
        let known = MOUNTABLE.map(ComponentFormat::as_str).join(", ");
        let (name, format) = (&root.file_name, root.format);
        return Err(no_root(reference, format!("expected `{name}` as one of {known}, found {format}")));
    }
    Ok(root.digest.clone())
}

fn no_root(reference: &Reference, reason: String) -> WorkloadError {
    WorkloadError::NoRoot { reference: reference.to_string(), reason }
}
