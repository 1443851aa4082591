//! Where an artifact is published and fetched from. Push and pull are configured apart (acceptance P-4).

use std::path::PathBuf;

use port_model::{ArtifactClass, Encoding};
use serde::Serialize;

/// Where copies are kept unless the file says otherwise (acceptance P-10).
pub const DEFAULT_CACHE_ROOT: &str = ".port/cache";
/// For how many earlier versions push makes a delta unless the file says otherwise.
pub const DEFAULT_DELTAS: u32 = 3;
/// The most earlier versions for which push makes a delta.
pub const MOST_DELTAS: u32 = 16;

/// The `distribution` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// Root of the local copies, as written.
    pub cache_root: PathBuf,
    /// Where push publishes; without it push is refused.
    pub push: Option<Backend>,
    /// How push publishes the main component. Companions are raw, and pull takes what it finds.
    pub encoding: Encoding,
    /// For how many earlier versions push makes a delta; only a packed component has any.
    pub deltas: u32,
    /// Where pull fetches; without it pull is refused.
    pub pull: Option<Backend>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            cache_root: DEFAULT_CACHE_ROOT.into(),
            push: None,
            encoding: Encoding::Raw,
            deltas: DEFAULT_DELTAS,
            pull: None,
        }
    }
}

/// One direction's backend (acceptance P-7, Pu-4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "backend", rename_all = "kebab-case")]
pub enum Backend {
    /// A directory.
    FileSystem {
        /// The store's root, as written.
        root: PathBuf,
    },
    /// The registry that the artifact's own reference names (acceptance P-52).
    OciRegistry(RegistryConfig),
    /// A control plane of this file (acceptance Pu-14).
    HostedApi {
        /// The control plane's endpoint, without a trailing `/`.
        endpoint: String,
        /// The name of the control plane with that endpoint.
        control_plane: String,
    },
}

impl Backend {
    /// The words of `backend` in the file.
    pub const WORDS: &'static [&'static str] = &["file-system", "oci-registry", "hosted-api"];

    /// The word of `backend` in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FileSystem { .. } => "file-system",
            Self::OciRegistry(_) => "oci-registry",
            Self::HostedApi { .. } => "hosted-api",
        }
    }

    /// The encodings that can be published there. A directory holds files that others read where they lie (acceptance
    /// P-37): those stay what they are. A control plane is a registry besides.
    pub fn encodings(&self) -> &'static [Encoding] {
        match self {
            Self::OciRegistry(_) | Self::HostedApi { .. } => Encoding::ALL,
            Self::FileSystem { .. } => &[Encoding::Raw],
        }
    }

    /// How the main component of an artifact of `class` is published there unless the file says otherwise.
    pub fn default_encoding(&self, class: ArtifactClass) -> Encoding {
        match class {
            // Large, mostly zero, and little changed from version to version. What lies at a control plane's readable path
            // and goes to those who pull by name (acceptance P-39, Pu-28) is the file itself unless somebody asks for less.
            ArtifactClass::GuestImage if matches!(self, Self::OciRegistry(_)) => Encoding::Packed,
            ArtifactClass::GuestImage | ArtifactClass::Kernel => Encoding::Raw,
        }
    }
}

/// How a registry is reached; its host is in the artifact's reference (acceptance P-52).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RegistryConfig {
    /// TLS or not.
    pub transport: Transport,
    /// How to sign in; without it, the credential files of docker and podman are asked (docs/credentials.md).
    pub auth: Option<RegistryAuth>,
    /// A PEM file of certificate authorities that are trusted besides the system's, as written.
    pub certificate_authority: Option<PathBuf>,
    /// A PEM file with the certificate that shows who Port is, as written.
    pub client_certificate: Option<PathBuf>,
    /// The PEM file of its private key, as written.
    pub client_key: Option<PathBuf>,
}

/// How bytes travel to a registry (acceptance Pu-5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TLS.
    #[default]
    Https,
    /// No TLS: for a registry on this machine. Elsewhere credentials can be read on the way, of which Port warns.
    PlainHttp,
}

impl Transport {
    /// The words of the file.
    pub const WORDS: &'static [&'static str] = &["https", "plain-http"];

    /// The word of the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::PlainHttp => "plain-http",
        }
    }
}

/// How to sign in at a registry. Secrets never sit in the file: it names variables (acceptance Pu-6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RegistryAuth {
    /// Without credentials.
    Anonymous,
    /// With a user name and a password from the environment.
    BasicEnv {
        /// The variable that holds the user name.
        username_variable: String,
        /// The variable that holds the password.
        password_variable: String,
    },
}

impl RegistryAuth {
    /// The words of `kind` in the file.
    pub const WORDS: &'static [&'static str] = &["anonymous", "basic-env"];

    /// The word of `kind` in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::BasicEnv { .. } => "basic-env",
        }
    }
}
