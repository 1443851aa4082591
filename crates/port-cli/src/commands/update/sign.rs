//! `port update sign`.

use std::path::PathBuf;

use clap::Args;
use port_model::Digest;
use port_ops::OpsError;
use port_ops::trust;
use port_ops::update::{SignReleaseReport, SignReleaseRequest, sign_release};
use port_update::Version;
use port_update::waves::Wave;

use super::Place;
use super::agent::{code_of, seconds};
use crate::args::Global;
use crate::error::CommandError;
use crate::passphrase::{Ask, PassphraseFlags};
use crate::ui::Ui;

/// Arguments of sign.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The version or the channel whose index is signed.
    #[arg(long, value_name = "TAG")]
    tag: String,
    /// Of what it is a release, as machines have it in `name` [default: the repository]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its number in its channel: machines take no lower one.
    #[arg(long, value_name = "N")]
    sequence: u64,
    /// Its security epoch: machines that committed to it never go below.
    #[arg(long, value_name = "N", default_value_t = 0)]
    security_epoch: u64,
    /// The oldest version that may update to it [default: what was published]
    #[arg(long, value_name = "VERSION")]
    min_from: Option<Version>,
    /// For how many days it is to be believed.
    #[arg(long, value_name = "N", default_value_t = 90)]
    days: u32,
    /// From when on how many machines may take it, as `3600:10` (repeatable): seconds after the signing, percent.
    #[arg(long, value_name = "SECONDS:PERCENT", value_parser = wave)]
    wave: Vec<Wave>,
    /// Nobody waits for a wave.
    #[arg(long)]
    critical: bool,
    /// The manifest or index of a release that nobody is to take any more (repeatable).
    #[arg(long, value_name = "DIGEST")]
    deny: Vec<Digest>,
    /// The private key, as `port keys generate` or cosign made it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFlags,
    #[command(flatten)]
    place: Place,
}

fn wave(text: &str) -> Result<Wave, String> {
    let wrong = || format!("`{text}` is no wave: expected `SECONDS:PERCENT`");
    let (after, percent) = text.split_once(':').ok_or_else(wrong)?;
    let after_seconds = after.parse().map_err(|_| wrong())?;
    Ok(Wave { after_seconds, percent: percent.parse().map_err(|_| wrong())? })
}

/// Signs, and says what.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    trust::check_key(&arguments.key).map_err(OpsError::from)?;
    let file = arguments.key.display().to_string();
    // As a shell says that the user ended it.
    let Some(passphrase) = arguments.passphrase.read(&file, Ask::Once, ui).await? else { return Ok(130) };
    let key = trust::open_key(&arguments.key, &passphrase).map_err(OpsError::from)?;
    let publisher = arguments.place.publisher(global, ui)?;
    let request = SignReleaseRequest {
        name: arguments.name.unwrap_or_else(|| arguments.place.repository.to_string()),
        place: arguments.place.repository,
        tag: arguments.tag,
        sequence: arguments.sequence,
        security_epoch: arguments.security_epoch,
        min_from: arguments.min_from,
        issued: seconds(),
        days: arguments.days,
        waves: arguments.wave,
        critical: arguments.critical,
        denies: arguments.deny,
    };
    match sign_release(&publisher, request, &key).await {
        Ok(report) => {
            ui.report(&report, || text(&report))?;
            Ok(0)
        }
        Err(error) => Ok(code_of(error, ui)),
    }
}

fn text(report: &SignReleaseReport) -> String {
    let statement = &report.statement;
    let mut text = format!("signed {}:{} as number {}\n", report.repository, report.tag, statement.sequence);
    text +=
        &format!("  {} for channel {}, until {}\n", statement.version, statement.channel, statement.expires);
    text += &format!(
        "  subject   {}\n  referrer  {}\n  key       {}\n",
        report.subject, report.referrer, report.fingerprint
    );
    text
}
