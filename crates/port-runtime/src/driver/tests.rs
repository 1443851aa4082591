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

const PULSE: Duration = Duration::from_millis(20);

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
        agent: Some((AgentClient::over(Box::new(host)).with_pulse(PULSE), ChannelKind::VirtioSerial)),
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
        while let Some(line) = lines.next_line() {
            // Frames of the command's input are of no matter here.
            if let HostLine::Request(request) = decode_host_line(&line.unwrap()).unwrap() {
                return (request.id, request.operation);
            }
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
async fn an_agent_that_falls_silent_ends_the_command_with_the_console() {
    let Bench { mut machine, mut agent, mut console, .. } = bench().await;
    let silence = async {
        console.write_all(b"reboot: System halted\n").await.unwrap();
        accept(&mut agent).await;
    };
    let (code, ()) = tokio::join!(run(&mut machine), silence);
    let error = code.unwrap_err();
    assert!(matches!(error, RuntimeError::AgentStopped { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("the guest's agent stopped answering while `make` ran"), "{text}");
    assert!(text.ends_with("reboot: System halted"), "{text}");
}

#[tokio::test]
async fn an_agent_that_never_accepts_is_silent_too() {
    let Bench { mut machine, agent: _agent, console: _console, .. } = bench().await;
    assert!(matches!(run(&mut machine).await, Err(RuntimeError::AgentStopped { .. })));
}

#[tokio::test]
async fn an_agent_that_was_started_anew_has_lost_the_command() {
    let Bench { mut machine, mut agent, console: _console, .. } = bench().await;
    let anew = async {
        accept(&mut agent).await;
        let (id, operation) = request(&mut agent).await;
        assert_eq!(operation, Operation::Ping {});
        say(&mut agent, Response::Completed { id, exit_code: 0, result: json!({}) }).await;
    };
    let (code, ()) = tokio::join!(run(&mut machine), anew);
    assert!(matches!(code, Err(RuntimeError::AgentRestarted { .. })), "{code:?}");
}

#[tokio::test]
async fn an_agent_that_ended_with_the_request_in_its_hands_has_lost_the_command() {
    let Bench { mut machine, mut agent, console: _console, .. } = bench().await;
    let anew = async {
        request(&mut agent).await;
        let (id, _) = request(&mut agent).await;
        say(&mut agent, Response::Completed { id, exit_code: 0, result: json!({}) }).await;
    };
    let (code, ()) = tokio::join!(run(&mut machine), anew);
    assert!(matches!(code, Err(RuntimeError::AgentRestarted { .. })), "{code:?}");
}

#[tokio::test]
async fn refused_pings_and_half_lines_are_signs_of_life() {
    let Bench { mut machine, mut agent, console: _console, .. } = bench().await;
    let work = async {
        accept(&mut agent).await;
        for _ in 0..10 {
            let (id, _) = request(&mut agent).await;
            let message = "busy".to_owned();
            say(&mut agent, Response::Failed { id: Some(id), message, exit_code: None }).await;
        }
        // One long line, slowly, for longer than silence may last; nobody reads the pings.
        let frame = AgentFrame::Data { channel: crate::agent::Channel::Stdout, data: vec![b'x'; 100] };
        for byte in encode_line(&frame).unwrap().chunks(5) {
            agent.write_all(byte).await.unwrap();
            tokio::time::sleep(PULSE / 2).await;
        }
        say(&mut agent, AgentFrame::Exit { code: 3 }).await;
    };
    let (code, ()) = tokio::join!(run(&mut machine), work);
    assert_eq!(code.unwrap(), 3);
}

#[tokio::test]
async fn a_terminal_is_watched_as_a_command_is() {
    let Bench { mut machine, mut agent, mut console, .. } = bench().await;
    let panic = async {
        accept(&mut agent).await;
        console.write_all(b"Kernel panic - not syncing: sysrq triggered crash\n").await.unwrap();
    };
    let (_keys, mut frames) = mpsc::channel(1);
    let mut ignore = |_: crate::agent::Channel, _: &[u8]| Ok(());
    let terminal = machine.run_on_terminal(GuestCommand::new(["top"]), (80, 24), &mut frames, &mut ignore);
    let (code, ()) = tokio::join!(terminal, panic);
    assert!(matches!(code, Err(RuntimeError::KernelPanic { .. })), "{code:?}");
    assert!(machine.timings().command_ended.is_some());
}

#[tokio::test]
async fn garbage_on_the_agents_port_is_shown_and_bounded() {
    let Bench { mut machine, mut agent, console: _console, .. } = bench().await;
    agent.write_all(&[&b"login: \x1b[31m"[..], &[b'x'; 5000]].concat()).await.unwrap();
    let error = machine.wait_for_agent(Duration::from_millis(100)).await.unwrap_err().to_string();
    let expected = "something else than an agent answers over virtio-serial: expected the answer to a ping within \
                    0 s, found `login: \\x1b[31mxxx";
    assert!(error.starts_with(expected) && error.len() < 400, "{error}");
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
