//! `logs`.

use std::io::Write;

use port_guest_protocol::{AgentFrame, Operation};

use crate::harness::{Agent, assert_says};

fn logs(path: &str, follow: bool, tail_lines: Option<u64>) -> Operation {
    Operation::Logs { path: path.to_owned(), follow, tail_lines }
}

#[test]
fn pu_43_logs_end_with_eof_or_are_followed() {
    let agent = Agent::start(&[]);
    let path = agent.root("log");
    std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
    let mut host = agent.connect();
    for (lines, expected) in [(None, "one\ntwo\nthree\n"), (Some(2), "two\nthree\n"), (Some(0), "")] {
        host.open(logs("/log", false, lines));
        let (data, _, last) = host.finish();
        assert_eq!((data.as_slice(), last), (expected.as_bytes(), AgentFrame::Eof {}));
    }
    host.open(logs("/log", true, Some(1)));
    host.until_output("three\n");
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"four\n").unwrap();
    assert_eq!(host.until_output("four\n"), "four\n");
    // Truncated, then rotated.
    std::fs::write(&path, "5\n").unwrap();
    assert_eq!(host.until_output("5\n"), "5\n");
    std::fs::rename(&path, agent.root("log.1")).unwrap();
    std::fs::write(&path, "six\n").unwrap();
    assert_eq!(host.until_output("six\n"), "six\n");
    host.close();
    assert_eq!(host.frame(), AgentFrame::Eof {});
    host.assert_usable();
}

#[test]
fn what_is_no_log_is_refused() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    assert_says(&host.refused(logs("/none", true, None)).0, &["cannot open `/none`"]);
    assert_says(&host.refused(logs("/", false, Some(3))).0, &["expected a regular file"]);
    assert_says(&host.refused(logs("/x/../y", false, None)).0, &["no `..` segment"]);
}
