//! Why a manifest cannot be had. What is wrong with what it says is no error of this kind but findings.

use std::fmt;
use std::path::PathBuf;

use port_content::FsError;
use port_document::DocumentError;
use port_drivers::DriverError;
use port_model::{Digest, ReferenceError};
use port_registry::RegistryError;
use port_store::StoreError;
use port_workload::Placed;

use crate::OpsError;

/// How many findings a message lists: the rest of a hopeless manifest helps nobody.
const MOST_SHOWN: usize = 40;

/// A manifest that cannot be read or resolved.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The bytes of a file cannot be had.
    #[error("the manifest `{}` cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: FsError,
    },
    /// The bytes are no manifest.
    #[error(transparent)]
    Malformed(#[from] DocumentError),
    /// The manifest says what cannot be.
    #[error("cannot use `{}`{}", file.display(), Listed(findings))]
    Invalid {
        /// The manifest that was asked for.
        file: PathBuf,
        /// What was found in it and its bases.
        findings: Vec<Placed>,
    },
    /// The store that a base lies in cannot be opened.
    #[error("the local store cannot be opened, and a base lies in it")]
    Store(#[source] Box<OpsError>),
    /// A base in the store cannot be used.
    #[error("the base `cas://{digest}` cannot be read from the local store")]
    Stored {
        /// The base.
        digest: Digest,
        /// Why.
        source: Box<StoreError>,
    },
    /// A base's reference names nothing that a registry can have.
    #[error("the base `oci://{reference}` cannot be in a registry")]
    Name {
        /// The base.
        reference: String,
        /// Why.
        source: ReferenceError,
    },
    /// What is published under a base's reference is no manifest.
    #[error("`oci://{reference}` holds no workload manifest: {reason}")]
    NoManifest {
        /// The base.
        reference: String,
        /// What was expected and found.
        reason: String,
    },
    /// A registry failed.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// What is published under a root's reference is no root file system that can be used.
    #[error("`oci://{reference}` holds no root file system for this workload: {reason}")]
    NoRoot {
        /// The reference.
        reference: String,
        /// What was expected and found.
        reason: String,
    },
    /// The root in the store is not what its name says.
    #[error("the root `cas://{digest}` is damaged in the local store")]
    DamagedRoot {
        /// The root.
        digest: Digest,
    },
    /// Another verb's work failed: the project, its artifacts, a transfer, the policies.
    #[error(transparent)]
    Ops(Box<OpsError>),
    /// The root file system is not there.
    #[error("the root `{}` cannot be used", path.display())]
    Root {
        /// The directory or image.
        path: PathBuf,
        /// Why.
        source: FsError,
    },
    /// The kernel of a machine is not there.
    #[error("the kernel `{}` cannot be used", path.display())]
    Kernel {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FsError,
    },
    /// No kernel of this version.
    #[error("no kernel {version} is known here: expected it at {}", Places(places))]
    NoKernel {
        /// The version.
        version: String,
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// A root that a machine cannot mount.
    #[error("`{}` is no root of a machine: expected an image of ext4, squashfs or EROFS", path.display())]
    NoImage {
        /// The image.
        path: PathBuf,
    },
    /// An image for a machine cannot be made.
    #[error("an image for the machine cannot be made of `{}`", path.display())]
    Image {
        /// Of what.
        path: PathBuf,
        /// Why.
        source: Box<OpsError>,
    },
    /// It cannot be run.
    #[error(transparent)]
    Driver(Box<DriverError>),
}

impl From<OpsError> for WorkloadError {
    fn from(error: OpsError) -> Self {
        Self::Ops(Box::new(error))
    }
}

impl From<DriverError> for WorkloadError {
    fn from(error: DriverError) -> Self {
        Self::Driver(Box::new(error))
    }
}

impl From<RegistryError> for WorkloadError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

/// `a` or `b`.
struct Places<'p>(&'p [PathBuf]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.0.iter().map(|place| format!("`{}`", place.display())).collect();
        f.write_str(&places.join(" or "))
    }
}

/// `: 2 problems`, then every finding as port.toml's are listed.
struct Listed<'f>(&'f [Placed]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, ": {count} problem{}", if count == 1 { "" } else { "s" })?;
        for Placed { file, finding } in self.0.iter().take(MOST_SHOWN) {
            write!(f, "\n  {file}:{}:{}: {finding}", finding.line, finding.column)?;
        }
        match count.saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  … and {more} more"),
        }
    }
}
