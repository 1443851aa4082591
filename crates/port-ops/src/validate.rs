//! validate: is a variant what it should be? Every check says what was looked at and what was found, and all of
//! them run, so that one look shows everything (acceptance P-70, P-74 … P-79).

mod boot;
mod guest_image;
mod kernel;
mod recorded;

use std::path::PathBuf;

use port_model::{ArtifactClass, Digest, Reference, Variant};
use serde::Serialize;

use crate::error::OpsError;
use crate::target::Target;
use crate::workspace::Workspace;
use crate::{local, pvm};

/// How to validate.
#[derive(Debug, Clone, Copy, Default)]
pub struct ValidateOptions {
    /// Also boot the variant and ask its agent.
    pub boot: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValidateReport {
    /// The artifact's name.
    pub artifact: String,
    /// Its class.
    pub class: ArtifactClass,
    /// Its logical name.
    pub reference: Reference,
    /// Which variant.
    pub variant: Variant,
    /// The local path.
    pub path: PathBuf,
    /// Whether every check passed.
    pub valid: bool,
    /// The checks, in the order in which they ran.
    pub findings: Vec<Finding>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// Whether it is as it should be.
    pub passed: bool,
    /// What was found, and where it is wrong, what was expected.
    pub found: String,
}

impl Finding {
    pub(crate) fn passed(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), passed: true, found: found.into() }
    }

    pub(crate) fn failed(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), passed: false, found: found.into() }
    }

    /// A check whose failure is an error with words of its own.
    pub(crate) fn of<E: std::error::Error>(check: impl Into<String>, result: Result<String, E>) -> Self {
        match result {
            Ok(found) => Self::passed(check, found),
            Err(error) => Self::failed(check, with_causes(&error)),
        }
    }
}

/// An error and everything below it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// Validates one variant.
///
/// # Errors
/// Where validation itself cannot run: another architecture, a research-only lane, no local file, a missing
/// tool. What is wrong with the artifact is a finding.
pub async fn validate(
    workspace: &Workspace,
    target: Target<'_>,
    options: &ValidateOptions,
) -> Result<ValidateReport, OpsError> {
    target.check_native(workspace, "validate")?;
    let files = local::files(target)?;
    let mut findings = vec![size(target)?];
    findings.extend(recorded::check(workspace, target, &files)?);
    let digest = workspace.store.digest_of_file(&target.config.path)?.0;
    findings.extend(not_standard(workspace, target, &digest)?);
    match target.artifact.class {
        ArtifactClass::Kernel => findings.extend(kernel::check(target)?),
        ArtifactClass::GuestImage => findings.extend(guest_image::check(target)?),
    }
    if options.boot {
        findings.extend(boot::check(workspace, target).await?);
    }
    Ok(ValidateReport {
        artifact: target.artifact.name.clone(),
        class: target.artifact.class,
        reference: target.artifact.reference.clone(),
        variant: target.variant(),
        path: target.config.path.clone(),
        valid: findings.iter().all(|finding| finding.passed),
        findings,
    })
}

fn size(target: Target<'_>) -> Result<Finding, OpsError> {
    let bytes = port_content::fs::metadata(&target.config.path)?.len();
    Ok(match bytes {
        0 => Finding::failed("size", "0 bytes, expected more"),
        _ => Finding::passed("size", format!("{bytes} bytes")),
    })
}

fn not_standard(
    workspace: &Workspace,
    target: Target<'_>,
    digest: &Digest,
) -> Result<Option<Finding>, OpsError> {
    match pvm::refuse_standard(workspace, target, digest) {
        Err(error @ OpsError::StandardInPvm { .. }) => {
            Ok(Some(Finding::failed("protection mode", error.to_string())))
        }
        Err(error) => Err(error),
        Ok(()) if target.variant().protection_mode == port_model::ProtectionMode::Pvm => {
            Ok(Some(Finding::passed("protection mode", "no standard variant has these bytes")))
        }
        Ok(()) => Ok(None),
    }
}
