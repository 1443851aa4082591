//! The QEMU driver: renders the spec, starts QEMU with its sockets connected to Port, hands out the machine.
//!
//! Port listens and QEMU connects, for the console, the control channel and the virtio-serial port alike: nothing is
//! polled for, and a connected console means that QEMU has come far enough to run the guest.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::net::UnixListener;

use crate::accelerator::{self, AcceleratorVerdict};
use crate::agent::{AgentClient, Link};
use crate::channel::{self, Offers};
use crate::confinement::Confinement;
use crate::console;
use crate::driver::{Driver, Machine};
use crate::error::{RuntimeError, channel_error};
use crate::host;
use crate::machine_spec::{AgentChannel, ChannelKind, MachineSpec};
use crate::process_group::ProcessGroup;
use crate::run_directory::RunDirectory;
use crate::search_path::SearchPath;
use crate::spec_files;
use crate::timings::Timings;
use crate::virtiofs;
use crate::vmm_process::VmmProcess;

mod devices;
pub(crate) mod program;
mod qmp;
mod render;

pub use devices::AGENT_PORT_NAME;
pub(crate) use devices::side_socket;
pub use program::{debian_package, find, program_name};
pub(crate) use qmp::QmpClient;
pub(crate) use render::SANDBOX;
pub use render::{Board, ConsoleTarget, HostFacts, Sandbox, render};

/// QEMU connects within 50 ms of its start; a loaded host may need many times that.
const CONNECT_TIME: Duration = Duration::from_secs(20);

/// Boots machines with QEMU.
#[derive(Debug, Clone)]
pub struct QemuDriver {
    /// Where QEMU and the helper are looked for.
    pub search: SearchPath,
    /// Where run directories are made: short, and on a local file system.
    pub run_root: PathBuf,
    /// The directory where the accelerator's verdicts are kept; `None` probes every time.
    pub verdicts: Option<PathBuf>,
    /// What the VMM is started through.
    pub confinement: Confinement,
}

#[async_trait]
impl Driver for QemuDriver {
    fn name(&self) -> &'static str {
        "qemu"
    }

    async fn boot(&self, spec: &MachineSpec) -> Result<Machine, RuntimeError> {
        let requested = Instant::now();
        spec_files::check(spec)?;
        let qemu = program::find(spec.architecture, &self.search)?;
        let virtiofsd = virtiofs::find(&spec.shares, &self.search)?;
        let verdicts = self.verdicts.as_deref();
        let verdict = accelerator::verdict(spec.architecture, &self.search, verdicts).await?;
        let offers = Offers::look(&self.search);
        let channel = spec.agent.as_ref().map(|agent| offers.choose(agent)).transpose()?;
        let directory = RunDirectory::create(&self.run_root)?;
        let mut group = ProcessGroup::start(directory.path(), self.search.to_value())?;
        let sockets = Sockets::open(&directory, channel)?;
        if let (Some(agent), Some(helper), Some(ChannelKind::HelperVsock)) =
            (&spec.agent, &offers.helper, channel)
        {
            let cid = agent.vsock_cid;
            channel::start_helper(&mut group, helper, cid, &sockets.vmm, &sockets.agent).await?;
        }
        virtiofs::start(&mut group, virtiofsd.as_deref(), &spec.shares, &sockets.agent).await?;
        let arguments = render(spec, &facts(&verdict, channel, &sockets));
        let (program, arguments) = self.confinement.around(directory.path(), &qemu, arguments);
        let child = group.spawn(&program, &arguments)?;
        let spawned = Instant::now();
        let vmm = VmmProcess::new(&qemu, child);
        let timings = Timings::new(requested, spawned);
        connect(spec, sockets, vmm, group, directory, timings).await
    }
}

/// The sockets of one machine.
struct Sockets {
    console: (PathBuf, UnixListener),
    control: (PathBuf, UnixListener),
    /// Only for virtio-serial: for vsock, others listen.
    serial: Option<UnixListener>,
    /// The agent's: Port's for virtio-serial, the helper's for vsock.
    agent: PathBuf,
    /// The helper's other socket, for the VMM.
    vmm: PathBuf,
    channel: Option<ChannelKind>,
}

impl Sockets {
    fn open(directory: &RunDirectory, channel: Option<ChannelKind>) -> Result<Self, RuntimeError> {
        let (console, control) = (directory.listen("console.sock")?, directory.listen("qmp.sock")?);
        let (agent, serial) = if channel == Some(ChannelKind::VirtioSerial) {
            let (path, listener) = directory.listen("agent.sock")?;
            (path, Some(listener))
        } else {
            (directory.socket("agent.sock")?, None)
        };
        Ok(Self { console, control, serial, agent, vmm: directory.socket("vhost.sock")?, channel })
    }
}

fn facts(verdict: &AcceleratorVerdict, channel: Option<ChannelKind>, sockets: &Sockets) -> HostFacts {
    let agent_socket = if channel == Some(ChannelKind::HelperVsock) { &sockets.vmm } else { &sockets.agent };
    HostFacts {
        accelerator: verdict.accelerator,
        channel,
        tsc_khz: host::tsc_khz(),
        sandbox: verdict.sandbox,
        console: ConsoleTarget::Socket(sockets.console.0.clone()),
        qmp_socket: Some(sockets.control.0.clone()),
        agent_socket: agent_socket.clone(),
    }
}

/// Takes QEMU's connections. QEMU that ends before it made them all has said why.
async fn connect(
    spec: &MachineSpec,
    sockets: Sockets,
    mut vmm: VmmProcess,
    group: ProcessGroup,
    directory: RunDirectory,
    timings: Timings,
) -> Result<Machine, RuntimeError> {
    let Sockets { console, control, serial, agent, channel, .. } = sockets;
    let connections = async {
        let console = console::start(&spec.console, console.1).await?;
        let control = QmpClient::accept(control.1).await?;
        let link = link(spec.agent.as_ref(), channel, serial, &agent).await?;
        Ok::<_, RuntimeError>((console, control, link))
    };
    let connected = tokio::select! {
        biased;
        connected = connections => connected?,
        ended = vmm.wait() => return Err(ended_early(ended?, &mut vmm).await),
        () = tokio::time::sleep(CONNECT_TIME) => {
            return Err(RuntimeError::TooSlow { step: "QEMU's start", allowed: CONNECT_TIME });
        }
    };
    let (console, control, link) = connected;
    let agent = link.map(|(link, kind)| (AgentClient::new(link), kind));
    Ok(Machine { vmm, _group: group, control: Some(control), console, agent, timings, _directory: directory })
}

async fn ended_early(status: std::process::ExitStatus, vmm: &mut VmmProcess) -> RuntimeError {
    let messages = vmm.messages().await;
    let console = crate::error::Tail::new("console", b"");
    RuntimeError::EarlyExit { program: vmm.program().to_owned(), status, messages, console }
}

async fn link(
    agent: Option<&AgentChannel>,
    channel: Option<ChannelKind>,
    serial: Option<UnixListener>,
    socket: &Path,
) -> Result<Option<(Link, ChannelKind)>, RuntimeError> {
    let (Some(agent), Some(kind)) = (agent, channel) else { return Ok(None) };
    let port = agent.control_port;
    let link = match (kind, serial) {
        (ChannelKind::VirtioSerial, Some(listener)) => {
            let (stream, _) =
                listener.accept().await.map_err(channel_error("accept the agent's serial port"))?;
            Link::serial(Box::new(stream))
        }
        (ChannelKind::KernelVsock, _) => Link::KernelVsock { cid: agent.vsock_cid, port },
        (ChannelKind::HelperVsock | ChannelKind::VmmVsock | ChannelKind::VirtioSerial, _) => {
            Link::HelperVsock {
                socket: socket.to_owned(),
                port,
                dial_interval: channel::HELPER_DIAL_INTERVAL,
            }
        }
    };
    Ok(Some((link, kind)))
}

#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod tests;
