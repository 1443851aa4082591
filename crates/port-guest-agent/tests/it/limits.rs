//! Hostile and clumsy hosts: whatever they send, the agent answers or hangs up, and goes on.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use port_guest_protocol::{MAX_HOST_LINE, Operation, Response, ShutdownMode};

use crate::harness::{Agent, Host, assert_says, until};

/// The message of a refusal that answers no request that could be read.
fn complaint(host: &mut Host) -> String {
    match host.response() {
        Response::Failed { id: None, message, .. } => message,
        other => panic!("expected failed without an id, found {other:?}"),
    }
}

#[test]
fn pu_42_bad_lines_are_answered_and_the_connection_stays_usable() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    assert!(!host.is_readable(Duration::from_millis(50)), "nothing is sent before it was asked for");
    for (line, expected) in [
        (&b"\n"[..], "empty line"),
        (b"GET / HTTP/1.1\r\n", "expected a JSON object, found byte 0x47"),
        (b"\x00\xff\xfe\n", "found byte 0x00"),
        (b"{\"id\":\n", "a JSON object with `operation` or `type`"),
        (b"{}\n", "`operation` or `type`"),
        (b"{\"type\":\"data\",\"data\":\"\"}\n", "`input`, `close` or `resize`"),
    ] {
        host.send_raw(line);
        assert_says(&complaint(&mut host), &[expected]);
    }
    host.send_raw(b"{\"id\":\"x\",\"operation\":{\"type\":\"managed-service\"}}\n");
    let Response::Failed { id: Some(id), message, .. } = host.response() else { panic!() };
    assert_eq!(id, "x".into());
    assert_says(
        &message,
        &["`exec`, `copy`, `pty`, `logs`, `forward`, `ping`, `shutdown`", "managed-service"],
    );
    host.assert_usable();
}

#[test]
fn a_huge_line_is_refused_and_skipped() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    for _ in 0..(MAX_HOST_LINE / 65536 + 20) {
        host.send_raw(&[b'['; 65536]);
    }
    assert_says(&complaint(&mut host), &["at most 1048576 bytes"]);
    host.send_raw(b"]\n");
    host.assert_usable();
    let deep = format!("{{\"id\":1,\"operation\":{}", "[".repeat(500_000));
    host.send_raw(deep.as_bytes());
    host.send_raw(b"\n");
    assert!(matches!(host.response(), Response::Failed { .. }));
    host.assert_usable();
}

#[test]
fn a_connection_that_says_nothing_whole_is_closed_after_a_while() {
    let agent = Agent::start(&["--handshake-seconds", "2"]);
    let start = Instant::now();
    let mut idle = agent.connect();
    let mut half = agent.connect();
    let mut noisy = agent.connect();
    let mut proper = agent.connect();
    half.send_raw(b"{\"id\":1");
    proper.assert_usable();
    // Noise is no request and buys no time.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(300));
        noisy.send_raw(b"noise\n");
        assert_says(&complaint(&mut noisy), &["a JSON object"]);
    }
    for host in [&mut idle, &mut half, &mut noisy] {
        assert_says(&complaint(host), &["no complete request within 2 s"]);
        assert!(host.try_receive().is_none());
    }
    assert!((2000..2800).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    std::thread::sleep(Duration::from_millis(100));
    proper.assert_usable();
}

#[test]
fn connections_are_limited_and_their_places_are_given_back() {
    let agent = Agent::start(&["--max-connections", "2"]);
    let (mut first, mut second) = (agent.connect(), agent.connect());
    first.assert_usable();
    second.assert_usable();
    let mut third = agent.connect();
    assert_says(&complaint(&mut third), &["at most 2 connections"]);
    assert!(third.try_receive().is_none());
    drop(first);
    until("a place is free", || {
        let mut host = agent.connect();
        // The agent may have hung up already; what it said before is still there.
        host.try_send_raw(b"{\"id\":1,\"operation\":{\"type\":\"ping\"}}\n");
        matches!(host.response(), Response::Completed { .. })
    });
    second.assert_usable();
}

#[test]
fn an_agent_of_another_root_does_not_end_the_machine() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    for mode in [ShutdownMode::PowerOff, ShutdownMode::Reboot] {
        let (message, _) = host.refused(Operation::Shutdown { mode });
        assert_says(&message, &["shutdown", "an agent that serves /", "another root"]);
    }
    host.assert_usable();
}

#[test]
fn a_second_agent_takes_over_a_dead_ones_socket_and_no_living_ones() {
    let mut agent = Agent::start(&[]);
    agent.connect().assert_usable();
    let second = |agent: &Agent| {
        std::process::Command::new(env!("CARGO_BIN_EXE_port-guest-agent"))
            .arg("--socket")
            .arg(agent.socket())
            .arg("--root")
            .arg(agent.outside())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };
    let output = second(&agent).wait_with_output().unwrap();
    assert!(!output.status.success());
    assert_says(&String::from_utf8_lossy(&output.stderr), &["cannot listen on", "in use"]);
    agent.connect().assert_usable();
    agent.kill();
    assert!(UnixStream::connect(agent.socket()).is_err());
    let mut successor = second(&agent);
    until("the successor listens", || UnixStream::connect(agent.socket()).is_ok());
    agent.connect().assert_usable();
    successor.kill().unwrap();
    successor.wait().unwrap();
}
