//! Which modules a guest needs and in which order they load. Pure: an index and a list of wishes in, a plan out.
//!
//! ```text
//! wishes ──► module names ──► dependencies first, each once ──► ModulePlan
//!                 └─ in the kernel itself: skipped      └─ in neither: missing, required or optional
//! ```
//!
//! Invariant: in a plan, every module stands behind all that it needs, so loading it from first to last works.

use std::collections::BTreeSet;

use crate::config::KernelConfig;
use crate::index::ModuleIndex;
use crate::modinfo::kernel_name;

/// Something that a guest may need of its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Feature {
    /// Virtio devices on the memory bus: Firecracker, QEMU microvm.
    VirtioMmio,
    /// Virtio devices on PCI: Cloud Hypervisor, QEMU q35 and virt.
    VirtioPci,
    /// Disks.
    VirtioBlk,
    /// Consoles and serial ports.
    VirtioConsole,
    /// Network cards.
    VirtioNet,
    /// Random numbers from the host.
    VirtioRng,
    /// The ext4 file system.
    Ext4,
    /// The squashfs file system.
    Squashfs,
    /// The EROFS file system.
    Erofs,
    /// Writable layers over a read-only root.
    Overlay,
    /// Sockets to the host: the guest agent's channel.
    Vsock,
    /// Host directories over 9P.
    NineP,
    /// Host directories over virtio-fs.
    VirtioFs,
}

impl Feature {
    /// Every feature, in an order that suits a boot: buses, devices, file systems, channels.
    pub const ALL: &'static [Self] = &[
        Self::VirtioMmio,
        Self::VirtioPci,
        Self::VirtioBlk,
        Self::VirtioConsole,
        Self::VirtioNet,
        Self::VirtioRng,
        Self::Ext4,
        Self::Squashfs,
        Self::Erofs,
        Self::Overlay,
        Self::Vsock,
        Self::NineP,
        Self::VirtioFs,
    ];

    /// The name as people say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VirtioMmio => "virtio-mmio",
            Self::VirtioPci => "virtio-pci",
            Self::VirtioBlk => "virtio-blk",
            Self::VirtioConsole => "virtio-console",
            Self::VirtioNet => "virtio-net",
            Self::VirtioRng => "virtio-rng",
            Self::Ext4 => "ext4",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::Overlay => "overlay",
            Self::Vsock => "vsock",
            Self::NineP => "9p",
            Self::VirtioFs => "virtiofs",
        }
    }

    /// The modules that give the feature, each with the option that builds it.
    fn modules(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::VirtioMmio => &[("virtio_mmio", "VIRTIO_MMIO")],
            Self::VirtioPci => &[("virtio_pci", "VIRTIO_PCI")],
            Self::VirtioBlk => &[("virtio_blk", "VIRTIO_BLK")],
            Self::VirtioConsole => &[("virtio_console", "VIRTIO_CONSOLE")],
            Self::VirtioNet => &[("virtio_net", "VIRTIO_NET")],
            Self::VirtioRng => &[("virtio_rng", "HW_RANDOM_VIRTIO")],
            Self::Ext4 => &[("ext4", "EXT4_FS")],
            Self::Squashfs => &[("squashfs", "SQUASHFS")],
            Self::Erofs => &[("erofs", "EROFS_FS")],
            Self::Overlay => &[("overlay", "OVERLAY_FS")],
            Self::Vsock => &[("vmw_vsock_virtio_transport", "VIRTIO_VSOCKETS")],
            Self::NineP => &[("9pnet_virtio", "NET_9P_VIRTIO"), ("9p", "9P_FS")],
            Self::VirtioFs => &[("virtiofs", "VIRTIO_FS")],
        }
    }
}

/// Whether a guest can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It cannot.
    Required,
    /// It can.
    Optional,
}

/// One wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What is wished for, in words: a feature's or a module's name.
    pub name: String,
    /// Whether the guest can do without.
    pub need: Need,
    /// The modules, each with the option that builds it, if known.
    modules: Vec<(String, Option<String>)>,
}

impl Wanted {
    /// A feature.
    pub fn feature(feature: Feature, need: Need) -> Self {
        let modules = feature
            .modules()
            .iter()
            .map(|(module, option)| ((*module).to_owned(), Some((*option).to_owned())));
        Self { name: feature.as_str().to_owned(), need, modules: modules.collect() }
    }

    /// A module by name, for what has no [`Feature`].
    pub fn module(name: &str, need: Need) -> Self {
        Self { name: name.to_owned(), need, modules: vec![(kernel_name(name), None)] }
    }
}

/// A module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleEntry {
    /// Its name as the kernel knows it: `virtio_blk`.
    pub name: String,
    /// Where its file is in the package, or relative to `lib/modules/RELEASE` where depmod's list was read.
    pub path_in_package: String,
}

/// A wish that this kernel cannot meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} needs the kernel module `{module}`, which is neither built in nor there as a file")]
pub struct Missing {
    /// The wish.
    pub wanted: String,
    /// The module that is not there: the one wished for or one that it depends on.
    pub module: String,
    /// Whether the guest can do without.
    pub need: Need,
}

/// What to load, from first to last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModulePlan {
    /// The release that the modules belong to.
    pub release: String,
    /// The modules in load order.
    pub modules: Vec<ModuleEntry>,
    /// Wishes that are met by the kernel itself, in their order.
    pub built_in: Vec<String>,
    /// Wishes that are not met. A wish with something missing has no modules in the plan.
    pub missing: Vec<Missing>,
}

impl ModulePlan {
    /// The first required thing that is missing.
    pub fn check(&self) -> Result<(), Missing> {
        self.missing.iter().find(|missing| missing.need == Need::Required).cloned().map_or(Ok(()), Err)
    }

    /// The names in load order, as a bundle's `KernelFacts` records them.
    pub fn names(&self) -> Vec<String> {
        self.modules.iter().map(|module| module.name.clone()).collect()
    }
}

impl ModuleIndex {
    /// Decides what to load for `wanted`. `config` tells what is built in where `modules.builtin` is not known.
    pub fn plan(&self, release: &str, config: Option<&KernelConfig>, wanted: &[Wanted]) -> ModulePlan {
        let mut plan = ModulePlan { release: release.to_owned(), ..ModulePlan::default() };
        let mut planned = BTreeSet::new();
        for wish in wanted {
            self.add_wish(wish, config, &mut plan, &mut planned);
        }
        plan
    }

    /// `planned` holds the names of the modules that are in the plan already.
    fn add_wish(
        &self,
        wish: &Wanted,
        config: Option<&KernelConfig>,
        plan: &mut ModulePlan,
        planned: &mut BTreeSet<String>,
    ) {
        let mut order = Vec::new();
        let mut missing = BTreeSet::new();
        for (module, option) in &wish.modules {
            let configured =
                || option.as_ref().zip(config).is_some_and(|(option, config)| config.is_built_in(option));
            if self.get(module).is_some() || !(self.is_built_in(module) || configured()) {
                self.visit(module, &mut order, &mut missing);
            }
        }
        if !missing.is_empty() {
            let entry = |module| Missing { wanted: wish.name.clone(), module, need: wish.need };
            plan.missing.extend(missing.into_iter().map(entry));
            return;
        }
        if order.is_empty() {
            plan.built_in.push(wish.name.clone());
        }
        for name in order {
            if let Some(module) = self.get(&name).filter(|_| planned.insert(name.clone())) {
                plan.modules.push(ModuleEntry { name, path_in_package: module.path.clone() });
            }
        }
    }

    /// Appends what `root` needs, dependencies first, then `root`. A loop of dependencies, which no real
    /// kernel has, ends where it closes.
    fn visit(&self, root: &str, order: &mut Vec<String>, missing: &mut BTreeSet<String>) {
        let mut seen: BTreeSet<String> = order.iter().cloned().collect();
        // NOTE: a stack of our own: a chain of dependencies from a hostile file may be longer than the thread's.
        let mut stack = vec![Step::Enter(root.to_owned())];
        while let Some(step) = stack.pop() {
            let name = match step {
                Step::Leave(name) => {
                    order.push(name);
                    continue;
                }
                Step::Enter(name) => name,
            };
            let Some(module) = self.get(&name) else {
                if !self.is_built_in(&name) {
                    missing.insert(name);
                }
                continue;
            };
            if !seen.insert(name.clone()) {
                continue;
            }
            stack.push(Step::Leave(name));
            let soft = module.soft_depends.iter().filter_map(|wanted| self.resolve_soft(wanted));
            let before = soft.chain(module.depends.iter().map(String::as_str));
            let steps: Vec<Step> = before.map(|name| Step::Enter(name.to_owned())).collect();
            stack.extend(steps.into_iter().rev());
        }
    }
}

enum Step {
    Enter(String),
    Leave(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modinfo::ModuleInfo;

    /// In the form that depmod writes, with the traps: right-most first, `-` in file names, long chains.
    const MODULES_DEP: &str = "\
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_pci_modern_dev.ko:
kernel/drivers/virtio/virtio_pci_legacy_dev.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_pci_legacy_dev.ko kernel/drivers/virtio/virtio_pci_modern_dev.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/char/hw_random/virtio-rng.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/net/core/failover.ko:
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/lib/libcrc32c.ko:
kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko
kernel/fs/overlayfs/overlay.ko:
kernel/net/vmw_vsock/vsock.ko:
kernel/net/vmw_vsock/vmw_vsock_virtio_transport_common.ko: kernel/net/vmw_vsock/vsock.ko kernel/drivers/virtio/virtio_ring.ko
kernel/net/vmw_vsock/vmw_vsock_virtio_transport.ko: kernel/net/vmw_vsock/vmw_vsock_virtio_transport_common.ko kernel/drivers/virtio/virtio.ko kernel/net/vmw_vsock/vsock.ko kernel/drivers/virtio/virtio_ring.ko
";
    const BUILT_IN: &str = "kernel/fs/ext4/ext4.ko\nkernel/fs/jbd2/jbd2.ko\n";

    fn index() -> ModuleIndex {
        let mut index = ModuleIndex::parse_modules_dep(MODULES_DEP).unwrap();
        index.add_built_in(BUILT_IN);
        index
    }

    fn required(features: &[Feature]) -> Vec<Wanted> {
        features.iter().map(|feature| Wanted::feature(*feature, Need::Required)).collect()
    }

    #[test]
    fn dependencies_load_first_and_once() {
        use Feature::{Erofs, Ext4, Overlay, VirtioBlk, VirtioMmio, VirtioNet, VirtioRng, Vsock};
        let wanted = required(&[VirtioMmio, VirtioBlk, VirtioNet, VirtioRng, Ext4, Erofs, Overlay, Vsock]);
        let plan = index().plan("6.1.0-56-cloud-amd64", None, &wanted);
        assert_eq!(
            plan.names(),
            [
                "virtio_ring",
                "virtio",
                "virtio_mmio",
                "virtio_blk",
                "failover",
                "net_failover",
                "virtio_net",
                "virtio_rng",
                "libcrc32c",
                "erofs",
                "overlay",
                "vsock",
                "vmw_vsock_virtio_transport_common",
                "vmw_vsock_virtio_transport"
            ]
        );
        assert_eq!(plan.built_in, ["ext4"]);
        let pci = index().plan("6.1", None, &required(&[Feature::VirtioPci])).names();
        let as_depmod_loads =
            ["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"];
        assert_eq!(pci, as_depmod_loads);
        assert_eq!(plan.release, "6.1.0-56-cloud-amd64");
        assert!(
            plan.modules
                .iter()
                .any(|entry| entry.path_in_package == "kernel/drivers/char/hw_random/virtio-rng.ko")
        );
        plan.check().unwrap();
    }

    #[test]
    fn every_module_stands_behind_what_it_needs() {
        let index = index();
        for feature in Feature::ALL.iter().rev() {
            let plan = index.plan("6.1", None, &required(&[*feature]));
            for (position, entry) in plan.modules.iter().enumerate() {
                for needed in &index.get(&entry.name).unwrap().depends {
                    let before = plan.modules[..position].iter().any(|entry| &entry.name == needed);
                    assert!(before, "{} loads before {needed}", entry.name);
                }
            }
        }
    }

    #[test]
    fn what_a_module_asks_for_softly_loads_before_it() {
        // As in linux-image-amd64: without a crc32c implementation libcrc32c does not start, and so neither does erofs.
        let mut index = ModuleIndex::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let erofs = ModuleInfo { depends: names(&["libcrc32c"]), ..ModuleInfo::default() };
        let library = ModuleInfo { soft_depends: names(&["crc32c"]), ..ModuleInfo::default() };
        let generic = ModuleInfo { aliases: names(&["crc32c"]), ..ModuleInfo::default() };
        index.add_module("kernel/fs/erofs/erofs.ko", &erofs);
        index.add_module("kernel/lib/libcrc32c.ko", &library);
        index.add_module("kernel/crypto/crc32c_generic.ko", &generic);
        let wanted = required(&[Feature::Erofs]);
        assert_eq!(index.plan("6.1", None, &wanted).names(), ["crc32c_generic", "libcrc32c", "erofs"]);
        index.add_built_in_info(b"crc32c_generic.alias=crc32c\0");
        assert_eq!(index.plan("6.1", None, &wanted).names(), ["libcrc32c", "erofs"]);
    }

    #[test]
    fn what_is_missing_is_told_apart() {
        let wanted = [
            Wanted::feature(Feature::NineP, Need::Optional),
            Wanted::feature(Feature::Squashfs, Need::Required),
            Wanted::module("dm-verity", Need::Optional),
        ];
        let plan = index().plan("6.1", None, &wanted);
        let missing: Vec<(&str, &str, Need)> = plan
            .missing
            .iter()
            .map(|missing| (missing.wanted.as_str(), missing.module.as_str(), missing.need))
            .collect();
        assert_eq!(
            missing,
            [
                ("9p", "9p", Need::Optional),
                ("9p", "9pnet_virtio", Need::Optional),
                ("squashfs", "squashfs", Need::Required),
                ("dm-verity", "dm_verity", Need::Optional)
            ]
        );
        assert_eq!(
            plan.check().unwrap_err().to_string(),
            "squashfs needs the kernel module `squashfs`, which is neither built in nor there as a file"
        );
    }

    #[test]
    fn a_missing_dependency_takes_the_whole_wish_out() {
        let index = ModuleIndex::parse_modules_dep("kernel/erofs.ko: kernel/libcrc32c.ko\n").unwrap();
        let plan = index.plan("6.1", None, &required(&[Feature::Erofs]));
        assert_eq!(plan.modules, []);
        assert_eq!(plan.missing[0].module, "libcrc32c");
    }

    #[test]
    fn the_configuration_tells_what_is_built_in() {
        let config = KernelConfig::parse("CONFIG_VIRTIO_BLK=y\nCONFIG_EROFS_FS=m\n");
        let plan = ModuleIndex::default().plan(
            "6.1.155",
            Some(&config),
            &required(&[Feature::VirtioBlk, Feature::Erofs]),
        );
        assert_eq!(plan.built_in, ["virtio-blk"]);
        assert_eq!(plan.missing[0].wanted, "erofs");
    }

    #[test]
    fn loops_and_endless_chains_end() {
        let looped = ModuleIndex::parse_modules_dep("a.ko: b.ko\nb.ko: a.ko\n").unwrap();
        assert_eq!(looped.plan("6.1", None, &[Wanted::module("a", Need::Required)]).names(), ["b", "a"]);
        let mut chain = ModuleIndex::default();
        for number in 0..50_000 {
            let info = ModuleInfo { depends: vec![format!("m{}", number + 1)], ..ModuleInfo::default() };
            chain.add_module(&format!("m{number}.ko"), &info);
        }
        let wanted = [Wanted::module("m0", Need::Required)];
        assert_eq!(chain.plan("6.1", None, &wanted).missing[0].module, "m50000");
        chain.add_module("m50000.ko", &ModuleInfo::default());
        let names = chain.plan("6.1", None, &wanted).names();
        assert_eq!((names.len(), names[0].as_str()), (50_001, "m50000"));
    }
}
