//! pull: backend → store → cache path → local path (acceptance P-45, P-46).
//!
//! The local path is the last to change; a large file that is to be there may be written before, without a name. A kill on
//! the way leaves the old local file and blobs that the next pull finds in the store.

use port_backend::{Backend, BackendError, Documents, ErrorKind, Found, FoundFile};
use port_content::hashing::{Hasher, digest_of};
use port_layout::Descriptor;
use port_layout::native::{self, Decoded, Stored};
use port_layout::port_v1::{self, Wanted};
use port_model::{ArtifactClass, Bundle, Component, ComponentKind, INITRD_FILE_NAME};
use port_store::{Blob, StoreError};

use crate::describe;
use crate::error::OpsError;
use crate::hosted::Face;
use crate::local::HashedFile;
use crate::push::{Moved, TransferReport, open, record, report};
use crate::registry::Reading;
use crate::source::Source;
use crate::target::Target;
use crate::trust::Policies;
use crate::trust::local::check_found;
use crate::workspace::Workspace;
use crate::{pvm, registry, trust};

/// How often a pull starts again because somebody published meanwhile.
const TRIES: u32 = 3;

/// Fetches `target` and restores its local files.
pub async fn pull(workspace: &Workspace, target: Target<'_>) -> Result<TransferReport, OpsError> {
    let config = target.artifact.distribution.pull.as_ref();
    let backend = open(workspace, target, "pull", config)?;
    let reference = &target.artifact.reference;
    let repository = registry::repository(workspace, reference, config, Reading::MirrorsFirst)?;
    let source = Source::of(workspace, target, backend.as_ref(), repository.as_ref());
    let _operation = workspace.store.operation()?;
    let policies = Policies::of(workspace)?;
    let mut tries = 1;
    let (brought, resolved, accepted) = loop {
        let found = backend.resolve(&target.artifact.reference, target.variant()).await?;
        // Before a byte of its files is fetched; what is fetched is what this manifest names.
        let accepted = check_found(&policies, target, repository.as_ref(), &found).await?;
        match bring_from(source, target, &found).await {
            Ok(result) => break (result, found, accepted),
            // Somebody may have published between resolve and fetch: then what is there now is another.
            Err(error) if tries == TRIES => return Err(error),
            Err(error) => {
                let now = backend.resolve(&target.artifact.reference, target.variant()).await?;
                if now == found {
                    return Err(error);
                }
                tries += 1;
            }
        }
    };
    let Bundled { decoded: Decoded { bundle, stored }, moved, found } = brought;
    if let Some(main) = bundle.main() {
        pvm::refuse_standard(workspace, target, &main.digest)?;
    }
    let (_, manifest) = record(workspace, target, &bundle, &stored)?;
    trust::local::keep(workspace, target, &resolved, accepted)?;
    restore(workspace, target, &bundle)?;
    let moved = Moved { stored: &stored, found: &found, bytes: moved };
    Ok(report(target, backend.as_ref(), &bundle, manifest, moved))
}

/// A bundle whose files are in the store.
struct Bundled {
    /// What the files are, and how they are published.
    decoded: Decoded,
    /// Bytes that came from the backend.
    moved: u64,
    /// For each component, bytes of its file that lay here.
    found: Vec<Option<u64>>,
}

/// Brings every file of one publication into the store, from whichever face of the place has it.
async fn bring_from(source: Source<'_>, target: Target<'_>, found: &Found) -> Result<Bundled, OpsError> {
    let config = target.artifact.distribution.pull.as_ref();
    let Some(face) = Face::to_pull(source.workspace, target, config, found)? else {
        return bring(source, target, found).await;
    };
    // A registry has what its documents name; the files that the other face lists are those that it has as they are.
    let found = Found { files: Vec::new(), documents: found.documents.clone() };
    bring(face.in_place_of(source), target, &found).await
}

/// Brings every file of one publication into the store.
async fn bring(source: Source<'_>, target: Target<'_>, found: &Found) -> Result<Bundled, OpsError> {
    let backend = source.backend;
    let wrong = |reason: String| OpsError::WrongContent {
        location: backend.location(&target.artifact.reference, target.variant(), &target.config.file_name),
        artifact: target.artifact.name.clone(),
        variant: target.variant(),
        reason,
    };
    let Some(documents) = &found.documents else {
        return bring_undescribed(source, target, found).await;
    };
    if native::decode_manifest(&documents.manifest).is_err() && found.files.is_empty() {
        return bring_foreign(source, target, documents).await;
    }
    let decoded = native_bundle(target, backend, documents)?;
    let bundle = &decoded.bundle;
    check_config(documents).map_err(wrong)?;
    check_identity(target, bundle).map_err(wrong)?;
    let manifest = digest_of(&documents.manifest);
    let (mut moved, mut here) = (0, Vec::new());
    for (component, stored) in bundle.components.iter().zip(&decoded.stored) {
        let file = &file_of(found, component).ok_or_else(|| {
            wrong(format!("its documents name `{}`, which is not there", component.file_name))
        })?;
        if let Some(other) = file.digest.as_ref().filter(|digest| **digest != component.digest) {
            let name = &component.file_name;
            let expected = &component.digest;
            return Err(wrong(format!("`{name}` is {expected} by its documents, {other} by its side-car")));
        }
        let local = target.local_path(component.kind, &component.file_name);
        let brought = source.bring(component, stored, &manifest, &local).await?;
        moved += brought.moved;
        here.push(Some(brought.found));
    }
    Ok(Bundled { decoded, moved, found: here })
}

/// Files whose documents are not ours: each is published as it is, and was moved whole or not at all.
fn plain(bundle: Bundle, moved: &[u64]) -> Bundled {
    let stored = bundle.components.iter().map(|_| Stored::Raw).collect();
    let sizes = bundle.components.iter().map(|component| component.size).zip(moved);
    let found = sizes.map(|(size, moved)| Some(size.saturating_sub(*moved))).collect();
    Bundled { decoded: Decoded { bundle, stored }, moved: moved.iter().sum(), found }
}

/// The file of a component: as the backend lists it, or, where it lists none, as the documents describe it.
fn file_of(found: &Found, component: &Component) -> Option<FoundFile> {
    if !found.files.is_empty() {
        return found.files.iter().find(|file| file.name == component.file_name).cloned();
    }
    let digest = Some(component.digest.clone());
    Some(FoundFile { name: component.file_name.clone(), size: component.size, digest })
}

pub(crate) fn native_bundle(
    target: Target<'_>,
    backend: &dyn Backend,
    documents: &Documents,
) -> Result<Decoded, OpsError> {
    native::decode_stored(&documents.manifest, &documents.config).map_err(|source| OpsError::Documents {
        location: backend.location(&target.artifact.reference, target.variant(), &target.config.file_name),
        source,
    })
}

/// What `oras push`, or Port as published, put under the variant's tag: files with titles, and nothing that says
/// what they are.
async fn bring_foreign(
    source: Source<'_>,
    target: Target<'_>,
    documents: &Documents,
) -> Result<Bundled, OpsError> {
    let Source { workspace, backend, .. } = source;
    let (variant, file_name) = (target.variant(), target.config.file_name.clone());
    let location = backend.location(&target.artifact.reference, variant, &file_name);
    let wanted = Wanted { class: target.artifact.class, variant, file_name };
    let decoded = port_v1::decode(&documents.manifest, &wanted).map_err(|source| {
        let artifact = target.artifact.name.clone();
        OpsError::ForeignDocuments { location, artifact, source: Box::new(source) }
    })?;
    for layer in &decoded.ignored {
        let Descriptor { media_type, digest, .. } = layer;
        let title = layer.title().map(|title| format!(" `{title}`")).unwrap_or_default();
        workspace
            .note(format!("the layer{title} ({media_type}, {digest}) is no part of the variant: left out"));
    }
    let (mut files, mut moved) = (Vec::new(), Vec::new());
    for component in decoded.bundle.components {
        let digest = Some(component.digest.clone());
        let file = FoundFile { name: component.file_name.clone(), size: component.size, digest };
        let expected = Some((&component.digest, component.size));
        let (digest, bytes) = source.fetch(&file, expected).await?;
        moved.push(bytes);
        let blob = Blob { digest, size: component.size };
        files.push(HashedFile::stored(workspace, component.kind, component.file_name, blob));
    }
    Ok(plain(describe::bundle(workspace, target, &files)?, &moved))
}

pub(crate) fn check_identity(target: Target<'_>, bundle: &Bundle) -> Result<(), String> {
    if bundle.class != target.artifact.class {
        return Err(format!("it is a {}, expected a {}", bundle.class, target.artifact.class));
    }
    if bundle.variant != target.variant() {
        return Err(format!("it was made for `{}`", bundle.variant));
    }
    for component in &bundle.components {
        // Names decide where files are written: only the two that this variant has are taken.
        let expected = match component.kind {
            kind if kind == target.main_kind() => target.config.file_name.as_str(),
            ComponentKind::Initrd => INITRD_FILE_NAME,
            other => return Err(format!("it has a {other}, which a {} has not", bundle.class)),
        };
        if component.file_name.as_str() != expected {
            return Err(format!(
                "its {} is `{}`, expected `{expected}`",
                component.kind, component.file_name
            ));
        }
    }
    Ok(())
}

/// The config must be the one that the manifest names.
pub(crate) fn check_config(documents: &Documents) -> Result<(), String> {
    let manifest = native::decode_manifest(&documents.manifest).map_err(|error| error.to_string())?;
    let mut hasher = Hasher::default();
    hasher.update(&documents.config);
    port_content::verify::check(hasher, &manifest.config.digest, Some(manifest.config.size))
        .map_err(|mismatch| format!("its config is not the one that its manifest names: {mismatch}"))
}

/// A directory that another tool filled: the main file, and the companion if it is there (acceptance C-5).
async fn bring_undescribed(
    source: Source<'_>,
    target: Target<'_>,
    found: &Found,
) -> Result<Bundled, OpsError> {
    let Source { workspace, backend, .. } = source;
    let mut files = Vec::new();
    let mut moved = Vec::new();
    let main = target.config.file_name.as_str();
    for (name, kind) in [(main, target.main_kind()), (INITRD_FILE_NAME, ComponentKind::Initrd)] {
        let Some(file) = found.files.iter().find(|file| file.name.as_str() == name) else { continue };
        if kind == ComponentKind::Initrd && target.artifact.class == ArtifactClass::Kernel {
            continue;
        }
        let expected = file.digest.as_ref().map(|digest| (digest, file.size));
        let (digest, bytes) = source.fetch(file, expected).await?;
        moved.push(bytes);
        let blob = Blob { digest, size: file.size };
        files.push(HashedFile::stored(workspace, kind, file.name.clone(), blob));
    }
    if files.first().is_none_or(|file| file.kind != target.main_kind()) {
        let location =
            backend.location(&target.artifact.reference, target.variant(), &target.config.file_name);
        return Err(BackendError::new(ErrorKind::NotFound, location, "find", "there is no such file").into());
    }
    Ok(plain(describe::bundle(workspace, target, &files)?, &moved))
}

/// Writes cache and local paths, companions first, so that the main file never lacks them. The local files are what a pull is
/// for: a cache that is full or cannot be written keeps nobody from them.
fn restore(workspace: &Workspace, target: Target<'_>, bundle: &Bundle) -> Result<(), OpsError> {
    let store = &workspace.store;
    for component in bundle.components.iter().rev() {
        let path = target.cache_path(&component.file_name);
        if let Err(error) = store.share(&component.digest, component.size, &path) {
            // Damage of the store is no affair of the cache: the local file would be as wrong.
            if !matches!(error, StoreError::Outside(_)) {
                return Err(error.into());
            }
            let reason = crate::error::chain(&error);
            workspace.note(format!("warning: pulled, but not put into the cache: {reason}"));
            break;
        }
    }
    for component in bundle.components.iter().rev() {
        let path = target.local_path(component.kind, &component.file_name);
        store.materialise_aside(&component.digest, component.size, &path)?;
    }
    Ok(())
}
