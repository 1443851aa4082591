//! The shape of `trust.toml`. Unknown keys are errors: a slip of the finger must not become a policy that asks for less.

use std::collections::BTreeMap;

use port_model::suggest::did_you_mean;
use serde::Deserialize;

use crate::policy::error::PolicyProblem;
use crate::policy::{LARGEST_POLICY, VERSION};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    version: u32,
    pub(super) default: Option<DefaultEntry>,
    #[serde(default)]
    pub(super) keys: BTreeMap<String, KeyEntry>,
    #[serde(default)]
    pub(super) rules: Vec<RuleEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DefaultEntry {
    pub(super) accept: Accept,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyEntry {
    pub(super) path: Option<String>,
    pub(super) public_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    pub(super) references: Vec<String>,
    #[serde(default)]
    pub(super) accept: Accept,
    pub(super) keys: Option<Vec<String>>,
    pub(super) threshold: Option<usize>,
    pub(super) identities: Option<Vec<String>>,
    pub(super) attestations: Option<Vec<String>>,
}

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Accept {
    /// What enough keys signed.
    #[default]
    Signed,
    /// Anything.
    Unsigned,
    /// Nothing.
    Nothing,
}

impl Document {
    pub(super) fn parse(text: &str) -> Result<Self, PolicyProblem> {
        if text.len() > LARGEST_POLICY {
            let reason = format!("expected at most {LARGEST_POLICY} bytes, found {}", text.len());
            return Err(PolicyProblem::at("", &reason));
        }
        let document: Self = toml::from_str(text).map_err(|error| {
            let message = crate::bundle::plain(error.message());
            let near = near(&message);
            PolicyProblem::on_line(
                line(text, error.span().map_or(0, |span| span.start)),
                format!("{message}{near}"),
            )
        })?;
        if document.version != VERSION {
            let reason = format!("expected {VERSION}, found {}: another Port wrote it", document.version);
            return Err(PolicyProblem::at("version", &reason));
        }
        Ok(document)
    }
}

fn line(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

/// "did you mean", where the reader says which field it does not know and which it does.
fn near(message: &str) -> String {
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match words.split_first() {
        Some((found, known)) if message.starts_with("unknown ") => did_you_mean(found, known),
        _ => String::new(),
    }
}
