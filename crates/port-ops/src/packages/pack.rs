//! pack: files as a package, or an original package with another name, command or environment (acceptance K-5 … K-44).
//!
//! ```text
//! check ─► conflict? (C-14) ─► layers ─► config, manifest ─► index ─► name ─► what nothing leads to any more goes
//! └ original: its config and, without a kernel of our own, its layers (K-15, K-22)
//! ```
//!
//! Nothing carries a clock: the same input gives the same digests.

mod original;

use std::collections::BTreeMap;
use std::path::PathBuf;

use port_content::hashing::digest_of;
use port_layout::annotations::{UNIKRAFT_INITRD, UNIKRAFT_KERNEL};
use port_layout::kraftkit::{self, ImageConfig, LayerRole, Package, PackageConflict, Query};
use port_layout::{Descriptor, Strategy};
use port_model::{Digest, Reference};
use serde::Serialize;

use super::layer::LayerFile;
use super::push::{self, PackagePushReport};
use super::store::Swept;
use super::{PackageError, Packages, Selection, kconfig, plain};
use original::Original;

/// The value of the marker without which kraft ignores a package; kraft does not interpret it.
pub(super) const PACKER: &str = "port";

/// What is to be packed.
#[derive(Debug, Clone)]
pub struct PackRequest {
    /// The package's name.
    pub name: Reference,
    /// The kernel; without it, the original's layers are adopted.
    pub kernel: Option<PathBuf>,
    /// The kernel with debug information.
    pub kernel_dbg: Option<PathBuf>,
    /// The initrd.
    pub initrd: Option<PathBuf>,
    /// The kernel's `.config`.
    pub kconfig: Option<PathBuf>,
    /// Whether no configuration is recorded, neither the file's nor the original's.
    pub no_kconfig: bool,
    /// The kernel's version; else the configuration's, else the original's.
    pub kernel_version: Option<String>,
    /// In Unikraft's words; else the original's.
    pub architecture: Option<String>,
    /// In Unikraft's words; else the original's.
    pub platform: Option<String>,
    /// The command; else the original's.
    pub command: Vec<String>,
    /// `KEY=value`, merged by key into the original's (C-15).
    pub environment: Vec<String>,
    /// The package that this one is made from.
    pub from: Option<Reference>,
    /// What becomes of a package of this name.
    pub strategy: Strategy,
    /// Whether it is published as well.
    pub push: bool,
}

/// What was packed.
#[derive(Debug, Serialize)]
pub struct PackReport {
    /// The package.
    pub reference: String,
    /// In Unikraft's words.
    pub platform: String,
    /// In Unikraft's words.
    pub architecture: String,
    /// The index.
    pub index: Digest,
    /// The manifest.
    pub manifest: Digest,
    /// The config.
    pub config: Digest,
    /// How many entries of the kernel's configuration are recorded.
    pub features: usize,
    /// The layers, in their order.
    pub layers: Vec<PackedLayer>,
    /// Manifests that are no longer in the index.
    pub replaced: Vec<Digest>,
    /// Bytes of blobs that nothing led to any more.
    pub freed_bytes: u64,
    /// What was published.
    pub pushed: Option<PackagePushReport>,
}

/// One layer.
#[derive(Debug, Clone, Serialize)]
pub struct PackedLayer {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// The file that it was made from; none where the original had it.
    pub file: Option<PathBuf>,
}

/// Packs, and publishes where that is asked for.
///
/// # Errors
/// [`PackageError`]; the name leads to what it led to before then, unless only the publishing failed: then the package is
/// here, `port packages push` publishes it, and a note says so.
pub async fn pack(packages: &Packages, request: &PackRequest) -> Result<PackReport, PackageError> {
    let name = plain(&request.name);
    let files = files(request)?;
    let kconfig = request.kconfig.as_deref().map(kconfig::read).transpose()?;
    refuse_existing(packages, request, &name).await?;
    let mut original = match &request.from {
        None => None,
        Some(from) => {
            let query = original_query(request);
            let selection = Selection { reference: from.clone(), query };
            Some(original::load(packages, &selection).await?)
        }
    };
    let config = config(request, &name, original.as_ref(), kconfig.as_ref())?;
    if let Some(original) = original.as_mut().filter(|_| request.kernel.is_none()) {
        original.bring(packages, &name, request.push).await?;
    }
    let mut report = write(packages, request, &name, (config, &files, original.as_ref()))?;
    if request.push {
        let origin = original.and_then(Original::into_origin);
        let pushed = push::push_from(packages, &name, request.strategy_of_push(), origin.as_ref()).await;
        if pushed.is_err() {
            packages.reporter.note(format!("`{name}` is packed here; `port packages push` publishes it"));
        }
        report.pushed = Some(pushed?);
    }
    Ok(report)
}

impl PackRequest {
    /// `exit` was kept to before anything was written: what is there now is our own.
    fn strategy_of_push(&self) -> Strategy {
        if self.strategy == Strategy::Overwrite { Strategy::Overwrite } else { Strategy::Merge }
    }
}

/// With a kernel of our own, the platform is the new package's; else it says which of the original's targets is meant.
fn original_query(request: &PackRequest) -> Query {
    Query {
        architecture: request.architecture.clone(),
        platform: request.platform.clone().filter(|_| request.kernel.is_none()),
        features: Vec::new(),
    }
}

/// The files that become layers, in the layers' order (acceptance K-19).
fn files(request: &PackRequest) -> Result<Vec<(LayerRole, LayerFile)>, PackageError> {
    let given = [
        (LayerRole::Kernel, &request.kernel),
        (LayerRole::KernelDbg, &request.kernel_dbg),
        (LayerRole::Initrd, &request.initrd),
    ];
    if request.kernel.is_none() && request.from.is_none() {
        let expected = "a file (`--kernel`), or a package to make it from (`--from`)";
        return Err(PackageError::Missing {
            reference: request.name.to_string(),
            what: "a kernel",
            expected,
        });
    }
    let files = given.into_iter().filter_map(|(role, path)| path.as_ref().map(|path| (role, path)));
    files.map(|(role, path)| Ok((role, LayerFile::open(path)?))).collect()
}

/// One conflict error, here and in the registry, before anything is written (C-14).
async fn refuse_existing(
    packages: &Packages,
    request: &PackRequest,
    name: &Reference,
) -> Result<(), PackageError> {
    if request.strategy != Strategy::Exit {
        return Ok(());
    }
    if let Some(named) = packages.store.find(name)? {
        let found = named.index.entries().len();
        return Err(PackageConflict::Exists { reference: name.to_string(), found }.into());
    }
    if request.push {
        push::refuse_existing(&packages.repository(name)?, name).await?;
    }
    Ok(())
}

/// The config: a copy of the original's with what is given (acceptance K-22 … K-30, C-15, C-16). Features are part of it
/// before anything is compared (C-8).
fn config(
    request: &PackRequest,
    name: &Reference,
    original: Option<&Original>,
    kconfig: Option<&BTreeMap<String, String>>,
) -> Result<ImageConfig, PackageError> {
    let base = original.map(|original| original.config().clone()).unwrap_or_default();
    let mut config = base.restarted(&request.command, &request.environment);
    let word = |given: &Option<String>, own: &str, what, expected| match given.as_deref().unwrap_or(own) {
        "" => Err(PackageError::Missing { reference: name.to_string(), what, expected }),
        word => Ok(word.to_owned()),
    };
    let platform = &mut config.platform;
    platform.architecture =
        word(&request.architecture, &platform.architecture, "an architecture", "such as `x86_64`")?;
    platform.os = word(&request.platform, &platform.os, "a platform", "such as `qemu`")?;
    platform.os = kraftkit::platform_name(&platform.os).to_owned();
    let version = kconfig.and_then(kraftkit::kernel_version);
    if let Some(version) = request.kernel_version.as_deref().or(version) {
        version.clone_into(&mut platform.os_version);
    }
    if request.no_kconfig {
        platform.os_features.clear();
    } else if let Some(kconfig) = kconfig {
        platform.os_features = kraftkit::features(kconfig);
    }
    Ok(config)
}

type Parts<'a> = (ImageConfig, &'a [(LayerRole, LayerFile)], Option<&'a Original>);

/// Everything that is written, under the lock: two packers of one name come one after the other.
fn write(
    packages: &Packages,
    request: &PackRequest,
    name: &Reference,
    (config, files, original): Parts<'_>,
) -> Result<PackReport, PackageError> {
    let store = &packages.store;
    let _change = store.change()?;
    let before = store.find(name)?;
    if let Some(named) = before.as_ref().filter(|_| request.strategy == Strategy::Exit) {
        let found = named.index.entries().len();
        return Err(PackageConflict::Exists { reference: name.to_string(), found }.into());
    }
    if let Some(original) = original.filter(|_| request.kernel.is_none()) {
        // Again, now that nobody can remove them.
        original.check(packages)?;
    }
    let (layers, made) = layers(packages, request, files, original)?;
    let package =
        Package { reference: name.clone(), packer_version: PACKER.to_owned(), created: None, config, layers };
    let documents = kraftkit::encode(&package, digest_of)?;
    let existing = before.as_ref().map(|before| &before.index);
    let merged = kraftkit::merge(existing, &package, &documents, request.strategy)?;
    let config = store.add_bytes("config", &documents.config)?;
    let manifest = store.add_bytes("manifest", &documents.manifest)?;
    let (index, Swept { bytes, .. }) = store.save(name, &merged.index, before.as_ref())?;
    let platform = documents.entry.platform.unwrap_or_default();
    Ok(PackReport {
        reference: name.to_string(),
        features: platform.os_features.len(),
        platform: platform.os,
        architecture: platform.architecture,
        index,
        manifest: manifest.digest,
        config: config.digest,
        layers: made,
        replaced: merged.replaced,
        freed_bytes: bytes,
        pushed: None,
    })
}

/// The layers in their order: those of the files, in the places of the original's where those are adopted (K-15).
fn layers(
    packages: &Packages,
    request: &PackRequest,
    files: &[(LayerRole, LayerFile)],
    original: Option<&Original>,
) -> Result<(Vec<Descriptor>, Vec<PackedLayer>), PackageError> {
    let mut all: Vec<(usize, Descriptor, Option<PathBuf>)> = Vec::new();
    if let Some(original) = original.filter(|_| request.kernel.is_none()) {
        let is_replaced =
            |layer: &Descriptor| request.initrd.is_some() && layer.annotations.contains_key(UNIKRAFT_INITRD);
        let kept = original.layers().iter().filter(|layer| !is_replaced(layer));
        all.extend(kept.map(|layer| (rank_of(layer), layer.clone(), None)));
    }
    for (role, file) in files {
        let subject = file.path().display().to_string();
        let blob = packages.store.add(&subject, &mut |output| file.write(role.path(), output))?;
        let descriptor = role.descriptor(blob.digest, blob.size);
        all.push((rank_of(&descriptor), descriptor, Some(file.path().to_owned())));
    }
    // Stable: what has no annotation stays between kernel and initrd in the order in which it came.
    all.sort_by_key(|(rank, ..)| *rank);
    let made = all.iter().map(|(_, layer, file)| PackedLayer {
        digest: layer.digest.clone(),
        bytes: layer.size,
        file: file.clone(),
    });
    let made = made.collect();
    Ok((all.into_iter().map(|(_, layer, _)| layer).collect(), made))
}

/// Kernel, others, initrd (acceptance K-19).
fn rank_of(layer: &Descriptor) -> usize {
    match layer {
        layer if layer.annotations.contains_key(UNIKRAFT_KERNEL) => 0,
        layer if layer.annotations.contains_key(UNIKRAFT_INITRD) => 2,
        _ => 1,
    }
}
