//! `port artifacts sign`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use port_ops::OpsError;
use port_ops::trust::{self, Below, SecretKey, SignReport, SignatureForms};

use super::subject::SubjectArguments;
use crate::args::Global;
use crate::error::CommandError;
use crate::passphrase::{Ask, PassphraseFlags};
use crate::ui::Ui;

/// Arguments of sign.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    #[command(flatten)]
    key: KeyArguments,
    /// In which form the signature is written.
    #[arg(long, value_enum, default_value_t = FormChoice::Both)]
    form: FormChoice,
    /// Sign every manifest of an index, too, as `pull` asks for.
    #[arg(long)]
    recursive: bool,
}

/// The key that signs.
#[derive(Debug, Args)]
pub(super) struct KeyArguments {
    /// The private key, as `port keys generate` or cosign made it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFlags,
}

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormChoice {
    /// cosign's tag, `sha256-….sig`.
    Tag,
    /// A sigstore bundle that refers to the manifest.
    Referrer,
    /// Both.
    Both,
}

impl KeyArguments {
    /// Opens the key; `None` where the user gave up.
    pub(super) async fn open(&self, ui: Ui) -> Result<Option<SecretKey>, CommandError> {
        trust::check_key(&self.key).map_err(OpsError::from)?;
        let file = self.key.display().to_string();
        let Some(passphrase) = self.passphrase.read(&file, Ask::Once, ui).await? else { return Ok(None) };
        Ok(Some(trust::open_key(&self.key, &passphrase).map_err(OpsError::from)?))
    }
}

pub(super) async fn run(arguments: &Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    let opened = arguments.subject.open(global, ui)?;
    // As a shell says that the user ended it.
    let Some(key) = arguments.key.open(ui).await? else { return Ok(130) };
    let below = if arguments.recursive { Below::Too } else { Below::Not };
    let forms = match arguments.form {
        FormChoice::Tag => SignatureForms::Tag,
        FormChoice::Referrer => SignatureForms::Referrer,
        FormChoice::Both => SignatureForms::Both,
    };
    let report = trust::sign(opened.wanted()?, below, &key, forms).await?;
    ui.report(&report, || text(&report))?;
    Ok(0)
}

fn text(report: &SignReport) -> String {
    let mut text = format!("signed {} with key {}\n", report.place, report.fingerprint);
    for manifest in &report.signed {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "manifest: {}", manifest.digest);
        if let Some(referrer) = &manifest.referrer {
            let _ = writeln!(text, "  referrer: {referrer}");
        }
        if let Some(tag) = &manifest.tag {
            let _ = writeln!(text, "  tag: {tag}");
        }
    }
    text
}
