//! A containerd of a test's own: socket, state and content below one directory, ended with the value. No containers and no
//! snapshots: what those need of a host is switched off.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{peers, skip};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What content, images and leases do without.
const DISABLED: [&str; 10] = [
    "io.containerd.grpc.v1.cri",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.tracing",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.overlayfs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.runtime.v1.linux",
];

/// A running containerd.
#[derive(Debug)]
pub struct Containerd {
    child: Child,
    directory: tempfile::TempDir,
}

impl Containerd {
    /// Starts it, or says what is missing and gives `None`.
    pub fn start() -> Option<Self> {
        let program = peers::tool("containerd")?;
        // A process's own directory is its user's.
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            skip::because("containerd runs as root alone");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let child = serve(&program, directory.path());
        let mut started = Self { child, directory };
        started.wait();
        Some(started)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("containerd.sock")
    }

    /// Where a blob's bytes lie.
    pub fn blob(&self, hex: &str) -> PathBuf {
        let content = self.directory.path().join("root/io.containerd.content.v1.content");
        content.join("blobs/sha256").join(hex)
    }

    /// containerd's own client, on this socket and a namespace; `None` where it is not here.
    pub fn ctr(&self, namespace: &str, words: &[&str]) -> Option<String> {
        let ctr = peers::tool("ctr")?;
        let socket = self.socket().display().to_string();
        let words = [&["--address", &socket, "--namespace", namespace], words].concat();
        Some(String::from_utf8(peers::run(&ctr, &words, self.directory.path())).unwrap())
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(self.socket()).is_err() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
                panic!("containerd did not start: {log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(program: &Path, directory: &Path) -> Child {
    let (here, disabled) = (directory.display(), DISABLED.map(|name| format!("{name:?}")).join(", "));
    let text = format!(
        "version = 2\nroot = \"{here}/root\"\nstate = \"{here}/state\"\ndisabled_plugins = [{disabled}]\n\
         [grpc]\naddress = \"{here}/containerd.sock\"\n[ttrpc]\naddress = \"{here}/containerd.sock.ttrpc\"\n\
         [plugins.\"io.containerd.gc.v1.scheduler\"]\nstartup_delay = \"0s\"\n"
    );
    let configuration = directory.join("config.toml");
    fs::write(&configuration, text).unwrap();
    let log = File::create(directory.join("log")).unwrap();
    let mut command = Command::new(program);
    command.arg("--config").arg(&configuration).arg("--log-level").arg("warn").current_dir(directory);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}
