//! Verification: from signatures as they were found to a verdict, and the only maker of [`Verified`].
//!
//! ```text
//! candidate ─ 1 bounded? readable? ─ 2 whose key? ─ 3 of the right type? ─ 4 over this digest? ─ 5 under this name? ─► counts
//!                                                                               all that count ─► threshold ─► Verified
//! ```
//!
//! A payload is parsed only after a known key was found to have signed its bytes. Whatever fails is a finding, never an error:
//! a stranger who adds rubbish to a registry must not keep anybody from seeing a good signature.

use port_model::Digest;

use crate::bundle::{self, plain};
use crate::dsse;
use crate::key::PublicKey;
use crate::name::SignedName;
use crate::requirement::{NamedKey, Requirement};
use crate::simple_signing;
use crate::statement::{self, Statement};
use crate::threshold;
use crate::verdict::{Decision, Finding, Form, Outcome, Verdict};

/// The most signatures that are looked at for one manifest. More are refused together: nobody signs so often, and whoever floods a
/// registry must not choose which ones are seen.
pub const MOST_CANDIDATES: usize = 256;

/// A signature as it was found, before anything of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it was found.
    pub place: String,
    /// In which form.
    pub form: Form,
    /// The bytes.
    pub signed: Signed,
}

/// The bytes of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// cosign's payload and the text of its annotation.
    Simple {
        /// What is signed.
        payload: Vec<u8>,
        /// The signature, in base64.
        signature: String,
    },
    /// A sigstore bundle.
    Bundle(Vec<u8>),
    /// What was found there cannot be a signature; the reason.
    Unusable(String),
}

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The manifest: the digest that was resolved, and that is used afterwards.
    pub subject: &'a Digest,
    /// The name under which it is used, if it has one.
    pub name: Option<&'a SignedName>,
    /// Which rule asks, for people.
    pub policy: &'a str,
    /// What must have been said.
    pub about: About<'a>,
}

/// What the signers must have said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'a> {
    /// "This manifest": in cosign's payload, or as a statement.
    Signature,
    /// A statement with this type of predicate, the same bytes from all who are counted.
    Statement(&'a str),
}

/// What was verified. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// It.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// It, and no longer a promise.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// A verdict, and what may be used because of it.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Why yes or no.
    pub verdict: Verdict,
    /// The digest, where enough keys signed.
    pub subject: Option<Verified<Digest>>,
    /// The statement, where one was asked for and enough keys signed the same one: of several, the one that most keys signed.
    pub statement: Option<Verified<Statement>>,
    /// Every statement that enough keys signed, as they were found. A stranger chooses neither what is among them nor, for who
    /// looks at all, which one is used.
    pub statements: Vec<Verified<Statement>>,
}

/// Decides whether enough of the required keys signed what the question asks for.
pub fn verify(question: &Question<'_>, requirement: &Requirement, candidates: &[Candidate]) -> Judgement {
    let mut looked_at: Vec<Looked> = if candidates.len() > MOST_CANDIDATES {
        vec![Looked::flood(candidates.len())]
    } else {
        candidates.iter().map(|candidate| look(question, requirement, candidate)).collect()
    };
    let groups = groups(question.about, &looked_at);
    let counts: Vec<(bool, usize, &Option<Vec<u8>>)> = groups
        .iter()
        .map(|group| {
            let signers = looked_at.iter().filter(|looked| looked.is_in(group.as_deref()));
            let (enough, count) = threshold::enough(
                requirement.threshold,
                signers.filter_map(|looked| looked.finding.fingerprint.as_ref()),
            );
            (enough, count, group)
        })
        .collect();
    let read = |payload: &Option<Vec<u8>>| Statement::read(payload.as_ref()?).ok();
    let trusted = counts.iter().filter(|(enough, ..)| *enough);
    let statements = trusted.filter_map(|(_, _, payload)| read(payload).map(Verified)).collect();
    // The statement that most keys signed; the first of those, as they were found.
    let best = counts.iter().copied().reduce(|best, next| if best.1 >= next.1 { best } else { next });
    let (enough, signed_by, group) =
        best.map_or((false, 0, None), |(enough, count, group)| (enough, count, group.clone()));
    let statement = read(&group);
    settle(&mut looked_at, group.as_deref());
    let verdict = Verdict {
        subject: question.subject.clone(),
        name: question.name.cloned(),
        policy: question.policy.to_owned(),
        predicate_type: match question.about {
            About::Signature => None,
            About::Statement(kind) => Some(kind.to_owned()),
        },
        decision: if enough { Decision::Trusted } else { Decision::Refused },
        threshold: requirement.threshold,
        signed_by,
        keys: requirement.keys.iter().map(|key| key.name.clone()).collect(),
        findings: looked_at.into_iter().map(|looked| looked.finding).collect(),
    };
    Judgement {
        subject: enough.then(|| Verified(question.subject.clone())),
        statement: statement.filter(|_| enough).map(Verified),
        statements,
        verdict,
    }
}

/// What became of one candidate. Where it counts and a statement was asked for, its payload says which statement it counts for.
struct Looked {
    finding: Finding,
    payload: Option<Vec<u8>>,
}

impl Looked {
    fn flood(found: usize) -> Self {
        let reason = format!("{found} signatures: at most {MOST_CANDIDATES} are looked at");
        let finding = Finding {
            place: "all".to_owned(),
            form: Form::Referrer,
            signer: None,
            fingerprint: None,
            outcome: Outcome::Unusable(reason),
        };
        Self { finding, payload: None }
    }

    fn is_in(&self, group: Option<&[u8]>) -> bool {
        self.finding.outcome == Outcome::Counted && self.payload.as_deref() == group
    }
}

/// The different statements among those that count; one group of all where a signature is asked for.
fn groups(about: About<'_>, looked_at: &[Looked]) -> Vec<Option<Vec<u8>>> {
    if about == About::Signature {
        return vec![None];
    }
    let mut groups: Vec<Option<Vec<u8>>> = Vec::new();
    for looked in looked_at.iter().filter(|looked| looked.finding.outcome == Outcome::Counted) {
        if !groups.contains(&looked.payload) {
            groups.push(looked.payload.clone());
        }
    }
    groups
}

/// Says of those that counted what the count made of them.
fn settle(looked_at: &mut [Looked], group: Option<&[u8]>) {
    let mut seen = Vec::new();
    for looked in looked_at.iter_mut().filter(|looked| looked.finding.outcome == Outcome::Counted) {
        if looked.payload.as_deref() != group {
            let reason = "it says something else than most signers say".to_owned();
            looked.finding.outcome = Outcome::OtherStatement(reason);
        } else if seen.contains(&looked.finding.fingerprint) {
            looked.finding.outcome = Outcome::Repeated;
        } else {
            seen.push(looked.finding.fingerprint.clone());
        }
    }
}

fn look(question: &Question<'_>, requirement: &Requirement, candidate: &Candidate) -> Looked {
    let mut finding = Finding {
        place: plain(&candidate.place),
        form: candidate.form,
        signer: None,
        fingerprint: None,
        outcome: Outcome::Counted,
    };
    let payload = match check(question, requirement, &candidate.signed, &mut finding) {
        Ok(payload) => payload,
        Err(outcome) => {
            finding.outcome = outcome;
            None
        }
    };
    Looked { finding, payload }
}

/// Steps 1 to 5 of one candidate. The payload is returned where a statement was asked for.
fn check(
    question: &Question<'_>,
    requirement: &Requirement,
    signed: &Signed,
    finding: &mut Finding,
) -> Result<Option<Vec<u8>>, Outcome> {
    match signed {
        Signed::Unusable(reason) => Err(Outcome::Unusable(plain(reason))),
        Signed::Simple { payload, signature } => {
            check_simple(question, requirement, (payload, signature), finding).map(|()| None)
        }
        Signed::Bundle(bytes) => check_bundle(question, requirement, bytes, finding),
    }
}

fn check_simple(
    question: &Question<'_>,
    requirement: &Requirement,
    (payload, signature): (&[u8], &str),
    finding: &mut Finding,
) -> Result<(), Outcome> {
    // Step 1.
    if payload.len() as u64 > simple_signing::LARGEST_PAYLOAD || signature.len() > 1024 {
        return Err(Outcome::Unusable("it is larger than any signature".to_owned()));
    }
    let signature = crate::base64::decode(signature)
        .ok_or_else(|| Outcome::Unusable("expected the signature in base64".to_owned()))?;
    // Step 2.
    whose(requirement, payload, &signature, None, finding)?;
    // Step 3.
    if let About::Statement(wanted) = question.about {
        return Err(Outcome::OtherStatement(format!("it is a signature, expected `{wanted}`")));
    }
    let payload =
        simple_signing::read(payload).map_err(|error| Outcome::Unusable(bundle::with_cause(&error)))?;
    if payload.critical.kind != simple_signing::TYPE {
        let found = plain(&payload.critical.kind);
        return Err(Outcome::OtherStatement(format!("expected `{}`, found `{found}`", simple_signing::TYPE)));
    }
    // Step 4.
    let found = &payload.critical.image.docker_manifest_digest;
    if found != question.subject {
        return Err(Outcome::OtherSubject(format!("it is over {found}")));
    }
    // Step 5. The specification does not ask for it (Off-spec): a signature for one repository is none for another.
    let text = &payload.critical.identity.docker_reference;
    let said = SignedName::parse(text);
    let said = said
        .ok_or_else(|| Outcome::OtherName(format!("it was signed as `{}`, which is no name", plain(text))))?;
    refuse(requirement.identities.refuse(question.name, Some(&said)))
}

fn check_bundle(
    question: &Question<'_>,
    requirement: &Requirement,
    bytes: &[u8],
    finding: &mut Finding,
) -> Result<Option<Vec<u8>>, Outcome> {
    // Step 1.
    let checkable = bundle::read(bytes).map_err(Outcome::Unusable)?;
    // Step 2.
    let signed = dsse::signed_bytes(&checkable.payload_type, &checkable.payload);
    whose(requirement, &signed, &checkable.signature, Some(&checkable.hint), finding)?;
    // Step 3.
    if checkable.payload_type != dsse::IN_TOTO {
        let found = plain(&checkable.payload_type);
        return Err(Outcome::OtherStatement(format!("expected `{}`, found `{found}`", dsse::IN_TOTO)));
    }
    let statement =
        Statement::read(&checkable.payload).map_err(|error| Outcome::Unusable(bundle::with_cause(&error)))?;
    if !statement.is_known() {
        let found = plain(&statement.kind);
        return Err(Outcome::OtherStatement(format!("expected `{}`, found `{found}`", statement::STATEMENT)));
    }
    let wanted = match question.about {
        About::Signature => statement::SIGNATURE,
        About::Statement(wanted) => wanted,
    };
    if statement.predicate_type != wanted {
        let found = plain(&statement.predicate_type);
        return Err(Outcome::OtherStatement(format!("expected `{wanted}`, found `{found}`")));
    }
    // Step 4.
    let subject = statement.subject(question.subject);
    let subject =
        subject.ok_or_else(|| Outcome::OtherSubject(format!("it is over {}", statement.subjects())))?;
    // Step 5.
    let said = SignedName::parse(&subject.name);
    if said.is_none() && !subject.name.is_empty() {
        return Err(Outcome::OtherName(format!(
            "it was signed as `{}`, which is no name",
            plain(&subject.name)
        )));
    }
    refuse(requirement.identities.refuse(question.name, said.as_ref()))?;
    Ok(matches!(question.about, About::Statement(_)).then_some(checkable.payload))
}

fn refuse(reason: Option<String>) -> Result<(), Outcome> {
    reason.map_or(Ok(()), |reason| Err(Outcome::OtherName(reason)))
}

/// Finds the key that made a signature. A hint is not believed, only repeated.
fn whose(
    requirement: &Requirement,
    message: &[u8],
    signature: &[u8],
    hint: Option<&str>,
    finding: &mut Finding,
) -> Result<(), Outcome> {
    let made = |named: &&NamedKey| named.key.has_signed(message, signature);
    if let Some(NamedKey { name, key }) = requirement.keys.iter().find(made) {
        finding.signer = Some(name.clone());
        finding.fingerprint = Some(PublicKey::fingerprint(key));
        return Ok(());
    }
    if let Some(NamedKey { name, key }) = requirement.others.iter().find(made) {
        finding.signer = Some(name.clone());
        finding.fingerprint = Some(PublicKey::fingerprint(key));
        return Err(Outcome::OtherKey(format!("`{name}` does not count for this name")));
    }
    let prehashed = |named: &&NamedKey| named.key.has_signed_prehashed(message, signature);
    if let Some(NamedKey { name, .. }) = requirement.keys.iter().find(prehashed) {
        finding.signer = Some(name.clone());
        let reason = format!("`{name}` made it in the pre-hashed form (Ed25519ph): expected the pure one");
        return Err(Outcome::Unusable(reason));
    }
    let reason = hint.filter(|hint| !hint.is_empty()).map_or_else(String::new, |hint| {
        let known = requirement.keys.iter().find(|named| named.key.hint() == hint);
        match known {
            Some(named) => format!(", though it says that `{}` did", named.name),
            None => format!("; it says that {} did", plain(hint)),
        }
    });
    Err(Outcome::UnknownKey(format!("no key that counts made it{reason}")))
}

#[cfg(test)]
mod tests;
