//! in-toto statements, version 1: something that is said of manifests, by their digests.
//!
//! Invariant: what is parsed was verified before; and what was signed is the payload's bytes, which are never written anew.

use std::collections::BTreeMap;

use port_layout::json::{self, JsonError};
use port_model::{Digest, digest::Algorithm};
use serde::{Deserialize, Serialize};

/// What a statement calls itself.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What attestations of earlier tools call themselves; the fields are the same.
const STATEMENT_BEFORE: &str = "https://in-toto.io/Statement/v0.1";
/// "I sign this manifest": the predicate of a signature in a bundle.
pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// How a thing was built.
pub const SLSA_PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// What a thing is made of.
pub const SPDX: &str = "https://spdx.dev/Document";

/// A statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// Which version of the format.
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    /// What is said.
    pub predicate_type: String,
    /// The details.
    #[serde(default)]
    pub predicate: serde_json::Value,
}

/// One thing that a statement is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The repository, where the signer names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its digests, in hex, by algorithm.
    pub digest: BTreeMap<String, String>,
    /// What the signer adds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, serde_json::Value>,
}

impl Statement {
    /// A statement about one manifest, `registry/repository` being its name.
    pub fn about(subject: &Digest, name: &str, predicate_type: &str, predicate: serde_json::Value) -> Self {
        let digest = [(subject.algorithm().as_str().to_owned(), subject.hex().to_owned())].into();
        Self {
            kind: STATEMENT.to_owned(),
            subject: vec![Subject { name: name.to_owned(), digest, annotations: BTreeMap::new() }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// The bytes to sign.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Maps of text and values that came from JSON always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a payload.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, JsonError> {
        json::read(payload, "in-toto statement", "_type, subject, predicateType and predicate")
    }

    /// Whether it is of a version that Port reads.
    pub(crate) fn is_known(&self) -> bool {
        self.kind == STATEMENT || self.kind == STATEMENT_BEFORE
    }

    /// The first subject with this digest. A subject in another algorithm is another thing.
    pub(crate) fn subject(&self, digest: &Digest) -> Option<&Subject> {
        let algorithm = digest.algorithm().as_str();
        self.subject
            .iter()
            .find(|subject| subject.digest.get(algorithm).is_some_and(|hex| hex == digest.hex()))
    }

    /// Its subjects for people.
    pub(crate) fn subjects(&self) -> String {
        let name = |subject: &Subject| {
            let sha256 = subject.digest.get(Algorithm::Sha256.as_str());
            sha256.map_or_else(|| "a subject without sha256".to_owned(), |hex| format!("sha256:{hex}"))
        };
        let names: Vec<String> = self.subject.iter().take(3).map(name).collect();
        if names.is_empty() { "no subject".to_owned() } else { names.join(", ") }
    }
}
