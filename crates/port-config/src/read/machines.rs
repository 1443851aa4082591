//! Reads `[machines]`.

use std::collections::BTreeMap;

use port_model::{ArtifactClass, Cmdline, ProtectionMode, Selector, Substrate};

use super::artifacts::architecture;
use super::context::Context;
use crate::machine::{
    DEFAULT_MEMORY_MIB, DEFAULT_VCPU_COUNT, GuestSettings, Machine, RootfsOverlay, SMALLEST_GUEST_CID,
    SMALLEST_MEMORY_MIB, Volume,
};
use port_document::{Node, Place, Table};

/// Reads every machine, after the artifacts that they name.
pub(super) fn read(root: &Table<'_>, context: &Context<'_>) -> Option<BTreeMap<String, Machine>> {
    let Some(node) = root.optional("machines") else { return Some(BTreeMap::new()) };
    let table = node.table()?;
    let read: Vec<Option<Machine>> =
        table.named().map(|(name, place, node)| machine(context, &place, name, node)).collect();
    read.into_iter().map(|machine| machine.map(|machine| (machine.name.clone(), machine))).collect()
}

fn machine(context: &Context<'_>, place: &Place, name: &str, node: Node<'_>) -> Option<Machine> {
    let name = context.name(place, name);
    let table = node.table()?;
    let kernel = table.required("kernel").and_then(|node| context.bootable(&node, ArtifactClass::Kernel));
    let guest_image =
        table.required("guest_image").and_then(|node| context.bootable(&node, ArtifactClass::GuestImage));
    let selector = selector(&table);
    let host = table.maybe("host", |node| node.string().map(str::to_owned));
    let vcpu_count = table.maybe("vcpu_count", |node| node.integer32(1..=1024));
    let memory_mib = table.maybe("memory_mib", |node| node.integer32(SMALLEST_MEMORY_MIB..=u32::MAX));
    let kernel_args = table.maybe("kernel_args", |node| cmdline(&node));
    let rootfs_read_only = table.maybe("rootfs_read_only", |node| node.boolean());
    let rootfs_overlay = table.maybe("rootfs_overlay", |node| overlay(&node));
    let volumes = table.maybe("volumes", volumes);
    let guest = table.maybe("guest", guest);
    table.finish();
    let variant = selector?.resolve(context.host);
    context.protection(&table.place, variant)?;
    Some(Machine {
        name: name?,
        kernel: kernel?,
        guest_image: guest_image?,
        variant,
        host: host?,
        vcpu_count: vcpu_count?.unwrap_or(DEFAULT_VCPU_COUNT),
        memory_mib: memory_mib?.unwrap_or(DEFAULT_MEMORY_MIB),
        kernel_args: kernel_args?.unwrap_or_default(),
        rootfs_read_only: rootfs_read_only?.unwrap_or_default(),
        rootfs_overlay: rootfs_overlay?.unwrap_or_default(),
        volumes: volumes?.unwrap_or_default(),
        guest: guest?.unwrap_or_default(),
    })
}

/// The three words of the selector, each with the flags' default (acceptance Pu-15).
fn selector(table: &Table<'_>) -> Option<Selector> {
    let default = Selector::default();
    let architecture = table.maybe("architecture", |node| architecture(&node));
    let substrate = table.maybe("substrate", |node| node.parsed::<Substrate>());
    let protection_mode = table.maybe("protection_mode", |node| node.parsed::<ProtectionMode>());
    Some(Selector {
        architecture: architecture?.unwrap_or(default.architecture),
        substrate: substrate?.unwrap_or(default.substrate),
        protection_mode: protection_mode?.unwrap_or(default.protection_mode),
    })
}

fn cmdline(node: &Node<'_>) -> Option<Cmdline> {
    match Cmdline::parse(node.string()?) {
        Ok(cmdline) => Some(cmdline),
        Err(error) => node.wrong(error.to_string()),
    }
}

fn overlay(node: &Node<'_>) -> Option<RootfsOverlay> {
    Some(match node.word("root file system overlay", RootfsOverlay::WORDS)? {
        "tmpfs" => RootfsOverlay::Tmpfs,
        "disk" => RootfsOverlay::Disk,
        _ => RootfsOverlay::None,
    })
}

fn volumes(node: Node<'_>) -> Option<Vec<Volume>> {
    let place = node.place.clone();
    let findings = node.findings();
    let volumes = node.each(|node| {
        let table = node.table()?;
        let path = table.required("path").and_then(|node| node.path());
        let read_only = table.maybe("read_only", |node| node.boolean());
        table.finish();
        Some(Volume { path: path?, read_only: read_only?.unwrap_or_default() })
    })?;
    if volumes.len() > 1 {
        findings.add(&place, format!("expected at most one volume, found {}", volumes.len()));
        return None;
    }
    Some(volumes)
}

/// The largest number of each kind means "any" to vsock, so it is nobody's.
fn guest(node: Node<'_>) -> Option<GuestSettings> {
    let default = GuestSettings::default();
    let table = node.table()?;
    let vsock_cid = table.maybe("vsock_cid", |node| node.integer32(SMALLEST_GUEST_CID..=u32::MAX - 1));
    let control_port = table.maybe("control_port", |node| node.integer32(1..=u32::MAX - 1));
    let console_log = table.maybe("console_log", |node| node.path());
    table.finish();
    Some(GuestSettings {
        vsock_cid: vsock_cid?.unwrap_or(default.vsock_cid),
        control_port: control_port?.unwrap_or(default.control_port),
        console_log: console_log?,
    })
}
