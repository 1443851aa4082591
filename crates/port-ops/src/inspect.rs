//! inspect: what a variant is. The local files are looked at where they exist, else what the store holds.

pub(crate) mod encoded;

use port_layout::native::{self, Decoded};
use port_model::{Bundle, Component, Digest, Reference};
use serde::Serialize;

pub use self::encoded::{DeltaRow, EncodedFile, PackRow, PackedFile, SharedRow};
use crate::error::OpsError;
use crate::local::HashedFile;
use crate::target::Target;
use crate::workspace::Workspace;
use crate::{describe, local};

/// One variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectReport {
    /// The artifact's name.
    pub artifact: String,
    /// Its logical name.
    pub reference: Reference,
    /// The published name of the variant.
    pub name: String,
    /// What was looked at: the local path, or the store.
    pub origin: String,
    /// Digest of the manifest in the store, if the variant was pushed or pulled here.
    pub manifest: Option<Digest>,
    /// The components and what is known of them.
    pub bundle: Bundle,
    /// How the components are published, as far as that is known: those that were pushed or pulled here as they are.
    pub published: Vec<EncodedFile>,
}

/// Describes one variant.
pub fn inspect(workspace: &Workspace, target: Target<'_>) -> Result<InspectReport, OpsError> {
    let stored = workspace.store.resolve(&target.name())?;
    let decoded = stored_decoded(workspace, target);
    let report = |bundle, origin, published| InspectReport {
        artifact: target.artifact.name.clone(),
        reference: target.artifact.reference.clone(),
        name: target.name(),
        origin,
        manifest: stored.as_ref().map(|descriptor| descriptor.digest.clone()),
        bundle,
        published,
    };
    match local::files(target) {
        Ok(files) => {
            let origin = target.config.path.display().to_string();
            let bundle = local_bundle(workspace, target, files)?;
            // What the store knows of files that were changed or never pushed is of no use; nor need it be readable.
            let same = decoded.ok().flatten().map(|decoded| of(&bundle, decoded));
            let published = same.map_or(Ok(Vec::new()), |same| encoded::stored(workspace, &same))?;
            Ok(report(bundle, origin, published))
        }
        Err(absent @ OpsError::NoLocalFile { .. }) => match decoded? {
            Some(decoded) => {
                let published = encoded::stored(workspace, &decoded)?;
                Ok(report(decoded.bundle, "the store".to_owned(), published))
            }
            None => Err(absent),
        },
        Err(error) => Err(error),
    }
}

/// The bundle of the local files, hashed where they lie.
pub(crate) fn local_bundle(
    workspace: &Workspace,
    target: Target<'_>,
    files: Vec<local::LocalFile>,
) -> Result<Bundle, OpsError> {
    let hashed = files.into_iter().map(|file| HashedFile::local(workspace, file));
    describe::bundle(workspace, target, &hashed.collect::<Result<Vec<_>, _>>()?)
}

/// The components of `decoded` that `bundle` has, too.
fn of(bundle: &Bundle, decoded: Decoded) -> Decoded {
    let same = |component: &Component| {
        bundle.components.iter().any(|own| own.kind == component.kind && own.digest == component.digest)
    };
    let pairs = decoded.bundle.components.into_iter().zip(decoded.stored);
    let (components, stored) = pairs.filter(|(component, _)| same(component)).unzip();
    Decoded { bundle: Bundle { components, ..decoded.bundle }, stored }
}

/// The bundle that the store knows under the variant's name.
pub(crate) fn stored_bundle(workspace: &Workspace, target: Target<'_>) -> Result<Option<Bundle>, OpsError> {
    Ok(stored_decoded(workspace, target)?.map(|decoded| decoded.bundle))
}

/// The same, and how its components are published.
fn stored_decoded(workspace: &Workspace, target: Target<'_>) -> Result<Option<Decoded>, OpsError> {
    let Some(descriptor) = workspace.store.resolve(&target.name())? else { return Ok(None) };
    let unreadable = |source| OpsError::Documents { location: target.name(), source };
    let manifest = workspace.store.read_document(&descriptor)?;
    let config = native::decode_manifest(&manifest).map_err(unreadable)?.config;
    let config = workspace.store.read_document(&config)?;
    native::decode_stored(&manifest, &config).map(Some).map_err(unreadable)
}
