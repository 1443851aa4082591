//! The one question that every verb asks before it uses what was published: do the policies take this manifest?
//!
//! Invariant: the digest that is asked about is the one that was resolved, and the one whose bytes are used afterwards.

use port_model::Digest;
use port_trust::{Candidate, SignedName};

use crate::copy::Side;
use crate::trust::error::TrustError;
use crate::trust::{Policies, gather};

/// A manifest that the policies take, and what was found for it.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// The signatures; none where no policy asks for any.
    pub(crate) candidates: Vec<Candidate>,
}

/// Asks the policies about the manifest `subject`, which is used as `name`. `side` is where its signatures are; none where the
/// manifest comes from a place that has none.
///
/// # Errors
/// [`TrustError::NotTrusted`] where a policy does not take it.
pub(crate) async fn require(
    policies: &Policies,
    side: Option<&Side>,
    name: &SignedName,
    subject: &Digest,
) -> Result<Accepted, TrustError> {
    let mut candidates = Vec::new();
    if policies.ask_nothing(name) {
        return Ok(Accepted { candidates });
    }
    if policies.ask_for_signatures(name) {
        let Some(side) = side else {
            return Err(TrustError::NoSignatures {
                name: name.to_string(),
                reason: "the policy asks for signatures, and only registries and OCI layouts have them"
                    .to_owned(),
                remedy: "pull it from a registry, or name it in a rule with `accept = \"unsigned\"`"
                    .to_owned(),
            });
        };
        candidates = gather::candidates(side, subject, &policies.predicates(name)).await?;
    }
    decide(policies, name, subject, &candidates)?;
    Ok(Accepted { candidates })
}

/// Decides by what was found; the first "no" is the error.
pub(crate) fn decide(
    policies: &Policies,
    name: &SignedName,
    subject: &Digest,
    candidates: &[Candidate],
) -> Result<(), TrustError> {
    let verdicts = policies.judge(name, subject, candidates);
    match verdicts.into_iter().find(|verdict| !verdict.allows()) {
        Some(verdict) => {
            Err(TrustError::NotTrusted { name: format!("{name}@{subject}"), verdict: Box::new(verdict) })
        }
        None => Ok(()),
    }
}
