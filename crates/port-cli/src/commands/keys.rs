//! `port keys`: key pairs in files.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use port_ops::OpsError;
use port_ops::trust::{self, KeyKind, KeyRow};

use crate::error::CommandError;
use crate::passphrase::{Ask, PassphraseFlags};
use crate::ui::{self, Ui};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key pair; the private half is sealed with a passphrase, in the form that cosign reads.
    Generate(Generate),
    /// List the keys in a directory, and what they are called by.
    List(List),
}

/// Arguments of generate.
#[derive(Debug, Args)]
pub struct Generate {
    /// How it signs.
    #[arg(long = "type", value_enum, default_value_t = Kind::P256)]
    kind: Kind,
    /// Where the private half goes; the public one goes beside it and ends in `.pub`.
    #[arg(long, value_name = "FILE", default_value = "port.key")]
    output: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFlags,
}

/// The kinds of keys.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// ECDSA on P-256: what every tool reads.
    P256,
    /// Ed25519.
    Ed25519,
}

/// Arguments of list.
#[derive(Debug, Args)]
pub struct List {
    /// The directory.
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,
}

/// Runs a verb.
pub async fn run(command: Command, ui: Ui) -> Result<u8, CommandError> {
    match command {
        Command::Generate(arguments) => generate(&arguments, ui).await,
        Command::List(arguments) => list(&arguments, ui).map(|()| 0),
    }
}

async fn generate(arguments: &Generate, ui: Ui) -> Result<u8, CommandError> {
    let file = arguments.output.display().to_string();
    let Some(passphrase) = arguments.passphrase.read(&file, Ask::Twice, ui).await? else {
        // As a shell says that the user ended it.
        return Ok(130);
    };
    if passphrase.is_empty() {
        ui.note("warning: the passphrase is empty, so whoever has the file has the key");
    }
    let kind = match arguments.kind {
        Kind::P256 => KeyKind::P256,
        Kind::Ed25519 => KeyKind::Ed25519,
    };
    let made = trust::generate_key(kind, &arguments.output, &passphrase).map_err(OpsError::from)?;
    ui.report(&made, || {
        format!(
            "generated {} key {}\nprivate key: {}\npublic key: {}\n",
            made.kind,
            made.fingerprint,
            made.secret_path.display(),
            made.public_path.display()
        )
    })?;
    Ok(0)
}

fn list(arguments: &List, ui: Ui) -> Result<(), CommandError> {
    let keys = trust::list_keys(&arguments.directory).map_err(OpsError::from)?;
    ui.report(&keys, || {
        if keys.keys.is_empty() {
            return format!("no keys in {}\n", arguments.directory.display());
        }
        let heading = ["FILE", "HALF", "TYPE", "FINGERPRINT"].map(str::to_owned).to_vec();
        let rows = keys.keys.iter().map(row);
        ui::table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
    })
}

fn row(key: &KeyRow) -> Vec<String> {
    let half = if key.is_secret { "private, sealed" } else { "public" };
    let unknown = || key.problem.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        key.path.display().to_string(),
        half.to_owned(),
        key.kind.map_or_else(|| "-".to_owned(), |kind| kind.to_string()),
        key.fingerprint.as_ref().map_or_else(unknown, ToString::to_string),
    ]
}
