//! A machine's life under its supervisor.
//!
//! ```text
//! volumes mounted ─► boot ─► agent ─► guest made ready ─► command ─┬─ ends ─────────► powered off
//!                                                                  ├─ SIGTERM: asked ┘
//!                                                                  └─ SIGQUIT: the VMM is ended
//! ```
//!
//! Invariant: whatever ends this function, or the supervisor, ends the VMM; its mounts are the supervisor's own.

use std::io::{PipeWriter, Write as _};
use std::time::Duration;

use port_content::fs;
use port_runtime::agent::Channel;
use port_runtime::{AgentDoor, AgentError, Machine, NetworkCard};
use tokio::io::AsyncRead;

use super::{MachineJob, guest};
use crate::error::DriverError;
use crate::job::Job;
use crate::mounts::{mount, text};
use crate::network::Connection;
use crate::record::{Record, Status};
use crate::room::Room;
use crate::supervisor::{BY_SIGNAL, Signals};

/// How long a guest has to answer. Emulation on a busy host takes ten times what an idle one does.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a free way to the agent is waited for.
const DOOR_PATIENCE: Duration = Duration::from_secs(5);
const TERM: i32 = 15;
const KILL: i32 = 9;

/// The workload's standard streams.
pub(crate) struct Streams {
    pub(crate) stdin: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) stdout: PipeWriter,
    pub(crate) stderr: PipeWriter,
}

/// Runs a machine's workload to its end; the number is its exit status.
pub(crate) async fn run(
    room: &Room,
    job: &Job,
    machine: &MachineJob,
    record: &mut Record,
    signals: &mut Signals,
    streams: Streams,
    connection: Option<&Connection>,
) -> Result<i32, DriverError> {
    mount_volumes(room, machine).await?;
    let mut running = machine.driver(&record.groups).boot(&machine.spec).await?;
    if let (Some(connection), Some(NetworkCard::Tap(tap))) = (connection, &machine.spec.network) {
        connection.attach_tap(&tap.device).await?;
    }
    record.init = running.process_id();
    let stopped = tokio::select! {
        ready = running.wait_for_agent(PATIENCE) => ready.map(|_| None)?,
        _ = signals.ask.recv() => Some(TERM),
        _ = signals.kill.recv() => Some(KILL),
    };
    if let Some(signal) = stopped {
        running.force().await?;
        return Ok(BY_SIGNAL + signal);
    }
    make_ready(job, machine, &running, connection).await?;
    record.agent = AgentDoor::of(&running, &machine.spec);
    record.status = Status::Running;
    room.write_record(record)?;
    let ended = command(job, machine, &mut running, record.agent.clone(), signals, streams).await?;
    if ended.by_force {
        running.force().await?;
    } else {
        running.shut_down().await?;
    }
    Ok(ended.code)
}

/// In the supervisor's own mount namespace: what a volume may not write to is read-only whatever the guest does.
async fn mount_volumes(room: &Room, machine: &MachineJob) -> Result<(), DriverError> {
    for (share, volume) in machine.spec.shares.iter().zip(&machine.volumes) {
        let step = format!("mount the volume `{}`", volume.host.display());
        if !fs::metadata(&volume.host)?.is_dir() {
            return Err(DriverError::Unsupported {
                name: room.name().to_owned(),
                key: "storage.volumes",
                found: volume.host.display().to_string(),
                expected: "a directory: a machine takes no single files",
            });
        }
        fs::create_dir_all(&share.path)?;
        let (from, to) = (text(&volume.host)?, text(&share.path)?);
        mount(room.directory(), &step, &["--bind", "--", &from, &to]).await?;
        if !volume.writable {
            mount(room.directory(), &step, &["-o", "remount,bind,ro", "--", &to]).await?;
        }
    }
    Ok(())
}

async fn make_ready(
    job: &Job,
    machine: &MachineJob,
    running: &Machine,
    connection: Option<&Connection>,
) -> Result<(), DriverError> {
    let agent = running.agent()?;
    let mut network = guest::Network::default();
    if let Some(connection) = connection {
        (network.address, network.gateway) = connection.address_and_gateway();
    }
    let servers: Vec<String> = job.name_servers.iter().map(ToString::to_string).collect();
    network.name_servers = servers.join(" ");
    let shares = machine.spec.shares.iter().map(|share| share.tag.clone()).zip(&machine.volumes);
    if let Some(launcher) = &machine.launcher {
        agent.copy_in(launcher, super::LAUNCHER).await?;
    }
    guest::set_up(agent, &network, shares).await
}

/// How a command ended.
struct Ended {
    code: i32,
    by_force: bool,
}

async fn command(
    job: &Job,
    machine: &MachineJob,
    running: &mut Machine,
    door: Option<AgentDoor>,
    signals: &mut Signals,
    streams: Streams,
) -> Result<Ended, DriverError> {
    let words = [&job.gate[..], &job.command[..]].concat();
    let command = guest::main_command(words, machine.pids, &job.environment);
    let Streams { mut stdin, mut stdout, mut stderr } = streams;
    let mut last_words =
        stderr.try_clone().map_err(DriverError::process("pass on what the workload writes"))?;
    let mut on_output = move |channel: Channel, bytes: &[u8]| match channel {
        Channel::Stderr => stderr.write_all(bytes),
        _ => stdout.write_all(bytes),
    };
    let agent = running.agent()?.clone();
    let going = agent.exec_streaming(command, &mut stdin, &mut on_output);
    tokio::pin!(going);
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut going => break ended,
            _ = signals.kill.recv() => return Ok(Ended { code: BY_SIGNAL + KILL, by_force: true }),
            _ = signals.ask.recv() => ask(door.clone()),
        }
    };
    match ended {
        Ok(code) => Ok(Ended { code, by_force: false }),
        // The guest's answer, with the status that a shell would give.
        Err(AgentError::Failed { exit_code: Some(code), message, .. }) => {
            let _ = writeln!(last_words, "{message}");
            Ok(Ended { code, by_force: false })
        }
        Err(error) => Err(running.explain(error, "its command ran").await.into()),
    }
}

/// Asks beside the stream of the command. A guest that cannot be asked any more is ended by force, later.
fn ask(door: Option<AgentDoor>) {
    let Some(door) = door else { return };
    tokio::spawn(async move {
        if let Ok(visit) = door.open(DOOR_PATIENCE).await {
            let _ = guest::ask(&visit.agent).await;
        }
    });
}
