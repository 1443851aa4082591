//! A control plane as configured: where it answers and how a client shows who it is (acceptance Pu-7).

use serde::Serialize;

/// One `[control_planes.<name>]` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlPlane {
    /// The key in the file.
    pub name: String,
    /// `http` or `https` URL without a trailing `/`; no other control plane has it (acceptance Pu-10).
    pub endpoint: String,
    /// The audience that a client names.
    pub audience: String,
    /// The token that a client sends.
    pub auth: ControlPlaneAuth,
}

/// The `auth` table. Its scheme is always `bearer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlPlaneAuth {
    /// The request header that carries the token, as written.
    pub header: String,
    /// Where the token comes from.
    pub source: TokenSource,
}

/// Where a token comes from. Secrets never sit in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TokenSource {
    /// An environment variable.
    Env {
        /// Its name.
        variable: String,
    },
}
