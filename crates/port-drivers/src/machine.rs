//! `hybrid-kvm`: a machine with the manifest's kernel, and the workload's root as its disk (acceptance V-5).
//!
//! ```text
//! supervisor ─► port-runtime ─► VMM ─► kernel, initrd ─► root ─► agent ─► port-launcher ─► the command
//! ```
//!
//! Not here: the initrd and the images, which are made before (`port-ops`). Rendering is pure. Invariant: what a machine cannot keep
//! of its plan is refused by name.

mod guest;
mod job;
mod monitor;
mod run;
#[cfg(test)]
mod tests;

use port_model::Cmdline;
use port_runtime::machine_spec::FIRST_GUEST_CID;
use port_runtime::{
    AgentChannel, Console, Disk, DiskAccess, KernelFamily, MachineSpec, NetworkCard, Share, ShareWay, Tap,
};
use port_workload::{Launch, Mode, NetworkMode, Plan, Profile, SeccompWord, WritableLayer};

pub(crate) use guest::another;
pub use job::{MachineFiles, MachineJob, Vmm};
pub(crate) use run::{Streams, run};

use crate::container::{self, PATH};
use crate::driver::{Driver, Host, Request};
use crate::error::DriverError;
use crate::job::{Body, Job, Layer, VERSION, Volume};

/// Where the launcher is in the guest.
const LAUNCHER: &str = "/run/port/port-launcher";
/// Other commands that may ask the agent at once, besides the one that stops it.
const SIDE_PORTS: u8 = 4;
const MIB: u64 = 1 << 20;

/// Boots machines.
#[derive(Debug, Clone, Copy)]
pub struct MachineDriver;

impl Driver for MachineDriver {
    fn mode(&self) -> Mode {
        Mode::HybridKvm
    }

    fn prepare(&self, plan: &Plan, request: &Request, host: &Host) -> Result<Job, DriverError> {
        container::needs_root(host, plan)?;
        let (Launch::HybridKvm { cmdline, .. }, Some(files)) = (&plan.launch, &request.machine) else {
            let place = "beside the plan of a machine";
            return Err(DriverError::Missing { program: "the files of a machine".to_owned(), place });
        };
        refuse_host_network(plan)?;
        let unkept = unkept(plan, host);
        container::kept(&unkept, request)?;
        let gate = host.launcher.as_ref().map(|_| gate(plan)).unwrap_or_default();
        let spec = spec(plan, files, cmdline);
        let machine = MachineJob {
            vmm: files.vmm,
            confinement: monitor::confinement(plan, &spec, host, request)?,
            spec,
            search: host.search.clone(),
            verdicts: files.verdicts.clone(),
            launcher: host.launcher.clone(),
            volumes: plan.mounts.iter().map(Volume::from).collect(),
            pids: plan.limits.pids,
        };
        Ok(Job {
            version: VERSION,
            name: plan.name.clone(),
            mode: self.mode().to_string(),
            command: container::command(request),
            lower: request.lower.clone(),
            layer: Layer::Memory,
            limits: limits(plan),
            network: container::network(plan)?,
            name_servers: container::name_servers(plan),
            best_effort: request.best_effort,
            warnings: unkept,
            program: Vec::new(),
            environment: vec![("PATH".to_owned(), PATH.to_owned())],
            gate,
            body: Body::Machine(Box::new(machine)),
        })
    }
}

fn spec(plan: &Plan, files: &MachineFiles, cmdline: &Cmdline) -> MachineSpec {
    let disk =
        |id: &str, path: &std::path::Path, access| Disk { id: id.to_owned(), path: path.into(), access };
    let mut disks = vec![disk("rootfs", &files.root, DiskAccess::ReadOnly)];
    disks.extend(files.layer.iter().map(|layer| disk("layer", layer, DiskAccess::ReadWrite)));
    let memory = plan.limits.memory.map_or(0, |size| size.bytes() / MIB);
    let shares = (0..plan.mounts.len()).map(|number| Share {
        tag: tag(number),
        path: files.share(number),
        way: ShareWay::Virtiofs,
    });
    MachineSpec {
        architecture: files.architecture,
        vcpus: plan
            .limits
            .cpu_set
            .as_ref()
            .map_or(1, |set| set.iter().count().try_into().unwrap_or(u32::MAX)),
        memory_mib: memory.try_into().unwrap_or(u32::MAX),
        kernel: files.kernel.clone(),
        family: KernelFamily::Linux,
        initrd: Some(files.initrd.clone()),
        cmdline: boot_arguments(plan, files, cmdline),
        disks,
        shares: shares.collect(),
        network: (plan.network.mode == NetworkMode::Bridge).then(|| NetworkCard::Tap(tap(&plan.name))),
        agent: Some(AgentChannel {
            vsock_cid: context_id(&plan.name),
            side_ports: SIDE_PORTS,
            ..AgentChannel::default()
        }),
        console: Console::Log(files.console.clone()),
    }
}

/// The manifest's own arguments first; none of them is overridden.
fn boot_arguments(plan: &Plan, files: &MachineFiles, own: &Cmdline) -> Cmdline {
    let mut cmdline = own.clone();
    cmdline.default_to("root", "/dev/vda");
    cmdline.default_to("panic", "1");
    cmdline.default_to("quiet", "");
    cmdline.default_to("rootfstype", &files.root_type);
    cmdline.default_to("port.hostname", &container::machine(&plan.name));
    match writable_layer(plan) {
        WritableLayer::Overlay => cmdline.default_to("port.rootfs_overlay", "1"),
        WritableLayer::Tmpfs => cmdline.default_to("port.rootfs_overlay", "tmpfs"),
        WritableLayer::None => cmdline.default_to("ro", ""),
    }
    cmdline
}

/// What takes writes to the root.
pub(crate) fn writable_layer(plan: &Plan) -> WritableLayer {
    if plan.root.read_only { WritableLayer::None } else { plan.root.writable_layer }
}

/// What is a share's name in the guest.
fn tag(number: usize) -> String {
    format!("volume-{number}")
}

/// A device of a name that no other workload's has, unless 40 bits of a digest are the same.
fn tap(name: &str) -> Tap {
    let digest = port_content::hashing::digest_of(name.as_bytes());
    let hex = digest.hex().get(..10).unwrap_or_default().to_owned();
    let pairs: Vec<&str> = (0..5).filter_map(|pair| hex.get(2 * pair..2 * pair + 2)).collect();
    // The second lowest bit of the first byte says that nobody assigned it.
    Tap { device: format!("vp-{hex}"), mac: format!("02:{}", pairs.join(":")) }
}

/// The machine's address on vsock: one host has one set of them, and each workload's name is its own. The lowest three are taken.
fn context_id(name: &str) -> u32 {
    let digest = port_content::hashing::digest_of(name.as_bytes());
    let number = digest.hex().get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or_default();
    (number & 0x7fff_ffff).max(FIRST_GUEST_CID)
}

fn refuse_host_network(plan: &Plan) -> Result<(), DriverError> {
    if plan.network.mode != NetworkMode::Host {
        return Ok(());
    }
    Err(DriverError::Unsupported {
        name: plan.name.clone(),
        key: "network.mode",
        found: "host".to_owned(),
        expected: "`bridge` or `none`: a machine has a network stack of its own",
    })
}

/// What of the plan the host cannot keep.
fn unkept(plan: &Plan, host: &Host) -> Vec<String> {
    let mut reasons = Vec::new();
    if host.launcher.is_none() {
        reasons.push(container::without_launcher());
    }
    let known =
        matches!(plan.security.seccomp, Profile::Known(SeccompWord::Default | SeccompWord::Unconfined));
    if !known {
        reasons.push(
            "`security.seccomp_profile`: expected `default` or `unconfined`: a machine filters its monitor's system calls, not \
             its own programs'"
                .to_owned(),
        );
    }
    reasons
}

/// The machine's size is its limit of memory, and processes are counted inside; the rest holds for the monitor.
fn limits(plan: &Plan) -> Vec<crate::job::Limit> {
    let inside = |file: &str| matches!(file, "memory.max" | "pids.max");
    let settings = plan.limits.control_group().into_iter().filter(|setting| !inside(setting.file));
    settings.map(Into::into).collect()
}

fn gate(plan: &Plan) -> Vec<String> {
    let mut gate = vec![LAUNCHER.to_owned()];
    gate.extend(container::capability_options(plan));
    gate.extend(["--no-new-privileges", "--"].map(str::to_owned));
    gate
}
