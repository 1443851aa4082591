//! What can go wrong with credential files and helpers.
//!
//! Invariant: no error holds text of a secret. Files are described by path, key and kind of value; what a
//! helper says is quoted only where it cannot be an answer, and without the secret that it was given.

use std::path::PathBuf;
use std::time::Duration;

use port_content::FsError;

use super::helper::HelperAction;
use crate::credential::CredentialError;
use crate::name::RegistryHost;

/// Credentials that could not be read, stored or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The file is there and cannot be read, locked or written.
    #[error("cannot use the credential file `{}`", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: FsError,
    },
    /// The file is no JSON object.
    #[error("the credential file `{}` is broken: expected one JSON object, found something else at line {line}, column {column}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// Where, from 1.
        column: usize,
    },
    /// One value in the file is wrong.
    #[error("the credential file `{}` has a wrong `{key}`: expected {expected}, found {found}", path.display())]
    BadValue {
        /// Which file.
        path: PathBuf,
        /// Which value: `auths`, or `auths` → host → member.
        key: String,
        /// What should be there.
        expected: &'static str,
        /// What kind of thing is there.
        found: &'static str,
    },
    /// The helper that a file configures is not installed.
    #[error("the credential helper `{program}`, which `{key}` in `{}` asks for, was not found: expected a program of this name in a directory of PATH", path.display())]
    HelperMissing {
        /// The name of the program.
        program: String,
        /// The file that asks for it.
        path: PathBuf,
        /// `credsStore`, or `credHelpers` → host.
        key: String,
    },
    /// The helper could not be started or talked to.
    #[error("cannot run `{program} {action}`")]
    HelperIo {
        /// The name of the program.
        program: String,
        /// What it was to do.
        action: HelperAction,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The helper did not end in time, and was killed.
    #[error("`{program} {action}` for `{server}` did not end: expected an answer within {} s", limit.as_secs_f32())]
    HelperTimedOut {
        /// The name of the program.
        program: String,
        /// What it was to do.
        action: HelperAction,
        /// For which registry.
        server: String,
        /// How long it had.
        limit: Duration,
    },
    /// The helper says that it failed.
    #[error("`{program} {action}` for `{server}` failed ({status}): {message}")]
    HelperFailed {
        /// The name of the program.
        program: String,
        /// What it was to do.
        action: HelperAction,
        /// For which registry.
        server: String,
        /// Its exit status.
        status: String,
        /// The first line that it wrote, or that it wrote nothing.
        message: String,
    },
    /// The helper answered something else than its protocol has.
    #[error("`{program} {action}` for `{server}` answered wrongly: expected {expected}, found {found}")]
    HelperAnswer {
        /// The name of the program.
        program: String,
        /// What it was to do.
        action: HelperAction,
        /// For which registry.
        server: String,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// Another login or logout holds the file.
    #[error("the credential file `{}` is in use: expected its lock within {} s, found another login or logout at work", path.display(), limit.as_secs())]
    Locked {
        /// Which file.
        path: PathBuf,
        /// How long was waited.
        limit: Duration,
    },
    /// These credentials cannot be stored.
    #[error("cannot store credentials for `{registry}`: expected {expected}, found {found}")]
    NotStorable {
        /// For which registry.
        registry: String,
        /// What can be stored.
        expected: &'static str,
        /// What was given.
        found: String,
    },
}

impl CredentialsError {
    /// As the answer of a [`crate::CredentialSource`].
    pub(super) fn about(self, registry: &RegistryHost) -> CredentialError {
        CredentialError { registry: registry.to_string(), source: Box::new(self) }
    }
}
