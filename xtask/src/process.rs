//! Running other programs: what is run is shown, what fails is told with its status.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::{Failure, Outcome};
use crate::workspace;

/// Where administrators' tools live. Not on every user's PATH, though reading with them needs no rights.
const ADMINISTRATOR_PATHS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The cargo that runs this program, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo run` says about xtask itself would reach the build scripts of other crates, which then believe that
    // something changed: every switch between `cargo xtask` and plain cargo would build them again.
    for (name, _) in std::env::vars_os() {
        let own = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        if own {
            command.env_remove(name);
        }
    }
    command.current_dir(workspace::root()).env("PATH", search_path());
    command
}

/// Any other program, in the workspace's root.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.current_dir(workspace::root()).env("PATH", search_path());
    command
}

/// PATH, and behind it where administrators' tools live.
pub(crate) fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for directory in ADMINISTRATOR_PATHS.iter().map(PathBuf::from) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    std::env::join_paths(directories).unwrap_or(path)
}

/// The file that would be run.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path()).map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// Runs it with this terminal's output.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.stdin(Stdio::null()).status().map_err(|error| not_started(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("`{}` failed: {status}", shown(command))))
    }
}

/// Runs it for its standard output; what it said on failure becomes part of the finding.
pub(crate) fn read(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "`{}` failed: {}\n{}",
            shown(command),
            output.status,
            said(&output)
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot run `{}`: {error}", shown(command)))
}

fn said(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    text.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The command line as a reader would type it: the program by its name.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| {
            let word = word.to_string_lossy();
            let plain = !word.is_empty()
                && !word.contains(|c: char| c.is_whitespace() || "'\"$&;|<>()*?`\\".contains(c));
            if plain { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/opt/bin/port");
        command.args(["run", "demo", "--", "uname -a", "it's"]);
        assert_eq!(shown(&command), r"port run demo -- 'uname -a' 'it'\''s'");
    }

    #[test]
    fn a_failure_carries_what_was_said() {
        let failure = read(program("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("exit status: 3") && text.contains("why"), "{text}");
        assert!(run(&mut program("port-no-such-program")).is_err());
    }
}
