//! The question of `require` for what is taken from a place without a project: a base image.
//!
//! ```text
//! place ─► side ─► manifest (of an index, the variant's) ─ require ─► the same place with the digest that was judged
//! ```
//!
//! What was taken may lie elsewhere by now, with its signatures: it is judged by the name that it was published under.

use port_model::Variant;

use crate::copy::{self, Place, Side, Surroundings};
use crate::error::OpsError;
use crate::trust::Policies;
use crate::trust::require::require;
use crate::trust::subject::{name_of, with_digest};

/// Asks the policies about what lies at `at` and was published as `published`, of an index the variant's manifest. Gives the place
/// with the digest that they take; that is to be used and nothing else.
///
/// # Errors
/// [`OpsError::Trust`] where a policy does not take it, or the place has nothing.
pub async fn require_place(
    surroundings: &Surroundings,
    policies: &Policies,
    published: &Place,
    at: &Place,
    variant: Variant,
) -> Result<Place, OpsError> {
    let side = Side::source(&surroundings.client(&[at]), at)?;
    let root = side.resolve(at).await?;
    let manifest = copy::manifest_of(&side, &root, variant).await?;
    if let Some(name) = name_of(published) {
        require(policies, Some(&side), &name, &manifest.digest).await?;
    }
    Ok(with_digest(at, manifest.digest))
}

/// Whether signatures are asked for of what is published there, and so worth keeping beside it.
pub fn asks_for_signatures(policies: &Policies, published: &Place) -> bool {
    name_of(published).is_some_and(|name| policies.ask_for_signatures(&name))
}
