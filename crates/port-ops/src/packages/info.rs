//! info: all that a package's documents say (acceptance K-60 … K-71).

use std::collections::BTreeMap;

use port_layout::annotations::{UNIKRAFT_INITRD, UNIKRAFT_KERNEL};
use port_layout::kraftkit::{self, ImageConfig};
use port_model::Digest;
use serde::Serialize;

use super::load::{self, Target, target_name};
use super::{PackageError, Packages, Selection, list};

/// What a package is.
#[derive(Debug, Serialize)]
pub struct InfoReport {
    /// `registry/repository`.
    pub name: String,
    /// The tag or, where one was asked for, the digest.
    pub version: String,
    /// `name@<index digest>`.
    pub id: String,
    /// `name:version` or `name@digest`.
    pub image_reference: String,
    /// How it is packed.
    pub format: &'static str,
    /// Where it is.
    pub store: String,
    /// The index.
    pub index: Digest,
    /// Its targets.
    pub targets: Vec<TargetInfo>,
}

/// What one target is.
#[derive(Debug, Serialize)]
pub struct TargetInfo {
    /// For people: the image reference and what it runs on.
    pub display: String,
    /// The manifest.
    pub manifest: Digest,
    /// In Unikraft's words.
    pub platform: String,
    /// In Unikraft's words.
    pub architecture: String,
    /// The platform checksum, by which kraft knows a target of a reference.
    pub checksum: String,
    /// The kernel's version; empty where nobody said.
    pub kernel_version: String,
    /// The command.
    pub command: Vec<String>,
    /// The environment.
    pub environment: Vec<String>,
    /// The kernel's configuration as it was recorded.
    pub kconfig: BTreeMap<String, String>,
    /// When the first of its layers came here; none where no layer is here.
    pub pulled: Option<String>,
    /// Sum of the layers' sizes; none where there are no layers.
    pub bytes: Option<u64>,
    /// The layers, in their order.
    pub layers: Vec<LayerInfo>,
    /// Whether kraft can read the target: without a platform at the config's descriptor it cannot.
    pub platform_on_descriptor: bool,
    /// Whether kraft can push it on: its config stays the same when kraft writes it again.
    pub canonical_config: bool,
    /// The whole config (acceptance K-68).
    pub config: ImageConfig,
}

/// One layer.
#[derive(Debug, Serialize)]
pub struct LayerInfo {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its size.
    pub bytes: u64,
    /// The well-known path that it says to hold.
    pub path: Option<String>,
    /// Whether it is in the store.
    pub here: bool,
}

/// Says what a package of the store is.
///
/// # Errors
/// [`PackageError`] where it is not there or cannot be read.
pub fn info(packages: &Packages, selection: &Selection) -> Result<InfoReport, PackageError> {
    let store = &packages.store;
    let named = store.get(&selection.name())?;
    let chosen = load::select(selection, &named.index, &named.digest)?;
    let name = format!("{}/{}", named.reference.registry(), named.reference.repository());
    let version =
        selection.digest().map_or_else(|| named.reference.version().to_owned(), |digest| digest.to_string());
    let separator = if selection.digest().is_some() { "@" } else { ":" };
    let image_reference = format!("{name}{separator}{version}");
    let targets = chosen.iter().map(|found| {
        let target = load::load(store, &named.reference, found)?;
        Ok(target_info(packages, &named.reference.to_string(), &image_reference, &target))
    });
    Ok(InfoReport {
        targets: targets.collect::<Result<_, PackageError>>()?,
        id: format!("{name}@{}", named.digest),
        name,
        version,
        image_reference,
        format: "oci",
        store: store.describe(),
        index: named.digest,
    })
}

fn target_info(packages: &Packages, reference: &str, image_reference: &str, target: &Target) -> TargetInfo {
    let store = &packages.store;
    let config = &target.decoded.package.config;
    let layers = target.decoded.package.layers.iter().map(|layer| LayerInfo {
        digest: layer.digest.clone(),
        media_type: layer.media_type.clone(),
        bytes: layer.size,
        path: [UNIKRAFT_KERNEL, UNIKRAFT_INITRD].iter().find_map(|key| layer.annotations.get(*key)).cloned(),
        here: store.has(&layer.blob()).unwrap_or(false),
    });
    let platform = kraftkit::normalized(&config.platform);
    TargetInfo {
        display: format!("{image_reference} ({})", target_name(&config.platform)),
        manifest: target.entry.digest.clone(),
        platform: config.platform.os.clone(),
        architecture: config.platform.architecture.clone(),
        checksum: kraftkit::checksum(reference, &platform, port_content::hashing::digest_of),
        kernel_version: config.platform.os_version.clone(),
        command: config.config.cmd.clone(),
        environment: config.config.env.clone(),
        kconfig: kraftkit::kconfig(&config.platform.os_features),
        pulled: list::pulled(store, &target.manifest),
        bytes: list::size(&target.manifest),
        layers: layers.collect(),
        platform_on_descriptor: target.decoded.platform_on_descriptor,
        canonical_config: target.decoded.canonical_config,
        config: config.clone(),
    }
}
