//! The servers that are compared: each starts on a free port of loopback over an empty directory, and ends with its value.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::load;
use crate::bench::server::free_address;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

const PATIENCE: Duration = Duration::from_secs(30);
/// Often enough for a start that takes milliseconds.
const LOOK_AGAIN: Duration = Duration::from_micros(500);
const TOKEN: &str = "a-token-of-the-benchmark";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Software {
    Port,
    Distribution,
    Zot,
    DockerRegistry,
}

impl Software {
    /// Port, and those that are here. Who is not is named.
    pub(super) fn present() -> Vec<Self> {
        let peers = [Self::Distribution, Self::Zot, Self::DockerRegistry].into_iter().filter(|peer| {
            let found = peer.program();
            match &found {
                Some(program) => println!("peer: {} is {}", peer.name(), program.display()),
                None => println!("peer: {} is not here: cargo xtask peers --all", peer.name()),
            }
            found.is_some()
        });
        std::iter::once(Self::Port).chain(peers).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Distribution => "distribution",
            Self::Zot => "zot",
            Self::DockerRegistry => "docker-registry",
        }
    }

    fn program(self) -> Option<PathBuf> {
        let built = workspace::target_directory().join("peers/bin").join(self.name());
        if built.is_file() { Some(built) } else { process::find(self.name()) }
    }
}

/// What a process has in memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) now: u64,
    pub(super) peak: u64,
}

/// A running server.
pub(super) struct Contender {
    child: Child,
    software: Software,
    pub(super) address: SocketAddr,
    /// From the start of the process to its first answer.
    pub(super) started: Duration,
}

impl Contender {
    pub(super) fn start(software: Software, port: &Path, directory: &Path) -> Outcome<Self> {
        let address = free_address()?;
        let mut command = match software {
            Software::Port => serve_port(port, directory, address)?,
            Software::Zot => serve_zot(directory, address)?,
            Software::Distribution | Software::DockerRegistry => {
                serve_distribution(software, directory, address)?
            }
        };
        command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let child = command.spawn().map_err(|error| process::not_started(&command, &error))?;
        let mut contender = Self { child, software, address, started: Duration::ZERO };
        while !answers(address) {
            let ended = contender.child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let name = software.name();
                return Err(Failure::new(format!("{name} does not answer at {address}: {ended:?}")));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        contender.started = begun.elapsed();
        Ok(contender)
    }

    /// What a request says of who sends it: Port has no server that asks nobody.
    pub(super) fn authorization(&self) -> Option<String> {
        (self.software == Software::Port).then(|| format!("Bearer {TOKEN}"))
    }

    pub(super) fn memory(&self) -> Outcome<Memory> {
        let path = PathBuf::from(format!("/proc/{}/status", self.child.id()));
        let status = workspace::read_text(&path)?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
        };
        let memory = bytes("VmRSS:").zip(bytes("VmHWM:")).map(|(now, peak)| Memory { now, peak });
        memory.ok_or_else(|| Failure::new(format!("`{}` names no memory", path.display())))
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(address: SocketAddr) -> bool {
    let asked = TcpStream::connect_timeout(&address, Duration::from_secs(1))
        .ok()
        .and_then(|stream| load::Connection::new(stream).exchange(load::PING.as_bytes()).ok());
    asked.is_some()
}

fn serve_port(port: &Path, directory: &Path, address: SocketAddr) -> Outcome<Command> {
    let configuration = format!(
        "[control_planes.bench]\nendpoint = \"http://{address}\"\naudience = \"bench\"\nauth = {{ scheme = \"bearer\", header = \
         \"authorization\", source = {{ kind = \"env\", variable = \"PORT_DEMO_TOKEN\" }} }}\n"
    );
    workspace::write_text(&directory.join("port.toml"), &configuration)?;
    let mut command = Command::new(port);
    command.args(["--quiet", "control-plane", "serve", "--control-plane", "bench", "--storage", "data"]);
    command.args(["--bind", &address.to_string()]).env("PORT_DEMO_TOKEN", TOKEN);
    Ok(command)
}

fn serve_distribution(software: Software, directory: &Path, address: SocketAddr) -> Outcome<Command> {
    let file = directory.join("config.yml");
    let content = format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
         http:\n  addr: {address}\n  secret: loopback-only\n",
        directory.join("data").display()
    );
    workspace::write_text(&file, &content)?;
    let mut command = Command::new(software.program().unwrap_or_else(|| software.name().into()));
    command.arg("serve").arg(&file).env("OTEL_TRACES_EXPORTER", "none");
    Ok(command)
}

fn serve_zot(directory: &Path, address: SocketAddr) -> Outcome<Command> {
    let file = directory.join("config.json");
    let content = serde_json::json!({
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": directory.join("data")},
        "http": {"address": address.ip().to_string(), "port": address.port().to_string()},
        "log": {"level": "error"},
    });
    workspace::write_text(&file, &content.to_string())?;
    let mut command = Command::new(Software::Zot.program().unwrap_or_else(|| "zot".into()));
    command.arg("serve").arg(&file);
    Ok(command)
}
