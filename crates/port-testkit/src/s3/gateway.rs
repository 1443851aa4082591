//! A real S3 server over a directory: versitygw, which `cargo xtask peers --all` builds. It ends with the value.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::{ACCESS_KEY, BUCKET, SECRET_KEY};
use crate::peers::{TRIES, answers, tool};

/// See the module. It has the bucket, the key and the secret of the one in memory.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Gateway {
    /// Starts it, or says what is missing and gives `None`.
    pub fn start() -> Option<Self> {
        let program = tool("versitygw")?;
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("data").join(BUCKET)).unwrap();
        for _ in 0..TRIES {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let log = File::create(directory.path().join("log")).unwrap();
            let mut command = Command::new(&program);
            command
                .args(["--port", &address, "--quiet", "--keep-alive", "posix"])
                .arg(directory.path().join("data"));
            // Not on the command line, which everybody on the host can read.
            command.env("ROOT_ACCESS_KEY", ACCESS_KEY).env("ROOT_SECRET_KEY", SECRET_KEY);
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let mut child = command.spawn().unwrap();
            if answers(&address, &mut child) {
                return Some(Self { child, address, directory });
            }
        }
        panic!("{} did not start: {}", program.display(), log_in(&directory));
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it wrote to its standard output and standard error.
    pub fn log(&self) -> String {
        log_in(&self.directory)
    }
}

fn log_in(directory: &tempfile::TempDir) -> String {
    fs::read_to_string(directory.path().join("log")).unwrap_or_default()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
