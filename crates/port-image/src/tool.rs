//! External commands: one place that starts them, with captured and bounded output.
//!
//! A tool runs with a fixed locale and without variables that would change what it writes, gets no terminal,
//! and is killed when it takes too long or says too much. It is looked for as the operating system does, on the
//! process's own PATH, and then where Debian keeps administrators' tools. Invariant: an error names the command, its exit
//! status and the last lines that the tool wrote.

mod error;
mod pipes;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use port_content::fs;

pub use error::ToolError;

/// How many of its last lines an error shows.
const LINES_SHOWN: usize = 8;
/// How long a tool may take, unless said otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How much a tool may write to standard output, unless said otherwise, in bytes.
const STDOUT_LIMIT: u64 = 16 * 1024 * 1024;
/// Where Debian keeps administrators' tools, which the `PATH` of ordinary users lacks.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];
/// What would change a tool's output, or start a pager.
const UNWANTED_VARIABLES: [&str; 6] =
    ["SOURCE_DATE_EPOCH", "MKE2FS_CONFIG", "E2FSPROGS_FAKE_TIME", "PAGER", "DEBUGFS_PAGER", "LANGUAGE"];

/// A program that Port calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The name of the program.
    pub name: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

impl Tool {
    /// A tool by its name and package.
    pub const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }

    /// Starts to describe a call.
    pub fn command(self) -> Invocation {
        Invocation {
            tool: self,
            arguments: Vec::new(),
            directory: None,
            environment: Vec::new(),
            accepts_any_status: false,
            stdout_limit: STDOUT_LIMIT,
            time_limit: TIME_LIMIT,
        }
    }

    /// What the tool says about its version: the first line that has a digit, of either output.
    pub fn version(self, arguments: &[&str]) -> Result<String, ToolError> {
        let output = self.command().args(arguments).accept_any_status().run()?;
        let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), output.stderr);
        let line = text.lines().find(|line| line.bytes().any(|byte| byte.is_ascii_digit()));
        Ok(line.unwrap_or("unknown").trim().to_owned())
    }
}

/// Which tool made or judged something, for the build record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRecord {
    /// Its name.
    pub tool: &'static str,
    /// What it says about its version.
    pub version: String,
}

/// A path as an argument that no tool takes for an option.
pub(crate) fn path_argument(path: &Path) -> PathBuf {
    let looks_like_option = path.as_os_str().as_encoded_bytes().starts_with(b"-");
    if looks_like_option { Path::new(".").join(path) } else { path.to_owned() }
}

/// What a tool wrote.
#[derive(Debug, Clone)]
pub struct ToolOutput {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// The end of its standard error, made UTF-8.
    pub stderr: String,
}

impl ToolOutput {
    /// The last few lines of both outputs, standard error last.
    pub fn words(&self) -> String {
        self.last_lines(LINES_SHOWN)
    }

    /// The last `count` lines of both outputs, standard error last.
    pub fn last_lines(&self, count: usize) -> String {
        let text = format!("{}\n{}", String::from_utf8_lossy(&self.stdout), self.stderr);
        last_lines(&text, count)
    }
}

/// A call of a tool, to be run.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `run`"]
pub struct Invocation {
    tool: Tool,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    accepts_any_status: bool,
    stdout_limit: u64,
    time_limit: Duration,
}

impl Invocation {
    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Runs in this directory.
    pub fn current_dir(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Takes every exit code as success; the caller looks at [`ToolOutput::status`]. A signal stays a
    /// failure.
    pub fn accept_any_status(mut self) -> Self {
        self.accepts_any_status = true;
        self
    }

    /// Limits the standard output, in bytes.
    pub fn stdout_limit(mut self, limit: u64) -> Self {
        self.stdout_limit = limit;
        self
    }

    /// Limits the time.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Runs it with nothing on standard input.
    pub fn run(self) -> Result<ToolOutput, ToolError> {
        let child = self.start(Stdio::null)?;
        self.finish(child, None::<fn(&mut dyn Write) -> io::Result<()>>)
    }

    /// Runs it while `feed` writes its standard input, from a thread of its own.
    pub fn run_with_input<F>(self, feed: F) -> Result<ToolOutput, ToolError>
    where
        F: FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    {
        let child = self.start(Stdio::piped)?;
        self.finish(child, Some(feed))
    }

    fn start(&self, stdin: fn() -> Stdio) -> Result<Child, ToolError> {
        if let Some(directory) = &self.directory {
            // Otherwise an absent directory would look like an absent tool.
            fs::metadata(directory).map_err(|error| self.run_error(error.source))?;
        }
        let elsewhere = SYSTEM_DIRECTORIES.iter().map(|directory| Path::new(directory).join(self.tool.name));
        for program in std::iter::once(PathBuf::from(self.tool.name)).chain(elsewhere) {
            match self.std_command(&program).stdin(stdin()).spawn() {
                Ok(child) => return Ok(child),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.run_error(source)),
            }
        }
        Err(ToolError::Missing { tool: self.tool.name, package: self.tool.package })
    }

    fn std_command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.args(&self.arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("LC_ALL", "C").env("TZ", "UTC");
        for name in UNWANTED_VARIABLES {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    fn run_error(&self, source: io::Error) -> ToolError {
        ToolError::Run { command: self.to_string(), source }
    }

    fn finish<F>(self, child: Child, feed: Option<F>) -> Result<ToolOutput, ToolError>
    where
        F: FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    {
        let process = pipes::pidfd(&child).map_err(|source| self.run_error(source))?;
        let ran = pipes::serve(child, &process, self.stdout_limit, self.time_limit, feed);
        if ran.timed_out {
            return Err(ToolError::TimedOut { command: self.to_string(), limit: self.time_limit });
        }
        let stdout = ran.stdout.map_err(|source| self.run_error(source))?;
        if stdout.len() as u64 > self.stdout_limit {
            return Err(ToolError::OutputTooLarge { command: self.to_string(), limit: self.stdout_limit });
        }
        let status = ran.status.map_err(|source| self.run_error(source))?;
        let stderr = ran.stderr.map_err(|source| self.run_error(source))?;
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        self.judge(ToolOutput { status, stdout, stderr }, ran.fed)
    }

    /// A tool that failed explains itself better than the pipe that broke when it ended.
    fn judge(self, output: ToolOutput, fed: io::Result<()>) -> Result<ToolOutput, ToolError> {
        let code = output.status.code();
        let is_accepted = code.is_some_and(|code| self.accepts_any_status || code == 0);
        match fed {
            Err(source) if is_accepted || source.kind() != io::ErrorKind::BrokenPipe => {
                Err(ToolError::Input { command: self.to_string(), source })
            }
            _ if is_accepted => Ok(output),
            _ => {
                let (status, message) = (output.status, output.words());
                Err(ToolError::Failed { command: self.to_string(), status, message })
            }
        }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tool.name)?;
        self.arguments.iter().try_for_each(|argument| {
            let text = argument.to_string_lossy();
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            if is_plain { write!(f, " {text}") } else { write!(f, " {text:?}") }
        })
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Tool = Tool::new("sh", "dash");

    fn shell(script: &str) -> Invocation {
        SHELL.command().arg("-c").arg(script)
    }

    #[test]
    fn output_and_environment_are_captured() {
        let output =
            shell("echo $LC_ALL$WORD$SOURCE_DATE_EPOCH; echo bad >&2").env("WORD", "x").run().unwrap();
        assert_eq!((output.stdout.as_slice(), output.stderr.as_str()), (b"Cx\n".as_slice(), "bad\n"));
    }

    #[test]
    fn a_failure_says_what_the_tool_said() {
        let error = shell("seq 100 >&2; exit 3").run().unwrap_err().to_string();
        assert!(error.contains("sh -c \"seq 100 >&2; exit 3\"` failed (exit status: 3)"), "{error}");
        assert!(error.ends_with("99\n100") && !error.contains("92"), "{error}");
        assert!(shell("exit 3").accept_any_status().run().is_ok());
        assert!(shell("kill -9 $$").accept_any_status().run().is_err());
    }

    #[test]
    fn an_absent_tool_names_its_package() {
        let error = Tool::new("no-such-tool", "such-package").command().run().unwrap_err().to_string();
        let expected = "the tool `no-such-tool` is not installed: it is in the Debian package `such-package`";
        assert_eq!(error, expected);
    }

    #[test]
    fn too_much_and_too_long_are_stopped() {
        let error = shell("yes").stdout_limit(1000).run().unwrap_err();
        assert!(matches!(error, ToolError::OutputTooLarge { limit: 1000, .. }), "{error}");
        let error = shell("exec sleep 60").time_limit(Duration::from_millis(50)).run().unwrap_err();
        assert!(matches!(error, ToolError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn input_is_fed_and_its_failure_is_not_overlooked() {
        let text = "x".repeat(300_000);
        let output = shell("cat").run_with_input(|stdin| stdin.write_all(text.as_bytes())).unwrap();
        assert_eq!(output.stdout.len(), 300_000);
        let error = shell("cat").run_with_input(|_| Err(io::Error::other("gone"))).unwrap_err();
        assert!(matches!(error, ToolError::Input { .. }), "{error}");
        let broken = shell("exit 4").run_with_input(|stdin| stdin.write_all(text.as_bytes())).unwrap_err();
        assert!(matches!(broken, ToolError::Failed { .. }), "{broken}");
    }
}
