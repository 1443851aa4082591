//! attest: a signed statement about what a place names: how it was built, what it is made of, or whatever a file says.

use std::path::{Path, PathBuf};

use port_content::fs;
use port_model::Digest;
use port_trust::{SecretKey, SignedName, Statement, bundle, statement};
use serde::Serialize;

use crate::copy::Place;
use crate::error::OpsError;
use crate::trust::built::Built;
use crate::trust::error::TrustError;
use crate::trust::sign::put_bundle;
use crate::trust::subject::Wanted;
use crate::trust::{provenance, sbom};

/// What is stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predicate {
    /// How it was built, as `port.lock` records it (SLSA provenance, version 1).
    Provenance,
    /// What it is made of, as `port.lock` and the recipe's directory record it (SPDX 2.3).
    Sbom,
    /// What a JSON file says.
    File {
        /// The type of the predicate, a URI.
        kind: String,
        /// The file.
        path: PathBuf,
    },
}

/// What was stated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttestReport {
    /// The place.
    pub place: Place,
    /// The manifest.
    pub subject: Digest,
    /// The type of the predicate.
    pub predicate_type: String,
    /// The fingerprint of the key.
    pub fingerprint: Digest,
    /// The referrer that holds the statement.
    pub referrer: Digest,
    /// The statement.
    pub statement: Statement,
}

/// Signs a statement about what `wanted` names, and puts it there as a referrer.
pub async fn attest(
    wanted: Wanted<'_>,
    predicate: &Predicate,
    key: &SecretKey,
) -> Result<AttestReport, OpsError> {
    let (kind, value) = match (predicate, wanted) {
        (Predicate::File { kind, path }, _) => (kind.clone(), read(kind, path)?),
        (Predicate::Provenance, Wanted::Target { workspace, target }) => {
            let built = Built::of(workspace, target, statement::SLSA_PROVENANCE).await?;
            (statement::SLSA_PROVENANCE.to_owned(), provenance::predicate(&built))
        }
        (Predicate::Sbom, Wanted::Target { workspace, target }) => {
            let built = Built::of(workspace, target, statement::SPDX).await?;
            (statement::SPDX.to_owned(), sbom::document(workspace, &built)?)
        }
        (_, Wanted::Place { place, .. }) => {
            let reason =
                format!("nothing is known of how `{place}` was built: name the artifact, or a predicate");
            return Err(TrustError::Usage(reason).into());
        }
    };
    let found = wanted.find().await?;
    let (subject, root) = (&found.subject, &found.subject.root);
    let name = subject.name.as_ref().map(SignedName::as_str).unwrap_or_default();
    let statement = Statement::about(&root.digest, name, &kind, value);
    let size = bundle::sign(&statement, key).len() as u64;
    if size > bundle::LARGEST_BUNDLE {
        let reason = format!("it has {size} bytes signed, and at most {} are read", bundle::LARGEST_BUNDLE);
        return Err(TrustError::NoStatement { kind, what: subject.place.to_string(), reason }.into());
    }
    let referrer = put_bundle(&found.side, root, &statement, key).await?;
    Ok(AttestReport {
        place: subject.place.clone(),
        subject: root.digest.clone(),
        predicate_type: kind,
        fingerprint: key.public().fingerprint(),
        referrer,
        statement,
    })
}

fn read(kind: &str, path: &Path) -> Result<serde_json::Value, TrustError> {
    let bytes = fs::read(path, bundle::LARGEST_BUNDLE)?;
    let wrong = |reason: String| TrustError::NoStatement {
        kind: kind.to_owned(),
        what: path.display().to_string(),
        reason,
    };
    if kind == statement::SIGNATURE {
        return Err(wrong("a signature is made with `port artifacts sign`".to_owned()));
    }
    if !kind.contains(':') || kind.len() > 512 || kind.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(wrong("expected a URI as its type, as `https://example.com/tested/v1`".to_owned()));
    }
    port_layout::json::read(&bytes, "predicate", "JSON").map_err(|error| wrong(crate::error::chain(&error)))
}
