//! `port control-plane gc`: a round of garbage collection now, beside a server that runs or without one.

use clap::Args;
use port_server::catalog::collect::{Round, Sweep};
use port_server::catalog::{Catalog, Sparse, Verdict};
use port_server::maintenance::verify_all;
use serde::Serialize;

use super::edge::clock;
use super::place::{Place, StorageFlags};
use super::upkeep::Upkeep;
use crate::args::Global;
use crate::error::{CommandError, Exit};
use crate::ui::{self, Ui};

/// Arguments of gc.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Which control plane of `port.toml`.
    #[arg(long, value_name = "NAME")]
    control_plane: String,
    #[command(flatten)]
    storage: StorageFlags,
    /// Read every blob again, and put aside those whose bytes are wrong.
    #[arg(long)]
    scrub: bool,
    #[command(flatten)]
    upkeep: Upkeep,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    round: Round,
    #[serde(skip_serializing_if = "Option::is_none")]
    scrub: Option<Scrubbed>,
}

#[derive(Default, Serialize)]
struct Scrubbed {
    sound: u64,
    bytes: u64,
    quarantined: Vec<Rotten>,
}

#[derive(Serialize)]
struct Rotten {
    digest: String,
    repositories: Vec<String>,
}

/// Collects once.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let place = Place::find(&arguments.control_plane, arguments.storage, global, ui)?;
    let catalog = Catalog::new(place.storage().await?, Sparse::Refused);
    let mut scrubbed = Scrubbed::default();
    if arguments.scrub {
        let each = |digest: &port_model::Digest, verdict: &Verdict| scrubbed.add(digest, verdict);
        verify_all(&catalog, each).await?;
    }
    let now = (clock())().into();
    let round = catalog.collect(now, arguments.upkeep.patience(), Sweep::Ripe).await?;
    let report = Report { round, scrub: arguments.scrub.then_some(scrubbed) };
    ui.report(&report, || report.text())?;
    report.verdict()
}

impl Scrubbed {
    fn add(&mut self, digest: &port_model::Digest, verdict: &Verdict) {
        match verdict {
            Verdict::Absent => {}
            Verdict::Sound(bytes) => {
                self.sound += 1;
                self.bytes = self.bytes.saturating_add(*bytes);
            }
            Verdict::Quarantined { repositories } => self.quarantined.push(Rotten {
                digest: digest.to_string(),
                repositories: repositories.iter().map(ToString::to_string).collect(),
            }),
        }
    }
}

impl Report {
    fn text(&self) -> String {
        let Round { uploads, manifests, blobs, bytes, stock, .. } = &self.round;
        let mut lines = vec![format!(
            "removed {} and {} ({}), {}",
            ui::count(*blobs, "blob"),
            ui::count(*uploads, "upload"),
            ui::size(*bytes),
            ui::count(*manifests, "manifest"),
        )];
        let condemned = self.round.manifests_condemned + self.round.holders_condemned;
        if condemned > 0 {
            let what = ui::count(condemned, "object");
            lines.push(format!(
                "condemned {what}: removed by a later round if nobody asks for them until then"
            ));
        }
        if let Some(scrub) = &self.scrub {
            lines.push(format!("read {} ({}): sound", ui::count(scrub.sound, "blob"), ui::size(scrub.bytes)));
            lines.extend(scrub.quarantined.iter().map(|rotten| {
                format!(
                    "{}: put aside, its bytes are wrong; in {}",
                    rotten.digest,
                    rotten.repositories.join(", ")
                )
            }));
        }
        lines.extend(
            self.round
                .unreadable
                .iter()
                .map(|name| format!("{name}: cannot be read; nothing is collected there")),
        );
        lines.push(format!(
            "kept {} ({}) and {} of {}",
            ui::count(stock.blobs, "blob"),
            ui::size(stock.blob_bytes),
            ui::count(stock.manifests, "manifest"),
            if stock.repositories == 1 {
                "1 repository".to_owned()
            } else {
                format!("{} repositories", stock.repositories)
            },
        ));
        lines.join("\n")
    }

    fn verdict(&self) -> Result<(), CommandError> {
        let rotten = self.scrub.as_ref().map_or(0, |scrub| scrub.quarantined.len());
        let unreadable = self.round.unreadable.len();
        if rotten + unreadable == 0 {
            return Ok(());
        }
        let message = format!("the storage has {rotten} damaged blobs and {unreadable} damaged manifests");
        Err(CommandError::new(Exit::Failed, message).hint("push the artifacts again that need them"))
    }
}
