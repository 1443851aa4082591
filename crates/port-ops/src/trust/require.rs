//! The one question that every verb asks before it uses what was published: do the policies take this manifest?
//!
//! Invariant: the digest that is asked about is the one that was resolved, and the one whose bytes are used afterwards.

use port_model::Digest;
use port_trust::{Candidate, Outcome, SignedName, Verdict};

use crate::copy::Side;
use crate::trust::error::TrustError;
use crate::trust::{Policies, gather};

/// A manifest that the policies take, and what was found for it.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// The signatures that counted; none where no policy asks for any.
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
    let verdicts = decide(policies, name, subject, &candidates)?;
    let counted: Vec<bool> = (0..candidates.len()).map(|index| counts(&verdicts, index)).collect();
    let mut counted = counted.into_iter();
    // What did not count is nothing to keep: others may have put it there, as much as they like.
    candidates.retain(|_| counted.next().unwrap_or(false));
    Ok(Accepted { candidates })
}

/// Whether a signature counted in any of the verdicts, which have a finding for each in its order.
fn counts(verdicts: &[Verdict], index: usize) -> bool {
    let outcome = |verdict: &Verdict| verdict.findings.get(index).map(|finding| finding.outcome.clone());
    verdicts.iter().any(|verdict| outcome(verdict) == Some(Outcome::Counted))
}

/// Decides by what was found; the first "no" is the error, and every verdict the reason of a "yes".
pub(crate) fn decide(
    policies: &Policies,
    name: &SignedName,
    subject: &Digest,
    candidates: &[Candidate],
) -> Result<Vec<Verdict>, TrustError> {
    let verdicts = policies.judge(name, subject, candidates);
    match verdicts.iter().find(|verdict| !verdict.allows()) {
        Some(verdict) => {
            let (name, verdict) = (format!("{name}@{subject}"), Box::new(verdict.clone()));
            Err(TrustError::NotTrusted { name, verdict })
        }
        None => Ok(verdicts),
    }
}
