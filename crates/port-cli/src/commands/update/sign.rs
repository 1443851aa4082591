//! `port update sign`.

use std::path::{Path, PathBuf};

use clap::Args;
use port_model::Digest;
use port_ops::OpsError;
use port_ops::trust;
use port_ops::update::{RepositoryPlace, SignReleaseReport, SignReleaseRequest, sign_release};
use port_trust::SecretKey;
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
    /// Its number in its channel: machines take no lower one.
    #[arg(long, value_name = "N")]
    sequence: u64,
    /// The private key, as `port keys generate` or cosign made it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    statement: StatementFlags,
    #[command(flatten)]
    place: Place,
}

/// What is said of a release.
#[derive(Debug, Args)]
pub struct StatementFlags {
    /// Of what it is a release, as machines have it in `name` [default: the repository]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
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
    #[command(flatten)]
    passphrase: PassphraseFlags,
}

impl StatementFlags {
    /// The key in a file, opened; nothing where the user ended the asking for its passphrase.
    pub async fn open(&self, key: &Path, ui: Ui) -> Result<Option<SecretKey>, CommandError> {
        trust::check_key(key).map_err(OpsError::from)?;
        let file = key.display().to_string();
        let Some(passphrase) = self.passphrase.read(&file, Ask::Once, ui).await? else { return Ok(None) };
        Ok(Some(trust::open_key(key, &passphrase).map_err(OpsError::from)?))
    }

    /// What is to be signed.
    pub fn request(self, place: RepositoryPlace, tag: String, sequence: u64) -> SignReleaseRequest {
        SignReleaseRequest {
            name: self.name.unwrap_or_else(|| place.to_string()),
            place,
            tag,
            sequence,
            security_epoch: self.security_epoch,
            min_from: self.min_from,
            issued: seconds(),
            days: self.days,
            waves: self.wave,
            critical: self.critical,
            denies: self.deny,
        }
    }
}

fn wave(text: &str) -> Result<Wave, String> {
    let wrong = || format!("`{text}` is no wave: expected `SECONDS:PERCENT`");
    let (after, percent) = text.split_once(':').ok_or_else(wrong)?;
    let after_seconds = after.parse().map_err(|_| wrong())?;
    Ok(Wave { after_seconds, percent: percent.parse().map_err(|_| wrong())? })
}

/// Signs, and says what.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<u8, CommandError> {
    // As a shell says that the user ended it.
    let Some(key) = arguments.statement.open(&arguments.key, ui).await? else { return Ok(130) };
    let publisher = arguments.place.publisher(global, ui)?;
    let place = arguments.place.repository;
    let request = arguments.statement.request(place, arguments.tag, arguments.sequence);
    match sign_release(&publisher, request, &key).await {
        Ok(report) => {
            ui.report(&report, || text(&report))?;
            Ok(0)
        }
        Err(error) => Ok(code_of(error, ui)),
    }
}

/// What was signed, for people.
pub fn text(report: &SignReleaseReport) -> String {
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
