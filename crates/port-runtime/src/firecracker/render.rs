//! A [`MachineSpec`] as Firecracker's configuration file. Pure: no I/O, no clock.
//!
//! Traps this file knows:
//! - Firecracker ends when the guest resets through the keyboard controller: Linux is told so (`reboot=k`).
//! - It takes unknown keys at the top level without a word, so what is written here is what its own samples have.
//! - Paths are JSON text: one that is not UTF-8 is shown with replacement characters, and then not found by Firecracker.

use std::path::Path;

use port_model::Cmdline;
use serde::Serialize;

use crate::machine_spec::{Disk, DiskAccess, KernelFamily, MachineSpec, NetworkCard};

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Configuration {
    boot_source: BootSource,
    drives: Vec<Drive>,
    machine_config: MachineConfig,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    network_interfaces: Vec<NetworkInterface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vsock: Option<Vsock>,
}

#[derive(Serialize)]
struct NetworkInterface {
    iface_id: &'static str,
    guest_mac: String,
    host_dev_name: String,
}

#[derive(Serialize)]
struct Vsock {
    guest_cid: u32,
    uds_path: String,
}

#[derive(Serialize)]
struct BootSource {
    kernel_image_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    initrd_path: Option<String>,
    boot_args: String,
}

#[derive(Serialize)]
struct Drive {
    drive_id: String,
    path_on_host: String,
    is_root_device: bool,
    is_read_only: bool,
}

#[derive(Serialize)]
struct MachineConfig {
    vcpu_count: u32,
    mem_size_mib: u32,
}

/// The text of the configuration file. The guest's vsock ends at `agent_socket`, which Firecracker makes.
pub fn render(spec: &MachineSpec, agent_socket: &Path) -> String {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let configuration = Configuration {
        boot_source: BootSource {
            kernel_image_path: text(&spec.kernel),
            initrd_path: spec.initrd.as_deref().map(text),
            boot_args: with_an_end(boot_arguments(spec).to_string()),
        },
        drives: spec.disks.iter().map(drive).collect(),
        machine_config: MachineConfig { vcpu_count: spec.vcpus, mem_size_mib: spec.memory_mib },
        network_interfaces: spec.network.iter().filter_map(interface).collect(),
        vsock: spec.agent.map(|agent| Vsock { guest_cid: agent.vsock_cid, uds_path: text(agent_socket) }),
    };
    // Numbers and text alone: this cannot fail.
    serde_json::to_string_pretty(&configuration).unwrap_or_default()
}

/// Networks of another kind are refused before.
fn interface(card: &NetworkCard) -> Option<NetworkInterface> {
    let NetworkCard::Tap(tap) = card else { return None };
    let (guest_mac, host_dev_name) = (tap.mac.clone(), tap.device.clone());
    Some(NetworkInterface { iface_id: "net0", guest_mac, host_dev_name })
}

/// The boot arguments say which disk is the root; Firecracker would put another word there.
fn drive(disk: &Disk) -> Drive {
    Drive {
        drive_id: disk.id.clone(),
        path_on_host: disk.path.to_string_lossy().into_owned(),
        is_root_device: false,
        is_read_only: disk.access != DiskAccess::ReadWrite,
    }
}

/// Firecracker puts words of its own before the ` -- ` that ends the kernel's arguments; without the second space it sees none
/// and puts them behind, where they are the program's.
fn with_an_end(mut arguments: String) -> String {
    if arguments.ends_with(" --") {
        arguments.push(' ');
    }
    arguments
}

fn boot_arguments(spec: &MachineSpec) -> Cmdline {
    let mut cmdline = spec.cmdline.clone();
    if spec.family == KernelFamily::Linux {
        cmdline.default_to("console", "ttyS0");
        cmdline.default_to("reboot", "k");
        cmdline.default_to("panic", "1");
    }
    cmdline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_spec::Tap;
    use crate::machine_spec::tests::sample;

    fn render_it(spec: &MachineSpec) -> String {
        render(spec, Path::new("/run/agent.sock"))
    }

    #[test]
    fn the_sample_machine_word_for_word() {
        let expected = r#"{
  "boot-source": {
    "kernel_image_path": "/images/vmlinux",
    "initrd_path": "/images/initrd.cpio.gz",
    "boot_args": "console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw"
  },
  "drives": [
    {
      "drive_id": "root",
      "path_on_host": "/images/rootfs.ext4",
      "is_root_device": false,
      "is_read_only": false
    }
  ],
  "machine-config": {
    "vcpu_count": 2,
    "mem_size_mib": 512
  },
  "network-interfaces": [
    {
      "iface_id": "net0",
      "guest_mac": "02:00:00:00:00:01",
      "host_dev_name": "vp-0"
    }
  ],
  "vsock": {
    "guest_cid": 3,
    "uds_path": "/run/agent.sock"
  }
}"#;
        let mut spec = sample();
        spec.network = Some(NetworkCard::Tap(Tap { device: "vp-0".into(), mac: "02:00:00:00:00:01".into() }));
        assert_eq!(render_it(&spec), expected);
    }

    #[test]
    fn a_unikernel_gets_its_own_arguments_alone() {
        let mut spec = sample();
        spec.cmdline = Cmdline::parse("kernel -- hello \"two words\"").unwrap();
        (spec.family, spec.initrd, spec.disks) = (KernelFamily::Other, None, Vec::new());
        let found = render_it(&spec);
        assert!(found.contains(r#""boot_args": "kernel -- hello \"two words\"""#), "{found}");
        assert!(found.contains(r#""drives": []"#) && !found.contains("initrd"), "{found}");
        spec.cmdline = Cmdline::parse("kernel --").unwrap();
        assert!(
            render_it(&spec).contains(r#""boot_args": "kernel -- ""#),
            "the end of its own arguments is seen"
        );
        spec.cmdline = Cmdline::parse("a \"two words\"").unwrap();
        spec.family = KernelFamily::Linux;
        assert!(
            render_it(&spec).contains(r#"words\" console=ttyS0 reboot=k panic=1""#),
            "{}",
            render_it(&spec)
        );
    }
}
