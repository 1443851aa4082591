//! A machine put together by hand: a process that sleeps for a VMM, a pipe for an agent, a socket for a console.

use std::path::Path;

use port_guest_protocol::{
    AgentFrame, HostLine, LineBuffer, MAX_HOST_LINE, Operation, RequestId, Response, decode_host_line,
    encode_line,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{UnixListener, UnixStream};

use super::*;
use crate::console;
use crate::machine_spec::Console;

struct Bench {
    machine: Machine,
    console: UnixStream,
    agent: DuplexStream,
    _directory: TempDir,
}

async fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let run = RunDirectory::create(directory.path()).unwrap();
    let group = ProcessGroup::start(run.path(), "/usr/bin:/bin".into()).unwrap();
    let program = Path::new("/bin/sh");
    let up = directory.path().join("up");
    let script = r#"echo hello >&2; : > "$0"; exec sleep 1000"#;
    let child = group.spawn(program, &["-c".into(), script.into(), up.clone().into()]).unwrap();
    while !port_content::fs::exists(&up) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let path = directory.path().join("console");
    let listener = UnixListener::bind(&path).unwrap();
    let vmm_side = UnixStream::connect(&path).await.unwrap();
    let console = console::start(&Console::Discard, listener).await.unwrap();
    let (host, guest) = tokio::io::duplex(64 * 1024);
    let mut timings = Timings::new(Instant::now(), Instant::now());
    timings.agent_ready = Some(Instant::now());
    let machine = Machine {
        vmm: VmmProcess::new(program, child),
        _group: group,
        control: None,
        console,
        agent: Some((AgentClient::over(Box::new(host)), ChannelKind::VirtioSerial)),
        timings,
        _directory: run,
    };
    Bench { machine, console: vmm_side, agent: guest, _directory: directory }
}

async fn request(agent: &mut DuplexStream) -> (RequestId, Operation) {
    let mut lines = LineBuffer::new(MAX_HOST_LINE);
    let mut chunk = vec![0; 4096];
    loop {
        let length = agent.read(&mut chunk).await.unwrap();
        lines.push(&chunk[..length]);
        if let Some(line) = lines.next_line() {
            let Ok(HostLine::Request(request)) = decode_host_line(&line.unwrap()) else {
                panic!("no request")
            };
            return (request.id, request.operation);
        }
    }
}

async fn say(agent: &mut DuplexStream, message: impl serde::Serialize) {
    agent.write_all(&encode_line(&message).unwrap()).await.unwrap();
}

async fn accept(agent: &mut DuplexStream) {
    let (id, _) = request(agent).await;
    say(agent, Response::Accepted { id, stream: "exec".into(), size_bytes: None }).await;
}

async fn run(machine: &mut Machine) -> Result<i32, RuntimeError> {
    let (mut nothing, mut ignore) = (tokio::io::empty(), |_: crate::agent::Channel, _: &[u8]| Ok(()));
    let command = machine.run_command(GuestCommand::new(["make"]), &mut nothing, &mut ignore);
    tokio::time::timeout(Duration::from_secs(20), command).await.unwrap()
}

#[tokio::test]
async fn a_command_has_its_exit_code_and_its_times() {
    let Bench { mut machine, mut agent, .. } = bench().await;
    let answer = async {
        accept(&mut agent).await;
        say(&mut agent, AgentFrame::Exit { code: 7 }).await;
    };
    let (code, ()) = tokio::join!(run(&mut machine), answer);
    assert_eq!(code.unwrap(), 7);
    let timings = machine.timings();
    assert!(timings.command_ended.unwrap() >= timings.command_started.unwrap());
}

#[tokio::test]
async fn a_panic_under_a_command_ends_it_although_the_stream_stays_open() {
    let Bench { mut machine, mut agent, mut console, .. } = bench().await;
    let panic = async {
        accept(&mut agent).await;
        console.write_all(b"[2.0] Kernel panic - not syncing: Out of memory\n").await.unwrap();
    };
    let (code, ()) = tokio::join!(run(&mut machine), panic);
    let RuntimeError::KernelPanic { line, .. } = code.unwrap_err() else { panic!("no panic") };
    assert_eq!(line, "Out of memory");
}

#[tokio::test]
async fn a_vmm_that_dies_under_a_command_is_told_apart_from_a_failed_command() {
    let Bench { mut machine, mut agent, mut console, .. } = bench().await;
    let pid = rustix::process::Pid::from_raw(machine.process_id().unwrap().cast_signed()).unwrap();
    let death = async {
        accept(&mut agent).await;
        console.write_all(b"still here\n").await.unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        drop((agent, console));
    };
    let (code, ()) = tokio::join!(run(&mut machine), death);
    assert_eq!(
        code.unwrap_err().to_string(),
        "the guest ended while `make` ran (the VMM ended with signal: 9 (SIGKILL))\n  the end of the console:\n    \
         still here"
    );
    assert_eq!(machine.vmm_messages().await.lines, ["hello"]);
}

#[tokio::test]
async fn the_agent_is_asked_first_and_a_vmm_that_stays_is_killed() {
    let Bench { mut machine, mut agent, console, .. } = bench().await;
    let pid = rustix::process::Pid::from_raw(machine.process_id().unwrap().cast_signed()).unwrap();
    let guest = async {
        let (id, operation) = request(&mut agent).await;
        assert_eq!(operation, Operation::Shutdown { mode: ShutdownMode::PowerOff });
        say(&mut agent, Response::Completed { id, exit_code: 0, result: json!({}) }).await;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        drop(console);
    };
    let (ending, ()) = tokio::join!(machine.shut_down(), guest);
    assert_eq!(ending.unwrap(), Ending::Guest);

    let Bench { mut machine, console, .. } = bench().await;
    drop(console);
    assert_eq!(machine.force().await.unwrap(), Ending::Killed);
    assert!(machine.timings().ended.is_some());
}
