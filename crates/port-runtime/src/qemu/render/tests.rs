//! The whole argument list of every kind of machine, word for word.

use super::*;
use crate::machine_spec::tests::sample;
use crate::machine_spec::{
    Disk, DiskAccess, NetworkCard, PublishedPort, Share, ShareWay, Tap, TransportProtocol,
};

fn facts() -> HostFacts {
    HostFacts {
        accelerator: Accelerator::Tcg,
        channel: Some(ChannelKind::VirtioSerial),
        tsc_khz: Some(2_596_120),
        sandbox: Sandbox::On,
        console: ConsoleTarget::Socket("/run/m/console.sock".into()),
        qmp_socket: Some("/run/m/qmp.sock".into()),
        agent_socket: "/run/m/agent.sock".into(),
    }
}

/// One option with its value per line.
fn text(spec: &MachineSpec, facts: &HostFacts) -> String {
    let mut text = String::new();
    for argument in render(spec, facts) {
        let argument = argument.to_string_lossy().into_owned();
        text.push(if argument.starts_with('-') { '\n' } else { ' ' });
        text.push_str(&argument);
    }
    text.trim_start().to_owned()
}

/// The lines of `found` that `base` has not, and the lines of `base` that `found` has not.
fn difference(base: &str, found: &str) -> String {
    let only = |sign: &str, these: &str, those: &str| -> Vec<String> {
        let lines = these.lines().filter(|line| !those.lines().any(|other| other == *line));
        lines.map(|line| format!("{sign}{line}")).collect()
    };
    [only("", base, found).iter().map(|l| format!("- {l}")).collect::<Vec<_>>(), only("+ ", found, base)]
        .concat()
        .join("\n")
}

const MICROVM_TCG_VIRTIO_SERIAL: &str = "\
-M microvm
-accel tcg
-cpu max
-smp 2
-m 512M
-nodefaults
-no-user-config
-nographic
-no-reboot
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-global virtio-mmio.force-legacy=false
-kernel /images/vmlinux
-initrd /images/initrd.cpio.gz
-append console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw tsc_early_khz=2596120
-chardev socket,id=console,path=/run/m/console.sock
-serial chardev:console
-chardev socket,id=qmp,path=/run/m/qmp.sock
-mon chardev=qmp,mode=control
-drive if=none,id=disk-root,format=raw,file=/images/rootfs.ext4
-device virtio-blk-device,drive=disk-root,serial=root
-device virtio-serial-device
-chardev socket,id=agent,path=/run/m/agent.sock
-device virtserialport,chardev=agent,name=org.port.agent.0";

#[test]
fn pu_9_the_sample_machine_on_an_emulated_microvm() {
    assert_eq!(text(&sample(), &facts()), MICROVM_TCG_VIRTIO_SERIAL);
}

#[test]
fn every_other_x86_machine_differs_as_listed() {
    type Change = fn(&mut MachineSpec, &mut HostFacts);
    let cases: [(&str, Change, &str); 12] = [
        (
            "kvm",
            |_, f| f.accelerator = Accelerator::Kvm,
            "\
- -accel tcg
- -cpu max
- -append console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw tsc_early_khz=2596120
+ -accel kvm
+ -cpu host
+ -append console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw",
        ),
        (
            "vhost-user vsock",
            |_, f| f.channel = Some(ChannelKind::HelperVsock),
            "\
- -M microvm
- -device virtio-serial-device
- -chardev socket,id=agent,path=/run/m/agent.sock
- -device virtserialport,chardev=agent,name=org.port.agent.0
+ -M microvm,memory-backend=mem0
+ -object memory-backend-memfd,id=mem0,size=512M,share=on
+ -chardev socket,id=vsock,path=/run/m/agent.sock
+ -device vhost-user-vsock-device,chardev=vsock",
        ),
        (
            "kernel vsock",
            |_, f| f.channel = Some(ChannelKind::KernelVsock),
            "\
- -device virtio-serial-device
- -chardev socket,id=agent,path=/run/m/agent.sock
- -device virtserialport,chardev=agent,name=org.port.agent.0
+ -device vhost-vsock-device,guest-cid=3",
        ),
        (
            "no agent",
            |s, _| s.agent = None,
            "\
- -device virtio-serial-device
- -chardev socket,id=agent,path=/run/m/agent.sock
- -device virtserialport,chardev=agent,name=org.port.agent.0",
        ),
        (
            "q35 where the counter's rate is unknown",
            |_, f| f.tsc_khz = None,
            "\
- -M microvm
- -global virtio-mmio.force-legacy=false
- -append console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw tsc_early_khz=2596120
- -device virtio-blk-device,drive=disk-root,serial=root
- -device virtio-serial-device
+ -M q35
+ -append console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw pci=conf1
+ -device virtio-blk-pci,drive=disk-root,serial=root
+ -device virtio-serial-pci",
        ),
        (
            "read-only disk",
            |s, _| s.disks[0].access = DiskAccess::ReadOnly,
            "\
- -drive if=none,id=disk-root,format=raw,file=/images/rootfs.ext4
+ -drive if=none,id=disk-root,format=raw,file=/images/rootfs.ext4,readonly=on",
        ),
        (
            "ephemeral disk",
            |s, _| s.disks[0].access = DiskAccess::Ephemeral,
            "\
- -drive if=none,id=disk-root,format=raw,file=/images/rootfs.ext4
+ -drive if=none,id=disk-root,format=raw,file=/images/rootfs.ext4,snapshot=on",
        ),
        (
            "two disks",
            |s, _| {
                s.disks.push(Disk {
                    id: "data".into(),
                    path: "/images/data".into(),
                    access: DiskAccess::ReadOnly,
                })
            },
            "\
+ -drive if=none,id=disk-data,format=raw,file=/images/data,readonly=on
+ -device virtio-blk-device,drive=disk-data,serial=data",
        ),
        (
            "commas in paths",
            |s, f| {
                s.kernel = "/a,b/k".into();
                s.disks[0].path = "/a,b/readonly=on,c".into();
                f.agent_socket = "/r,/agent.sock".into();
            },
            "\
- -kernel /images/vmlinux
- -drive if=none,id=disk-root,format=raw,file=/images/rootfs.ext4
- -chardev socket,id=agent,path=/run/m/agent.sock
+ -kernel /a,b/k
+ -drive if=none,id=disk-root,format=raw,file=/a,,b/readonly=on,,c
+ -chardev socket,id=agent,path=/r,,/agent.sock",
        ),
        (
            "console on QEMU's own terminal, no control socket, no sandbox",
            |_, f| {
                f.console = ConsoleTarget::Stdio;
                f.qmp_socket = None;
                f.sandbox = Sandbox::Unsupported;
            },
            "\
- -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
- -chardev socket,id=console,path=/run/m/console.sock
- -chardev socket,id=qmp,path=/run/m/qmp.sock
- -mon chardev=qmp,mode=control
+ -chardev stdio,id=console,signal=off",
        ),
        (
            "console in a file",
            |_, f| f.console = ConsoleTarget::File("/l,og".into()),
            "\
- -chardev socket,id=console,path=/run/m/console.sock
+ -chardev file,id=console,path=/l,,og",
        ),
        (
            "what the user wrote wins, what is missing is added",
            |s, _| {
                s.cmdline = Cmdline::parse("tsc_early_khz=1 reboot=a").unwrap();
                s.initrd = None;
            },
            "\
- -initrd /images/initrd.cpio.gz
- -append console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw tsc_early_khz=2596120
+ -append tsc_early_khz=1 reboot=a console=ttyS0 panic=-1",
        ),
    ];
    for (name, change, expected) in cases {
        let (mut spec, mut facts) = (sample(), facts());
        change(&mut spec, &mut facts);
        assert_eq!(difference(MICROVM_TCG_VIRTIO_SERIAL, &text(&spec, &facts)), expected, "{name}");
    }
}

#[test]
fn an_emulated_arm_machine() {
    let mut spec = sample();
    spec.architecture = Architecture::Aarch64;
    spec.cmdline = Cmdline::parse("root=/dev/vda").unwrap();
    let found = text(&spec, &facts());
    let expected = "\
- -M microvm
- -cpu max
- -append console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw tsc_early_khz=2596120
+ -M virt
+ -cpu cortex-a57
+ -append root=/dev/vda console=ttyAMA0 panic=-1";
    assert_eq!(difference(MICROVM_TCG_VIRTIO_SERIAL, &found), expected);
    spec.vcpus = 9;
    assert!(text(&spec, &facts()).starts_with("-M virt,gic-version=3\n"));
    let kvm = HostFacts { accelerator: Accelerator::Kvm, ..facts() };
    assert!(text(&spec, &kvm).starts_with("-M virt,gic-version=host\n-accel kvm\n-cpu host\n"));
}

#[test]
fn no_machine_has_a_network_or_loses_acpi() {
    for tsc_khz in [None, Some(1)] {
        for architecture in Architecture::ALL {
            let spec = MachineSpec { architecture: *architecture, ..sample() };
            let text = text(&spec, &HostFacts { tsc_khz, ..facts() });
            assert!(text.contains("\n-nodefaults\n-no-user-config\n-nographic\n-no-reboot\n"), "{text}");
            assert!(!text.contains("-net") && !text.contains("acpi=off"), "{text}");
        }
    }
}

#[test]
fn ku_32_a_unikernel_gets_the_board_of_a_pc_and_its_own_arguments_alone() {
    let spec = MachineSpec {
        family: KernelFamily::Other,
        cmdline: Cmdline::parse("env.vars=[ \"A=b c\" ] -- hello").unwrap(),
        shares: Vec::new(),
        network: None,
        agent: None,
        disks: Vec::new(),
        ..sample()
    };
    let expected = "\
-M pc
-accel tcg
-cpu max
-smp 2
-m 512M
-nodefaults
-no-user-config
-display none
-no-reboot
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-kernel /images/vmlinux
-initrd /images/initrd.cpio.gz
-append env.vars=[ \"A=b c\" ] -- hello
-chardev socket,id=console,path=/run/m/console.sock
-serial chardev:console
-chardev socket,id=qmp,path=/run/m/qmp.sock
-mon chardev=qmp,mode=control";
    assert_eq!(text(&spec, &HostFacts { channel: None, ..facts() }), expected);
    let arm = MachineSpec { architecture: Architecture::Aarch64, ..spec };
    let found = text(&arm, &HostFacts { channel: None, ..facts() });
    assert!(found.starts_with("-M virt\n") && found.contains("\n-append env.vars=[ \"A=b c\" ] -- hello\n"));
}

#[test]
fn ku_32_ports_volumes_and_a_card_of_a_unikernel_s_machine() {
    let share = |tag: &str, path: &str, read_only| Share {
        tag: tag.into(),
        path: path.into(),
        way: ShareWay::NineP { read_only },
    };
    let port = |protocol, host: u16, guest: u16| PublishedPort {
        protocol,
        host: host.try_into().unwrap(),
        guest: guest.try_into().unwrap(),
    };
    let mut spec = MachineSpec {
        family: KernelFamily::Other,
        shares: vec![share("fs1", "/srv/a,b", true), share("data", "/data", false)],
        network: Some(NetworkCard::Published(vec![
            port(TransportProtocol::Tcp, 8080, 80),
            port(TransportProtocol::Udp, 53, 5353),
        ])),
        agent: None,
        disks: Vec::new(),
        ..sample()
    };
    let facts = HostFacts { channel: None, ..facts() };
    let devices = |spec: &MachineSpec| {
        let all = text(spec, &facts);
        assert!(!all.contains("memory-backend"), "nobody else reads the guest's memory: {all}");
        let (_, devices) = all.split_once("mode=control\n").unwrap();
        devices.to_owned()
    };
    let shares = "\
-fsdev local,id=share-fs1,security_model=none,multidevs=remap,path=/srv/a,,b,readonly=on
-device virtio-9p-pci,fsdev=share-fs1,mount_tag=fs1
-fsdev local,id=share-data,security_model=none,multidevs=remap,path=/data
-device virtio-9p-pci,fsdev=share-data,mount_tag=data";
    let card = "\
-netdev user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:53-:5353
-device virtio-net-pci,netdev=net0,romfile=";
    assert_eq!(devices(&spec), format!("{card}\n{shares}"));
    spec.shares = Vec::new();
    spec.network = Some(NetworkCard::Tap(Tap { device: "vp-0".into(), mac: "02:00:00:00:00:01".into() }));
    let card = "\
-netdev tap,id=net0,ifname=vp-0,script=no,downscript=no
-device virtio-net-pci,netdev=net0,mac=02:00:00:00:00:01,romfile=";
    assert_eq!(devices(&spec), card);
}
