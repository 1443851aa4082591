//! `trust.toml`: which keys must have signed what (docs/formats/trust-policy.md).
//!
//! Invariant: a policy that was read has keys for every name it uses, no key twice, and no threshold that cannot be met or that
//! nothing meets. The first rule that means a name decides; what no rule means falls to the default, which takes nothing.

mod document;
mod error;

use crate::key::PublicKey;
use crate::name::{Pattern, SignedName};
use crate::requirement::{Identities, NamedKey, Requirement};
use crate::verdict::{Decision, Verdict};
use document::{Accept, Document, KeyEntry, RuleEntry};
pub use error::{PolicyError, PolicyProblem};
use port_model::Digest;
use port_model::suggest::did_you_mean;

/// The version of the format.
pub const VERSION: u32 = 1;
/// The largest policy that is read, in bytes.
pub const LARGEST_POLICY: usize = 1024 * 1024;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    file: String,
    keys: Vec<NamedKey>,
    rules: Vec<Rule>,
    default: Accept,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    references: Vec<Pattern>,
    answer: RuleAnswer,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum RuleAnswer {
    Signed { requirement: Requirement, attestations: Vec<String> },
    Plain(Accept),
}

/// What a policy says of a name.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// The policy and its rule, for people.
    pub rule: String,
    /// What it asks for.
    pub asks: Asks<'a>,
}

/// What a rule asks for.
#[derive(Debug, Clone, Copy)]
pub enum Asks<'a> {
    /// Signatures, and statements of these types besides.
    Signatures {
        /// Of whom.
        requirement: &'a Requirement,
        /// The predicates that must be there too, signed by the same.
        attestations: &'a [String],
    },
    /// Nothing: it may be used unsigned.
    Nothing,
    /// It must not be used at all.
    Absence,
}

impl Policy {
    /// Reads a policy that lies in `file`. `load` fetches the text of a key from a path that the policy names.
    ///
    /// # Errors
    /// [`PolicyError`]: the place and what is wrong there.
    pub fn read(
        file: &str,
        text: &str,
        load: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, PolicyError> {
        let document = Document::parse(text).map_err(|problem| PolicyError::new(file, problem))?;
        Self::of(file, document, load).map_err(|problem| PolicyError::new(file, problem))
    }

    fn of(
        file: &str,
        document: Document,
        load: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<Self, PolicyProblem> {
        let keys = keys(&document, load)?;
        let rules = document.rules.iter().enumerate();
        let rules: Result<Vec<Rule>, PolicyProblem> =
            rules.map(|(index, entry)| rule(&format!("rules[{index}]"), entry, &keys)).collect();
        let default = document.default.map_or(Accept::Nothing, |entry| entry.accept);
        if default == Accept::Signed {
            return Err(PolicyProblem::at(
                "default.accept",
                "expected `unsigned` or `nothing`: keys are listed in rules",
            ));
        }
        Ok(Self { file: file.to_owned(), keys, rules: rules?, default })
    }

    /// What it says of a name.
    pub fn answer(&self, name: &SignedName) -> Answer<'_> {
        let found = self.rules.iter().enumerate().find_map(|(index, rule)| {
            let pattern = rule.references.iter().find(|pattern| pattern.matches(name))?;
            Some((index, pattern, rule))
        });
        let Some((index, pattern, rule)) = found else {
            let rule = format!("the default of `{}`", self.file);
            return Answer { rule, asks: Asks::of(self.default) };
        };
        let asks = match &rule.answer {
            RuleAnswer::Signed { requirement, attestations } => {
                Asks::Signatures { requirement, attestations }
            }
            RuleAnswer::Plain(accept) => Asks::of(*accept),
        };
        Answer { rule: format!("rule {} of `{}` (`{}`)", index + 1, self.file, pattern.as_str()), asks }
    }

    /// Every key that it has.
    pub fn keys(&self) -> &[NamedKey] {
        &self.keys
    }

    /// Where it lies.
    pub fn file(&self) -> &str {
        &self.file
    }
}

impl Asks<'_> {
    fn of(accept: Accept) -> Self {
        if accept == Accept::Unsigned { Self::Nothing } else { Self::Absence }
    }
}

impl Answer<'_> {
    /// The verdict where no signature is looked at.
    pub fn without_signatures(&self, subject: &Digest, name: &SignedName) -> Option<Verdict> {
        let decision = match self.asks {
            Asks::Signatures { .. } => return None,
            Asks::Nothing => Decision::Unsigned,
            Asks::Absence => Decision::Refused,
        };
        Some(Verdict {
            subject: subject.clone(),
            name: Some(name.clone()),
            policy: self.rule.clone(),
            predicate_type: None,
            decision,
            threshold: 0,
            signed_by: 0,
            keys: Vec::new(),
            findings: Vec::new(),
        })
    }
}

fn keys(
    document: &Document,
    mut load: impl FnMut(&str) -> Result<String, String>,
) -> Result<Vec<NamedKey>, PolicyProblem> {
    let mut keys: Vec<NamedKey> = Vec::new();
    for (name, entry) in &document.keys {
        let place = format!("keys.{name}");
        let (text, from) = match entry {
            KeyEntry { path: Some(path), public_key: None } => {
                let text = load(path).map_err(|reason| PolicyProblem::at(&place, &reason))?;
                (text, format!("`{path}`: "))
            }
            KeyEntry { path: None, public_key: Some(text) } => (text.clone(), String::new()),
            _ => return Err(PolicyProblem::at(&place, "expected either `path` or `public_key`")),
        };
        let key = PublicKey::from_pem(&text)
            .map_err(|error| PolicyProblem::at(&place, &format!("{from}{error}")))?;
        if let Some(same) = keys.iter().find(|known| known.key == key) {
            let reason =
                format!("it is the same key as `{}`: a key has one name, and counts once", same.name);
            return Err(PolicyProblem::at(&place, &reason));
        }
        keys.push(NamedKey { name: name.clone(), key });
    }
    Ok(keys)
}

fn rule(place: &str, entry: &RuleEntry, keys: &[NamedKey]) -> Result<Rule, PolicyProblem> {
    let references = patterns(place, "references", &entry.references)?;
    if references.is_empty() {
        return Err(PolicyProblem::at(place, "`references` is empty: expected at least one pattern"));
    }
    if entry.accept != Accept::Signed {
        let unused = entry.keys.is_some()
            || entry.threshold.is_some()
            || entry.identities.is_some()
            || entry.attestations.is_some();
        if unused {
            let reason =
                "`keys`, `threshold`, `identities` and `attestations` belong to `accept = \"signed\"`";
            return Err(PolicyProblem::at(place, reason));
        }
        return Ok(Rule { references, answer: RuleAnswer::Plain(entry.accept) });
    }
    let listed = listed_keys(place, entry.keys.as_deref().unwrap_or_default(), keys)?;
    let threshold = entry.threshold.unwrap_or(1);
    if threshold == 0 || threshold > listed.len() {
        let reason =
            format!("`threshold`: expected 1 to {}, the number of its keys, found {threshold}", listed.len());
        return Err(PolicyProblem::at(place, &reason));
    }
    let identities = match &entry.identities {
        None => Identities::Own,
        Some(texts) => Identities::Listed(patterns(place, "identities", texts)?),
    };
    let others = keys.iter().filter(|key| !listed.contains(key)).cloned().collect();
    let requirement = Requirement { keys: listed, others, threshold, identities };
    let attestations = entry.attestations.clone().unwrap_or_default();
    Ok(Rule { references, answer: RuleAnswer::Signed { requirement, attestations } })
}

fn listed_keys(place: &str, names: &[String], keys: &[NamedKey]) -> Result<Vec<NamedKey>, PolicyProblem> {
    if names.is_empty() {
        return Err(PolicyProblem::at(place, "`keys` is missing or empty: expected the keys that count"));
    }
    let known: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    let mut listed: Vec<NamedKey> = Vec::new();
    for name in names {
        let key = keys.iter().find(|key| key.name == *name).ok_or_else(|| {
            let (name, near) = (crate::bundle::plain(name), did_you_mean(name, &known));
            PolicyProblem::at(place, &format!("`keys`: there is no key `{name}`{near}"))
        })?;
        if listed.contains(key) {
            return Err(PolicyProblem::at(place, &format!("`keys` lists `{name}` twice: a key counts once")));
        }
        listed.push(key.clone());
    }
    Ok(listed)
}

fn patterns(place: &str, field: &str, texts: &[String]) -> Result<Vec<Pattern>, PolicyProblem> {
    let read = |(index, text): (usize, &String)| {
        let wrong = |reason: String| PolicyProblem::at(place, &format!("`{field}[{index}]`: {reason}"));
        Pattern::parse(text).map_err(wrong)
    };
    texts.iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests;
