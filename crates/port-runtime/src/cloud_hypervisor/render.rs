//! A [`MachineSpec`] as Cloud Hypervisor's arguments. Pure: no I/O, no clock.
//!
//! Traps this file knows:
//! - It boots a kernel by PVH, so an x86 kernel is an ELF file with that note.
//! - The console would take standard input and output from the serial line: it is off.
//! - Values of lists are quoted where they hold a comma. A quote among them cannot be said; the driver refuses it before.

use std::ffi::OsString;
use std::path::Path;

use port_model::{Architecture, Cmdline};

use crate::machine_spec::{Disk, DiskAccess, KernelFamily, MachineSpec, NetworkCard};

/// The arguments, without the program. The guest's vsock ends at `agent_socket`, which Cloud Hypervisor makes.
pub fn render(spec: &MachineSpec, agent_socket: &Path) -> Vec<OsString> {
    let mut arguments = vec![OsString::from("--kernel"), spec.kernel.clone().into()];
    if let Some(initrd) = &spec.initrd {
        arguments.extend(["--initramfs".into(), initrd.clone().into()]);
    }
    let mut option = |name: &str, value: String| arguments.extend([name.into(), value.into()]);
    option("--cmdline", boot_arguments(spec).to_string());
    option("--cpus", format!("boot={}", spec.vcpus));
    option("--memory", format!("size={}M", spec.memory_mib));
    option("--serial", "tty".to_owned());
    option("--console", "off".to_owned());
    // Networks of another kind are refused before.
    if let Some(NetworkCard::Tap(tap)) = &spec.network {
        option("--net", format!("tap={},mac={}", tap.device, tap.mac));
    }
    if let Some(agent) = &spec.agent {
        let mut value = OsString::from(format!("cid={},socket=", agent.vsock_cid));
        value.push(quoted(agent_socket));
        arguments.extend(["--vsock".into(), value]);
    }
    if !spec.disks.is_empty() {
        // One option with every disk behind it.
        arguments.push("--disk".into());
        arguments.extend(spec.disks.iter().map(disk));
    }
    arguments
}

fn disk(disk: &Disk) -> OsString {
    let read_only = if disk.access == DiskAccess::ReadWrite { "off" } else { "on" };
    let mut value = OsString::from("path=");
    value.push(quoted(&disk.path));
    value.push(format!(",readonly={read_only},id={id},serial={id}", id = disk.id));
    value
}

/// Only what would be misread is quoted.
fn quoted(path: &Path) -> OsString {
    if !path.to_string_lossy().contains([',', '[', ']']) {
        return path.into();
    }
    let mut text = OsString::from("\"");
    text.push(path);
    text.push("\"");
    text
}

fn boot_arguments(spec: &MachineSpec) -> Cmdline {
    let mut cmdline = spec.cmdline.clone();
    if spec.family == KernelFamily::Linux {
        let console = match spec.architecture {
            Architecture::X86_64 => "ttyS0",
            Architecture::Aarch64 => "ttyAMA0",
        };
        cmdline.default_to("console", console);
        cmdline.default_to("panic", "1");
    }
    cmdline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_spec::Tap;
    use crate::machine_spec::tests::sample;

    fn text(spec: &MachineSpec) -> String {
        let words =
            render(spec, Path::new("/run/agent.sock")).into_iter().map(|word| word.into_string().unwrap());
        words
            .map(|word| if word.starts_with("--") { format!("\n{word}") } else { format!(" {word}") })
            .collect()
    }

    #[test]
    fn the_sample_machine_word_for_word() {
        let expected = "
--kernel /images/vmlinux
--initramfs /images/initrd.cpio.gz
--cmdline console=ttyS0 reboot=k panic=1 pci=off root=/dev/vda rw
--cpus boot=2
--memory size=512M
--serial tty
--console off
--net tap=vp-0,mac=02:00:00:00:00:01
--vsock cid=3,socket=/run/agent.sock
--disk path=/images/rootfs.ext4,readonly=off,id=root,serial=root";
        let mut spec = sample();
        spec.network = Some(NetworkCard::Tap(Tap { device: "vp-0".into(), mac: "02:00:00:00:00:01".into() }));
        assert_eq!(text(&spec), expected);
    }

    #[test]
    fn a_unikernel_gets_its_own_arguments_alone_and_commas_are_quoted() {
        let mut spec = sample();
        spec.cmdline = Cmdline::parse("kernel -- hello").unwrap();
        (spec.family, spec.initrd) = (KernelFamily::Other, None);
        spec.disks[0].path = "/a,b.raw".into();
        spec.disks[0].access = DiskAccess::ReadOnly;
        let found = text(&spec);
        assert!(found.contains("\n--cmdline kernel -- hello\n"), "{found}");
        assert!(found.ends_with("path=\"/a,b.raw\",readonly=on,id=root,serial=root"), "{found}");
        assert!(!found.contains("initramfs"), "{found}");
    }
}
