//! What a publisher says of a release: one statement that is numbered, expires, and binds every part of every machine's boot set
//! together (docs/formats/release-statement.md).
//!
//! It is the predicate of an in-toto statement about the release's manifest or index. Invariant: [`ReleaseStatement::of`] takes only
//! what was verified; nothing in it is decided here, see [`crate::gates`].

mod check;

use jiff::Timestamp;
use port_model::{Architecture, Digest};
use port_trust::{Statement, Verified};
use serde::{Deserialize, Serialize};

use crate::version::Version;
use crate::waves::Wave;

/// The type of the predicate.
pub const PREDICATE: &str = "urn:vnd.port:release:v1";

/// A release that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Another predicate.
    #[error("the statement is a `{found}`: expected `{PREDICATE}`")]
    Predicate {
        /// What it says it is.
        found: String,
    },
    /// Not of the form.
    #[error("the release statement cannot be read")]
    Form(#[source] serde_json::Error),
    /// A field that cannot be.
    #[error("the release statement's {field}: expected {expected}, found `{found}`")]
    Field {
        /// Which one.
        field: &'static str,
        /// What would do.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseStatement {
    /// Of what it is a release: the same for every release of a thing.
    pub name: String,
    /// The channel that it is for.
    pub channel: String,
    /// Its number in the channel. A machine takes no lower one.
    pub sequence: u64,
    /// Its version, for people and for `min_from`.
    pub version: Version,
    /// Raised when earlier releases must not come back; a machine keeps the highest that it committed to.
    #[serde(default)]
    pub security_epoch: u64,
    /// The oldest version that may update to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_from: Option<Version>,
    /// When it was made.
    pub issued: Timestamp,
    /// Until when it is to be believed.
    pub expires: Timestamp,
    /// What it is on each machine.
    pub machines: Vec<BootSet>,
    /// When how many machines may take it; all at once where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
    /// Whether machines take it without waiting for their wave.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub critical: bool,
    /// Manifests of releases that nobody is to take any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denies: Vec<Digest>,
}

/// What boots together on one kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSet {
    /// The architecture, in Go's names.
    #[serde(with = "architecture")]
    pub architecture: Architecture,
    /// Which kind of that machine, where there are several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Its files.
    pub parts: Vec<Part>,
    /// What the kernel is started with, where the release says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_arguments: Option<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What it is for.
    pub role: Role,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The kernel.
    Kernel,
    /// The initramfs.
    Initramfs,
    /// The root file system.
    RootFilesystem,
}

impl Role {
    /// The name of its file in a slot.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Kernel => "vmlinuz",
            Self::Initramfs => "kubesolo-os.gz",
            Self::RootFilesystem => "rootfs.img",
        }
    }
}

impl ReleaseStatement {
    /// What a verified statement says.
    ///
    /// # Errors
    /// [`ReleaseError`] where it is no release, or one that cannot be.
    pub fn of(statement: &Verified<Statement>) -> Result<Self, ReleaseError> {
        Self::from_statement(statement.get())
    }

    /// As [`Self::of`], for who made the statement.
    ///
    /// # Errors
    /// As there.
    pub fn from_statement(statement: &Statement) -> Result<Self, ReleaseError> {
        if statement.predicate_type != PREDICATE {
            let found = statement.predicate_type.chars().take(128).collect();
            return Err(ReleaseError::Predicate { found });
        }
        let release: Self = Deserialize::deserialize(&statement.predicate).map_err(ReleaseError::Form)?;
        check::all(&release)?;
        Ok(release)
    }

    /// The statement to sign, about the manifest or index at this digest, `name` being its `registry/repository`.
    ///
    /// # Errors
    /// [`ReleaseError`] where nobody would take it.
    pub fn to_statement(&self, subject: &Digest, name: &str) -> Result<Statement, ReleaseError> {
        check::all(self)?;
        let predicate = serde_json::to_value(self).map_err(ReleaseError::Form)?;
        Ok(Statement::about(subject, name, PREDICATE, predicate))
    }

    /// What it is on one kind of machine.
    pub fn boot_set(&self, architecture: Architecture, variant: &str) -> Option<&BootSet> {
        self.machines.iter().find(|set| set.architecture == architecture && set.variant == variant)
    }
}

impl BootSet {
    /// The file for a role.
    pub fn part(&self, role: Role) -> Option<&Part> {
        self.parts.iter().find(|part| part.role == role)
    }
}

/// Go's names, and nothing else.
mod architecture {
    use port_model::Architecture;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(architecture: &Architecture, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(architecture.oci_name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Architecture, D::Error> {
        let text = String::deserialize(from)?;
        let known = [Architecture::X86_64, Architecture::Aarch64].into_iter();
        known.into_iter().find(|architecture| architecture.oci_name() == text).ok_or_else(|| {
            D::Error::custom(format!("architecture: expected `amd64` or `arm64`, found `{text}`"))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
