//! `port workload`: manifests of workloads, and workloads that run.

mod base_image;
mod exec;
mod list;
mod logs;
mod resolve;
mod rooms;
mod run;
mod schema;
mod stop;
mod supervise;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use port_ops::Workspace;
use port_ops::workload::{ManifestRequest, Placed, Severity, Surroundings, is_variable_name};

use crate::args::{Global, RegistryFlags};
use crate::commands::{access, open_if_configured, policies};
use crate::error::CommandError;
use crate::ui::{self, Ui};
use crate::{env_vars, host, progress};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that is wrong with a manifest and the bases that it extends.
    Validate(validate::Arguments),
    /// Print the one manifest that a manifest, its bases, variables and defaults make.
    Resolve(resolve::Arguments),
    /// Print the JSON schema of manifests, for editors.
    Schema,
    /// Run a workload; its output and exit status are passed on, unless it is detached.
    Run(run::Arguments),
    /// List workloads that run, and those that ended and were not removed.
    List(rooms::Rooming),
    /// Print what a workload wrote.
    Logs(logs::Arguments),
    /// Run one more command in a workload that runs.
    Exec(exec::Arguments),
    /// Ask a workload to end, and kill it where it does not.
    Stop(stop::Arguments),
    /// Forget a workload that ended, with its log and what it wrote.
    Remove(stop::RemoveArguments),
    /// Watch over one workload; `run` starts it.
    #[command(hide = true)]
    Supervise(supervise::Arguments),
}

/// Runs a verb; none needs a configuration unless a base or a root lies in its store. The number is the exit code of a
/// success, or of the workload's command.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    match command {
        Command::Validate(arguments) => validate::run(arguments, global, ui).await.map(|()| 0),
        Command::Resolve(arguments) => resolve::run(arguments, global, ui).await.map(|()| 0),
        Command::Schema => schema::run(ui).map(|()| 0),
        Command::Run(arguments) => run::run(arguments, global, ui).await,
        Command::List(arguments) => list::run(&arguments, ui).map(|()| 0),
        Command::Logs(arguments) => logs::run(&arguments, ui).await.map(|()| 0),
        Command::Exec(arguments) => exec::run(&arguments, ui).await,
        Command::Stop(arguments) => stop::run(&arguments, ui).await.map(|()| 0),
        Command::Remove(arguments) => stop::remove(&arguments, ui).map(|()| 0),
        Command::Supervise(arguments) => supervise::run(&arguments).await.map(|()| 0),
    }
}

/// Which manifest, with which variables, reached how.
#[derive(Debug, Args)]
struct Source {
    /// The manifest, in TOML or JSON.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Give the variable NAME a value, before built-in ones and the environment; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = variable)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    registry: RegistryFlags,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `NAME=VALUE`, found no `=`")?;
    if !is_variable_name(name) {
        let rule = "a letter or `_`, then letters, digits, `_` and `.`";
        return Err(format!("`{name}` cannot name a variable: expected {rule}"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

impl Source {
    /// What the verbs take. A later `--set` of one variable wins, as on most command lines.
    fn request(self, global: &Global, ui: Ui) -> Result<(ManifestRequest, Surroundings), CommandError> {
        let architecture = host::architecture()?;
        let [of_store, of_workspace, of_policies] = [(); 3].map(|()| global.clone());
        let open_store = move || {
            let environment = env_vars::environment(architecture);
            let reporter = progress::reporter(ui, of_store.progress);
            Workspace::open_for_store(&of_store.config, architecture, environment, reporter)
                .map(|opened| opened.store)
        };
        let open_workspace = move || open_if_configured(&of_workspace, architecture, ui);
        let surroundings = Surroundings {
            host_name: host::name(),
            environment: env_vars::get,
            open_store: Box::new(open_store),
            open_workspace: Box::new(open_workspace),
            policies: Box::new(move || policies(&of_policies)),
            access: access(&self.registry, global, ui)?,
            credential_paths: env_vars::environment(architecture).credential_paths,
            reporter: progress::reporter(ui, global.progress),
        };
        let overrides: BTreeMap<String, String> = self.set.into_iter().collect();
        Ok((ManifestRequest { file: self.file, overrides }, surroundings))
    }
}

/// A finding for people: its place, what it says, the line with a mark.
fn text(placed: &Placed) -> String {
    let Placed { file, finding } = placed;
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    format!("{severity}: {file}:{}:{}: {finding}\n", finding.line, finding.column)
}

/// `2 errors and 1 warning`.
fn counted(errors: usize, warnings: usize) -> String {
    let errors = (errors > 0).then(|| ui::count(errors as u64, "error"));
    let warnings = (warnings > 0).then(|| ui::count(warnings as u64, "warning"));
    errors.into_iter().chain(warnings).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        assert_eq!(variable("A.b=c=d"), Ok(("A.b".to_owned(), "c=d".to_owned())));
        assert_eq!(variable("A="), Ok(("A".to_owned(), String::new())));
        assert!(variable("A").unwrap_err().contains("no `=`"));
        assert!(variable("1A=x").unwrap_err().contains("`1A` cannot name a variable"));
    }
}
