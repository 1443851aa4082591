//! `exec`, captured and streamed, and how commands end with their connections.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use port_guest_protocol::{AgentFrame, AgentLine, Channel, MAX_CAPTURE, Operation, Request, Response};

use crate::harness::{Agent, assert_says, exec, is_alive, until};

#[test]
fn pu_43_exec_answers_with_outputs_and_exit_code() {
    let agent = Agent::start(&[]);
    std::fs::create_dir(agent.root("work")).unwrap();
    let mut host = agent.connect();
    let (code, result) = host.run(&["sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((code, result.stdout.as_str(), result.stderr.as_str()), (3, "out\n", "err\n"));
    let operation = Operation::Exec {
        command: ["sh", "-c", "pwd -P; echo $GREETING; cat"].map(str::to_owned).to_vec(),
        cwd: Some("/work".into()),
        env: BTreeMap::from([("GREETING".into(), "hello".into())]),
        stream: false,
    };
    let Response::Completed { exit_code: 0, result, .. } = host.request(operation) else { panic!() };
    let work = std::fs::canonicalize(agent.root("work")).unwrap();
    assert_eq!(result["stdout"], format!("{}\nhello\n", work.display()));
    assert_eq!(host.run(&["sh", "-c", "kill -9 $$"]).0, 137);
    let (_, result) = host.run(&["printf", "a\\377b"]);
    assert_eq!(result.stdout_bytes().unwrap(), b"a\xffb");
}

#[test]
fn an_init_that_ignores_signals_leaves_them_to_the_commands() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    let (_, result) = host.run(&["grep", "SigIgn", "/proc/self/status"]);
    // Signal 32 and up are the C library's own.
    assert!(
        result.stdout.ends_with("00000000\n") || result.stdout.ends_with("80000000\n"),
        "{}",
        result.stdout
    );
    assert_eq!(host.run(&["sh", "-c", "kill -INT $$; sleep 20"]).0, 130);
}

#[test]
fn a_busy_agent_refuses_a_ping_and_one_that_takes_no_input_shows_that_it_lives() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(exec(&["sleep", "60"], true));
    host.send(Request { id: 7.into(), operation: Operation::Ping {} });
    assert!(matches!(host.response(), Response::Failed { id: Some(id), .. } if id == 7.into()));
    // More than the agent keeps for a command that does not read.
    for _ in 0..8 {
        host.input(&[b'x'; 49_152]);
    }
    assert_eq!(host.frame(), AgentFrame::Data { channel: Channel::Stdout, data: Vec::new() });
}

#[test]
fn captured_output_is_cut_and_says_so() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    // A control character is the longest thing JSON knows.
    let (code, result) = host.run(&["sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2"]);
    assert_eq!((code, result.stdout.len(), result.stderr.len()), (0, MAX_CAPTURE, MAX_CAPTURE));
    assert!(result.stdout_truncated && result.stderr_truncated);
    assert!(!host.run(&["true"]).1.stdout_truncated);
}

#[test]
fn a_command_that_cannot_start_is_refused_with_the_reason() {
    let agent = Agent::start(&[]);
    let plain = agent.root("plain");
    std::fs::write(&plain, "no program").unwrap();
    std::fs::set_permissions(&plain, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut host = agent.connect();
    for stream in [false, true] {
        let (message, code) = host.refused(exec(&["no-such-command"], stream));
        assert_says(&message, &["no-such-command", "expected a program in", "/bin"]);
        assert_eq!(code, Some(127));
        let (message, code) = host.refused(exec(&[plain.to_str().unwrap()], stream));
        assert_says(&message, &["plain", "can run", "ermission denied"]);
        assert_eq!(code, Some(126));
        assert_says(&host.refused(exec(&[], stream)).0, &["at least one word"]);
        assert_eq!(host.refused(exec(&["a\0b"], stream)).1, Some(126));
    }
    let at = |cwd: &str, key: &str| Operation::Exec {
        command: vec!["true".into()],
        cwd: Some(cwd.into()),
        env: BTreeMap::from([(key.into(), "x".into())]),
        stream: false,
    };
    assert_says(&host.refused(at("/../..", "A")).0, &["no `..` segment"]);
    assert_says(&host.refused(at("/none", "A")).0, &["cannot open `/none`", "No such file"]);
    assert_says(&host.refused(at("/plain", "A")).0, &["cannot open `/plain`", "Not a directory"]);
    assert_says(&host.refused(at("/", "A=B")).0, &["names without `=`"]);
    host.assert_usable();
}

#[test]
fn pu_44_a_streamed_command_takes_input_and_ends_with_exit() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(exec(&["sh", "-c", "cat; echo done >&2; exit 5"], true));
    host.input(b"one ");
    assert_eq!(host.until_output("one "), "one ");
    host.input(b"two");
    host.close();
    let (stdout, stderr, last) = host.finish();
    assert_eq!(
        (stdout.as_slice(), stderr.as_slice(), last),
        (&b"two"[..], &b"done\n"[..], AgentFrame::Exit { code: 5 })
    );
    // What comes late is nobody's input and nobody's request.
    host.input(b"late");
    host.close();
    host.assert_usable();
    host.open(exec(&["sh", "-c", "kill -TERM $$"], true));
    assert_eq!(host.finish().2, AgentFrame::Exit { code: 143 });
}

#[test]
fn large_streams_lose_no_byte_in_either_direction() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(exec(&["head", "-c", "4000000", "/dev/zero"], true));
    // Nobody reads for a while: the command must wait, and must not be cut when it ends.
    std::thread::sleep(Duration::from_millis(200));
    let (stdout, _, last) = host.finish();
    assert_eq!((stdout.len(), last), (4_000_000, AgentFrame::Exit { code: 0 }));
    let data: Vec<u8> = (0..2_000_000_u32).map(|index| (index % 251) as u8).collect();
    host.open(exec(&["sh", "-c", "sleep 0.2; cat"], true));
    let mut found = Vec::new();
    for chunk in data.chunks(40_000) {
        host.input(chunk);
        while host.is_readable(Duration::ZERO) {
            let AgentFrame::Data { data, .. } = host.frame() else { panic!() };
            found.extend(data);
        }
    }
    host.close();
    let (rest, _, last) = host.finish();
    found.extend(rest);
    assert!(found == data, "expected the same bytes, found {} of {}", found.len(), data.len());
    assert_eq!(last, AgentFrame::Exit { code: 0 });
}

#[test]
fn a_command_that_does_not_read_its_input_ends_all_the_same() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(exec(&["true"], true));
    for _ in 0..20 {
        host.input(&[0; 40_000]);
    }
    assert_eq!(host.finish().2, AgentFrame::Exit { code: 0 });
    host.assert_usable();
}

#[test]
fn what_runs_on_in_the_background_holds_nothing_up() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    let start = Instant::now();
    let (code, result) = host.run(&["sh", "-c", "sleep 6 & echo started"]);
    assert_eq!((code, result.stdout.as_str()), (0, "started\n"));
    host.open(exec(&["sh", "-c", "sleep 6 & head -c 300000 /dev/zero"], true));
    assert_eq!(host.finish().0.len(), 300_000);
    // Noise without end, which ends when nobody holds the other side of its pipe any more.
    host.open(exec(&["sh", "-c", "yes & echo $! >&2"], true));
    let (_, pid, last) = host.finish();
    assert_eq!(last, AgentFrame::Exit { code: 0 });
    let pid = String::from_utf8(pid).unwrap();
    until("the noise ends", || !is_alive(&pid));
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// Two processes in one group that tell their numbers and then sleep.
const SLEEPERS: &str = "sleep 1000 & echo $$ $! > pids.new; mv pids.new pids; echo ready; wait";

fn sleepers(agent: &Agent) -> Vec<String> {
    let pids = std::fs::read_to_string(agent.root("pids")).unwrap();
    let pids: Vec<String> = pids.split_whitespace().map(str::to_owned).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(pid)));
    pids
}

#[test]
fn a_broken_connection_kills_the_command_and_its_group() {
    for stream in [true, false] {
        let agent = Agent::start(&[]);
        let mut host = agent.connect();
        host.send(Request { id: 1.into(), operation: exec(&["sh", "-c", SLEEPERS], stream) });
        until("the command runs", || agent.root("pids").exists());
        let pids = sleepers(&agent);
        drop(host);
        until("both are dead", || !pids.iter().any(|pid| is_alive(pid)));
        agent.connect().assert_usable();
    }
}

#[test]
fn a_killed_agent_leaves_no_command() {
    let mut agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(exec(&["sh", "-c", "echo $$; exec sleep 1000"], true));
    let pid = host.until_output("\n");
    assert!(is_alive(&pid));
    agent.kill();
    until("the command is dead", || !is_alive(&pid));
}

#[test]
fn an_empty_line_cancels_and_a_request_meanwhile_is_refused() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(exec(&["sh", "-c", SLEEPERS], true));
    host.until_output("ready");
    let pids = sleepers(&agent);
    host.send(Request { id: "second".into(), operation: Operation::Ping {} });
    let Response::Failed { id, message, .. } = host.response() else { panic!() };
    assert_eq!(id, Some("second".into()));
    assert_says(&message, &["while an operation runs", "found a request"]);
    assert!(pids.iter().all(|pid| is_alive(pid)));
    host.send_raw(b"\n");
    let AgentFrame::Error { message } = host.frame() else { panic!() };
    assert_says(&message, &["cancelled", "empty line"]);
    until("both are dead", || !pids.iter().any(|pid| is_alive(pid)));
    host.assert_usable();
    // A captured command is cancelled the same way, and answers once.
    host.send(Request { id: 9.into(), operation: exec(&["sleep", "1000"], false) });
    host.send_raw(b"\n");
    let AgentLine::Response(Response::Failed { id: Some(id), .. }) = host.receive() else { panic!() };
    assert_eq!(id, 9.into());
    host.assert_usable();
}
