//! The registry face of a control plane: what the hosted API keeps, by the names that a registry client asks for
//! (docs/formats/hosted-api.md).
//!
//! ```text
//! demo-fs/port/tiny:v1 at http://127.0.0.1:7040  ─►  127.0.0.1:7040/demo-fs/port/tiny:v1, an OCI registry like any other
//! ```
//!
//! It holds what the hosted API has no words for: a file that is published as anything but itself. It is no place of its own:
//! tags, indexes and manifests are the same at both faces. Invariant: two registries' repositories never share a name.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use port_model::{Digest, FileName, Reference, Reporter, Variant};

use crate::backend::{Backend, Document, Fetched, Found, FoundFile, MergeIndex, Publication};
use crate::error::{BackendError, ErrorKind};
use crate::registry::OciRegistry;

/// What stands for the `:` before a port in a repository's name, which may have none.
const COLON: &str = "__";

/// See the module.
#[derive(Clone)]
pub struct RegistryFace {
    registry: OciRegistry,
    endpoint: String,
}

impl RegistryFace {
    /// The control plane at `endpoint`, which `registry` reaches.
    pub fn new(registry: OciRegistry, endpoint: String) -> Self {
        Self { registry, endpoint }
    }

    fn here(&self, reference: &Reference) -> Result<Reference, BackendError> {
        reference_at(&self.endpoint, reference)
    }
}

/// What `reference` is called at the registry face of the control plane at `endpoint`.
///
/// # Errors
/// Where the endpoint has a path, which a registry has not, or the name cannot be told from another's.
pub fn reference_at(endpoint: &str, reference: &Reference) -> Result<Reference, BackendError> {
    let wrong = |reason: String| {
        let operation = "name it at the registry of the control plane";
        let location = format!("{endpoint} ({reference})");
        BackendError::new(ErrorKind::Unsupported, location, operation, reason)
    };
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    if host.contains('/') {
        return Err(wrong(
            "expected an endpoint without a path, since a registry has none; publish it raw".to_owned(),
        ));
    }
    if reference.registry().contains(COLON) {
        return Err(wrong(format!("expected a registry's name without `{COLON}`, which stands for `:`")));
    }
    let repository = format!("{}/{}", reference.registry().replace(':', COLON), reference.repository());
    Reference::new(host, &repository, reference.version()).map_err(|error| wrong(error.to_string()))
}

#[async_trait]
impl Backend for RegistryFace {
    fn describe(&self) -> String {
        format!("hosted-api {}", self.endpoint)
    }

    fn location(&self, reference: &Reference, variant: Variant, file: &FileName) -> String {
        let here = self.here(reference);
        self.registry.location(here.as_ref().unwrap_or(reference), variant, file)
    }

    async fn push(
        &self,
        publication: &Publication,
        merge: MergeIndex<'_>,
        reporter: &dyn Reporter,
    ) -> Result<u64, BackendError> {
        let mut publication =
            Publication { reference: self.here(&publication.reference)?, ..publication.clone() };
        for file in &mut publication.files {
            file.elsewhere = file.elsewhere.as_ref().and_then(|elsewhere| self.here(elsewhere).ok());
        }
        self.registry.push(&publication, merge, reporter).await
    }

    async fn resolve(&self, reference: &Reference, variant: Variant) -> Result<Found, BackendError> {
        self.registry.resolve(&self.here(reference)?, variant).await
    }

    async fn fetch(
        &self,
        reference: &Reference,
        variant: Variant,
        file: &FoundFile,
        seeds: &[PathBuf],
        target: &Path,
        reporter: &dyn Reporter,
    ) -> Result<Fetched, BackendError> {
        self.registry.fetch(&self.here(reference)?, variant, file, seeds, target, reporter).await
    }

    fn forget(&self, target: &Path) -> Result<(), BackendError> {
        self.registry.forget(target)
    }

    async fn index(&self, reference: &Reference) -> Result<Option<Document>, BackendError> {
        self.registry.index(&self.here(reference)?).await
    }

    async fn named(&self, reference: &Reference, variant: Variant) -> Result<Option<Digest>, BackendError> {
        self.registry.named(&self.here(reference)?, variant).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_one_name_at_the_other_face() {
        for (endpoint, reference, expected) in [
            ("http://127.0.0.1:7040", "demo-fs/port/tiny:v1", Some("127.0.0.1:7040/demo-fs/port/tiny:v1")),
            ("https://plane.test", "127.0.0.1:5510/p/x:v2", Some("plane.test/127.0.0.1__5510/p/x:v2")),
            ("https://plane.test/below", "demo-fs/p/x:v1", None),
            ("https://plane.test", "demo__fs/p/x:v1", None),
        ] {
            let found = reference_at(endpoint, &reference.parse().unwrap());
            assert_eq!(
                found.ok().map(|found| found.to_string()).as_deref(),
                expected,
                "{endpoint} {reference}"
            );
        }
    }
}
