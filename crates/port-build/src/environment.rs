//! What a build is given: where things are on this machine, the lock, and how to speak.
//!
//! Nothing here reads the environment; the caller did.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use port_config::{Lock, SourceSettings};
use port_content::{FsError, fs};
use port_model::{Architecture, Digest, Reporter};
use port_transport::Client;

/// Where this machine has what goes into an image.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Guest agents, in the order in which they are tried; a recipe's `agent` comes before them.
    pub agent: Vec<PathBuf>,
    /// `PORT_BUSYBOX_BIN`.
    pub busybox: Option<PathBuf>,
    /// `PORT_PVM_BUILD_FLAKE_REF`.
    pub pvm_flake_ref: Option<String>,
    /// The sibling checkout `../pvm-builds`; it counts only where it has a `flake.nix` (acceptance Pu-37).
    pub pvm_sibling: PathBuf,
    /// `PORT_PVM_GUEST_KERNEL_ATTR`; it goes before the configured attribute.
    pub pvm_attribute: Option<String>,
    /// The directories of `PATH`.
    pub path: Vec<PathBuf>,
}

impl Environment {
    /// The program `name` in the directories of `PATH`.
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        let is_program = |path: &PathBuf| {
            use std::os::unix::fs::PermissionsExt as _;
            fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        self.path.iter().map(|directory| directory.join(name)).find(is_program)
    }
}

/// What the lock may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// What is locked is used; what is not is resolved and locked.
    Normal,
    /// Nothing may change: a missing or changed entry is an error that says what would change.
    Locked,
    /// Sources are resolved anew.
    Update,
}

/// Gives digest and size of a file.
pub type DigestOf<'a> = dyn Fn(&Path) -> Result<(Digest, u64), FsError> + 'a;

/// Everything that a build of one artifact is given.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The `[sources]` of `port.toml`.
    pub sources: &'a SourceSettings,
    /// Fetched inputs, each under the hex digits of its digest.
    pub downloads: &'a Path,
    /// The architecture of this machine.
    pub host: Architecture,
    /// Where this machine has what goes into an image.
    pub environment: &'a Environment,
    /// The HTTP client.
    pub client: &'a Client,
    /// Who is told what happens.
    pub reporter: &'a dyn Reporter,
    /// What earlier builds resolved to.
    pub lock: &'a Lock,
    /// What the lock may become.
    pub lock_mode: LockMode,
    /// Digests that no PVM kernel may have; see [`crate::standard_digests`].
    pub standard: &'a BTreeSet<Digest>,
    /// One source, by kind (`debian-package`) or by number from 1: no other one is tried.
    pub source: Option<&'a str>,
    /// Digest and size of a file; may remember them for files that did not change.
    pub digest_of: &'a DigestOf<'a>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("downloads", &self.downloads)
            .field("lock_mode", &self.lock_mode)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
