//! `port completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Arguments of completions.
#[derive(Debug, Args)]
pub struct Arguments {
    /// For which shell.
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &Arguments, ui: Ui) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "port", &mut script);
    ui.raw_stdout(&script)
        .map_err(|error| CommandError::new(Exit::Failed, format!("the script cannot be printed: {error}")))
}
