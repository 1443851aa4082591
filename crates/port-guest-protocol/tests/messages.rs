//! Every message against its published text, and the two rules of reading: strict towards hosts, tolerant
//! towards agents.

use std::collections::BTreeMap;

use port_guest_protocol::{
    AgentFrame, AgentLine, Channel, CopyDirection, Endpoint, ForwardDirection, HostFrame, HostLine,
    Operation, ProtocolError, Request, RequestId, Response, ShutdownMode, decode_agent_line,
    decode_host_line, encode_line,
};
use proptest::prelude::*;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn tcp(host: &str, port: u16) -> Endpoint {
    Endpoint::Tcp { host: host.to_owned(), port }
}

fn operations() -> Vec<(&'static str, Operation)> {
    let env = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
    vec![
        (
            r#"{"type":"exec","command":["ls","-l"],"cwd":"/tmp","env":{"A":"b"}}"#,
            Operation::Exec {
                command: words(&["ls", "-l"]),
                cwd: Some("/tmp".into()),
                env: env.clone(),
                stream: false,
            },
        ),
        (
            r#"{"type":"exec","command":["cat"],"env":{},"stream":true}"#,
            Operation::Exec { command: words(&["cat"]), cwd: None, env: BTreeMap::new(), stream: true },
        ),
        (
            r#"{"type":"copy","source":"a","destination":"/b","direction":"host-to-guest","size_bytes":5}"#,
            Operation::Copy {
                source: "a".into(),
                destination: "/b".into(),
                direction: CopyDirection::HostToGuest,
                size_bytes: Some(5),
            },
        ),
        (
            r#"{"type":"copy","source":"/a","destination":"b","direction":"guest-to-host"}"#,
            Operation::Copy {
                source: "/a".into(),
                destination: "b".into(),
                direction: CopyDirection::GuestToHost,
                size_bytes: None,
            },
        ),
        (
            r#"{"type":"pty","command":["sh"],"cols":80,"rows":24}"#,
            Operation::Pty { command: words(&["sh"]), cols: 80, rows: 24, cwd: None, env: BTreeMap::new() },
        ),
        (
            r#"{"type":"pty","command":["sh"],"cols":80,"rows":24,"cwd":"/","env":{"A":"b"}}"#,
            Operation::Pty { command: words(&["sh"]), cols: 80, rows: 24, cwd: Some("/".into()), env },
        ),
        (
            r#"{"type":"logs","path":"/var/log/x","follow":true,"tail_lines":10}"#,
            Operation::Logs { path: "/var/log/x".into(), follow: true, tail_lines: Some(10) },
        ),
        (
            r#"{"type":"forward","listen":"127.0.0.1:8080","target":"unix:/run/x"}"#,
            Operation::Forward {
                listen: tcp("127.0.0.1", 8080),
                target: Endpoint::Unix { path: "/run/x".into() },
                direction: ForwardDirection::HostToGuest,
            },
        ),
        (
            r#"{"type":"forward","listen":"[::1]:1","target":"h:2","direction":"guest-to-host"}"#,
            Operation::Forward {
                listen: tcp("::1", 1),
                target: tcp("h", 2),
                direction: ForwardDirection::GuestToHost,
            },
        ),
        (r#"{"type":"ping"}"#, Operation::Ping {}),
        (r#"{"type":"shutdown","mode":"power-off"}"#, Operation::Shutdown { mode: ShutdownMode::PowerOff }),
        (r#"{"type":"shutdown","mode":"reboot"}"#, Operation::Shutdown { mode: ShutdownMode::Reboot }),
    ]
}

#[test]
fn pu_43_requests_are_tagged_by_type() {
    for (text, operation) in operations() {
        let line = format!(r#"{{"id":7,"operation":{text}}}"#);
        let request = Request { id: 7.into(), operation };
        assert_eq!(encode_line(&request).unwrap(), format!("{line}\n").into_bytes());
        assert!(text.contains(&format!(r#""type":"{}""#, request.operation.name())));
        assert_eq!(decode_host_line(line.as_bytes()).unwrap(), HostLine::Request(request));
    }
}

#[test]
fn pu_44_responses_and_frames_are_as_published() {
    let accepted = Response::Accepted { id: "a".into(), stream: "copy".into(), size_bytes: Some(3) };
    let completed =
        Response::Completed { id: 1.into(), exit_code: 2, result: serde_json::json!({"stdout": "x"}) };
    let failed = Response::Failed { id: None, message: "no".into(), exit_code: None };
    for (text, response) in [
        (r#"{"status":"accepted","id":"a","stream":"copy","size_bytes":3}"#, accepted),
        (r#"{"status":"completed","id":1,"exit_code":2,"result":{"stdout":"x"}}"#, completed),
        (r#"{"status":"failed","id":null,"message":"no"}"#, failed),
    ] {
        assert_eq!(encode_line(&response).unwrap(), format!("{text}\n").into_bytes());
        assert_eq!(decode_agent_line(text.as_bytes()).unwrap(), AgentLine::Response(response));
    }
    for (text, frame) in [
        (
            r#"{"type":"data","channel":"stderr","data":"AP8="}"#,
            AgentFrame::Data { channel: Channel::Stderr, data: vec![0, 255] },
        ),
        (r#"{"type":"exit","code":137}"#, AgentFrame::Exit { code: 137 }),
        (r#"{"type":"eof"}"#, AgentFrame::Eof {}),
        (r#"{"type":"error","message":"m"}"#, AgentFrame::Error { message: "m".into() }),
    ] {
        assert_eq!(encode_line(&frame).unwrap(), format!("{text}\n").into_bytes());
        assert_eq!(frame.is_last(), !text.contains("data"));
        assert_eq!(decode_agent_line(text.as_bytes()).unwrap(), AgentLine::Frame(frame));
    }
    for (text, frame) in [
        (r#"{"type":"input","data":"aGk="}"#, HostFrame::Input { data: b"hi".to_vec() }),
        (r#"{"type":"close"}"#, HostFrame::Close {}),
        (r#"{"type":"resize","cols":1,"rows":2}"#, HostFrame::Resize { cols: 1, rows: 2 }),
    ] {
        assert_eq!(encode_line(&frame).unwrap(), format!("{text}\n").into_bytes());
        assert_eq!(decode_host_line(text.as_bytes()).unwrap(), HostLine::Frame(frame));
    }
}

#[test]
fn a_bad_line_names_what_was_expected_and_keeps_the_id() {
    for (line, id, expected) in [
        (r#""#, None, "empty line"),
        ("  \r", None, "empty line"),
        ("nonsense", None, "a JSON object, found byte 0x6e"),
        ("[1]", None, "a JSON object, found byte 0x5b"),
        (" {", None, "a JSON object with `operation` or `type`"),
        (r#"{}"#, None, "`operation` or `type`"),
        (r#"{"id":1}"#, Some(1), "`operation` or `type`"),
        (r#"{"id":1,"type":"ping"}"#, Some(1), "`operation` or `type`"),
        (r#"{"id":1,"operation":{"type":"managed-service"}}"#, Some(1), "`exec`, `copy`"),
        (r#"{"id":1,"operation":"ping"}"#, Some(1), "a request {id, operation}"),
        (r#"{"id":1,"operation":{"command":[]}}"#, Some(1), "missing field `type`"),
        (r#"{"id":1,"operation":{"type":"exec"}}"#, Some(1), "missing field `command`"),
        (
            r#"{"id":1,"operation":{"type":"exec","command":["a"],"user":"b"}}"#,
            Some(1),
            "unknown field `user`",
        ),
        (r#"{"id":1,"operation":{"type":"ping","x":1}}"#, Some(1), "unknown field `x`"),
        (r#"{"id":1,"operation":{"type":"ping"},"x":1}"#, Some(1), "unknown field `x`"),
        (r#"{"id":-1,"operation":{"type":"ping"}}"#, None, "an id that is a string or a whole number"),
        (r#"{"operation":{"type":"ping"}}"#, None, "missing field `id`"),
        (r#"{"id":1,"operation":{"type":"forward","listen":"x","target":"a:1"}}"#, Some(1), "endpoint `x`"),
        (
            r#"{"id":1,"operation":{"type":"copy","source":"","destination":"","direction":"up"}}"#,
            Some(1),
            "`up`",
        ),
        (r#"{"type":"data","data":""}"#, None, "`input`, `close` or `resize`"),
        (r#"{"type":"input","data":"?"}"#, None, "base64"),
        (r#"{"type":"close","x":1}"#, None, "unknown field `x`"),
    ] {
        let bad = decode_host_line(line.as_bytes()).unwrap_err();
        assert_eq!(bad.id, id.map(RequestId::Number), "{line}");
        let message = bad.error.to_message();
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn what_a_newer_agent_tells_more_is_ignored() {
    for line in [
        r#"{"status":"accepted","id":1,"stream":true,"encoding":"gzip"}"#,
        r#"{"status":"completed","id":1,"exit_code":0,"took":5}"#,
        r#"{"type":"data","data":"","sequence":9}"#,
        r#"{"type":"exit","code":0,"signal":null}"#,
        r#"{"type":"eof","digest":"x"}"#,
    ] {
        decode_agent_line(line.as_bytes()).unwrap();
    }
    for line in [r#"{"status":"odd","id":1}"#, r#"{"type":"odd"}"#, r#"{"id":1}"#, "", "[]", "{"] {
        assert!(decode_agent_line(line.as_bytes()).is_err(), "{line}");
    }
    assert!(matches!(decode_agent_line(b""), Err(ProtocolError::EmptyLine)));
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let text = ".{0,12}";
    let command = proptest::collection::vec(text, 0..4);
    let env = proptest::collection::btree_map(text, text, 0..3);
    prop_oneof![
        (command.clone(), proptest::option::of(text), env, any::<bool>())
            .prop_map(|(command, cwd, env, stream)| Operation::Exec { command, cwd, env, stream }),
        (command, any::<u16>(), any::<u16>()).prop_map(|(command, cols, rows)| Operation::Pty {
            command,
            cols,
            rows,
            cwd: None,
            env: BTreeMap::new()
        }),
        (text, any::<bool>(), any::<Option<u64>>()).prop_map(|(path, follow, tail_lines)| Operation::Logs {
            path,
            follow,
            tail_lines
        }),
    ]
}

proptest! {
    #[test]
    fn any_request_is_one_line_and_reads_as_itself(
        id in prop_oneof![any::<u64>().prop_map(RequestId::Number), ".{0,9}".prop_map(RequestId::Text)],
        operation in any_operation(),
    ) {
        let request = Request { id, operation };
        let line = encode_line(&request).unwrap();
        let (newline, document) = line.split_last().unwrap();
        prop_assert_eq!(*newline, b'\n');
        prop_assert!(!document.contains(&b'\n'));
        prop_assert_eq!(decode_host_line(document).unwrap(), HostLine::Request(request));
    }

    #[test]
    fn any_bytes_travel_in_frames(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        let input = HostFrame::Input { data: data.clone() };
        let line = encode_line(&input).unwrap();
        prop_assert_eq!(decode_host_line(line.trim_ascii_end()).unwrap(), HostLine::Frame(input));
        let output = AgentFrame::Data { channel: Channel::Stdout, data };
        let line = encode_line(&output).unwrap();
        prop_assert_eq!(decode_agent_line(line.trim_ascii_end()).unwrap(), AgentLine::Frame(output));
    }

    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = decode_host_line(&bytes);
        let _ = decode_agent_line(&bytes);
    }

    #[test]
    fn json_that_is_nearly_right_never_panics(text in r#"[{}\[\]":, a-z0-9]{0,40}"#) {
        let _ = decode_host_line(text.as_bytes());
        let wrapped = format!(r#"{{"id":1,"operation":{{"type":"exec",{text}}}}}"#);
        let _ = decode_host_line(wrapped.as_bytes());
    }
}

#[test]
fn every_example_of_the_documentation_is_a_message() {
    let page = include_str!("../../../docs/formats/guest-protocol.md");
    let blocks = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines: Vec<&str> = blocks.flat_map(str::lines).collect();
    for line in &lines {
        let host = decode_host_line(line.as_bytes());
        let agent = decode_agent_line(line.as_bytes());
        assert!(host.is_ok() != agent.is_ok(), "expected the message of exactly one side: {line}");
    }
    for name in port_guest_protocol::OPERATIONS {
        assert!(lines.iter().any(|line| line.contains(&format!(r#""type":"{name}""#))), "{name}");
    }
}
