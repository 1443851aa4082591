//! What `serve` and `gc` share: how long a control plane keeps what nobody needs.

use std::time::Duration;

use clap::Args;
use port_server::catalog::collect::Patience;
use port_server::maintenance::Rules;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// See the module.
#[derive(Debug, Args)]
#[command(next_help_heading = "Garbage collection")]
pub struct Upkeep {
    /// Keep blobs that no manifest names for so long; a push puts its blobs before its manifest.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    blob_hours: u64,
    /// Keep uploads that nobody continues for so long.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    upload_hours: u64,
    /// Remove manifests that no tag leads to, so long after somebody asked for them last; they are kept unless this is said,
    /// since they can be pulled by their digests.
    #[arg(long, value_name = "DAYS")]
    untagged_after: Option<u64>,
}

impl Upkeep {
    pub(super) fn patience(&self) -> Patience {
        let seconds = |number: u64, unit: u64| Duration::from_secs(number.saturating_mul(unit));
        Patience {
            uploads: seconds(self.upload_hours, HOUR),
            blobs: seconds(self.blob_hours, HOUR),
            manifests: self.untagged_after.map(|days| seconds(days, DAY)),
        }
    }
}

/// What a server does while nobody asks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Garbage collection")]
pub struct MaintenanceFlags {
    #[command(flatten)]
    upkeep: Upkeep,
    /// How long from one round of garbage collection to the next.
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    collect_every: u64,
    /// Read stored blobs again, so many mebibytes in a second, to find those that rotted; 0: not at all.
    #[arg(long, value_name = "MIB", default_value_t = 8)]
    scrub_rate: u64,
}

impl MaintenanceFlags {
    pub(super) fn rules(&self) -> Rules {
        let every = Duration::from_secs(self.collect_every.saturating_mul(60));
        let scrub = (self.scrub_rate > 0).then(|| self.scrub_rate.saturating_mul(1 << 20));
        Rules { patience: self.upkeep.patience(), every, scrub }
    }
}
