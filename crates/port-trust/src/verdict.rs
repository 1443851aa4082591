//! Why yes or no, as data: what was looked at, who signed it, and why a signature does not count.

use std::fmt;

use port_model::Digest;
use serde::{Deserialize, Serialize};

use crate::name::SignedName;

/// In which form a signature was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// cosign's tag made of the digest.
    Tag,
    /// A bundle that refers to the manifest.
    Referrer,
    /// A file, as a key's owner hands it over.
    File,
}

/// What became of one signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it was found.
    pub place: String,
    /// In which form.
    pub form: Form,
    /// The name of the key that made it, where it is known.
    pub signer: Option<String>,
    /// The fingerprint of that key.
    pub fingerprint: Option<Digest>,
    /// Whether it counts.
    pub outcome: Outcome,
}

/// Whether a signature counts, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "kebab-case")]
pub enum Outcome {
    /// It counts.
    Counted,
    /// It is good, and its key has been counted.
    Repeated,
    /// No key that is known made it.
    UnknownKey(String),
    /// A known key made it that does not count here.
    OtherKey(String),
    /// It is over another manifest.
    OtherSubject(String),
    /// It was made under another name.
    OtherName(String),
    /// It says something else than was asked for.
    OtherStatement(String),
    /// It cannot be read or used.
    Unusable(String),
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Enough keys signed it.
    Trusted,
    /// The policy asks for no signature.
    Unsigned,
    /// Not enough keys signed it, or the policy takes nothing of this name.
    Refused,
}

/// Why yes or no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The manifest.
    pub subject: Digest,
    /// The name under which it is used.
    pub name: Option<SignedName>,
    /// The policy, and the rule in it; a key where there is none.
    pub policy: String,
    /// What was asked for: the type of a predicate, or nothing for a signature.
    pub predicate_type: Option<String>,
    /// The decision.
    pub decision: Decision,
    /// How many different keys must have signed.
    pub threshold: usize,
    /// How many have.
    pub signed_by: usize,
    /// The names of the keys that count.
    pub keys: Vec<String>,
    /// Every signature that was looked at.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether it may be used.
    pub fn allows(&self) -> bool {
        self.decision != Decision::Refused
    }

    /// The decision in one sentence.
    pub fn sentence(&self) -> String {
        let what = self.predicate_type.as_ref().map_or_else(String::new, |kind| format!(" of `{kind}`"));
        match self.decision {
            Decision::Trusted => {
                format!("{} of {} required signatures{what} are valid", self.signed_by, self.threshold)
            }
            Decision::Unsigned => format!("{} asks for no signature", self.policy),
            Decision::Refused if self.keys.is_empty() => {
                format!("{} takes nothing of this name", self.policy)
            }
            Decision::Refused => {
                let verb = if self.signed_by == 1 { "is" } else { "are" };
                format!("{} of {} required signatures{what} {verb} valid", self.signed_by, self.threshold)
            }
        }
    }

    /// One line for every signature that was looked at, and who was asked for.
    pub fn explanation(&self) -> Vec<String> {
        let mut lines = vec![format!("policy: {}", self.policy)];
        if !self.keys.is_empty() {
            lines.push(format!("asked for: {} of {}", self.threshold, self.keys.join(", ")));
            if self.findings.is_empty() {
                lines.push("found: no signature".to_owned());
            }
        }
        lines.extend(self.findings.iter().map(Finding::to_string));
        lines
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.signer.as_ref().map_or_else(|| "nobody known".to_owned(), |name| format!("`{name}`"));
        write!(f, "{}: by {who}: {}", self.place, self.outcome)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counted => f.write_str("counts"),
            Self::Repeated => f.write_str("does not count again: a key counts once"),
            Self::UnknownKey(reason)
            | Self::OtherKey(reason)
            | Self::OtherSubject(reason)
            | Self::OtherName(reason)
            | Self::OtherStatement(reason)
            | Self::Unusable(reason) => write!(f, "does not count: {reason}"),
        }
    }
}
