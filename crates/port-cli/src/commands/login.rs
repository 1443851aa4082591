//! `port login`: a password from standard input or an unseen line, never from an argument.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use port_ops::Environment;
use port_ops::login::{self as ops, LoginPlace, LoginReport, LoginRequest};
use port_registry::Secret;
use port_registry::credentials::{FileStyle, LoginTarget, password_from_input, split_token};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Global, RegistryFlags};
use crate::commands::access;
use crate::error::{CommandError, Exit};
use crate::terminal;
use crate::ui::Ui;
use crate::{env_vars, host, progress};

/// The longest password or token that is read, in bytes.
const LONGEST_PASSWORD: u64 = 64 * 1024;

/// Arguments of login.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The registry, as `ghcr.io`, or one namespace of it, as `ghcr.io/team`.
    #[arg(value_name = "REGISTRY[/NAMESPACE]")]
    place: LoginPlace,
    /// Who signs in; not needed where standard input has a token that says it, as base64 of `user:token`.
    #[arg(short, long, value_name = "NAME", required_unless_present = "password_stdin")]
    username: Option<String>,
    /// Read the password or access token from standard input; without it, ask for it on the terminal.
    #[arg(long)]
    password_stdin: bool,
    /// Store into this file, as podman does, in place of docker's `config.json`.
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// Checks the credentials and stores them; needs no configuration, and of one that is there knows whom the registry may name.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let environment = env_vars::environment(host::architecture()?);
    let target = target(&environment, arguments.authfile)?;
    let (username, password) = match arguments.username {
        None => both(&read_all()?)?,
        Some(username) if arguments.password_stdin => (username, read_all()?),
        Some(username) => match ask(&username, &arguments.place, ui).await? {
            Some(password) => (username, password),
            // As a shell says that the user ended it.
            None => return Ok(130),
        },
    };
    let request = LoginRequest { place: arguments.place, username, password };
    let reporter = progress::reporter(ui, global.progress);
    let access = access(&arguments.registry, global, ui)?;
    let paths = &environment.credential_paths;
    let report = ops::login(request, &access, &target, paths, Arc::clone(&reporter)).await?;
    say(&report, ui)?;
    Ok(0)
}

/// Which file is changed: the one named, else docker's.
pub fn target(environment: &Environment, authfile: Option<PathBuf>) -> Result<LoginTarget, CommandError> {
    let paths = &environment.credential_paths;
    let (file, style) = match (authfile, paths.docker_config.first()) {
        (Some(file), _) => (file, FileStyle::Podman),
        (None, Some(file)) => (file.clone(), FileStyle::Docker),
        (None, None) => {
            let message = "there is no place for credentials: neither `HOME` nor `DOCKER_CONFIG` is set";
            return Err(CommandError::new(Exit::Usage, message).hint("name a file with `--authfile FILE`"));
        }
    };
    let (helper_path, helper_timeout) = (paths.helper_path.clone(), paths.helper_timeout);
    Ok(LoginTarget { file, style, helper_path, helper_timeout })
}

/// User and token of one text.
fn both(token: &Secret) -> Result<(String, Secret), CommandError> {
    split_token(token).ok_or_else(|| {
        let message =
            "standard input does not say who signs in: expected base64 of `user:token`, found something else";
        CommandError::new(Exit::Usage, message).hint("say who with `--username NAME`")
    })
}

/// All of standard input.
fn read_all() -> Result<Secret, CommandError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(LONGEST_PASSWORD + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error.to_string()))?;
    if bytes.len() as u64 > LONGEST_PASSWORD {
        return Err(unreadable(&format!("expected at most {LONGEST_PASSWORD} bytes, found more")));
    }
    // The bytes are part of this error, so it is not shown.
    let text = String::from_utf8(bytes).map_err(|_| unreadable("expected UTF-8 text, found other bytes"))?;
    Ok(password_from_input(&text))
}

fn unreadable(reason: &str) -> CommandError {
    CommandError::new(Exit::Failed, format!("the password cannot be read from standard input: {reason}"))
}

/// One line of the terminal that is not shown; `None` where the user gave up.
async fn ask(username: &str, place: &LoginPlace, ui: Ui) -> Result<Option<Secret>, CommandError> {
    if !std::io::stdin().is_terminal() {
        let message = "there is no terminal to ask for the password";
        let hint = "write it to standard input and say `--password-stdin`";
        return Err(CommandError::new(Exit::Usage, message).hint(hint));
    }
    let Some(hidden) = terminal::HiddenInput::enter() else {
        let message = "the terminal cannot hide what is typed, so the password is not asked for";
        return Err(CommandError::new(Exit::Failed, message).hint("say `--password-stdin`"));
    };
    // Asked for even with `--quiet`: without the question nobody knows what is waited for.
    let told = ui.raw_stderr(format!("Password of `{username}` for `{place}`: ").as_bytes());
    told.map_err(|error| unreadable(&error.to_string()))?;
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lines().next().transpose());
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| unreadable(&error.to_string()))?;
    let line = tokio::select! {
        line = line => Some(line),
        // Dying by the signal would leave the terminal mute.
        _ = tokio::signal::ctrl_c() => None,
        _ = terminate.recv() => None,
    };
    drop(hidden);
    let _ = ui.raw_stderr(b"\n");
    let Some(line) = line else { return Ok(None) };
    let line = line.map_err(std::io::Error::other).and_then(|line| line);
    line.map(|line| Some(Secret::new(line.unwrap_or_default())))
        .map_err(|error| unreadable(&error.to_string()))
}

fn say(report: &LoginReport, ui: Ui) -> Result<(), CommandError> {
    let place = match &report.helper {
        Some(helper) => format!("with `{helper}`"),
        None => format!("in `{}`", report.file.display()),
    };
    ui.report(report, || format!("signed in to {} as {}, stored {place}", report.registry, report.username))?;
    if report.helper.is_none() {
        ui.note(
            "the password is in the file, encoded and not encrypted; a credential helper would keep it safer",
        );
    }
    if !report.checked {
        ui.note("the registry lets everybody in, so whether the password is right is not known");
    }
    if let Some(reason) = &report.shadowed {
        ui.note(&format!("commands will not use this login: {reason}"));
    }
    Ok(())
}
