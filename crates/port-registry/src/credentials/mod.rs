//! Where credentials come from: the files and helpers that docker and podman keep, and values given to Port.
//!
//! ```text
//! given values ─► given.rs ───────────────────────────────┐
//! config.json, auth.json ─► document ─► key, entry ─► files.rs ─► CredentialSource
//!                               └─► credsStore, credHelpers ─► helper ─► program ┘
//! login.rs: the same files and helpers, written
//! ```
//!
//! Nothing here reads the environment: the caller passes the values of variables ([`Variables`]). The order of
//! precedence is in [`CredentialFiles::look_up`]. Invariant: no text of a secret, and no text that a parser
//! or helper says about one, gets into an error, `Debug` or `Display`.

pub(crate) mod base64;
mod document;
mod entry;
mod error;
mod file;
mod files;
mod given;
mod helper;
mod key;
mod locked_file;
mod login;
mod paths;
mod program;

pub use error::CredentialsError;
pub use files::{CredentialFiles, Found, Lookup, Origin};
pub use given::{BasicEnvError, ForRegistry, Unusable, Variable, basic_env, split_token};
pub use helper::HelperAction;
pub use login::{LoginTarget, Removed, Stored, login, logout, password_from_input};
pub use paths::{CredentialPaths, FileStyle, Variables};
