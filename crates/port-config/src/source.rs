//! Where a kernel may come from, and the one text by which `port.lock` knows a source.

use std::fmt;
use std::path::PathBuf;

use port_model::Digest;
use serde::Serialize;

/// The flake attribute of the PVM guest kernel where the file names none (acceptance Pu-37).
pub const PVM_FLAKE_ATTRIBUTE: &str = "packages.x86_64-linux.linux-port-pvm-guest";

/// One entry of a kernel variant's `sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum KernelSource {
    /// An object of the Firecracker CI bucket, pinned by key and digest (acceptance P-67).
    FirecrackerCi {
        /// The object's key, such as `firecracker-ci/v1.14/x86_64/vmlinux-6.1.155`.
        key: String,
        /// Digest of the object.
        sha256: Digest,
    },
    /// The newest kernel that a Debian meta package depends on; what it resolved to is in `port.lock`.
    DebianPackage {
        /// The package, such as `linux-image-cloud-amd64`.
        package: String,
    },
    /// A Debian kernel package on this machine.
    DebianFile {
        /// The `.deb` file, as written.
        path: PathBuf,
        /// Digest of the `.deb` file.
        sha256: Option<Digest>,
    },
    /// A kernel at an HTTP address.
    Url {
        /// `http` or `https`, without credentials.
        url: String,
        /// Digest of what is fetched.
        sha256: Digest,
    },
    /// A kernel on this machine.
    Path {
        /// The kernel file, as written.
        path: PathBuf,
        /// Digest of the kernel file.
        sha256: Option<Digest>,
        /// The directory `lib/modules/<release>` that belongs to it, as written.
        modules: Option<PathBuf>,
    },
    /// The PVM guest kernel of a Nix flake.
    PvmFlake {
        /// The flake's attribute; [`PVM_FLAKE_ATTRIBUTE`] where the file names none.
        attribute: String,
    },
}

impl KernelSource {
    /// The word of `kind` in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FirecrackerCi { .. } => "firecracker-ci",
            Self::DebianPackage { .. } => "debian-package",
            Self::DebianFile { .. } => "debian-file",
            Self::Url { .. } => "url",
            Self::Path { .. } => "path",
            Self::PvmFlake { .. } => "pvm-flake",
        }
    }
}

/// The canonical text: kind, what it names, then options in a fixed order. `port.lock` compares it, so
/// that a changed source is seen to be unlocked.
impl fmt::Display for KernelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = |sha256: &Option<Digest>| sha256.as_ref().map(|d| format!(" {d}")).unwrap_or_default();
        write!(f, "{} ", self.kind())?;
        match self {
            Self::FirecrackerCi { key, sha256 } => write!(f, "{key} {sha256}"),
            Self::DebianPackage { package } => f.write_str(package),
            Self::DebianFile { path, sha256 } => write!(f, "{}{}", path.display(), digest(sha256)),
            Self::Url { url, sha256 } => write!(f, "{url} {sha256}"),
            Self::Path { path, sha256, modules } => {
                write!(f, "{}{}", path.display(), digest(sha256))?;
                modules.as_ref().map_or(Ok(()), |modules| write!(f, " modules {}", modules.display()))
            }
            Self::PvmFlake { attribute } => f.write_str(attribute),
        }
    }
}
