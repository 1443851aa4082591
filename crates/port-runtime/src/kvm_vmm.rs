//! What Firecracker and Cloud Hypervisor have in common: they run guests with KVM and nothing else, and put the guest's
//! console on their own standard input and output.
//!
//! Not here: how each spells a machine (their `render`).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::agent::AgentClient;
use crate::confinement::Confinement;
use crate::console;
use crate::driver::Machine;
use crate::error::RuntimeError;
use crate::host::{self, DeviceAccess};
use crate::machine_spec::{ChannelKind, DiskAccess, MachineSpec, NetworkCard};
use crate::process_group::ProcessGroup;
use crate::run_directory::RunDirectory;
use crate::search_path::SearchPath;
use crate::spec_files;
use crate::timings::Timings;
use crate::vmm_process::VmmProcess;

const KVM: &str = "/dev/kvm";

/// A program that boots machines with KVM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KvmVmm<'a> {
    pub(crate) program: &'static str,
    /// What it boots, in words.
    pub(crate) purpose: &'static str,
    pub(crate) search: &'a SearchPath,
    pub(crate) run_root: &'a Path,
    pub(crate) confinement: &'a Confinement,
}

impl KvmVmm<'_> {
    /// Finds the program, once the spec is one that it can honour.
    pub(crate) fn check(&self, spec: &MachineSpec) -> Result<PathBuf, RuntimeError> {
        spec_files::check(spec)?;
        if let Some(reason) = unsupported(spec) {
            return Err(RuntimeError::Unsupported { driver: self.program, reason });
        }
        let missing = RuntimeError::VmmMissing { program: self.program, purpose: self.purpose };
        let program = self.search.find(self.program).ok_or(missing)?;
        let why = match host::device_access(Path::new(KVM)) {
            DeviceAccess::Usable => return Ok(program),
            DeviceAccess::Missing => "is missing",
            DeviceAccess::Denied => "may not be opened by this user",
        };
        let reason = format!("it needs {KVM}, which {why}");
        Err(RuntimeError::Unsupported { driver: self.program, reason })
    }

    pub(crate) fn directory(&self) -> Result<RunDirectory, RuntimeError> {
        RunDirectory::create(self.run_root)
    }

    /// Starts the program. Its console is connected from the first byte.
    pub(crate) fn start(
        &self,
        spec: &MachineSpec,
        program: &Path,
        arguments: &[OsString],
        directory: RunDirectory,
        requested: Instant,
    ) -> Result<Machine, RuntimeError> {
        let group = ProcessGroup::start(directory.path(), self.search.to_value())?;
        let (first, words) = self.confinement.around(directory.path(), program, arguments.to_vec());
        let mut child = group.spawn_on_pipes(&first, &words)?;
        let timings = Timings::new(requested, Instant::now());
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            let source = std::io::ErrorKind::BrokenPipe.into();
            return Err(RuntimeError::Spawn { program: program.to_owned(), source });
        };
        let vmm = VmmProcess::new(program, child);
        let console = console::pump(&spec.console, stdout, Box::new(stdin))?;
        Ok(Machine {
            vmm,
            _group: group,
            control: None,
            console,
            agent: agent(spec, directory.path()),
            timings,
            _directory: directory,
        })
    }
}

/// The VMM's end of the guest's vsock.
pub(crate) fn vsock_socket(run_directory: &Path) -> PathBuf {
    run_directory.join("agent.sock")
}

fn agent(spec: &MachineSpec, run_directory: &Path) -> Option<(AgentClient, ChannelKind)> {
    let port = spec.agent.as_ref()?.control_port;
    let client = AgentClient::over_vsock_socket(&vsock_socket(run_directory), port);
    Some((client, ChannelKind::VmmVsock))
}

/// What these drivers cannot do.
fn unsupported(spec: &MachineSpec) -> Option<String> {
    let (guest, host) = (spec.architecture, host::ARCHITECTURE);
    if guest != host {
        return Some(format!(
            "it runs guests of the host's architecture alone: expected {host}, found {guest}"
        ));
    }
    if let Some(only) = spec.agent.as_ref().and_then(|agent| agent.only)
        && only != ChannelKind::VmmVsock
    {
        return Some(format!(
            "it reaches a guest's agent over {} alone, found {only}",
            ChannelKind::VmmVsock
        ));
    }
    if let Some(share) = spec.shares.first() {
        let path = share.path.display();
        return Some(format!("it shares no directories of the host: expected none, found `{path}`"));
    }
    if let Some(NetworkCard::Published(_)) = &spec.network {
        return Some("it has no network of its own: expected a tap device, found published ports".to_owned());
    }
    let ephemeral = spec.disks.iter().find(|disk| disk.access == DiskAccess::Ephemeral);
    ephemeral.map(|disk| {
        let id = &disk.id;
        format!("it keeps no writes aside: expected disk `{id}` to be read-only or writable, found ephemeral")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_spec::tests::sample;
    use crate::machine_spec::{Share, ShareWay};

    #[test]
    fn what_cannot_be_honoured_in_full_is_refused() {
        type Change = fn(&mut MachineSpec);
        let cases: [(Change, Option<&str>); 6] = [
            (
                |s| s.network = Some(NetworkCard::Published(Vec::new())),
                Some("expected a tap device, found published ports"),
            ),
            (|s| s.agent = None, None),
            (|_| (), None),
            (
                |s| s.agent.as_mut().unwrap().only = Some(ChannelKind::VirtioSerial),
                Some("over vsock (the VMM's socket) alone, found virtio-serial"),
            ),
            (
                |s| {
                    s.shares.push(Share { tag: "data".into(), path: "/srv".into(), way: ShareWay::default() })
                },
                Some("expected none, found `/srv`"),
            ),
            (
                |s| {
                    s.disks[0].access = DiskAccess::Ephemeral;
                },
                Some("expected disk `root` to be read-only or writable, found ephemeral"),
            ),
        ];
        for (change, expected) in cases {
            let mut spec = MachineSpec { architecture: host::ARCHITECTURE, ..sample() };
            change(&mut spec);
            let found = unsupported(&spec);
            match expected {
                None => assert_eq!(found, None),
                Some(part) => {
                    assert!(found.as_deref().is_some_and(|reason| reason.contains(part)), "{found:?}")
                }
            }
        }
    }

    #[test]
    fn another_architecture_and_a_missing_program_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = directory.path().join("kernel");
        port_content::atomic::write(&kernel, b"x").unwrap();
        let mut spec = MachineSpec { kernel, initrd: None, agent: None, disks: Vec::new(), ..sample() };
        spec.architecture = host::ARCHITECTURE;
        let search = SearchPath::default();
        let vmm = KvmVmm {
            program: "firecracker",
            purpose: "machines with KVM",
            search: &search,
            run_root: directory.path(),
            confinement: &Confinement::default(),
        };
        let error = vmm.check(&spec).unwrap_err().to_string();
        assert_eq!(error, "`firecracker` was not found: it boots machines with KVM");
        let other = port_model::Architecture::ALL.iter().find(|found| **found != host::ARCHITECTURE);
        spec.architecture = *other.unwrap();
        let error = vmm.check(&spec).unwrap_err().to_string();
        assert!(error.contains("guests of the host's architecture alone"), "{error}");
    }
}
