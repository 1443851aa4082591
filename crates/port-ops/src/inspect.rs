//! inspect: what a variant is. The local files are looked at where they exist, else what the store holds.

use port_layout::native;
use port_model::{Bundle, Digest, Reference};
use serde::Serialize;

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
}

/// Describes one variant.
pub fn inspect(workspace: &Workspace, target: Target<'_>) -> Result<InspectReport, OpsError> {
    let stored = workspace.store.resolve(&target.name())?;
    let report = |bundle, origin| InspectReport {
        artifact: target.artifact.name.clone(),
        reference: target.artifact.reference.clone(),
        name: target.name(),
        origin,
        manifest: stored.as_ref().map(|descriptor| descriptor.digest.clone()),
        bundle,
    };
    match local::files(target) {
        Ok(files) => {
            let origin = target.config.path.display().to_string();
            Ok(report(local_bundle(workspace, target, files)?, origin))
        }
        Err(absent @ OpsError::NoLocalFile { .. }) => match stored_bundle(workspace, target)? {
            Some(bundle) => Ok(report(bundle, "the store".to_owned())),
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

/// The bundle that the store knows under the variant's name.
pub(crate) fn stored_bundle(workspace: &Workspace, target: Target<'_>) -> Result<Option<Bundle>, OpsError> {
    let Some(descriptor) = workspace.store.resolve(&target.name())? else { return Ok(None) };
    let unreadable = |source| OpsError::Documents { location: target.name(), source };
    let manifest = workspace.store.read_document(&descriptor)?;
    let config = native::decode_manifest(&manifest).map_err(unreadable)?.config;
    let config = workspace.store.read_document(&config)?;
    native::decode(&manifest, &config).map(Some).map_err(unreadable)
}
