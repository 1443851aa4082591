//! `pty`.

use std::collections::BTreeMap;

use port_guest_protocol::{AgentFrame, HostFrame, Operation};

use crate::harness::{Agent, assert_says, is_alive, until};

fn pty(command: &[&str]) -> Operation {
    let command = command.iter().map(|word| (*word).to_owned()).collect();
    Operation::Pty { command, cols: 97, rows: 31, cwd: None, env: BTreeMap::new() }
}

#[test]
fn pu_43_a_terminal_has_a_size_that_changes() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(pty(&[
        "sh",
        "-c",
        "test -t 0 && test -t 2 && echo $TERM; stty size; read x; stty size; exit 4",
    ]));
    host.until_output("xterm\r\n31 97\r\n");
    host.send(HostFrame::Resize { cols: 120, rows: 50 });
    host.input(b"go\r");
    let (stdout, _, last) = host.finish();
    assert_says(&String::from_utf8_lossy(&stdout), &["go\r\n", "50 120\r\n"]);
    assert_eq!(last, AgentFrame::Exit { code: 4 });
    host.assert_usable();
}

#[test]
fn the_end_of_input_is_the_terminals_own() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(pty(&["cat"]));
    host.input(b"line\n");
    host.until_output("line\r\nline\r\n");
    host.close();
    assert_eq!(host.finish().2, AgentFrame::Exit { code: 0 });
    host.open(pty(&["cat"]));
    host.input(&[3]);
    assert_eq!(host.finish().2, AgentFrame::Exit { code: 130 });
    assert_eq!(host.refused(pty(&["no-such-command"])).1, Some(127));
}

#[test]
fn all_output_of_a_terminal_comes_before_its_exit() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    for _ in 0..5 {
        host.open(pty(&["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x"]));
        let (stdout, _, last) = host.finish();
        assert_eq!((stdout.len(), last), (100_000, AgentFrame::Exit { code: 0 }));
    }
}

#[test]
fn a_broken_connection_ends_the_session() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    host.open(pty(&["sh", "-c", "echo pid $$; sleep 1000"]));
    let output = host.until_output("\r\n");
    let pid = output.trim().strip_prefix("pid ").unwrap().to_owned();
    assert!(is_alive(&pid));
    drop(host);
    until("the session is dead", || !is_alive(&pid));
}
