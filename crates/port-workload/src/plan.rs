//! What a driver must do, as plain values (acceptance C-48). A plan exists only of a manifest
//! without errors, so a driver parses nothing and refuses by name what it cannot do.
//!
//! ```text
//! Resolved ─► check ─► Plan { launch, root, mounts, limits, network, security }
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use port_document::Severity;
use port_model::Cmdline;
use serde::Serialize;

use crate::address::Address;
use crate::check::{check, plain_path};
use crate::cpu_set::CpuSet;
use crate::manifest::Manifest;
use crate::memory_size::MemorySize;
use crate::port_mapping::PortMapping;
use crate::problem::{Problem, Problems};
use crate::profile::{self, Profile};
use crate::rootfs::RootSource;
use crate::words::{LandlockWord, Mode, NetworkMode, SeccompWord, WritableLayer};
use crate::{capability, defaults};

/// Everything that a driver needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The workload's name.
    pub name: String,
    /// How it is launched.
    pub launch: Launch,
    /// What it stands on.
    pub root: Root,
    /// What it sees of the host, outer places before those inside them.
    pub mounts: Vec<Mount>,
    /// What it may use.
    pub limits: Limits,
    /// How it is connected.
    pub network: NetworkPlan,
    /// What it may do.
    pub security: SecurityPlan,
}

/// How a workload is launched, one form per mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "mode")]
pub enum Launch {
    /// Its command in namespaces (acceptance V-3).
    Container,
    /// Its own init in namespaces, on the host's kernel (acceptance V-4).
    HybridNative {
        /// Modules that the host's kernel must have.
        modules: Vec<String>,
    },
    /// A machine with its own kernel (acceptance V-5).
    HybridKvm {
        /// The kernel.
        kernel: KernelSource,
        /// Modules that its initrd loads.
        modules: Vec<String>,
        /// Boot arguments, before the driver's own.
        cmdline: Cmdline,
    },
    /// Its command, translated from another architecture (acceptance V-6).
    HybridEmulated,
}

/// Which kernel a machine boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelSource {
    /// A file.
    Path(PathBuf),
    /// A version, to be found among what is known.
    Version(String),
}

/// What a workload stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Root {
    /// Where it comes from.
    pub source: RootSource,
    /// What takes its writes (acceptance V-43).
    pub writable_layer: WritableLayer,
    /// Whether the workload is kept from writing at all.
    pub read_only: bool,
}

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// On the host.
    pub host: PathBuf,
    /// In the workload: absolute, in its one spelling.
    pub container: PathBuf,
    /// Whether the workload may write to it.
    pub access: Access,
}

/// What a workload may do with a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// Limits; an absent one is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The most memory.
    pub memory: Option<MemorySize>,
    /// The memory above which it is slowed down.
    pub memory_soft: Option<MemorySize>,
    /// Share of the processors.
    pub cpu_weight: Option<u64>,
    /// Its processors.
    pub cpu_set: Option<CpuSet>,
    /// Share of the disks.
    pub io_weight: Option<u64>,
    /// The most processes.
    pub pids: Option<u64>,
}

/// How a workload is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkPlan {
    /// The mode.
    pub mode: NetworkMode,
    /// Its address; the driver chooses one where there is none.
    pub address: Option<Address>,
    /// Its name servers; the host's where there are none.
    pub name_servers: Vec<IpAddr>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
}

/// What a workload may do. New rights are never given: that is no choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecurityPlan {
    /// Landlock rules.
    pub landlock: Profile<LandlockWord>,
    /// System calls.
    pub seccomp: Profile<SeccompWord>,
    /// Capabilities that it keeps, by full name; absent are all that its own kernel knows, which only a machine has.
    pub capabilities: Option<BTreeSet<&'static str>>,
}

/// Plans a resolved manifest.
///
/// # Errors
/// The manifest has errors; they are all of them.
pub fn plan(manifest: &Manifest) -> Result<Plan, Vec<Problem>> {
    let errors: Vec<Problem> =
        check(manifest).into_iter().filter(|problem| problem.severity == Severity::Error).collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut manifest = manifest.clone();
    defaults::fill(&mut manifest);
    let mut problems = Problems::default();
    let planned = assemble(&manifest, &mut problems);
    planned.filter(|_| problems.0.is_empty()).ok_or(problems.0)
}

/// After a check nothing here fails but what a plan needs and a manifest does not.
fn assemble(manifest: &Manifest, problems: &mut Problems) -> Option<Plan> {
    Some(Plan {
        name: manifest.workload.name.clone(),
        launch: launch(manifest, problems)?,
        root: root(manifest, problems)?,
        mounts: mounts(manifest),
        limits: limits(manifest, problems),
        network: network(manifest, problems)?,
        security: security(manifest, problems)?,
    })
}

fn launch(manifest: &Manifest, problems: &mut Problems) -> Option<Launch> {
    let kernel = &manifest.kernel;
    let modules = kernel.modules.clone().unwrap_or_default();
    Some(match problems.take("workload.mode", manifest.workload.mode.parse())? {
        Mode::Container => Launch::Container,
        Mode::HybridNative => Launch::HybridNative { modules },
        Mode::HybridEmulated => Launch::HybridEmulated,
        Mode::HybridKvm => {
            let by_version = kernel.version.clone().map(KernelSource::Version);
            let source = kernel.path.as_ref().map(|path| KernelSource::Path(path.into())).or(by_version)?;
            let cmdline = Cmdline::parse(kernel.cmdline.as_deref().unwrap_or_default());
            Launch::HybridKvm { kernel: source, modules, cmdline: problems.take("kernel.cmdline", cmdline)? }
        }
    })
}

fn root(manifest: &Manifest, problems: &mut Problems) -> Option<Root> {
    let source = match (&manifest.storage.rootfs, &manifest.workload.image) {
        (Some(rootfs), _) => problems.take("storage.rootfs", RootSource::parse(rootfs))?,
        (None, Some(image)) => problems.take("workload.image", RootSource::published(image))?,
        (None, None) => {
            problems.error_with_hint(
                "storage.rootfs",
                "a workload that runs needs a root file system",
                "name it with `storage.rootfs`, or an image with `workload.image`",
            );
            return None;
        }
    };
    let read_only = manifest.security.read_only_rootfs == Some(true);
    let layer = of(&manifest.storage.writable_layer, "storage.writable_layer", problems)?;
    Some(Root { source, read_only, writable_layer: if read_only { WritableLayer::None } else { layer } })
}

fn mounts(manifest: &Manifest) -> Vec<Mount> {
    let mount = |volume: &crate::manifest::Volume| Mount {
        host: PathBuf::from(&volume.host),
        container: plain_path(&volume.container).into(),
        access: if volume.readonly == Some(true) { Access::ReadOnly } else { Access::ReadWrite },
    };
    let mut mounts: Vec<Mount> = manifest.storage.volumes.iter().flatten().map(mount).collect();
    // A mount at /a would hide one at /a/b that was made before it.
    mounts.sort_by(|one, other| one.container.cmp(&other.container));
    mounts
}

fn limits(manifest: &Manifest, problems: &mut Problems) -> Limits {
    let resources = &manifest.resources;
    let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Limits {
        memory: of(&resources.memory_limit, "resources.memory_limit", problems),
        memory_soft: of(&resources.memory_soft, "resources.memory_soft", problems),
        cpu_weight: number(resources.cpu_weight),
        cpu_set: of(&resources.cpu_set, "resources.cpu_set", problems),
        io_weight: number(resources.io_weight),
        pids: number(resources.pids_max),
    }
}

fn network(manifest: &Manifest, problems: &mut Problems) -> Option<NetworkPlan> {
    let network = &manifest.network;
    let mode = of(&network.mode, "network.mode", problems)?;
    let addressed = matches!(mode, NetworkMode::Bridge | NetworkMode::Custom);
    let all = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default();
    let (dns, ports) = (all(&network.dns), if addressed { all(&network.ports) } else { Vec::new() });
    Some(NetworkPlan {
        mode,
        address: of(&network.address, "network.address", problems).filter(|_| addressed),
        name_servers: dns.iter().filter_map(|text| problems.take("network.dns", text.parse())).collect(),
        ports: ports.iter().filter_map(|text| problems.take("network.ports", text.parse())).collect(),
    })
}

fn security(manifest: &Manifest, problems: &mut Problems) -> Option<SecurityPlan> {
    let security = &manifest.security;
    let landlock = security.landlock_profile.as_deref().map(profile::landlock)?;
    let seccomp = security.seccomp_profile.as_deref().map(profile::seccomp)?;
    let capabilities = match &security.capabilities {
        None => default_capabilities(problems.take("workload.mode", manifest.workload.mode.parse())?),
        Some(names) => {
            let known = names.iter().map(|name| capability::parse(name));
            Some(known.filter_map(|known| problems.take("security.capabilities", known)).collect())
        }
    };
    Some(SecurityPlan {
        landlock: problems.take("security.landlock_profile", landlock)?,
        seccomp: problems.take("security.seccomp_profile", seccomp)?,
        capabilities,
    })
}

/// What a workload keeps whose manifest does not say.
fn default_capabilities(mode: Mode) -> Option<BTreeSet<&'static str>> {
    let of_a_container = capability::OF_A_CONTAINER.into_iter();
    match mode {
        Mode::HybridKvm => None,
        Mode::HybridNative => Some(of_a_container.chain(capability::OF_AN_INIT).collect()),
        Mode::Container | Mode::HybridEmulated => Some(of_a_container.collect()),
    }
}

/// The value of a text, if there is one.
fn of<T: FromStr<Err: std::fmt::Display>>(
    text: &Option<String>,
    key: &str,
    problems: &mut Problems,
) -> Option<T> {
    problems.take(key, text.as_ref()?.parse())
}
