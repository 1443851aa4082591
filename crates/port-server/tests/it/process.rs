//! A server in a process of its own, so that it can be killed, or live where the disk is full or cannot be written.
//!
//! The process is this test program once more, told by its environment to run one "test" only, which serves.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use port_server::catalog::collect::Patience;
use port_server::maintenance::Rules;
use port_server::{Limits, Server, open_files};

use crate::client::http;
use crate::guarded::Guarded;
use crate::kills::bucket;

const ADDRESS: &str = "PORT_TEST_SERVE_AT";
const STORAGE: &str = "PORT_TEST_SERVE_FROM";
/// How long a server may take to answer; it is asked again every few milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What collection is told: not to wait where it need not, so that it gets in the way of everything else.
const HASTY: Rules = Rules {
    patience: Patience {
        uploads: Duration::from_secs(60),
        blobs: Duration::from_secs(2),
        manifests: Some(Duration::from_secs(2)),
    },
    every: Duration::from_millis(200),
    scrub: Some(1 << 20),
};

#[tokio::test(flavor = "multi_thread")]
async fn serves_when_it_is_told_to() {
    let (Ok(address), Ok(storage)) = (std::env::var(ADDRESS), std::env::var(STORAGE)) else { return };
    open_files::raise();
    let limits = Limits { connections_per_client: 100_000, ..Limits::default() };
    let settings = if storage.starts_with(bucket::SCHEME) {
        bucket::settings(&storage, limits).await
    } else {
        Guarded { limits, ..Guarded::over(Path::new(&storage)) }.settings().await.0
    };
    let server = Server::bind(settings, address.parse().unwrap()).await.unwrap();
    tokio::spawn(server.maintenance(HASTY).run());
    server.run(std::future::pending()).await;
}

/// A running one. It is killed with the value.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    /// Serves the folder, or the bucket behind an endpoint, at this address, and answers when this returns. What `within` is put
    /// before the program.
    pub async fn start(storage: &Path, address: SocketAddr, within: &[&str]) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = match within {
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            [] => Command::new(program),
        };
        command.args(["--exact", "process::serves_when_it_is_told_to"]).env(ADDRESS, address.to_string());
        command.env(STORAGE, storage).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut process = Self { child: command.spawn().unwrap(), address };
        process.wait().await;
        process
    }

    async fn wait(&mut self) {
        let client = http();
        let answers = async {
            while client.get(self.url("/healthz")).send().await.is_err() {
                assert!(self.child.try_wait().unwrap().is_none(), "the server ended at once");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, answers).await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it has in memory now.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// SIGKILL: nothing of it runs any more.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A number that somebody may set in the environment to have more of a test.
pub fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().unwrap())
}
