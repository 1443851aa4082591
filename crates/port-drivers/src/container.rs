//! `container`: a command in namespaces of its own by systemd-nspawn, which needs no systemd on the host (acceptance V-3).
//!
//! ```text
//! nspawn ─► number 1: its stub of an init, reaps ─► number 2: port-launcher, becomes the command
//!   namespaces, capabilities, seccomp, mounts          Landlock
//! ```
//!
//! Rendering is pure but for files with rules. Invariant: the capabilities of the workload are those of the plan, no more
//! and no fewer.

#[cfg(test)]
pub(crate) mod tests;

use std::net::IpAddr;
use std::path::Path;

use port_workload::capability::CAPABILITIES;
use port_workload::{Access, Mode, Mount, NetworkMode, Plan, Profile, Protocol, SeccompWord, WritableLayer};

use crate::driver::{Driver, Host, Request};
use crate::error::DriverError;
use crate::job::{Body, Bridge, Job, Layer, Port, Transport, VERSION};
use crate::landlock::Rules;
use crate::network::{BRIDGE, on_bridge};
use crate::room::NAME_SERVERS;
use crate::seccomp;

/// Where the launcher is in a workload.
pub(crate) const LAUNCHER: &str = "/run/port-launcher";
/// What a shell on any root looks in.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs containers.
#[derive(Debug, Clone, Copy)]
pub struct ContainerDriver;

impl Driver for ContainerDriver {
    fn mode(&self) -> Mode {
        Mode::Container
    }

    fn prepare(&self, plan: &Plan, request: &Request, host: &Host) -> Result<Job, DriverError> {
        let mut job = nspawned(self.mode(), plan, request, host)?;
        job.program.extend(["--pipe", "--as-pid2", "--"].map(str::to_owned));
        job.program.extend(job.gate.iter().cloned());
        job.program.extend(command(request));
        job.command = command(request);
        Ok(job)
    }
}

/// What every container of nspawn has, up to the options that say how its first program is started.
pub(crate) fn nspawned(mode: Mode, plan: &Plan, request: &Request, host: &Host) -> Result<Job, DriverError> {
    let nspawn = find(host, plan)?;
    let mut job = job(mode, plan, request, host)?;
    let filter = seccomp::filter(&plan.security.seccomp, host.launcher.is_some())?;
    job.program.push(nspawn);
    job.program.extend(options(plan, request, host)?);
    job.program.extend(filter.lists.iter().map(|list| format!("--system-call-filter={list}")));
    Ok(job)
}

/// What every mode has whose programs run on the host's kernel; nothing is started yet.
pub(crate) fn job(mode: Mode, plan: &Plan, request: &Request, host: &Host) -> Result<Job, DriverError> {
    needs_root(host, plan)?;
    let network = network(plan)?;
    let rules = Rules::new(&plan.security.landlock, &plan.mounts)?;
    let unkept: Vec<String> = host.launcher.is_none().then(without_launcher).into_iter().collect();
    kept(&unkept, request)?;
    Ok(Job {
        version: VERSION,
        name: plan.name.clone(),
        mode: mode.to_string(),
        command: Vec::new(),
        lower: request.lower.clone(),
        layer: layer(plan),
        limits: plan.limits.control_group().into_iter().map(Into::into).collect(),
        network,
        name_servers: name_servers(plan),
        best_effort: request.best_effort,
        warnings: unkept,
        program: Vec::new(),
        environment: environment(&plan.security.seccomp),
        gate: host.launcher.as_ref().map(|_| gate(plan, &rules, request)).unwrap_or_default(),
        body: Body::Container,
    })
}

/// Refuses what cannot be kept, unless that was allowed.
pub(crate) fn kept(unkept: &[String], request: &Request) -> Result<(), DriverError> {
    if unkept.is_empty() || request.best_effort {
        return Ok(());
    }
    Err(DriverError::Unkept { reasons: unkept.to_vec() })
}

/// Why rules about files are not kept.
pub(crate) fn without_launcher() -> String {
    let arch = std::env::consts::ARCH;
    format!("`security.landlock_profile`: expected `port-launcher-{arch}` beside `port`, found none")
}

/// Mounts, namespaces and control groups are root's.
pub(crate) fn needs_root(host: &Host, plan: &Plan) -> Result<(), DriverError> {
    if host.user == 0 {
        return Ok(());
    }
    Err(DriverError::NotRoot { name: plan.name.clone(), user: host.user })
}

fn find(host: &Host, plan: &Plan) -> Result<String, DriverError> {
    needs_root(host, plan)?;
    let place = "on PATH (Debian: the package systemd-container)";
    let missing = || DriverError::Missing { program: "systemd-nspawn".to_owned(), place };
    let found = host.search.find("systemd-nspawn").ok_or_else(missing)?;
    Ok(found.display().to_string())
}

/// The workload's place on the bridge; none where its network is the host's or none at all.
pub(crate) fn network(plan: &Plan) -> Result<Option<Bridge>, DriverError> {
    let unsupported = |key, found: String, expected| DriverError::Unsupported {
        name: plan.name.clone(),
        key,
        found,
        expected,
    };
    match plan.network.mode {
        NetworkMode::Host | NetworkMode::None => return Ok(None),
        NetworkMode::Custom => {
            let expected = "`bridge`, `host` or `none`, the only networks of containers so far";
            return Err(unsupported("network.mode", "custom".to_owned(), expected));
        }
        NetworkMode::Bridge => {}
    }
    let address = match plan.network.address.map(|address| address.ip) {
        None => None,
        Some(asked) => match on_bridge(asked) {
            Some(address) => Some(address),
            None => {
                let expected = "10.209.0.2 to 10.209.0.254 or fd50:6f72:7430::2 to fd50:6f72:7430::fe, those of the bridge";
                return Err(unsupported("network.address", asked.to_string(), expected));
            }
        },
    };
    let ports = plan.network.ports.iter().map(|port| Port {
        host: port.host.get(),
        container: port.container.get(),
        protocol: match port.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
        },
    });
    Ok(Some(Bridge { address, ports: ports.collect() }))
}

/// Those of the manifest, where there is a network to ask them over.
pub(crate) fn name_servers(plan: &Plan) -> Vec<IpAddr> {
    let connected = plan.network.mode != NetworkMode::None;
    if connected { plan.network.name_servers.clone() } else { Vec::new() }
}

fn options(plan: &Plan, request: &Request, host: &Host) -> Result<Vec<String>, DriverError> {
    let word = |text: &str| text.to_owned();
    let mut options = vec![
        format!("--directory={}", text(&request.room.join("root"))?),
        format!("--machine={}", machine(&plan.name)),
        // Neither systemd nor its machine registry need be there; nobody else starts or stops what Port runs.
        word("--register=no"),
        word("--keep-unit"),
        word("--link-journal=no"),
        word("--quiet"),
        word("--timezone=off"),
        word("--no-new-privileges=yes"),
    ];
    options.extend(capabilities(plan));
    options.push(word(if copies_name_servers(plan) {
        "--resolv-conf=copy-host"
    } else {
        "--resolv-conf=off"
    }));
    match plan.network.mode {
        NetworkMode::None => options.push(word("--private-network")),
        NetworkMode::Bridge => options.push(format!("--network-bridge={BRIDGE}")),
        NetworkMode::Host | NetworkMode::Custom => {}
    }
    if !name_servers(plan).is_empty() {
        options.push(format!("--bind-ro={}:/etc/resolv.conf", escaped(&request.room.join(NAME_SERVERS))?));
    }
    if plan.root.read_only || plan.root.writable_layer == WritableLayer::None {
        options.push(word("--read-only"));
    }
    if let Some(launcher) = &host.launcher {
        options.push(format!("--bind-ro={}:{LAUNCHER}", escaped(launcher)?));
    }
    for mount in &plan.mounts {
        options.push(bind(mount)?);
    }
    Ok(options)
}

/// nspawn keeps what it thinks containers need, less what is dropped, more what is named: saying both gives the set.
fn capabilities(plan: &Plan) -> Vec<String> {
    let Some(wanted) = &plan.security.capabilities else { return Vec::new() };
    let names = |held: bool| {
        let names: Vec<&str> =
            CAPABILITIES.into_iter().filter(|name| wanted.contains(name) == held).collect();
        (!names.is_empty()).then(|| names.join(","))
    };
    let keep = names(true).map(|names| format!("--capability={names}"));
    let drop = names(false).map(|names| format!("--drop-capability={names}"));
    keep.into_iter().chain(drop).collect()
}

/// The host's name servers are of use where its network is, and where the root takes the file that names them.
fn copies_name_servers(plan: &Plan) -> bool {
    let writable = !plan.root.read_only && plan.root.writable_layer != WritableLayer::None;
    plan.network.mode == NetworkMode::Host && plan.network.name_servers.is_empty() && writable
}

fn bind(mount: &Mount) -> Result<String, DriverError> {
    let option = match mount.access {
        Access::ReadOnly => "--bind-ro",
        Access::ReadWrite => "--bind",
    };
    Ok(format!("{option}={}:{}", escaped(&mount.host)?, escaped(&mount.container)?))
}

/// The launcher's options for the capabilities of a plan; none where all are kept.
pub(crate) fn capability_options(plan: &Plan) -> Vec<String> {
    let Some(wanted) = &plan.security.capabilities else { return Vec::new() };
    let held = CAPABILITIES.iter().enumerate().filter(|(_, name)| wanted.contains(*name));
    let mask = held.fold(0_u64, |mask, (number, _)| mask | 1 << number);
    vec!["--capabilities".to_owned(), format!("{mask:x}")]
}

/// What a command passes through in the workload, at its start and when it is executed later.
pub(crate) fn gate(plan: &Plan, rules: &Rules, request: &Request) -> Vec<String> {
    let mut gate = vec![LAUNCHER.to_owned()];
    // The supervisor connects it when its first process is there.
    gate.extend((plan.network.mode == NetworkMode::Bridge).then(|| "--await-network".to_owned()));
    gate.extend(capability_options(plan));
    gate.push("--no-new-privileges".to_owned());
    gate.extend(request.best_effort.then(|| "--best-effort".to_owned()));
    gate.extend(rules.options());
    gate.push("--".to_owned());
    gate
}

pub(crate) fn command(request: &Request) -> Vec<String> {
    if request.command.is_empty() { vec!["/bin/sh".to_owned()] } else { request.command.clone() }
}

pub(crate) fn environment(profile: &Profile<SeccompWord>) -> Vec<(String, String)> {
    let mut environment = vec![("PATH".to_owned(), PATH.to_owned())];
    if *profile == Profile::Known(SeccompWord::Unconfined) {
        environment.push(("SYSTEMD_SECCOMP".to_owned(), "0".to_owned()));
    }
    environment
}

pub(crate) fn layer(plan: &Plan) -> Layer {
    match (plan.root.read_only, plan.root.writable_layer) {
        (false, WritableLayer::Overlay) => Layer::Kept,
        _ => Layer::Memory,
    }
}

/// The name as a host name: what a manifest may say and a host name may not becomes `-`.
pub(crate) fn machine(name: &str) -> String {
    let mapped: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    mapped.trim_matches('-').to_owned()
}

pub(crate) fn text(path: &Path) -> Result<&str, DriverError> {
    path.to_str().ok_or_else(|| DriverError::State {
        path: path.to_owned(),
        reason: "expected a path in UTF-8".to_owned(),
    })
}

/// nspawn splits a bind mount at colons.
fn escaped(path: &Path) -> Result<String, DriverError> {
    Ok(text(path)?.replace('\\', "\\\\").replace(':', "\\:"))
}
