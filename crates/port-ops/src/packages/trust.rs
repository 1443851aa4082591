//! What the policies say of a package's manifests, asked before a layer of them is fetched or a file of them is used.
//!
//! Nothing is kept of an answer: signatures are looked for in the package's own registry each time that somebody asks for any,
//! also for what is in the store already.

use port_model::{Digest, Reference};
use port_trust::SignedName;

use super::{PackageError, Packages};
use crate::copy::Side;

/// Refuses what a policy does not take under this name.
///
/// # Errors
/// [`PackageError::Trust`], or the registry's where it has to be asked and does not answer.
pub(super) async fn require<'a>(
    packages: &Packages,
    reference: &Reference,
    manifests: impl IntoIterator<Item = &'a Digest>,
) -> Result<(), PackageError> {
    let (policies, name) = (&packages.policies, SignedName::of(reference));
    if policies.ask_nothing(&name) {
        return Ok(());
    }
    let side = Side::Registry(packages.repository(reference)?);
    for manifest in manifests {
        crate::trust::require::require(policies, Some(&side), &name, manifest).await?;
    }
    Ok(())
}
