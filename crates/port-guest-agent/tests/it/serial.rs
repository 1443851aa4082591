//! The serial transport over a pseudo-terminal: one pipe, hosts that come and go.

use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use port_guest_protocol::{AgentFrame, AgentLine, Operation, Request, Response};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, OptionalActions};

use crate::harness::{Agent, Host, exec, is_alive, until};

/// A new terminal whose agent's side is under `link`; gives back the host's side.
fn plug(link: &Path) -> OwnedFd {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    let fresh = link.with_extension("new");
    symlink(name.to_str().unwrap(), &fresh).unwrap();
    std::fs::rename(&fresh, link).unwrap();
    master
}

/// Both sides share their settings, and a fresh terminal echoes and translates.
fn make_raw(master: &OwnedFd) {
    let mut settings = rustix::termios::tcgetattr(master).unwrap();
    settings.make_raw();
    rustix::termios::tcsetattr(master, OptionalActions::Now, &settings).unwrap();
}

fn is_raw(master: &OwnedFd) -> bool {
    !rustix::termios::tcgetattr(master).unwrap().local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON)
}

/// What a host does on a pipe of unknown state: an empty line, then a ping of its own, and everything before the
/// answer to it is somebody else's.
fn resynchronise(host: &mut Host, id: &str) {
    host.send_raw(b"\n");
    host.send(Request { id: id.into(), operation: Operation::Ping {} });
    loop {
        if let AgentLine::Response(Response::Completed { id: found, .. }) = host.receive()
            && found == id.into()
        {
            return;
        }
    }
}

#[test]
fn a_serial_port_is_served_and_resynchronised() {
    let ports = tempfile::tempdir().unwrap();
    let link = ports.path().join("port");
    let master = plug(&link);
    make_raw(&master);
    let mut host = Host::new(master);
    // Said before anybody listens, by a host that then died in the middle of a line.
    host.send_raw(b"\x00garbage{\"id\":1,\"opera");
    let agent = Agent::start(&["--serial", link.to_str().unwrap()]);
    resynchronise(&mut host, "first");
    host.assert_usable();
    host.open(exec(&["cat"], true));
    host.input(b"through the pipe");
    host.close();
    let (data, _, last) = host.finish();
    assert_eq!((data.as_slice(), last), (&b"through the pipe"[..], AgentFrame::Exit { code: 0 }));
    // A stream of a dead host is ended by the next host's first newline, even one that broke off in a frame.
    host.open(exec(&["sh", "-c", "echo $$; exec sleep 1000"], true));
    let pid = host.until_output("\n");
    host.send_raw(b"{\"type\":\"input\",\"da");
    resynchronise(&mut host, "second");
    until("the command is dead", || !is_alive(&pid));
    // The other transports never noticed.
    agent.connect().assert_usable();
}

#[test]
fn a_host_that_leaves_takes_its_command_along_and_another_one_may_come() {
    let ports = tempfile::tempdir().unwrap();
    let link = ports.path().join("port");
    let agent = Agent::start(&["--serial", link.to_str().unwrap()]);
    let master = plug(&link);
    until("the agent makes the terminal raw", || is_raw(&master));
    let mut host = Host::new(master);
    resynchronise(&mut host, "first");
    host.open(exec(&["sh", "-c", "echo $$; exec sleep 1000"], true));
    let pid = host.until_output("\n");
    drop(host);
    until("the command is dead", || !is_alive(&pid));
    let master = plug(&link);
    until("the agent makes the next one raw", || is_raw(&master));
    let mut host = Host::new(master);
    resynchronise(&mut host, "second");
    host.assert_usable();
    agent.connect().assert_usable();
}
