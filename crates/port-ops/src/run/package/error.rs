//! What keeps a package from running, and what ends it badly.
//!
//! Invariant: everything up to [`PackageRunError::Runtime`] is said before a machine is started.

use std::process::ExitStatus;

use port_content::FsError;
use port_model::Substrate;
use port_runtime::{RuntimeError, Tail};

use super::{ArgumentError, VolumeError};
use crate::packages::PackageError;

/// A package that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum PackageRunError {
    /// It cannot be found, fetched or unpacked.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// No driver for what it was packed for.
    #[error("cannot run `{reference}`: it is packed for {platform}/{architecture}, expected {expected}")]
    NoDriver {
        /// The package.
        reference: String,
        /// In Unikraft's words.
        platform: String,
        /// In Unikraft's words.
        architecture: String,
        /// What would do.
        expected: &'static str,
    },
    /// Published ports, of a VMM without a network of its own.
    #[error("`{substrate}` publishes no ports: expected qemu")]
    NoPorts {
        /// What was to run it.
        substrate: Substrate,
    },
    /// Volumes, of a VMM that shares none.
    #[error("`{substrate}` shares no directories of the host: expected qemu")]
    NoVolumes {
        /// What was to run it.
        substrate: Substrate,
    },
    /// A volume that cannot be had.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Boot arguments that the kernel would not read as written.
    #[error("the arguments of `{reference}` cannot be passed on")]
    Arguments {
        /// The package.
        reference: String,
        /// Why.
        #[source]
        source: ArgumentError,
    },
    /// Whoever was to get it ready did not come to an end.
    #[error("`{reference}` was not made ready")]
    Unready {
        /// The package.
        reference: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A directory for its files.
    #[error(transparent)]
    Files(#[from] FsError),
    /// The machine.
    #[error(transparent)]
    Runtime(Box<RuntimeError>),
    /// The VMM ended otherwise than well.
    #[error("`{substrate}` ended with {status} while `{reference}` ran{messages}")]
    Vmm {
        /// What ran it.
        substrate: Substrate,
        /// The package.
        reference: String,
        /// How it ended.
        status: ExitStatus,
        /// What the VMM said.
        messages: Tail,
    },
    /// KVM could not run the guest any further, whatever the VMM's exit status is.
    #[error("`{substrate}` could not run `{reference}` any further: {reason}")]
    GivenUp {
        /// What ran it.
        substrate: Substrate,
        /// The package.
        reference: String,
        /// As the VMM says it.
        reason: String,
    },
    /// The VMM did not end by itself.
    #[error(
        "`{substrate}` did not end within {seconds} seconds after the console of `{reference}` did{messages}"
    )]
    Stuck {
        /// What ran it.
        substrate: Substrate,
        /// The package.
        reference: String,
        /// How long it had.
        seconds: u64,
        /// What the VMM said.
        messages: Tail,
    },
}

impl From<RuntimeError> for PackageRunError {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(Box::new(error))
    }
}
