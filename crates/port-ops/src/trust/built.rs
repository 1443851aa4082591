//! A published variant, and the record of the build that made exactly it.
//!
//! Invariant: a statement about a build is made only where every published component is an output of that build: what somebody else
//! published under the name was not built from these inputs.

use port_config::LockEntry;
use port_model::{Bundle, Digest};

use crate::error::OpsError;
use crate::inspect::InspectReport;
use crate::remote::inspect_remote;
use crate::target::Target;
use crate::trust::error::TrustError;
use crate::workspace::Workspace;

/// See the module.
pub(crate) struct Built<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) manifest: Digest,
    pub(crate) bundle: Bundle,
    pub(crate) entry: LockEntry,
}

impl<'a> Built<'a> {
    /// The record of what is published now.
    pub(crate) async fn of(workspace: &Workspace, target: Target<'a>, kind: &str) -> Result<Self, OpsError> {
        let refuse =
            |reason: String| TrustError::NoStatement { kind: kind.to_owned(), what: target.name(), reason };
        let lock = workspace.lock()?;
        let entry = lock.get(&target.artifact.name, target.variant()).cloned();
        let entry = entry.ok_or_else(|| refuse("`port.lock` has no record of a build of it".to_owned()))?;
        let InspectReport { manifest, bundle, .. } = inspect_remote(workspace, target).await?;
        let manifest = manifest.ok_or_else(|| refuse("nothing describes what is published".to_owned()))?;
        for component in &bundle.components {
            if entry.outputs.iter().all(|output| output.digest != component.digest) {
                let (name, digest) = (&component.file_name, &component.digest);
                let reason =
                    format!("its `{name}` ({digest}) did not come out of the build that `port.lock` records");
                return Err(refuse(reason).into());
            }
        }
        Ok(Self { target, manifest, bundle, entry })
    }
}
