//! Other people's registries on loopback, and where their clients are: `cargo xtask peers` brings them. A test whose
//! peer is absent says so and returns.
//!
//! A server listens on a free port, keeps what it gets in a directory of its own, and ends with the value that stands
//! for it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::certificates::Maker;
use crate::skip;

/// Who may sign in where [`Access::Basic`] is asked for.
pub const USER: &str = "peer";
/// The password of [`USER`].
pub const PASSWORD: &str = "peer-secret-4711";
/// The line of an htpasswd file that says so: bcrypt, of low cost, since every request pays for it.
const HTPASSWD: &str = "peer:$2y$05$abcdefghijklmnopqrstuua6datlK8HpGgak7MvATzFmwG2.7UYti\n";

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Another process may take a free port between finding and binding it.
pub(crate) const TRIES: usize = 5;

/// A registry's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Software {
    /// Debian's `docker-registry`, distribution 2.8.
    DockerRegistry,
    /// CNCF distribution 3.
    Distribution,
    /// zot.
    Zot,
}

impl Software {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::DockerRegistry, Self::Distribution, Self::Zot];

    fn program(self) -> &'static str {
        match self {
            Self::DockerRegistry => "docker-registry",
            Self::Distribution => "distribution",
            Self::Zot => "zot",
        }
    }
}

/// Who gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// [`USER`] with [`PASSWORD`].
    Basic,
}

/// Whether the server speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In the clear.
    Plain,
    /// With a certificate for 127.0.0.1 of an authority that nobody else knows.
    Tls,
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Registry {
    /// Starts it, or says what is missing and gives `None`.
    pub fn start(software: Software, access: Access, security: Security) -> Option<Self> {
        let program = tool(software.program())?;
        let directory = tempfile::tempdir().unwrap();
        if access == Access::Basic {
            fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
        }
        if security == Security::Tls {
            certify(directory.path())?;
        }
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut child = serve(software, &program, directory.path(), port, access, security);
            let address = format!("127.0.0.1:{port}");
            if answers(&address, &mut child) {
                return Some(Self { child, address, directory });
            }
        }
        let log = fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        panic!("{} did not start: {log}", program.display());
    }

    /// `127.0.0.1:PORT`, as references name it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The PEM file of the authority behind its certificate, where it speaks TLS.
    pub fn certificate_authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// What it wrote to its standard output and standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer's program: built by `cargo xtask peers` (beside this test's own profile directory), or on PATH.
pub fn tool(name: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/<test>
    let peers = program.ancestors().nth(3).unwrap().join("peers");
    let built = peers.join("bin").join(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = vec![built];
    places.extend(std::env::split_paths(&path).map(|directory| directory.join(name)));
    let found = places.into_iter().find(|place| place.is_file());
    if found.is_none() {
        // Where that was tried and failed, it is known why.
        let why = fs::read_to_string(peers.join("absent").join(name)).unwrap_or_default();
        let why = why.lines().next().map_or_else(
            || "to have it: cargo xtask peers --all".to_owned(),
            |why| format!("cargo xtask peers --all could not get it: {why}"),
        );
        skip::because(&format!("`{name}` is not here; {why}"));
    }
    found
}

/// Runs a peer's client in `directory`, which is its home as well, and gives its output; it must succeed.
pub fn run(program: &Path, arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = try_run(program, arguments, directory);
    assert!(
        output.status.success(),
        "{} {arguments:?}: {}\n{}{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The same, whatever comes of it.
pub fn try_run(program: &Path, arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).env_clear();
    command.envs(std::env::var_os("PATH").map(|value| ("PATH", value)));
    // Nobody's credentials, and nobody's proxy.
    command.env("HOME", directory).env("XDG_RUNTIME_DIR", directory).env("DOCKER_CONFIG", directory);
    command.output().unwrap()
}

fn serve(
    software: Software,
    program: &Path,
    directory: &Path,
    port: u16,
    access: Access,
    security: Security,
) -> Child {
    let text = match software {
        Software::Zot => zot_configuration(directory, port, access, security),
        Software::DockerRegistry | Software::Distribution => {
            distribution_configuration(directory, port, access, security)
        }
    };
    let file = directory.join(if software == Software::Zot { "config.json" } else { "config.yml" });
    fs::write(&file, text).unwrap();
    let log = File::create(directory.join("log")).unwrap();
    let mut command = Command::new(program);
    command.arg("serve").arg(&file).current_dir(directory).stdin(Stdio::null());
    // Distribution 3 would look for a collector of traces.
    command.env("OTEL_TRACES_EXPORTER", "none").env("HOME", directory);
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn distribution_configuration(directory: &Path, port: u16, access: Access, security: Security) -> String {
    let directory = directory.display();
    let mut text = format!(
        "version: 0.1\nlog:\n  level: warn\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
         rootdirectory: {directory}/data\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:{port}\n  \
         secret: of-tests\n"
    );
    if security == Security::Tls {
        text +=
            &format!("  tls:\n    certificate: {directory}/server.pem\n    key: {directory}/server.key\n");
    }
    if access == Access::Basic {
        text += &format!("auth:\n  htpasswd:\n    realm: peers\n    path: {directory}/htpasswd\n");
    }
    text
}

fn zot_configuration(directory: &Path, port: u16, access: Access, security: Security) -> String {
    let directory = directory.display();
    let mut http = format!(r#""address": "127.0.0.1", "port": "{port}""#);
    if security == Security::Tls {
        http +=
            &format!(r#", "tls": {{ "cert": "{directory}/server.pem", "key": "{directory}/server.key" }}"#);
    }
    if access == Access::Basic {
        http += &format!(r#", "auth": {{ "htpasswd": {{ "path": "{directory}/htpasswd" }} }}"#);
    }
    format!(
        r#"{{ "distSpecVersion": "1.1.1", "storage": {{ "rootDirectory": "{directory}/data" }},
             "http": {{ {http} }}, "log": {{ "level": "warn" }} }}"#
    )
}

/// An authority and a certificate of it, `ca.pem`, `server.pem` and `server.key`.
fn certify(directory: &Path) -> Option<()> {
    let maker = Maker::new(directory)?;
    maker.authority("ca");
    maker.certificate("ca", "server", "subjectAltName=IP:127.0.0.1");
    Some(())
}

/// Waits until something speaks HTTP there; a server with TLS says in plain HTTP that it wants TLS.
pub(crate) fn answers(address: &str, child: &mut Child) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if let Ok(mut stream) = TcpStream::connect(address) {
            let asked = write!(stream, "GET /v2/ HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            let mut start = [0; 5];
            if asked.and_then(|()| stream.read_exact(&mut start)).is_ok() && &start == b"HTTP/" {
                return true;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}
