//! Debian's registry on loopback, over a directory of its own that is emptied between the rounds.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs until dropped.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    data: PathBuf,
}

impl Server {
    pub(super) fn start(directory: &Path) -> Outcome<Self> {
        let address = free_address()?;
        let data = directory.join("data");
        let file = directory.join("config.yml");
        let content = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: {}\nhttp:\n  addr: {address}\n  secret: loopback-only\n",
            data.display()
        );
        workspace::write_text(&file, &content)?;
        let mut command = process::program("docker-registry");
        command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| process::not_started(&command, &error))?;
        let mut server = Self { child, address, data };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_err() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                let why = ended.map_or_else(|| format!("waited {PATIENCE:?}"), |status| status.to_string());
                return Err(Failure::new(format!(
                    "docker-registry does not listen on {}: {why}",
                    self.address
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forgets everything that was pushed. It keeps nothing in memory.
    pub(super) fn empty(&self) -> Outcome {
        super::client::remove(&self.data)
    }

    /// What lies in its directory, in bytes of the disk.
    pub(super) fn bytes_on_disk(&self) -> Outcome<u64> {
        super::client::bytes_on_disk(&self.data)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
pub(super) fn free_address() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(|error| Failure::new(format!("cannot listen on loopback: {error}")))
}
