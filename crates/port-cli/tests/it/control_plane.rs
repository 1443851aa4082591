//! `port control-plane serve`, and artifacts that are pushed and pulled through it.

mod bucket;
mod packs;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use port_testkit::project::{Project, Ran};
use serde_json::Value;

use crate::fixture::*;

pub const TOKEN: &str = "a-token-for-tests";
const HOSTED: &str = ".port/hosted/demo/artifacts/demo-fs/port";

/// A configuration whose artifacts are published at `endpoint`.
fn configuration(endpoint: &str) -> String {
    let backend = format!(r#"backend = "hosted-api", endpoint = "{endpoint}""#);
    let plane = format!(
        r#"
[control_planes.demo]
endpoint = "{endpoint}"
audience = "port-demo"
auth = {{ scheme = "bearer", header = "authorization", source = {{ kind = "env", variable = "PORT_DEMO_TOKEN" }} }}
"#
    );
    CONFIGURATION.replace(r#"backend = "file-system", root = "shop""#, &backend) + &plane
}

/// A server in its own process; it ends with the value.
pub struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    pub endpoint: String,
}

impl Server {
    pub fn start_with(project: &Project, flags: &[&str]) -> Self {
        Self::of(serve(project).args(flags))
    }

    /// Starts what is told how to serve.
    fn of(command: &mut Command) -> Self {
        let mut child = command.env("PORT_DEMO_TOKEN", TOKEN).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let listening = loop {
            let mut line = String::new();
            log.read_line(&mut line).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            // Collection may speak first.
            if event["event"] == "listening" {
                break event;
            }
        };
        let endpoint = format!("http://{}", listening["address"].as_str().unwrap());
        Self { child, log, endpoint }
    }

    /// Asks it to end; gives the rest of its log.
    pub fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut log = String::new();
        std::io::Read::read_to_string(&mut self.log, &mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn serve(project: &Project) -> Command {
    project.command(&["control-plane", "serve", "--control-plane", "demo", "--bind", "127.0.0.1:0"])
}

/// A project, its server, and the configuration that leads there.
pub fn served() -> (Project, Server) {
    served_with(&[])
}

/// A project whose server does not run yet.
pub fn project() -> Project {
    with_configuration(&configuration("http://127.0.0.1:7040"))
}

/// The same with a server that has these flags.
pub fn served_with(flags: &[&str]) -> (Project, Server) {
    let project = project();
    let server = Server::start_with(&project, flags);
    project.write("port.toml", configuration(&server.endpoint));
    (project, server)
}

pub fn artifacts_as(token: Option<&str>, project: &Project, arguments: &[&str]) -> Ran {
    let mut command = project.command(&[&["artifacts"], arguments].concat());
    command.envs(token.map(|token| ("PORT_DEMO_TOKEN", token)));
    let ran = project.ran(command.output().unwrap());
    assert!(!format!("{ran}").contains(TOKEN), "a secret is in the output: {ran}");
    ran
}

fn succeed_there(project: &Project, arguments: &[&str]) -> Ran {
    let ran = artifacts_as(Some(TOKEN), project, arguments);
    assert_eq!(ran.code, 0, "{arguments:?}\n{ran}");
    ran
}

#[test]
fn p_17_p_39_p_48_p_63_what_was_pushed_comes_back_and_the_control_plane_owns_it() {
    let (project, server) = served();
    project.write(LOCAL_KERNEL, b"kernel");
    let tiny = [&["--artifact", "tiny"][..], &X86].concat();
    succeed_there(&project, &[&["push"][..], &tiny].concat());
    let hosted = format!("{HOSTED}/tiny/v1/x86_64/firecracker/standard/vmlinux");
    assert_eq!(project.read(&hosted), b"kernel");
    assert_eq!(project.read(CACHED_KERNEL), b"kernel", "the caller keeps its cache copy");
    for local in ["k", ".port/cache", ".port/store"] {
        let _ = std::fs::remove_dir_all(project.path().join(local));
    }
    succeed_there(&project, &[&["pull"][..], &tiny].concat());
    assert_eq!(project.read(LOCAL_KERNEL), b"kernel");
    // A second push has nothing to send, and the log names nobody's token.
    succeed_there(&project, &[&["push"][..], &tiny].concat());
    let log = server.stop();
    assert!(!log.contains(TOKEN) && log.contains(r#""event":"stopped""#), "{log}");
}

#[test]
fn c_1_p_64_companions_and_other_architectures_make_the_same_round() {
    let (project, _server) = served();
    project.write("g/x86_64/standard/rootfs.ext4", b"image");
    project.write("g/x86_64/standard/initrd.cpio.gz", b"initrd");
    project.write("k/aarch64/standard/vmlinux", b"arm");
    let root = [&["--artifact", "root"][..], &X86].concat();
    let arm = ["--artifact", "tiny", "--architecture", "aarch64"];
    succeed_there(&project, &[&["push"][..], &root].concat());
    succeed_there(&project, &[&["push"][..], &arm].concat());
    assert!(project.exists(&format!("{HOSTED}/root/v1/x86_64/firecracker/standard/initrd.cpio.gz")));
    for local in ["g", "k", ".port/cache", ".port/store"] {
        let _ = std::fs::remove_dir_all(project.path().join(local));
    }
    succeed_there(&project, &[&["pull"][..], &root].concat());
    succeed_there(&project, &[&["pull"][..], &arm].concat());
    assert_eq!(project.read("g/x86_64/standard/rootfs.ext4"), b"image");
    assert_eq!(project.read("g/x86_64/standard/initrd.cpio.gz"), b"initrd");
    assert_eq!(project.read("k/aarch64/standard/vmlinux"), b"arm");
}

#[test]
fn p_60_p_62_without_the_token_neither_side_works() {
    let (project, server) = served();
    project.write(LOCAL_KERNEL, b"kernel");
    let push = [&["push", "--artifact", "tiny"][..], &X86].concat();
    let none = artifacts_as(None, &project, &push);
    assert!(none.code != 0 && none.stderr.contains("PORT_DEMO_TOKEN"), "{none}");
    let wrong = artifacts_as(Some("wrong"), &project, &push);
    assert!(wrong.code != 0 && wrong.stderr.contains("401"), "{wrong}");
    assert!(!project.exists(HOSTED));
    drop(server);
    let unset = project.ran(serve(&project).output().unwrap());
    assert_eq!(unset.code, 2, "{unset}");
    assert!(unset.stderr.contains("PORT_DEMO_TOKEN"), "{unset}");
}

#[test]
fn an_unknown_control_plane_and_a_taken_address_are_named() {
    let (project, server) = served();
    let unknown = project.port(&["control-plane", "serve", "--control-plane", "dmeo"]);
    assert!(unknown.code == 5 && unknown.stderr.contains("demo"), "{unknown}");
    let address = server.endpoint.strip_prefix("http://").unwrap();
    let mut taken =
        project.command(&["control-plane", "serve", "--control-plane", "demo", "--bind", address]);
    let taken = project.ran(taken.env("PORT_DEMO_TOKEN", TOKEN).output().unwrap());
    assert!(taken.code == 1 && taken.stderr.contains("--bind 127.0.0.1:0"), "{taken}");
}
