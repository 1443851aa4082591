//! What this host can do, as data: each fact with what it is for and how to get it. Words and colours are the
//! caller's.

use std::path::Path;

use port_content::fs;
use port_model::Architecture;
use serde::{Deserialize, Serialize};

use crate::accelerator::{self, Accelerator};
use crate::error::RuntimeError;
use crate::host::{self, DeviceAccess};
use crate::qemu::program_name;
use crate::refusal::{HostSystem, PvmHostKit, RunFacts};
use crate::search_path::SearchPath;

/// How good a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is there and works.
    Ok,
    /// It works, but less than it could.
    Limited,
    /// It is not there.
    Missing,
}

/// One fact about this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// A stable name, as "qemu-system-x86_64" or "/dev/kvm".
    pub name: String,
    /// How good it is.
    pub status: Status,
    /// Whether building and booting native variants needs it.
    pub required: bool,
    /// What was found, in a few words.
    pub found: String,
    /// Why it is no better, in a sentence.
    pub reason: Option<String>,
    /// What it is for.
    pub purpose: String,
    /// How to get it, where it is missing or limited and something can be done.
    pub remedy: Option<String>,
}

/// The longest boot line that is read.
const BOOT_LINE_LIMIT: u64 = 64 * 1024;

/// A program that Port can make use of.
struct Tool {
    program: &'static str,
    purpose: &'static str,
    remedy: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        program: crate::channel::HELPER,
        purpose: "vsock for QEMU guests without /dev/vhost-vsock, on request",
        remedy: "cargo install vhost-device-vsock",
    },
    Tool {
        program: "firecracker",
        purpose: "boots firecracker variants",
        remedy: "a release of github.com/firecracker-microvm/firecracker",
    },
    Tool {
        program: "cloud-hypervisor",
        purpose: "boots cloud-hypervisor variants",
        remedy: "a release of github.com/cloud-hypervisor/cloud-hypervisor",
    },
    Tool { program: "e2fsck", purpose: "checks ext4 images", remedy: "Debian package e2fsprogs" },
    Tool { program: "debugfs", purpose: "looks into ext4 images", remedy: "Debian package e2fsprogs" },
    Tool { program: "mksquashfs", purpose: "makes squashfs images", remedy: "Debian package squashfs-tools" },
    Tool { program: "mkfs.erofs", purpose: "makes erofs images", remedy: "Debian package erofs-utils" },
];

const DEVICES: &[(&str, &str, &str)] = &[
    ("/dev/kvm", "runs guests at full speed", "load the kvm module; join the group `kvm`"),
    (
        "/dev/vhost-vsock",
        "vsock for QEMU guests; virtio-serial is used instead",
        "load the vhost_vsock module",
    ),
];

/// Everything, in a fixed order. Starts a QEMU where no kept verdict holds.
pub async fn examine(search: &SearchPath, verdict_directory: Option<&Path>) -> Vec<Fact> {
    let mut facts = Vec::new();
    for architecture in Architecture::ALL {
        facts.push(qemu(*architecture, search, verdict_directory).await);
    }
    let verdict = accelerator::verdict(host::ARCHITECTURE, search, verdict_directory).await.ok();
    let without_kvm = verdict.filter(|verdict| verdict.accelerator == Accelerator::Tcg);
    let mut devices: Vec<Fact> =
        DEVICES.iter().map(|(path, purpose, remedy)| device(path, purpose, remedy)).collect();
    if let (Some(kvm), Some(verdict)) = (devices.first_mut(), without_kvm) {
        limit_kvm(kvm, verdict.reason);
    }
    facts.extend(devices);
    facts.push(time_stamp_counter());
    facts.extend(TOOLS.iter().map(|known| tool(known, search)));
    facts.push(busybox(search));
    facts
}

/// What decides which variants of `architecture` can run here. `patched_firecracker` is the path that the
/// environment names, if any.
///
/// # Errors
/// A QEMU that is there and does not start.
pub async fn run_facts(
    architecture: Architecture,
    search: &SearchPath,
    verdict_directory: Option<&Path>,
    patched_firecracker: Option<&Path>,
) -> Result<RunFacts, RuntimeError> {
    let has_qemu = search.find(program_name(architecture)).is_some();
    // KVM is the host's: it is tried with the host's own QEMU, where there is one.
    let kvm_works = match search.find(program_name(host::ARCHITECTURE)) {
        Some(_) => {
            let verdict = accelerator::verdict(host::ARCHITECTURE, search, verdict_directory).await?;
            verdict.accelerator == Accelerator::Kvm
        }
        None => host::device_access(Path::new("/dev/kvm")) == DeviceAccess::Usable,
    };
    Ok(RunFacts {
        architecture: host::ARCHITECTURE,
        system: system(),
        kvm_works,
        has_qemu,
        has_firecracker: search.find("firecracker").is_some(),
        has_cloud_hypervisor: search.find("cloud-hypervisor").is_some(),
        pvm: pvm_host_kit(search, patched_firecracker),
    })
}

fn system() -> HostSystem {
    if cfg!(target_os = "macos") {
        HostSystem::Macos
    } else if host::is_linux() {
        HostSystem::Linux
    } else {
        HostSystem::Other
    }
}

/// The PVM host kit (acceptance Pu-46).
fn pvm_host_kit(search: &SearchPath, patched_firecracker: Option<&Path>) -> PvmHostKit {
    let boot_line = fs::read_to_string(Path::new("/proc/cmdline"), BOOT_LINE_LIMIT).unwrap_or_default();
    PvmHostKit {
        host_kernel: fs::exists(Path::new("/sys/module/kvm_pvm")),
        pti_off: boot_line.split_whitespace().any(|word| word == "pti=off"),
        patched_firecracker: match patched_firecracker {
            Some(path) => fs::metadata(path).is_ok_and(|metadata| metadata.is_file()),
            None => search.find("firecracker-pvm").is_some(),
        },
    }
}

async fn qemu(architecture: Architecture, search: &SearchPath, directory: Option<&Path>) -> Fact {
    let name = program_name(architecture);
    let purpose = format!("boots {architecture} guests");
    match accelerator::verdict(architecture, search, directory).await {
        Ok(verdict) => {
            let (status, how) = match verdict.accelerator {
                Accelerator::Kvm => (Status::Ok, "with KVM"),
                Accelerator::Tcg => (Status::Limited, "emulates"),
            };
            let reason = (status != Status::Ok).then_some(verdict.reason);
            let found = format!("version {}, {how}", verdict.qemu_version);
            Fact { reason, ..Fact::new(name, status, found, purpose) }
        }
        Err(RuntimeError::QemuMissing { package, .. }) => {
            let remedy = Some(format!("Debian package {package}"));
            Fact { remedy, ..Fact::new(name, Status::Missing, "not found", purpose) }
        }
        Err(error) => {
            let reason = Some(error.to_string());
            Fact { reason, ..Fact::new(name, Status::Missing, "does not work", purpose) }
        }
    }
}

fn device(path: &str, purpose: &str, remedy: &str) -> Fact {
    let (status, found) = match host::device_access(Path::new(path)) {
        DeviceAccess::Usable => (Status::Ok, "can be opened"),
        DeviceAccess::Denied => (Status::Limited, "this user may not open it"),
        DeviceAccess::Missing => (Status::Missing, "not there"),
    };
    let remedy = (status != Status::Ok).then(|| remedy.to_owned());
    Fact { remedy, ..Fact::new(path, status, found, purpose) }
}

/// That it opens proves little; a guest was tried.
fn limit_kvm(kvm: &mut Fact, reason: String) {
    if kvm.status == Status::Ok {
        kvm.status = Status::Limited;
        "opens, but runs no guests".clone_into(&mut kvm.found);
        kvm.reason = Some(reason);
    }
}

fn time_stamp_counter() -> Fact {
    let (status, found, reason) = match host::tsc_khz() {
        Some(khz) => (Status::Ok, format!("{khz} kHz"), None),
        None => (
            Status::Limited,
            "unknown".to_owned(),
            Some("emulated x86 guests boot on the board q35, which is slower".to_owned()),
        ),
    };
    let purpose = "emulated x86 guests need not calibrate their clock";
    Fact { reason, ..Fact::new("time stamp counter", status, found, purpose) }
}

fn tool(tool: &Tool, search: &SearchPath) -> Fact {
    Fact::of_program(tool.program, tool.purpose, tool.remedy, search)
}

impl Fact {
    /// A fact that nothing needs and nothing mends.
    pub fn new(
        name: impl Into<String>,
        status: Status,
        found: impl Into<String>,
        purpose: impl Into<String>,
    ) -> Self {
        let (name, found, purpose) = (name.into(), found.into(), purpose.into());
        Self { name, status, required: false, found, reason: None, purpose, remedy: None }
    }

    /// Whether a program is there.
    pub fn of_program(program: &str, purpose: &str, remedy: &str, search: &SearchPath) -> Self {
        match search.find(program) {
            Some(path) => Self::new(program, Status::Ok, path.display().to_string(), purpose),
            None => Self {
                remedy: Some(remedy.to_owned()),
                ..Self::new(program, Status::Missing, "not found", purpose)
            },
        }
    }
}

/// busybox is only of use in a guest when it is static.
fn busybox(search: &SearchPath) -> Fact {
    let place = search.find("busybox");
    let (status, found) = match &place {
        Some(path) if is_static(path) => (Status::Ok, format!("{}, static", path.display())),
        Some(_) => (Status::Missing, "a dynamic one, of no use in a guest".to_owned()),
        None => (Status::Missing, "not found".to_owned()),
    };
    let remedy = (status != Status::Ok).then(|| "Debian package busybox-static".to_owned());
    Fact { remedy, ..Fact::new("busybox", status, found, "the programs of guests and initrds") }
}

/// Whether an ELF file names no interpreter (program header type 3).
fn is_static(path: &Path) -> bool {
    const BIGGEST: u64 = 64 * 1024 * 1024;
    const INTERPRETER: [u8; 4] = [3, 0, 0, 0];
    let Ok(bytes) = fs::read(path, BIGGEST) else { return false };
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let (Some(size), Some(count)) = (half(54), half(56)) else { return false };
    let headers = bytes.get(64..).unwrap_or_default().chunks(size.max(1)).take(count);
    bytes.starts_with(b"\x7fELF\x02\x01")
        && !headers.into_iter().any(|header| header.starts_with(&INTERPRETER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_qemu;

    #[tokio::test]
    async fn every_fact_that_is_not_ok_and_can_be_mended_says_how() {
        for fact in examine(&SearchPath::default(), None).await {
            assert!(!fact.purpose.is_empty() && !fact.found.is_empty(), "{fact:?}");
            if fact.status == Status::Missing {
                assert!(fact.remedy.is_some(), "{fact:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_qemu_that_emulates_is_limited_and_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let greeting =
            r#"echo '{"QMP": {"version": {"qemu": {"micro": 3, "minor": 2, "major": 1}}}}'; exit 1"#;
        let search = fake_qemu(directory.path(), greeting);
        let fact = qemu(host::ARCHITECTURE, &search, Some(directory.path())).await;
        assert_eq!(fact.status, Status::Limited);
        assert_eq!(fact.found, "version 1.2.3, emulates");
        assert!(fact.reason.is_some());
    }

    #[test]
    fn a_kvm_that_opens_and_runs_nothing_is_not_ok() {
        for (before, after) in [(Status::Ok, Status::Limited), (Status::Missing, Status::Missing)] {
            let mut kvm = Fact::new("/dev/kvm", before, "found", "speed");
            limit_kvm(&mut kvm, "a probe guest took over 2000 ms".to_owned());
            assert_eq!((kvm.status, kvm.reason.is_some()), (after, before == Status::Ok));
        }
    }

    #[test]
    fn pu_46_the_environment_can_name_the_patched_firecracker() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("firecracker");
        assert!(!pvm_host_kit(&SearchPath::default(), Some(&path)).patched_firecracker);
        port_content::atomic::write(&path, b"").unwrap();
        assert!(pvm_host_kit(&SearchPath::default(), Some(&path)).patched_firecracker);
    }
}
