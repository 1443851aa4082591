//! workload: manifests of workloads: read, with the bases that they extend, validated and resolved. Needs no project.
//!
//! ```text
//! file ─► chain of bases (files, the store, registries) ─► resolved ─► findings   validate
//!                                                             ├─► manifest        resolve
//!                                                             └─► plan, job       run
//! ```
//!
//! Invariant: what came from a store or a registry was checked against its digest before it was
//! read, and names no files of this host as its base; what came from a registry, the trust policies took before.

mod base;
mod error;
mod machine;
mod roots;
mod run;

pub use base::{MANIFEST_JSON, MANIFEST_TOML};
pub use error::WorkloadError;
pub use port_document::{Finding, Severity};
pub use port_drivers as drivers;
pub use port_workload::{Manifest, Placed, is_variable_name, json_schema};
pub use roots::RootChoice;
pub use run::{Planned, RunRequest, RunStarted, RunSurroundings, planned, run};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_content::fs;
use port_document::LARGEST_TEXT;
use port_model::Reporter;
use port_registry::credentials::{CredentialFiles, CredentialPaths};
use port_registry::{Client, RegistryHost};
use port_store::Store;
use port_workload::{Chain, Document, Resolved, Variables, check};
use serde::Serialize;

use crate::OpsError;
use crate::login::RegistryAccess;
use crate::trust::Policies;
use crate::workspace::Workspace;

/// Which manifest, and the caller's variables.
#[derive(Debug, Clone)]
pub struct ManifestRequest {
    /// The manifest's file.
    pub file: PathBuf,
    /// Values of variables; they beat all others.
    pub overrides: BTreeMap<String, String>,
}

/// What a manifest is resolved with.
pub struct Surroundings {
    /// The host's name.
    pub host_name: String,
    /// The process environment.
    pub environment: fn(&str) -> Option<String>,
    /// Opens the local store; asked only where a base lies there.
    pub open_store: Open<Store>,
    /// Opens the project, or where there is none what stands for it; asked only where a root comes from an artifact or a registry.
    pub open_workspace: Open<Workspace>,
    /// The trust policies that hold here; asked only about what comes from a registry.
    pub policies: Open<Policies>,
    /// How registries are reached.
    pub access: RegistryAccess,
    /// Where their credentials are.
    pub credential_paths: CredentialPaths,
    /// Who listens.
    pub reporter: Arc<dyn Reporter>,
}

/// Opens something when it is needed, which mostly it is not.
pub type Open<T> = Box<dyn Fn() -> Result<T, OpsError> + Send + Sync>;

impl Surroundings {
    /// A client for one registry.
    fn client(&self, host: &RegistryHost) -> Client {
        let credentials = Arc::new(CredentialFiles::new(self.credential_paths.clone()));
        Client::new(self.access.options([host]), credentials, Arc::clone(&self.reporter))
    }
}

/// What validating found.
#[derive(Debug, Serialize)]
pub struct ValidateReport {
    /// The manifest.
    pub file: PathBuf,
    /// Whether it can be used: there are no errors.
    pub valid: bool,
    /// How many findings are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// All of them, in the order of the chain and of each file.
    pub findings: Vec<Placed>,
}

/// A manifest that stands alone.
#[derive(Debug)]
pub struct ResolveReport {
    /// The manifest, as it is written.
    pub manifest: Manifest,
    /// What is odd and no error.
    pub warnings: Vec<Placed>,
}

/// Reads one manifest and remembers where it was; checks and resolves nothing (acceptance V-44, V-46).
///
/// # Errors
/// The file cannot be read, or its bytes are no manifest: two different errors (acceptance V-45).
pub fn load(file: &Path) -> Result<Document, WorkloadError> {
    let unreadable = |source| WorkloadError::Read { file: file.to_owned(), source };
    let bytes = fs::read(file, LARGEST_TEXT as u64).map_err(unreadable)?;
    let place = fs::canonicalize(file).map_err(unreadable)?;
    Ok(Document::parse(&file.display().to_string(), place, &bytes)?)
}

/// Says everything that is wrong with a manifest, at once.
///
/// # Errors
/// The file cannot be read, or a base cannot be reached. What is wrong with texts is in the report.
pub async fn validate(
    request: &ManifestRequest,
    surroundings: &Surroundings,
) -> Result<ValidateReport, WorkloadError> {
    let findings = match examine(request, surroundings).await {
        Ok((_, findings)) => findings,
        Err(WorkloadError::Malformed(error)) => {
            let file = error.file;
            error.findings.into_iter().map(|finding| Placed { file: file.clone(), finding }).collect()
        }
        Err(error) => return Err(error),
    };
    let errors = findings.iter().filter(|placed| placed.finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    Ok(ValidateReport { file: request.file.clone(), valid: errors == 0, errors, warnings, findings })
}

/// Makes one manifest of a chain, with variables put in and defaults filled in.
///
/// # Errors
/// The chain cannot be read, or what it says has errors.
pub async fn resolve(
    request: &ManifestRequest,
    surroundings: &Surroundings,
) -> Result<ResolveReport, WorkloadError> {
    let (resolved, findings) = examine(request, surroundings).await?;
    let is_error = |placed: &Placed| placed.finding.severity == Severity::Error;
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.into_iter().partition(is_error);
    if !errors.is_empty() {
        return Err(WorkloadError::Invalid { file: request.file.clone(), findings: errors });
    }
    Ok(ResolveReport { manifest: resolved.written(), warnings })
}

async fn examine(
    request: &ManifestRequest,
    surroundings: &Surroundings,
) -> Result<(Resolved, Vec<Placed>), WorkloadError> {
    let document = load(&request.file)?;
    let identity = document.manifest.source.display().to_string();
    let mut chain = Chain::new(document, identity);
    if let Err(problem) = base::extend(&mut chain, surroundings).await? {
        chain.give_up(problem);
    }
    let variables = Variables {
        overrides: request.overrides.clone(),
        host_name: surroundings.host_name.clone(),
        environment: &surroundings.environment,
    };
    let resolved = Resolved::new(chain, &variables);
    let findings = resolved.findings(&check(&resolved.manifest));
    Ok((resolved, findings))
}
