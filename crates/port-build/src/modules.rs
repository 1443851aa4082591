//! The modules of a kernel: where they are, and which of them a guest loads when.
//!
//! ```text
//! pci        only where the machine has PCI
//! load       what every guest loads: virtio over mmio, its disk, its root file system
//! overlay    only with a writable layer
//! devices    only where the machine has such a device: network card, console port, vsock, entropy
//! ```
//!
//! A guest that loads only what its machine has boots faster on an emulated CPU.

use std::path::{Path, PathBuf};

use port_config::{ImageFormat, KernelSource, LockEntry};
use port_content::fs;
use port_image::ImageReader;
use port_image::inspect::Found;
use port_kernel::{
    Feature, KernelConfig, KernelError, KernelPackage, ModuleIndex, ModulePlan, Need, Wanted, modinfo,
    open_kernel_package,
};

use crate::error::BuildError;

/// Where a root file system has its modules, where `/lib` is a link and where it is none.
const MODULE_HOMES: [&str; 2] = ["/usr/lib/modules", "/lib/modules"];
/// The longest list of modules that is read, in bytes.
const LONGEST_LIST: u64 = 16 * 1024 * 1024;
/// The largest module that is read, in bytes.
const LARGEST_MODULE: u64 = 64 * 1024 * 1024;
/// Features that a device asks for, by the virtio device number as sysfs writes it (virtio 1.2, section 5).
const DEVICES: &[(&str, Feature)] = &[
    ("0x0001", Feature::VirtioNet),
    ("0x0003", Feature::VirtioConsole),
    ("0x0004", Feature::VirtioRng),
    ("0x0013", Feature::Vsock),
];

/// Where the modules of one kernel are.
#[derive(Debug)]
pub(crate) enum ModuleSource {
    /// In a Debian kernel package.
    Package(Box<KernelPackage>),
    /// In a directory `lib/modules/RELEASE`.
    Directory { path: PathBuf, release: String, index: ModuleIndex },
    /// In such a directory of a root file system.
    Image { reader: ImageReader, path: String, release: String, index: ModuleIndex },
}

/// What is asked for besides what every guest needs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extras<'a> {
    /// Further devices, as in [`DEVICES`].
    pub(crate) devices: &'static [(&'static str, Feature)],
    /// Modules by name, all of which must be there.
    pub(crate) named: &'a [String],
}

/// A list of modules in load order, under the name by which the initrd knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadList {
    /// `pci`, `load`, `overlay`, or a device number.
    pub(crate) name: &'static str,
    /// The names of the modules.
    pub(crate) modules: Vec<String>,
}

/// What an initrd needs of its kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The kernel's release.
    pub(crate) release: String,
    /// The lists; one without modules is left out.
    pub(crate) lists: Vec<LoadList>,
    /// The modules by name, each once, in load order.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl ModuleSource {
    /// The modules of a Debian package.
    pub(crate) fn package(file: &Path) -> Result<Self, BuildError> {
        Ok(Self::Package(Box::new(open_kernel_package(file)?)))
    }

    /// The modules in a directory, as depmod left its lists there.
    pub(crate) fn directory(path: &Path, release: Option<&str>) -> Result<Self, BuildError> {
        let text = fs::read_to_string(&path.join("modules.dep"), LONGEST_LIST)?;
        let mut index = ModuleIndex::parse_modules_dep(&text)?;
        let optional = |name: &str| match fs::read(&path.join(name), LONGEST_LIST) {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            read => read,
        };
        index.add_built_in(&String::from_utf8_lossy(&optional("modules.builtin")?));
        index.add_built_in_info(&optional("modules.builtin.modinfo")?);
        index.add_soft_depends(&String::from_utf8_lossy(&optional("modules.softdep")?));
        index.add_aliases(&String::from_utf8_lossy(&optional("modules.alias")?));
        let own_name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let release = release.map_or_else(own_name, str::to_owned);
        Ok(Self::Directory { path: path.to_owned(), release, index })
    }

    /// The modules of this release in a root file system, as depmod left its lists there; `None` where it has none.
    pub(crate) fn image(
        image: &Path,
        format: ImageFormat,
        release: &str,
    ) -> Result<Option<Self>, BuildError> {
        let reader = ImageReader::open(image, format.component_format())?;
        for home in MODULE_HOMES {
            let path = format!("{home}/{release}");
            if !matches!(reader.find(&format!("{path}/modules.dep"))?, Found::File(_)) {
                continue;
            }
            let read = |name: &str| reader.read_file(&format!("{path}/{name}"), LONGEST_LIST);
            let optional = |name: &str| match reader.find(&format!("{path}/{name}"))? {
                Found::File(_) => read(name),
                _ => Ok(Vec::new()),
            };
            let mut index = ModuleIndex::parse_modules_dep(&String::from_utf8_lossy(&read("modules.dep")?))?;
            index.add_built_in(&String::from_utf8_lossy(&optional("modules.builtin")?));
            index.add_built_in_info(&optional("modules.builtin.modinfo")?);
            index.add_soft_depends(&String::from_utf8_lossy(&optional("modules.softdep")?));
            index.add_aliases(&String::from_utf8_lossy(&optional("modules.alias")?));
            return Ok(Some(Self::Image { reader, path, release: release.to_owned(), index }));
        }
        Ok(None)
    }

    fn plan(&self, wanted: &[Wanted]) -> ModulePlan {
        match self {
            Self::Package(package) => package.modules(wanted),
            Self::Directory { release, index, .. } | Self::Image { release, index, .. } => {
                index.plan(release, None, wanted)
            }
        }
    }

    fn read(&self, plan: &ModulePlan) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
        match self {
            Self::Package(package) => Ok(package.read_modules(plan)?),
            Self::Directory { path, release, .. } => plan
                .modules
                .iter()
                .map(|module| {
                    Ok((module.name.clone(), read_module(&path.join(&module.path_in_package), release)?))
                })
                .collect(),
            Self::Image { reader, path, release, .. } => plan
                .modules
                .iter()
                .map(|module| {
                    let path = format!("{path}/{}", module.path_in_package);
                    let bytes = reader.read_file(&path, LARGEST_MODULE)?;
                    Ok((module.name.clone(), unpack_module(&path, bytes, release)?))
                })
                .collect(),
        }
    }

    /// The names of all modules that guests of this kernel may need, in load order.
    pub(crate) fn guest_modules(&self) -> Vec<String> {
        let features =
            [Feature::VirtioMmio, Feature::VirtioPci, Feature::VirtioBlk, Feature::Ext4, Feature::Squashfs];
        let features = features.into_iter().chain([Feature::Erofs, Feature::Overlay]);
        let features = features.chain(DEVICES.iter().map(|(_, feature)| *feature));
        let wanted: Vec<Wanted> = features.map(|feature| Wanted::feature(feature, Need::Optional)).collect();
        self.plan(&wanted).names()
    }

    /// What an initrd for a root of `format` needs; without disk, bus or file system there is no boot.
    pub(crate) fn select(&self, kernel: &str, format: ImageFormat) -> Result<Selection, BuildError> {
        self.select_with(kernel, format, Extras::default())
    }

    /// The same with more: modules for further devices, and modules that somebody named.
    pub(crate) fn select_with(
        &self,
        kernel: &str,
        format: ImageFormat,
        more: Extras<'_>,
    ) -> Result<Selection, BuildError> {
        let root = root_feature(format);
        let wish = Wanted::feature;
        let (mmio, pci) =
            (wish(Feature::VirtioMmio, Need::Optional), wish(Feature::VirtioPci, Need::Optional));
        let disk = [Feature::VirtioBlk, root].map(|feature| wish(feature, Need::Required));
        let named = more.named.iter().map(|name| Wanted::module(name, Need::Required));
        let base: Vec<Wanted> = std::iter::once(mmio).chain(disk).chain(named).collect();
        self.check_boots(kernel, &base.iter().chain([&pci]).cloned().collect::<Vec<_>>())?;
        let mut lists = vec![
            LoadList { name: "pci", modules: self.plan(std::slice::from_ref(&pci)).names() },
            LoadList { name: "load", modules: self.plan(&base).names() },
        ];
        let mut wanted = base;
        wanted.insert(0, pci);
        let extras = std::iter::once(("overlay", Feature::Overlay)).chain(DEVICES.iter().copied());
        let extras = extras.chain(more.devices.iter().copied());
        for (name, feature) in extras {
            let wish = wish(feature, Need::Optional);
            lists.push(LoadList { name, modules: self.plan(std::slice::from_ref(&wish)).names() });
            wanted.push(wish);
        }
        lists.retain(|list| !list.modules.is_empty());
        let plan = self.plan(&wanted);
        Ok(Selection { release: plan.release.clone(), lists, files: self.read(&plan)? })
    }

    fn check_boots(&self, kernel: &str, base: &[Wanted]) -> Result<(), BuildError> {
        refuse_missing(kernel, &self.plan(base))
    }
}

/// Refuses a kernel without modules whose own configuration says that it cannot boot a root of `format`.
pub(crate) fn check_built_in(
    kernel: &str,
    release: &str,
    config: &KernelConfig,
    format: ImageFormat,
) -> Result<(), BuildError> {
    let wish = Wanted::feature;
    let (mmio, pci) = (wish(Feature::VirtioMmio, Need::Optional), wish(Feature::VirtioPci, Need::Optional));
    let disk = [Feature::VirtioBlk, root_feature(format)].map(|feature| wish(feature, Need::Required));
    let wanted: Vec<Wanted> = [mmio, pci].into_iter().chain(disk).collect();
    refuse_missing(kernel, &ModuleIndex::default().plan(release, Some(config), &wanted))
}

/// Whether a kernel's configuration says that all is built in that a guest with an agent needs.
pub(crate) fn is_built_in(release: &str, config: &KernelConfig, format: ImageFormat) -> bool {
    let features = [Feature::VirtioBlk, root_feature(format), Feature::VirtioConsole];
    let wanted = features.map(|feature| Wanted::feature(feature, Need::Required));
    let has_bus = check_built_in(release, release, config, format).is_ok();
    has_bus && ModuleIndex::default().plan(release, Some(config), &wanted).missing.is_empty()
}

fn root_feature(format: ImageFormat) -> Feature {
    match format {
        ImageFormat::Ext4 => Feature::Ext4,
        ImageFormat::Squashfs => Feature::Squashfs,
        ImageFormat::Erofs => Feature::Erofs,
    }
}

/// Refuses a plan that lacks disk or file system, or every bus.
fn refuse_missing(kernel: &str, plan: &ModulePlan) -> Result<(), BuildError> {
    let mut missing: Vec<String> =
        plan.missing.iter().filter(|m| m.need == Need::Required).map(|m| format!("{m}")).collect();
    let buses = ["virtio-mmio", "virtio-pci"];
    if buses.iter().all(|bus| plan.missing.iter().any(|missing| missing.wanted == *bus)) {
        missing.push("virtio-mmio or virtio-pci needs a kernel module that is not there".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(BuildError::NoModule { kernel: kernel.to_owned(), missing })
}

/// A module of a directory, unpacked; one of another kernel is refused.
fn read_module(path: &Path, release: &str) -> Result<Vec<u8>, BuildError> {
    unpack_module(&path.display().to_string(), fs::read(path, LARGEST_MODULE)?, release)
}

fn unpack_module(name: &str, bytes: Vec<u8>, release: &str) -> Result<Vec<u8>, BuildError> {
    let module = modinfo::unpack_module(name, bytes)?;
    match modinfo::ModuleInfo::parse(&module, name)?.release {
        Some(found) if found != release => Err(BuildError::Kernel(KernelError::Malformed {
            subject: format!("module `{name}`"),
            expected: format!("a module for {release}"),
            found: format!("one for {found}"),
        })),
        _ => Ok(module),
    }
}

/// Where the modules of the kernel of `entry` are configured to be, if it has any outside itself.
pub(crate) fn module_directory(source: &KernelSource) -> Option<&Path> {
    match source {
        KernelSource::Path { modules, .. } => modules.as_deref(),
        _ => None,
    }
}

/// The source that the kernel of `entry` was built from.
pub(crate) fn recorded_source<'a>(
    sources: &'a [KernelSource],
    entry: &LockEntry,
) -> Option<&'a KernelSource> {
    let text = &entry.inputs.first()?.source;
    sources.iter().find(|source| source.to_string() == *text)
}
