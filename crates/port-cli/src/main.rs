//! `port`: the only crate that prints, reads the environment or exits.
//!
//! ```text
//! args (what was typed) ─► commands/<noun>/<verb> ─► port-ops ─► report ─► ui (text or JSON)
//!                                                      └─ error ─► error (message, hints, exit code)
//! ```

#![expect(unreachable_pub, reason = "a program has no outside: `pub` says that other modules use it")]

mod args;
mod commands;
mod env_vars;
mod error;
mod host;
mod passphrase;
mod progress;
mod terminal;
mod ui;

use clap::Parser as _;

use crate::args::{Cli, Color, Format, Progress};
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match cli.global.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let format = cli.format();
    let ui = Ui { format: format.unwrap_or(Format::Text), quiet: cli.global.quiet };
    say_bugs_plainly(ui);
    if format.is_none() {
        let message = "`--format toml` is for `port workload resolve`: expected `text` or `json`";
        let error = CommandError::new(Exit::Usage, message);
        error.print(ui);
        return (error.exit as u8).into();
    }
    match start(cli, ui) {
        Ok(code) => code.into(),
        Err(error) => {
            error.print(ui);
            (error.exit as u8).into()
        }
    }
}

/// A panic is a bug in Port: say so, with where it was, and end with its own exit code.
fn say_bugs_plainly(ui: Ui) {
    std::panic::set_hook(Box::new(move |panic| {
        let error = CommandError::new(Exit::Bug, format!("this is a bug in Port: {panic}"));
        error.hint("please report it with the command that you ran").print(ui);
        #[expect(clippy::exit, clippy::disallowed_methods, reason = "nothing is left to be done")]
        std::process::exit(Exit::Bug as i32);
    }));
}

fn start(mut cli: Cli, ui: Ui) -> Result<u8, CommandError> {
    if cli.global.no_progress {
        cli.global.progress = Progress::None;
    }
    if let Some(failpoint) = env_vars::get(env_vars::FAILPOINT) {
        let wrong = |message| CommandError::new(Exit::Usage, message);
        port_content::failpoint::arm(&failpoint).map_err(wrong)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CommandError::new(Exit::Failed, format!("the asynchronous runtime cannot start: {error}"))
    })?;
    let code = runtime.block_on(commands::dispatch(cli, ui));
    // A read of the terminal that nobody will answer must not hold the process.
    runtime.shutdown_background();
    code
}
