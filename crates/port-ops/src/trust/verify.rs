//! verify: what a place names, judged by keys or by policies, with every reason.

use std::path::PathBuf;

use port_model::Digest;
use port_trust::{
    About, Identities, Judgement, NamedKey, Pattern, Question, Requirement, SignedName, Statement, Verdict,
    Verified, verify,
};
use serde::Serialize;

use crate::copy::Place;
use crate::error::OpsError;
use crate::trust::error::TrustError;
use crate::trust::subject::{Found, Wanted};
use crate::trust::{Policies, gather, keys};

/// By what is judged.
#[derive(Debug, Clone)]
pub enum By {
    /// These keys.
    Keys(KeysAsked),
    /// Policies, as pull and run ask them.
    Policies(Policies),
}

/// Keys that must have signed.
#[derive(Debug, Clone, Default)]
pub struct KeysAsked {
    /// Their files.
    pub files: Vec<PathBuf>,
    /// How many of them.
    pub threshold: usize,
    /// Under which names; its own where none is given.
    pub identities: Vec<String>,
    /// The predicate that must have been said; a signature where none is given.
    pub predicate_type: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    /// The place.
    pub place: Place,
    /// The manifest that it names.
    pub subject: Digest,
    /// Whether every verdict allows it.
    pub trusted: bool,
    /// Every verdict.
    pub verdicts: Vec<Verdict>,
    /// The statement that was asked for.
    pub statement: Option<Statement>,
}

impl VerifyReport {
    /// The first verdict that does not allow it, as an error.
    pub fn refusal(&self) -> Option<TrustError> {
        let verdict = self.verdicts.iter().find(|verdict| !verdict.allows())?;
        Some(TrustError::NotTrusted { name: self.place.to_string(), verdict: Box::new(verdict.clone()) })
    }
}

/// Judges what `wanted` names. A manifest that is not trusted is a report, not an error.
pub async fn verify_place(wanted: Wanted<'_>, by: &By) -> Result<VerifyReport, OpsError> {
    let found = wanted.find().await?;
    let subject = &found.subject;
    let (verdicts, statement) = match by {
        By::Keys(asked) => by_keys(&found, asked).await?,
        By::Policies(policies) => (by_policies(&found, policies).await?, None),
    };
    Ok(VerifyReport {
        place: subject.place.clone(),
        subject: subject.root.digest.clone(),
        trusted: verdicts.iter().all(Verdict::allows),
        verdicts,
        statement: statement.map(Verified::into_inner),
    })
}

async fn by_keys(
    found: &Found,
    asked: &KeysAsked,
) -> Result<(Vec<Verdict>, Option<Verified<Statement>>), OpsError> {
    let requirement = requirement(asked)?;
    let about = asked.predicate_type.as_deref().map_or(About::Signature, About::Statement);
    let policy = format!("the command line ({})", plural(asked.files.len()));
    let judgement = judge(found, &requirement, &policy, about).await?;
    Ok((vec![judgement.verdict], judgement.statement))
}

/// The statement with this type of predicate that enough of the required keys signed, and the digest that it is about: the one
/// that `wanted` named when it was asked, once. `policy` says who asks, for people.
///
/// # Errors
/// [`TrustError::NotTrusted`] where too few signed the same one.
pub async fn verified_statement(
    wanted: Wanted<'_>,
    requirement: &Requirement,
    policy: &str,
    predicate_type: &str,
) -> Result<(Verified<Digest>, Verified<Statement>), OpsError> {
    let found = wanted.find().await?;
    let judgement = judge(&found, requirement, policy, About::Statement(predicate_type)).await?;
    match (judgement.subject, judgement.statement) {
        (Some(subject), Some(statement)) => Ok((subject, statement)),
        _ => {
            let (name, verdict) = (found.subject.place.to_string(), Box::new(judgement.verdict));
            Err(TrustError::NotTrusted { name, verdict }.into())
        }
    }
}

async fn judge(
    found: &Found,
    requirement: &Requirement,
    policy: &str,
    about: About<'_>,
) -> Result<Judgement, TrustError> {
    let predicates: Vec<String> = match about {
        About::Signature => Vec::new(),
        About::Statement(kind) => vec![kind.to_owned()],
    };
    let subject = &found.subject;
    let candidates = gather::candidates(&found.side, &subject.root.digest, &predicates).await?;
    let question = Question { subject: &subject.root.digest, name: subject.name.as_ref(), policy, about };
    Ok(verify(&question, requirement, &candidates))
}

fn plural(keys: usize) -> String {
    if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") }
}

fn requirement(asked: &KeysAsked) -> Result<Requirement, TrustError> {
    let mut named: Vec<NamedKey> = Vec::new();
    for file in &asked.files {
        let key = keys::read_public_key(file)?;
        if let Some(same) = named.iter().find(|known| known.key == key) {
            let reason =
                format!("`{}` is the same key as `{}`: a key counts once", file.display(), same.name);
            return Err(TrustError::Usage(reason));
        }
        named.push(NamedKey { name: file.display().to_string(), key });
    }
    if asked.threshold == 0 || asked.threshold > named.len() {
        let (most, found) = (named.len(), asked.threshold);
        return Err(TrustError::Usage(format!("the threshold: expected 1 to {most}, found {found}")));
    }
    let patterns = asked.identities.iter().map(|text| {
        Pattern::parse(text).map_err(|reason| TrustError::Usage(format!("the identity `{text}`: {reason}")))
    });
    let patterns = patterns.collect::<Result<Vec<_>, _>>()?;
    let identities = if patterns.is_empty() { Identities::Own } else { Identities::Listed(patterns) };
    Ok(Requirement { keys: named, others: Vec::new(), threshold: asked.threshold, identities })
}

async fn by_policies(found: &Found, policies: &Policies) -> Result<Vec<Verdict>, OpsError> {
    let subject = &found.subject;
    let name: &SignedName = subject.name.as_ref().ok_or_else(|| {
        let place = &subject.place;
        TrustError::Usage(format!(
            "`{place}` has no name that a policy could mean: verify it with `--key FILE`"
        ))
    })?;
    let digest = &subject.root.digest;
    let predicates = policies.predicates(name);
    let candidates = match policies.ask_for_signatures(name) {
        true => gather::candidates(&found.side, digest, &predicates).await?,
        false => Vec::new(),
    };
    Ok(policies.judge(name, digest, &candidates))
}
