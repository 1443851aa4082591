//! What is booted for a plan, and what is refused.

use port_model::Architecture;

use super::*;
use crate::container::tests::{LEAST, host, plan_of, request};

fn files() -> MachineFiles {
    MachineFiles {
        vmm: Vmm::Qemu,
        architecture: Architecture::X86_64,
        kernel: "/boot/vmlinux".into(),
        initrd: "/rooms/web_1/machine/initrd.cpio".into(),
        root: "/rooms/web_1/machine/root.ext4".into(),
        root_type: "ext4".to_owned(),
        layer: Some("/rooms/web_1/layer.ext4".into()),
        console: "/rooms/web_1/machine/console.log".into(),
        shares: "/rooms/web_1/shares".into(),
        verdicts: None,
    }
}

fn text(more: &str) -> String {
    let machine = LEAST.replace("\"container\"", "\"hybrid-kvm\"");
    format!("{machine}{more}\n[kernel]\npath = \"/boot/vmlinux\"\ncmdline = \"loglevel=3\"\n")
}

fn prepared(text: &str, best_effort: bool) -> Result<Job, DriverError> {
    let directory = tempfile::tempdir().unwrap();
    let request = Request { machine: Some(files()), best_effort, ..request() };
    MachineDriver.prepare(&plan_of(text), &request, &host(&directory))
}

fn machine(job: &Job) -> &MachineJob {
    let Body::Machine(machine) = &job.body else { panic!("{:?}", job.body) };
    machine
}

#[test]
fn v_5_v_19_v_22_v_28_a_plan_becomes_a_machine_of_its_size_and_kernel() {
    let resources =
        "[resources]\nmemory_limit = \"256M\"\ncpu_set = \"0-1\"\ncpu_weight = 50\npids_max = 9\n";
    let job = prepared(&text(&format!("{resources}[network]\nmode = \"none\"")), false).unwrap();
    let machine = machine(&job);
    let spec = &machine.spec;
    assert_eq!((spec.memory_mib, spec.vcpus, machine.pids), (256, 2, Some(9)));
    assert_eq!(
        spec.cmdline.to_string(),
        "loglevel=3 root=/dev/vda panic=1 quiet rootfstype=ext4 port.hostname=web-1 port.rootfs_overlay=1"
    );
    let disks: Vec<_> = spec.disks.iter().map(|disk| (disk.id.as_str(), disk.access)).collect();
    assert_eq!(disks, [("rootfs", DiskAccess::ReadOnly), ("layer", DiskAccess::ReadWrite)]);
    assert!(spec.network.is_none() && spec.check().is_ok());
    let limits: Vec<&str> = job.limits.iter().map(|limit| limit.file.as_str()).collect();
    assert_eq!(limits, ["cpu.weight", "cpuset.cpus"], "memory and processes are counted inside");
    assert_eq!(job.gate, ["/run/port/port-launcher", "--no-new-privileges", "--"], "all of its own kernel's");
    let rules = machine.confinement.join(" ");
    for part in [
        "--read /boot/vmlinux --read /rooms/web_1/machine/initrd.cpio",
        "--write /dev/kvm --write /dev/net/tun --write /dev/null --write /dev/random --write /dev/shm --write /dev/urandom \
         --write /dev/vhost-net --write /dev/vhost-vsock --write /dev/zero --write {run-directory} --write /rooms/web_1/layer.ext4 --",
    ] {
        assert!(rules.contains(part), "{part}\n{rules}");
    }
    assert!(!rules.contains("--write /rooms/web_1/machine") && !rules.contains("--read / "), "{rules}");
}

#[test]
fn v_27_v_35_v_42_v_43_what_takes_writes_volumes_and_the_card() {
    let volumes = "volumes = [{ host = \"/srv\", container = \"/data\", readonly = true }]\nwritable_layer = \"tmpfs\"\n";
    let job = prepared(&text(volumes), false).unwrap();
    let spec = &machine(&job).spec;
    let shares: Vec<_> = spec.shares.iter().map(|share| (share.tag.as_str(), share.path.clone())).collect();
    assert_eq!(shares, [("volume-0", "/rooms/web_1/shares/0".into())]);
    assert!(!machine(&job).volumes[0].writable && job.network.is_some());
    let Some(NetworkCard::Tap(tap)) = &spec.network else { panic!("{:?}", spec.network) };
    assert!(tap.device.len() == 13 && tap.mac.starts_with("02:") && tap.mac.len() == 17, "{tap:?}");
    assert!(spec.cmdline.to_string().ends_with("port.rootfs_overlay=tmpfs"), "{}", spec.cmdline);
    assert_ne!(super::tap("a").device, super::tap("b").device);
    let job = prepared(&text("[security]\nread_only_rootfs = true"), false).unwrap();
    assert!(machine(&job).spec.cmdline.to_string().ends_with(" ro"), "{}", machine(&job).spec.cmdline);
}

#[test]
fn c_48_what_a_machine_cannot_keep_is_refused_by_name() {
    let error = prepared(&text("[network]\nmode = \"host\""), false).unwrap_err().to_string();
    assert!(error.contains("`network.mode` is `host`, expected `bridge` or `none`"), "{error}");
    let strict = text("[security]\nseccomp_profile = \"strict\"");
    let error = prepared(&strict, false).unwrap_err().to_string();
    assert!(error.contains("`security.seccomp_profile`"), "{error}");
    assert_eq!(prepared(&strict, true).unwrap().warnings.len(), 1);
}

#[test]
fn machines_of_two_workloads_have_two_addresses_on_vsock() {
    let (one, other) = (context_id("one"), context_id("other"));
    assert!(one != other && one.min(other) >= FIRST_GUEST_CID && one.max(other) < u32::MAX);
}
