//! Runs a program of this machine and takes what it prints. Bounded in output, named in errors.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use crate::error::BuildError;

/// The most that is read from a program, in bytes.
const LARGEST_OUTPUT: u64 = 4 * 1024 * 1024;
/// How many of the last lines of what it said are shown.
const SHOWN_LINES: usize = 4;

/// What a program did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The command line, for messages.
    pub(crate) command: String,
    /// Whether it ended with status 0.
    pub(crate) success: bool,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

impl Ran {
    /// The last lines of what it said, on one line.
    pub(crate) fn last_words(&self) -> String {
        let lines: Vec<&str> = self.stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let from = lines.len().saturating_sub(SHOWN_LINES);
        match lines.get(from..).unwrap_or_default() {
            [] => "it said nothing".to_owned(),
            last => last.join("; "),
        }
    }

    /// Its standard output, or the error that it failed.
    pub(crate) fn into_stdout(self) -> Result<String, BuildError> {
        if self.success {
            return Ok(self.stdout);
        }
        Err(self.into_failure())
    }

    /// The error that it failed, with its last words.
    pub(crate) fn into_failure(self) -> BuildError {
        let found = self.last_words();
        BuildError::Command { command: self.command, found }
    }
}

/// Runs `program` in `directory` (this process's own where there is none) without input.
pub(crate) async fn run<S: AsRef<OsStr>>(
    program: &Path,
    arguments: &[S],
    directory: Option<&Path>,
) -> Result<Ran, BuildError> {
    let words = arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned());
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let command = std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ");
    match wait(program, arguments, directory).await {
        Ok((success, stdout, stderr)) => Ok(Ran { command, success, stdout, stderr }),
        Err(source) => Err(BuildError::Start { command, source }),
    }
}

async fn wait<S: AsRef<OsStr>>(
    program: &Path,
    arguments: &[S],
    directory: Option<&Path>,
) -> std::io::Result<(bool, String, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Messages are read and shown, so they come in one language; a dropped build ends its programs.
    command.env("LC_ALL", "C").kill_on_drop(true);
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::try_join!(read(stdout), read(stderr))?;
    let status = child.wait().await?;
    Ok((status.success(), stdout, stderr))
}

/// All that comes; of what is beyond the limit nothing is kept, but it is read, so that the writer can end.
async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut pipe) = pipe else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    (&mut pipe).take(LARGEST_OUTPUT).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_failure_shows_the_command_and_its_last_words() {
        let script = "echo one; for i in 1 2 3 4 5; do echo line $i >&2; done; exit 3";
        let ran = run(Path::new("/bin/sh"), &["-c", script], None).await.unwrap();
        assert_eq!(ran.stdout, "one\n");
        let text = ran.into_stdout().unwrap_err().to_string();
        assert!(text.ends_with("failed: line 2; line 3; line 4; line 5"), "{text}");
        let absent = run(Path::new("/nonexistent/nix"), &["build"], None).await.unwrap_err();
        assert_eq!(absent.to_string(), "cannot run `nix build`");
    }
}
