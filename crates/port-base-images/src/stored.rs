//! Base images that a registry gave: their documents and files are in the store of the cache already, under the name of the
//! bundle that they become. Who brings them there is no business of this crate (`port-ops` copies).

use port_content::limit;
use port_layout::{Manifest, native};
use port_model::{Architecture, Bundle, Component, ComponentFormat, ComponentKind, Digest};

use crate::boot_arguments::boot_arguments;
use crate::bundle_id::BundleId;
use crate::error::{BaseImageError, ManifestReadProblem, PrepareProblem};
use crate::hosted::Origin;
use crate::manager::{BaseImageManager, Ensured, store_name};
use crate::options::Request;
use crate::plan::{At, Plan, Wanted};
use crate::preset::{Preset, RootfsType};
use crate::record::Source;
use crate::release;

/// The words of a description that says whether a root is writable, since a bundle has no field for it.
pub(crate) const ACCESS: [&str; 2] = ["writable", "read-only"];

/// The id of the bundle that a reference becomes for an architecture.
pub fn id_of_reference(reference: &str, architecture: Architecture) -> BundleId {
    // As plain text `a/b_c` and `a/b/c` would be one.
    BundleId::told_apart(&format!("registry-{architecture}-{reference}"), reference)
}

/// What a bundle is called in the store of the cache.
pub fn name_in_store(id: &BundleId) -> String {
    store_name(id.as_str())
}

impl BaseImageManager {
    /// Makes ready what lies in the store as the bundle of this reference ([`id_of_reference`], [`name_in_store`]).
    ///
    /// # Errors
    /// [`BaseImageError::Manifest`] where nothing lies there, or no base image.
    pub async fn ensure_stored(
        &self,
        reference: &str,
        architecture: Architecture,
        request: &Request,
    ) -> Result<Ensured, BaseImageError> {
        let fail =
            |problem| BaseImageError::Manifest { origin: Some(Origin::Url(reference.to_owned())), problem };
        match self.stored_plan(reference, architecture) {
            Ok(plan) => self.ensure_plan(plan, request).await,
            Err(problem) => {
                // Nothing becomes of it, so nothing keeps its blobs.
                let untagged = self.store.untag(&name_in_store(&id_of_reference(reference, architecture)));
                untagged.map_err(|error| self.cache_error(PrepareProblem::Store(error)))?;
                Err(fail(problem))
            }
        }
    }

    fn stored_plan(&self, reference: &str, architecture: Architecture) -> Result<Plan, ManifestReadProblem> {
        let bundle_id = id_of_reference(reference, architecture);
        let (bundle, manifest_digest) = self.stored_bundle(&bundle_id)?;
        let lacks = |what: &'static str| ManifestReadProblem::NoBaseImage { lacks: what };
        let rootfs = bundle.component(ComponentKind::Rootfs).ok_or(lacks("a root file system"))?;
        let kernel = bundle.component(ComponentKind::Kernel).ok_or(lacks("a kernel"))?;
        let rootfs_type = match rootfs.format {
            ComponentFormat::Ext4 => RootfsType::Ext4,
            ComponentFormat::Squashfs => RootfsType::Squashfs,
            _ => return Err(lacks("an ext4 or squashfs root")),
        };
        if bundle.variant.architecture != architecture {
            return Err(lacks("a variant of this architecture"));
        }
        let described = Described::of(&bundle, rootfs_type);
        let boot_arguments = match &bundle.boot_arguments {
            Some(cmdline) => cmdline.to_string(),
            None => boot_arguments(architecture, rootfs_type),
        };
        Ok(Plan {
            preset: Preset::Hosted,
            architecture,
            ci_version: "hosted".to_owned(),
            firecracker_version: described.version,
            bundle_id,
            rootfs_type,
            rootfs_is_read_only: described.read_only,
            boot_arguments,
            source: Source::Registry { reference: reference.to_owned(), manifest_digest },
            kernel: wanted("kernel", kernel),
            rootfs: wanted("rootfs", rootfs),
        })
    }

    /// The bundle below a name of the store, whose files are raw.
    fn stored_bundle(&self, id: &BundleId) -> Result<(Bundle, Digest), ManifestReadProblem> {
        let store = |error| ManifestReadProblem::Store(Box::new(PrepareProblem::Store(error)));
        let found = self.store.resolve(&name_in_store(id)).map_err(store)?;
        let entry = found.ok_or(ManifestReadProblem::NoBaseImage { lacks: "anything of that name" })?;
        let manifest = self.store.read_blob(&entry.digest, entry.size, limit::DOCUMENT).map_err(store)?;
        let Manifest { config, .. } = serde_json::from_slice(&manifest)?;
        let config = self.store.read_document(&config).map_err(store)?;
        let bundle = native::decode(&manifest, &config)
            .map_err(|_| ManifestReadProblem::NoBaseImage { lacks: "Port's own layout" })?;
        Ok((bundle, entry.digest))
    }
}

/// What the provenance says besides.
struct Described {
    version: String,
    read_only: bool,
}

impl Described {
    fn of(bundle: &Bundle, rootfs_type: RootfsType) -> Self {
        let provenance = bundle.provenance.as_deref().unwrap_or_default();
        let words = || provenance.split([' ', ':']);
        let version = words().find(|word| release::is_version(word)).unwrap_or("unknown").to_owned();
        let access = words().find_map(|word| ACCESS.iter().position(|known| *known == word));
        Self { version, read_only: access.map_or(rootfs_type.is_read_only(), |position| position == 1) }
    }
}

fn wanted(label: &'static str, component: &Component) -> Wanted {
    Wanted {
        label,
        file_name: component.file_name.to_string(),
        at: At::Store,
        sha256: Some(component.digest.clone()),
        size: Some(component.size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_differ_in_what_an_id_has_not_are_told_apart() {
        let of = |reference: &str| id_of_reference(reference, Architecture::X86_64);
        let plain = of("host/a/b_c:v1");
        for other in ["host/a/b/c:v1", "host/a_b_c:v1", "host/a/b_c_v1", "host/a/b_c:v2"] {
            assert_ne!(of(other), plain, "{other}");
        }
        assert_eq!(of("host/a/b_c:v1"), plain);
        assert_ne!(id_of_reference("host/a/b_c:v1", Architecture::Aarch64), plain);
    }
}
