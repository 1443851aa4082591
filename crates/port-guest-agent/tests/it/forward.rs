//! `forward`, from the host and to the host, over TCP on the loopback and over Unix sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};

use port_guest_protocol::{AgentFrame, ForwardDirection, Operation};

use crate::harness::{Agent, Host, assert_says, until};

fn forward(listen: &str, target: &str, direction: ForwardDirection) -> Operation {
    Operation::Forward { listen: listen.parse().unwrap(), target: target.parse().unwrap(), direction }
}

fn to(target: &str) -> Operation {
    forward("127.0.0.1:1", target, ForwardDirection::HostToGuest)
}

/// Greets, echoes until the other side closes, says goodbye.
fn serve_once(mut stream: impl Read + Write) {
    stream.write_all(b"hello;").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    stream.write_all(format!("{} bytes;bye", text.len()).as_bytes()).unwrap();
}

fn talk(host: &mut Host) {
    host.until_output("hello;");
    for _ in 0..10 {
        host.input(&[b'x'; 40_000]);
    }
    host.close();
    let (data, _, last) = host.finish();
    assert_eq!((String::from_utf8(data).unwrap().as_str(), last), ("400000 bytes;bye", AgentFrame::Eof {}));
    host.assert_usable();
}

#[test]
fn pu_45_targets_are_reached_over_tcp_and_unix_sockets() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let server = std::thread::spawn(move || serve_once(tcp.accept().unwrap().0));
    host.open(to(&address.to_string()));
    talk(&mut host);
    server.join().unwrap();
    let unix = UnixListener::bind(agent.root("service.sock")).unwrap();
    symlink("/service.sock", agent.root("link.sock")).unwrap();
    let server = std::thread::spawn(move || serve_once(unix.accept().unwrap().0));
    host.open(to("unix:/link.sock"));
    talk(&mut host);
    server.join().unwrap();
}

#[test]
fn targets_that_are_not_there_or_not_allowed_are_refused() {
    let agent = Agent::start(&[]);
    let _outside = UnixListener::bind(agent.outside().join("outside.sock")).unwrap();
    symlink(agent.outside().join("outside.sock"), agent.root("escape.sock")).unwrap();
    std::fs::write(agent.root("file"), "").unwrap();
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut host = agent.connect();
    for (target, expected) in [
        (unused.to_string().as_str(), "onnection refused"),
        ("example.org:80", "an IP address or `localhost`"),
        ("127.0.0.1:0", "a port from 1"),
        ("unix:/none.sock", "No such file"),
        ("unix:/escape.sock", "No such file"),
        ("unix:/../outside.sock", "no `..` segment"),
        ("unix:/file", "onnection refused"),
    ] {
        assert_says(&host.refused(to(target)).0, &[expected]);
    }
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = busy.local_addr().unwrap().to_string();
    let reverse = forward(&listen, "127.0.0.1:1", ForwardDirection::GuestToHost);
    assert_says(&host.refused(reverse).0, &["cannot listen on", "in use"]);
    host.assert_usable();
}

#[test]
fn the_agent_listens_for_one_client_of_the_guest() {
    let agent = Agent::start(&[]);
    let mut host = agent.connect();
    let reverse = |listen: &str| forward(listen, "127.0.0.1:1", ForwardDirection::GuestToHost);
    host.open(reverse("unix:/inside.sock"));
    let mut client = UnixStream::connect(agent.root("inside.sock")).unwrap();
    assert_eq!(host.until_output(""), "");
    let AgentFrame::Data { data, .. } = host.frame() else { panic!() };
    assert!(data.is_empty(), "expected word of the client before it said anything");
    host.input(b"welcome");
    let mut text = [0; 7];
    client.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"welcome");
    client.write_all(b"thanks").unwrap();
    drop(client);
    let (data, _, last) = host.finish();
    assert_eq!((data.as_slice(), last), (&b"thanks"[..], AgentFrame::Eof {}));

    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    host.open(reverse(&address));
    until("somebody is taken in", || TcpStream::connect(&address).is_ok());
    assert_eq!(host.finish().2, AgentFrame::Eof {});
    host.open(reverse(&address));
    host.close();
    assert_eq!(host.frame(), AgentFrame::Eof {});
    assert!(TcpStream::connect(&address).is_err());
}
