//! QEMU's spelling of the devices: console, control socket, disks, the way to the agent.

use std::path::{Path, PathBuf};

use port_guest_protocol::VIRTIO_SERIAL_PREFIX;

use super::render::{Arguments, Board, ConsoleTarget};
use crate::machine_spec::{
    AgentChannel, ChannelKind, Disk, DiskAccess, NetworkCard, PublishedPort, Share, ShareWay,
    TransportProtocol,
};
use crate::virtiofs;

/// The socket of a side port, beside the agent's own.
pub(crate) fn side_socket(socket: &Path, number: u8) -> PathBuf {
    socket.with_file_name(format!("agent-{number}.sock"))
}

/// The virtio-serial port's name, by which the guest finds it under `/sys/class/virtio-ports`.
pub const AGENT_PORT_NAME: &str = "org.port.agent.0";

pub(super) fn console(arguments: &mut Arguments, target: &ConsoleTarget) {
    match target {
        ConsoleTarget::Socket(path) => arguments.with_path("-chardev", "socket,id=console,path=", path, ""),
        ConsoleTarget::File(path) => arguments.with_path("-chardev", "file,id=console,path=", path, ""),
        // With signal=off, Ctrl-C goes to the guest.
        ConsoleTarget::Stdio => arguments.option("-chardev", "stdio,id=console,signal=off"),
        ConsoleTarget::Null => arguments.option("-chardev", "null,id=console"),
    }
    arguments.option("-serial", "chardev:console");
}

pub(super) fn control(arguments: &mut Arguments, socket: Option<&Path>) {
    if let Some(path) = socket {
        arguments.with_path("-chardev", "socket,id=qmp,path=", path, "");
        arguments.option("-mon", "chardev=qmp,mode=control");
    }
}

pub(super) fn disk(arguments: &mut Arguments, disk: &Disk, board: Board) {
    let access = match disk.access {
        DiskAccess::ReadOnly => ",readonly=on",
        DiskAccess::ReadWrite => "",
        // QEMU keeps the writes in a file that it unlinks at once.
        DiskAccess::Ephemeral => ",snapshot=on",
    };
    let id = &disk.id;
    arguments.with_path("-drive", &format!("if=none,id=disk-{id},format=raw,file="), &disk.path, access);
    let suffix = board.virtio_suffix();
    arguments.option("-device", &format!("virtio-blk-{suffix},drive=disk-{id},serial={id}"));
}

/// Without a boot ROM: it could be missing, and nothing boots from the network.
pub(super) fn network(arguments: &mut Arguments, card: &NetworkCard, board: Board) {
    let mut device = format!("virtio-net-{},netdev=net0", board.virtio_suffix());
    match card {
        // No script: whoever made the device set it up.
        NetworkCard::Tap(tap) => {
            let name = &tap.device;
            arguments.option("-netdev", &format!("tap,id=net0,ifname={name},script=no,downscript=no"));
            device.push_str(&format!(",mac={}", tap.mac));
        }
        // Without `restrict`, the guest would reach what listens on the host's loopback address.
        NetworkCard::Published(ports) => {
            let rules: String = ports.iter().map(forward).collect();
            arguments.option("-netdev", &format!("user,id=net0,restrict=on{rules}"));
        }
    }
    if board.has_pci() {
        device.push_str(",romfile=");
    }
    arguments.option("-device", &device);
}

fn forward(port: &PublishedPort) -> String {
    let protocol = match port.protocol {
        TransportProtocol::Tcp => "tcp",
        TransportProtocol::Udp => "udp",
    };
    format!(",hostfwd={protocol}:127.0.0.1:{}-:{}", port.host, port.guest)
}

pub(super) fn shares(arguments: &mut Arguments, shares: &[Share], beside: &Path, board: Board) {
    let suffix = board.virtio_suffix();
    for Share { tag, path, way } in shares {
        match way {
            // Served by a virtiofsd, whose socket lies beside the agent's.
            ShareWay::Virtiofs => {
                let socket = virtiofs::socket(beside, tag);
                arguments.with_path("-chardev", &format!("socket,id=share-{tag},path="), &socket, "");
                arguments.option("-device", &format!("vhost-user-fs-{suffix},chardev=share-{tag},tag={tag}"));
            }
            // Files belong to whoever runs QEMU: it needs no rights for that.
            ShareWay::NineP { read_only } => {
                let after = if *read_only { ",readonly=on" } else { "" };
                let before = format!("local,id=share-{tag},security_model=none,multidevs=remap,path=");
                arguments.with_path("-fsdev", &before, path, after);
                arguments.option("-device", &format!("virtio-9p-{suffix},fsdev=share-{tag},mount_tag={tag}"));
            }
        }
    }
}

pub(super) fn channel(
    arguments: &mut Arguments,
    agent: &AgentChannel,
    channel: ChannelKind,
    socket: &Path,
    board: Board,
) {
    let suffix = board.virtio_suffix();
    match channel {
        ChannelKind::KernelVsock => {
            arguments.option("-device", &format!("vhost-vsock-{suffix},guest-cid={}", agent.vsock_cid));
        }
        ChannelKind::HelperVsock => {
            arguments.with_path("-chardev", "socket,id=vsock,path=", socket, "");
            arguments.option("-device", &format!("vhost-user-vsock-{suffix},chardev=vsock"));
        }
        // Refused where channels are chosen: it is another VMM's.
        ChannelKind::VmmVsock => {}
        ChannelKind::VirtioSerial => {
            arguments.option("-device", &format!("virtio-serial-{suffix}"));
            // Before the first port: when the guest sees that one, it has seen these. QEMU listens, for whoever comes.
            for number in 1..=agent.side_ports {
                let path = side_socket(socket, number);
                let before = format!("socket,id=agent{number},server=on,wait=off,path=");
                arguments.with_path("-chardev", &before, &path, "");
                let name = format!("{VIRTIO_SERIAL_PREFIX}{number}");
                arguments.option("-device", &format!("virtserialport,chardev=agent{number},name={name}"));
            }
            arguments.with_path("-chardev", "socket,id=agent,path=", socket, "");
            arguments.option("-device", &format!("virtserialport,chardev=agent,name={AGENT_PORT_NAME}"));
        }
    }
}
