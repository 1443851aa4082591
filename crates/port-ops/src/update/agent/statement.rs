//! The statement about what was resolved: whose signatures count, and which one of several is meant.
//!
//! One digest may have several that are believed: it was numbered anew, or lives longer. A registry can hide any of them, and chooses
//! the order. Invariant: of those that are shown and that every policy takes, the one with the highest number is used.

use port_model::Digest;
use port_trust::{About, Judgement, PublicKey, Question, Requirement, SignedName, Verified, verify};
use port_update::Class;
use port_update::release::{PREDICATE, ReleaseError, ReleaseStatement};

use super::{AgentError, Trust};
use crate::copy::Side;
use crate::trust::{TrustError, gather, read_public_key};

/// The statement about `subject` of whom a machine trusts.
pub(super) async fn statement(
    trust: &Trust,
    side: &Side,
    subject: &Digest,
    name: Option<&SignedName>,
) -> Result<ReleaseStatement, AgentError> {
    let shown = name.map_or_else(|| side.to_string(), ToString::to_string);
    let policies = match (trust, name) {
        (Trust::Key(path), _) => {
            let key = read_public_key(path)?;
            return signed_by((&path.display().to_string(), key), side, subject, name).await;
        }
        (Trust::Policies(policies), Some(_)) => Some(policies),
        // Policies are about names.
        (Trust::Policies(_), None) | (Trust::Anybody, _) => None,
    };
    let found = gather::candidates(side, subject, &[PREDICATE.to_owned()]).await.map_err(TrustError::from)?;
    let judge = |requirement: &Requirement, policy: &str| {
        verify(&Question { subject, name, policy, about: About::Statement(PREDICATE) }, requirement, &found)
    };
    let judgements = policies.zip(name).map(|(policies, name)| policies.statements(name, &judge));
    agreed(judgements.unwrap_or_default(), &shown)
}

/// The statement about `subject` of one key, which people call as it is said.
pub(in crate::update) async fn signed_by(
    (file, key): (&str, PublicKey),
    side: &Side,
    subject: &Digest,
    name: Option<&SignedName>,
) -> Result<ReleaseStatement, AgentError> {
    let found = gather::candidates(side, subject, &[PREDICATE.to_owned()]).await.map_err(TrustError::from)?;
    let about = About::Statement(PREDICATE);
    let question = Question { subject, name, policy: "the key that was named", about };
    let judgement = verify(&question, &Requirement::one_key(file, key), &found);
    agreed(vec![judgement], &name.map_or_else(|| side.to_string(), ToString::to_string))
}

/// Of the statements that every policy takes, the one with the highest number; of those with the same, the one that was made last.
fn agreed(judgements: Vec<Judgement>, name: &str) -> Result<ReleaseStatement, AgentError> {
    let refused = |reason: &str| AgentError::Refused { class: Class::Signature, reason: reason.to_owned() };
    let mut agreed: Option<Vec<ReleaseStatement>> = None;
    for judgement in judgements {
        if judgement.statements.is_empty() {
            let (name, verdict) = (name.to_owned(), Box::new(judgement.verdict));
            return Err(TrustError::NotTrusted { name, verdict }.into());
        }
        let taken = readable(&judgement.statements)?;
        agreed = Some(match agreed {
            None => taken,
            Some(before) => before.into_iter().filter(|release| taken.contains(release)).collect(),
        });
    }
    let Some(agreed) = agreed else {
        return Err(refused("no policy asks for a signature of it: name its repository in a rule with keys"));
    };
    let newest = agreed.into_iter().max_by_key(|release| (release.sequence, release.issued));
    newest.ok_or_else(|| refused("two policies take two different statements about it"))
}

/// What can be read of them, where anything can.
fn readable(statements: &[Verified<port_trust::Statement>]) -> Result<Vec<ReleaseStatement>, ReleaseError> {
    let mut releases = Vec::new();
    let mut wrong = None;
    for statement in statements {
        match ReleaseStatement::of(statement) {
            Ok(release) => releases.push(release),
            Err(error) => wrong = Some(error),
        }
    }
    match wrong {
        Some(error) if releases.is_empty() => Err(error),
        _ => Ok(releases),
    }
}
