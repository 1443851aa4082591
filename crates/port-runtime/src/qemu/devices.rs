//! QEMU's spelling of the devices: console, control socket, disks, the way to the agent.

use std::path::{Path, PathBuf};

use port_guest_protocol::VIRTIO_SERIAL_PREFIX;

use super::render::{Arguments, Board, ConsoleTarget};
use crate::machine_spec::{AgentChannel, ChannelKind, Disk, DiskAccess, Share, Tap};
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

/// No script: whoever made the device set it up.
pub(super) fn network(arguments: &mut Arguments, tap: &Tap, board: Board) {
    let device = &tap.device;
    arguments.option("-netdev", &format!("tap,id=net0,ifname={device},script=no,downscript=no"));
    let suffix = board.virtio_suffix();
    arguments.option("-device", &format!("virtio-net-{suffix},netdev=net0,mac={}", tap.mac));
}

/// Each served by a virtiofsd, whose socket lies beside the agent's.
pub(super) fn shares(arguments: &mut Arguments, shares: &[Share], beside: &Path, board: Board) {
    for Share { tag, .. } in shares {
        let socket = virtiofs::socket(beside, tag);
        arguments.with_path("-chardev", &format!("socket,id=share-{tag},path="), &socket, "");
        let suffix = board.virtio_suffix();
        arguments.option("-device", &format!("vhost-user-fs-{suffix},chardev=share-{tag},tag={tag}"));
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
