//! `port-launcher`: confines itself inside a workload, then becomes the workload's command.
//!
//! ```text
//! options ─► capabilities dropped ─► no new privileges ─► Landlock rules ─► exec
//! ```
//!
//! It is static, since it runs on whatever root the workload has, and in it, since Landlock forbids the mounts that make
//! a container. It reads no file and no environment; which rules a profile has is decided outside (`port-drivers`).
//! Invariant: what cannot be applied in full ends it before the command starts, unless `--best-effort` says otherwise.
#![expect(
    clippy::disallowed_methods,
    reason = "runs inside the workload: the walls keep the host's file system, environment and clock in one place"
)]

mod confine;
mod init;
mod network;
mod options;
mod root;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use crate::options::Invocation;

/// As shells say it: the command is there and cannot be started, and it is not there.
const CANNOT_START: u8 = 126;
const NOT_THERE: u8 = 127;

fn main() -> ExitCode {
    match options::parse(lexopt::Parser::from_env()) {
        Ok(Invocation::Launch(options)) => launch(&options),
        Ok(Invocation::Tell(text)) => {
            // Nobody is left to be told that nobody listens.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(2, &format!("{error}\n\n{}", options::USAGE)),
    }
}

fn launch(options: &options::Options) -> ExitCode {
    if let Some(directory) = &options.root
        && let Err(error) = root::enter(directory)
    {
        let message = format!("cannot make `{}` the root: {error}", directory.display());
        return failed(CANNOT_START, &message);
    }
    match confine::confine(options) {
        Ok(()) if options.init => init::run(&options.command),
        Ok(()) => become_command(&options.command),
        Err(error) => failed(CANNOT_START, &chain(&error)),
    }
}

fn cannot_start(program: &std::ffi::OsStr, error: &std::io::Error) -> ExitCode {
    let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_THERE } else { CANNOT_START };
    failed(code, &format!("cannot start `{}`: {error}", program.to_string_lossy()))
}

fn become_command(command: &[std::ffi::OsString]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else {
        return failed(2, "expected a command behind `--`, found none");
    };
    let error = Command::new(program).args(arguments).exec();
    cannot_start(program, &error)
}

fn failed(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "port-launcher: {message}");
    code.into()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
