//! packages: unikernels as OCI images that kraft reads and writes (acceptance K-1 … K-94).
//!
//! ```text
//! pack    kernel, initrd, .config ─► tar layers ─► config, manifest ─► index under the name     push, pull ◄─► registry
//! list, info   what the store has      retag   the same blobs under another name      remove, unpack
//! ```
//!
//! Needs no project. Invariants: a name changes under the store's lock and last of all, so that a kill or two packers
//! at once lose nothing; what is fetched or run was taken by the policies first; a blob goes only when no index leads to it any more (C-12); layers are never compressed.
//! Documents are `port-layout`'s, stores are [`store`]'s; here is what happens between them.

mod credentials;
mod error;
mod fetch;
mod info;
mod kconfig;
mod layer;
mod list;
mod load;
mod media_types;
mod pack;
mod pull;
mod push;
mod remove;
mod resolve;
mod retag;
pub mod store;
mod time;
mod trust;
mod unpack;

pub use error::PackageError;
pub use info::{InfoReport, LayerInfo, TargetInfo, info};
pub use list::{PackageRow, list};
pub use pack::{PackReport, PackRequest, PackedLayer, pack};
pub use pull::{PullReport, PulledTarget, pull};
pub use push::{PackagePushReport, push};
pub use remove::{RemoveReport, remove};
pub(crate) use resolve::resolve;
pub use retag::{RetagReport, retag};
pub use store::{ContainerdPlace, PackageStore};
pub(crate) use unpack::Halt;
pub use unpack::{UnpackReport, unpack};

use std::sync::Arc;

use port_layout::kraftkit::Query;
use port_model::{Digest, Reference, Reporter};
use port_registry::credentials::CredentialPaths;
use port_registry::{Client, Repository};

use crate::login::RegistryAccess;
use crate::trust::Policies;

/// What the verbs need to know.
pub struct Packages {
    /// Where packages are kept.
    pub store: PackageStore,
    /// How registries are reached.
    pub access: RegistryAccess,
    /// Where their credentials are.
    pub credential_paths: CredentialPaths,
    /// Who says what may be fetched and run.
    pub policies: Policies,
    /// Looks up an environment variable: kraft's credentials are in some.
    pub variable: fn(&str) -> Option<String>,
    /// Who listens.
    pub reporter: Arc<dyn Reporter>,
}

impl Packages {
    /// The repository of a package.
    fn repository(&self, reference: &Reference) -> Result<Repository, PackageError> {
        let (host, name) = port_registry::names_of(reference);
        let credentials = credentials::source(self, &host)?;
        let client = Client::new(self.access.options([&host]), credentials, Arc::clone(&self.reporter));
        Ok(client.repository(&host, &name)?)
    }
}

/// Which package, and which of its targets.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The package. A digest in it is its index's, or the one of the only manifest that is meant.
    pub reference: Reference,
    /// The targets; what is empty fits all.
    pub query: Query,
}

impl Selection {
    /// The name without a digest.
    fn name(&self) -> Reference {
        plain(&self.reference)
    }

    /// The digest behind the name.
    fn digest(&self) -> Option<&Digest> {
        self.reference.digest()
    }

    /// Whether all of the package is meant.
    fn is_whole(&self) -> bool {
        self.digest().is_none() && self.query == Query::default()
    }
}

/// `registry/repository:tag` alone.
fn plain(reference: &Reference) -> Reference {
    let (registry, repository) = (reference.registry(), reference.repository());
    // The parts come from a reference, so they are valid.
    Reference::new(registry, repository, reference.version()).unwrap_or_else(|_| reference.clone())
}
