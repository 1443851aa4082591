//! What a request says that it is about (acceptance Pu-29), checked before anything is done with it.

use port_model::{Architecture, FileName, ProtectionMode, Reference, Substrate, Variant};
use serde::{Deserialize, Serialize};

use super::{ARTIFACTS, HostedError};
use crate::name::{RepositoryName, Tag};
use crate::storage::Key;

/// The header that carries the metadata of a push.
pub(super) const HEADER: &str = "x-port-artifact-transfer";
/// The largest metadata, in bytes; a header is bounded by the server already.
pub(super) const LARGEST: u64 = 64 * 1024;
/// What stands for the `:` before a port in a repository's name, which may have none.
const COLON: &str = "__";

/// A reference, as the documents write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WireReference {
    registry: String,
    repository: String,
    version: String,
}

/// One file of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transfer {
    pub(super) artifact_name: String,
    pub(super) reference: WireReference,
    pub(super) selector: Variant,
    pub(super) filename: FileName,
    pub(super) store_path: String,
}

/// Which variant of which version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Which {
    pub(super) reference: WireReference,
    pub(super) selector: Variant,
}

/// A variant, with its names at both faces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) reference: Reference,
    pub(super) variant: Variant,
    pub(super) repository: RepositoryName,
    pub(super) tag: Tag,
}

impl Place {
    /// Where a variant is, if its names can be.
    pub(super) fn of(reference: &WireReference, variant: Variant) -> Result<Self, HostedError> {
        let WireReference { registry, repository, version } = reference;
        let reference = Reference::new(registry, repository, version)
            .map_err(|error| HostedError::metadata(error.to_string()))?;
        let tag = reference.variant_tag(variant).parse::<Tag>();
        let tag = tag.map_err(|error| HostedError::metadata(error.to_string()))?;
        let repository = repository_name(&reference)?;
        Ok(Self { reference, variant, repository, tag })
    }

    /// The variant that a tag of a repository is the name of, where it is one.
    pub(super) fn of_tag(repository: &RepositoryName, tag: &Tag) -> Option<Self> {
        let (registry, rest) = repository.as_str().split_once('/')?;
        let (version, variant) = every_variant().find_map(|variant| {
            let suffix = variant.tag_suffix();
            Some((tag.as_str().strip_suffix(&suffix)?.strip_suffix('-')?, variant))
        })?;
        let (registry, repository) = (registry.replace(COLON, ":"), rest.to_owned());
        Self::of(&WireReference { registry, repository, version: version.to_owned() }, variant).ok()
    }

    /// The directory of the variant, below the storage.
    pub(super) fn directory(&self) -> Key {
        let directory = self.reference.variant_directory(self.variant);
        Key::of_checked(format!("{ARTIFACTS}/{}", directory.display()))
    }

    /// The readable path of one of its files, below the storage: a plain name, or one that the storage listed.
    pub(super) fn path(&self, file: &str) -> Key {
        Key::of_checked(format!("{}/{file}", self.directory()))
    }
}

fn every_variant() -> impl Iterator<Item = Variant> {
    Architecture::ALL.iter().flat_map(|architecture| {
        Substrate::ALL.iter().flat_map(|substrate| {
            ProtectionMode::ALL.iter().map(|mode| Variant::new(*architecture, *substrate, *mode))
        })
    })
}

/// The repository that a registry client finds the artifact in: `127.0.0.1:5510` and `port/demo` are `127.0.0.1__5510/port/demo`.
///
/// NOTE: two registries must never share a repository, so a registry's name that cannot be told from another's is refused.
fn repository_name(reference: &Reference) -> Result<RepositoryName, HostedError> {
    let registry = reference.registry();
    let name = format!("{}/{}", registry.replace(':', COLON), reference.repository());
    let unclear = registry.contains(COLON);
    name.parse().ok().filter(|_| !unclear).ok_or_else(|| {
        HostedError::metadata(format!(
            "`{registry}/{}` cannot be kept here: expected lower-case letters, digits and single `.`, `_`, `-` inside, and a port",
            reference.repository()
        ))
    })
}

impl Transfer {
    /// Reads and checks metadata.
    pub(super) fn read(bytes: &[u8], control_plane: &str) -> Result<(Self, Place), HostedError> {
        let transfer: Self = serde_json::from_slice(bytes)
            .map_err(|error| HostedError::metadata(format!("the metadata cannot be read: {error}")))?;
        let place = Place::of(&transfer.reference, transfer.selector)?;
        transfer.check_path(&place, control_plane)?;
        Ok((transfer, place))
    }

    /// The path is a function of the rest (acceptance P-43, Pu-31): below a store, below the hosted artifacts, or whole (P-39).
    fn check_path(&self, place: &Place, control_plane: &str) -> Result<(), HostedError> {
        let below_artifacts = place.path(self.filename.as_str());
        let below_store =
            below_artifacts.as_str().strip_prefix(ARTIFACTS).unwrap_or("").trim_start_matches('/');
        let whole = format!(".port/hosted/{control_plane}/{below_artifacts}");
        if [below_store, below_artifacts.as_str(), &whole].contains(&self.store_path.as_str()) {
            return Ok(());
        }
        Err(HostedError::metadata(format!(
            "`store_path` does not belong to the rest of the metadata: expected `{below_store}`"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(registry: &str, filename: &str, store_path: &str) -> Result<Place, HostedError> {
        let text = serde_json::json!({
            "artifact_name": "demo-kernel",
            "reference": {"registry": registry, "repository": "port/demo-kernel", "version": "v1"},
            "selector": {"architecture": "x86_64", "substrate": "firecracker", "protection_mode": "standard"},
            "filename": filename,
            "store_path": store_path,
        });
        Transfer::read(text.to_string().as_bytes(), "demo").map(|(_, place)| place)
    }

    const BELOW: &str = "demo-fs/port/demo-kernel/v1/x86_64/firecracker/standard/vmlinux";

    #[test]
    fn pu_31_the_path_is_a_function_of_the_rest() {
        for path in
            [BELOW.to_owned(), format!("artifacts/{BELOW}"), format!(".port/hosted/demo/artifacts/{BELOW}")]
        {
            assert!(read("demo-fs", "vmlinux", &path).is_ok(), "{path}");
        }
        for path in
            ["", "vmlinux", &format!(".port/hosted/other/artifacts/{BELOW}"), &format!("x/../{BELOW}")]
        {
            assert!(read("demo-fs", "vmlinux", path).is_err(), "{path} was taken");
        }
    }

    #[test]
    fn c_6_metadata_cannot_leave_its_place() {
        for (registry, filename) in
            [("..", "vmlinux"), ("a/b", "vmlinux"), ("demo-fs", "../x"), ("demo-fs", ".x")]
        {
            assert!(read(registry, filename, BELOW).is_err(), "{registry} {filename}");
        }
    }

    #[test]
    fn registries_never_share_a_repository() {
        let path = BELOW.replace("demo-fs", "127.0.0.1:5510");
        let place = read("127.0.0.1:5510", "vmlinux", &path).unwrap();
        assert_eq!(place.repository.as_str(), "127.0.0.1__5510/port/demo-kernel");
        assert_eq!(place.tag.as_str(), "v1-x86_64-firecracker-standard");
        assert_eq!(Place::of_tag(&place.repository, &place.tag), Some(place));
        let of =
            |repository: &str, tag: &str| Place::of_tag(&repository.parse().unwrap(), &tag.parse().unwrap());
        assert_eq!(of("demo-fs/a", "v1"), None);
        assert_eq!(of("demo-fs", "v1-x86_64-firecracker-standard"), None);
        assert_eq!(of("demo-fs/a", "-x86_64-firecracker-standard".trim_start_matches('-')), None);
        for registry in ["127.0.0.1__5510", "Demo", "[::1]:5000"] {
            assert!(read(registry, "vmlinux", &BELOW.replace("demo-fs", registry)).is_err(), "{registry}");
        }
    }
}
