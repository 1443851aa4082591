//! trust: who signed what is published, and whether the policies take it.
//!
//! ```text
//! keys     randomness ─► key pair, the private half sealed
//! sign     place ─► digest ─► signature ─► cosign's tag, referrer
//! attest   place, build record ─► statement ─► referrer
//! verify   place ─► digest ─ gather ─► candidates ─► port_trust::verify ─► verdicts, in words
//! pull     resolved digest ─ require ─► bytes, evidence     run   local files ─ evidence ─► the same question again
//! ```
//!
//! The seam for other verbs is [`require::require`]: it takes the policies, the side that the manifest was resolved at, the name and the
//! resolved digest, and gives the signatures that were enough, or [`TrustError`]. Who needs a statement that was signed (an update
//! agent, its release) calls [`verified_statement`], and gets a [`port_trust::Verified`] that nothing else can make; who has the
//! signatures already, from a disk, calls `port_trust::verify`; who takes something from a place without a project calls [`require_place`].

mod attest;
mod built;
mod error;
pub(crate) mod gather;
mod keys;
pub(crate) mod local;
mod place;
mod policies;
mod provenance;
pub(crate) mod require;
mod sbom;
mod sign;
mod subject;
mod verify;

pub use attest::{AttestReport, Predicate, attest};
pub use error::TrustError;
pub use keys::{
    GeneratedKey, KeyList, KeyRow, check_key, generate_key, list_keys, open_key, read_public_key,
};
pub use place::{asks_for_signatures, require_place};
pub use policies::Policies;
pub use port_trust::{Decision, KeyKind, SecretKey, Verdict};
pub(crate) use sign::put_bundle;
pub use sign::{SignReport, SignatureForms, SignedManifest};
pub use subject::{Below, Wanted};
pub use verify::{By, KeysAsked, VerifyReport, verified_statement, verify_place};

use crate::error::OpsError;

/// Signs what `wanted` names, and with [`Below::Too`] every manifest that an index lists.
pub async fn sign(
    wanted: Wanted<'_>,
    below: Below,
    key: &SecretKey,
    forms: SignatureForms,
) -> Result<SignReport, OpsError> {
    let found = wanted.find().await?;
    let manifests = found.manifests(below).await?;
    Ok(sign::sign_all(&found.side, &found.subject, &manifests, key, forms).await?)
}
