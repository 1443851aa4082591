//! A hermetic working directory with a `port.toml`, and the real `port` binary to run in it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A working directory of one test.
#[derive(Debug)]
pub struct Project {
    directory: tempfile::TempDir,
    binary: PathBuf,
}

/// What a run of `port` gave, with what differs from machine to machine replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code: {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Project {
    /// An empty working directory for the `port` at `binary`.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), binary: binary.into() }
    }

    /// The working directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file below the working directory, with its directories.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Reads a file below the working directory.
    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path().join(path)).unwrap()
    }

    /// Whether something is at this path below the working directory.
    pub fn exists(&self, path: &str) -> bool {
        self.path().join(path).exists()
    }

    /// A `port` command in the working directory, with nothing of the caller's environment but PATH.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).env_clear();
        for kept in ["PATH", "PORT_GUEST_AGENT_BIN", "PORT_LAUNCHER_BIN", "PORT_PROBE_KERNEL_BIN", "TMPDIR"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command.env("HOME", self.path()).env("NO_COLOR", "1");
        command
    }

    /// Runs `port` with these arguments.
    pub fn port(&self, arguments: &[&str]) -> Ran {
        self.ran(self.command(arguments).output().unwrap())
    }

    /// The same, with something to read. A program that ends without reading it all is none the worse.
    pub fn port_reading(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        self.ran(child.wait_with_output().unwrap())
    }

    /// Turns raw output into something to compare.
    pub fn ran(&self, output: Output) -> Ran {
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            text.replace(&*self.path().to_string_lossy(), "[PROJECT]")
        };
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
