//! The agent of one machine: what it follows, what it takes, and what it boots. Decisions are `port_update`'s; here are the bytes.
//!
//! ```text
//! apply        tag ─ one resolve ─► offer ─ gates ─► fetch ─► verify ─► slot        activate     slot ─► next boot
//! healthcheck  trial ─► soaking ─► committed, or the way back                        rollback     what ran before ─► next boot
//! ```
//!
//! Invariant: every step is an event that the journal has on disk before its effects begin, and what a boot says is taken in first.

mod apply;
mod blocks;
mod boot;
mod bytes;
mod consider;
mod error;
mod media;
pub(super) mod offer;
pub(super) mod origin;
pub(super) mod statement;
mod web;

use std::path::{Path, PathBuf};

use port_model::{Architecture, Digest};
use port_update::gates::{self, Decision, Force, Moment, Waits};
use port_update::inhibit::inhibitor;
use port_update::machine::Phase;
use port_update::slots::Evidence;
use port_update::window::Window;
use port_update::{Device, Found, Journal, Record, Slots, Version, metrics, waves};
use serde::Serialize;

use crate::trust::Policies;

pub use apply::{ApplyReport, Outcome, apply};
pub use boot::{BootReport, HealthChecks, activate, healthcheck, reboot, repair, rollback};
pub use consider::{Considered, consider};
pub use error::AgentError;
pub use origin::Origin;

/// Where releases come from, and whose are taken.
pub struct Followed {
    /// Where.
    pub origin: Origin,
    /// Whose signatures count.
    pub trust: Trust,
}

/// Whose releases are taken.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those that this key signed.
    Key(PathBuf),
    /// Those that these policies take.
    Policies(Policies),
    /// Anybody's, as somebody said in as many words.
    Anybody,
}

/// What is known of this machine.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Of what it takes releases; of anything where it is empty.
    pub name: String,
    /// The channel.
    pub channel: String,
    /// The architecture.
    pub architecture: Architecture,
    /// Which kind of that machine.
    pub variant: String,
    /// What runs, where the slots do not say.
    pub current: Option<Version>,
    /// What makes its place among all machines.
    pub seed: String,
    /// When it may be disturbed.
    pub window: Window,
    /// Where inhibitors lie.
    pub inhibit_directory: Option<PathBuf>,
    /// How long the first wait after a failure is at most, in seconds; 0 is none.
    pub backoff_seconds: u64,
}

/// The time, and the boot.
#[derive(Debug, Clone)]
pub struct Now {
    /// Seconds since 1970.
    pub seconds: u64,
    /// What the kernel calls this boot.
    pub boot_id: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Agent {
    slots: Slots,
    journal: Journal,
    downloads: PathBuf,
    now: Now,
    found: Found,
}

/// Where an update is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The phase.
    pub phase: Phase,
    /// All that is remembered.
    pub record: Record,
    /// What boots; nothing where that cannot be read.
    pub slots: Option<Evidence>,
}

impl Agent {
    /// Opens the record, and takes in what the boot says.
    ///
    /// # Errors
    /// [`AgentError`], also where another agent is at work.
    pub fn open(slots: Slots, state: &Path, now: Now) -> Result<Self, AgentError> {
        let evidence = slots.look()?;
        let (journal, found) = Journal::open(state, &evidence, now.boot_id.as_deref(), now.seconds)?;
        let downloads = state.with_file_name("downloads");
        Ok(Self { slots, journal, downloads, now, found })
    }

    /// Whether the record was as it had been written.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Whether the way back is being taken, which a boot ends.
    pub fn is_going_back(&self) -> bool {
        self.journal.phase() == Phase::RollingBack
    }

    /// Takes denials back: these, or all where none is named. Says which there were.
    ///
    /// # Errors
    /// [`AgentError`]; the record is as it was.
    pub fn allow(&mut self, digests: &[Digest]) -> Result<Vec<Digest>, AgentError> {
        let denied = &self.journal.record().state.denied;
        let wanted = |digest: &&Digest| digests.is_empty() || digests.contains(digest);
        let found: Vec<Digest> = denied.iter().filter(wanted).cloned().collect();
        self.journal.remember(|record| {
            for digest in &found {
                record.allow(digest);
            }
        })?;
        Ok(found)
    }
}

fn device(profile: &Profile, evidence: &Evidence) -> Device {
    let running = evidence.header(evidence.boot.running).map(|header| header.target.version.clone());
    Device {
        name: profile.name.clone(),
        channel: profile.channel.clone(),
        architecture: profile.architecture,
        variant: profile.variant.clone(),
        current: running.or_else(|| profile.current.clone()),
        place: waves::place(&profile.seed),
        window: profile.window,
    }
}

/// What keeps a machine from beginning now.
fn waits(
    profile: &Profile,
    record: &Record,
    now: u64,
    force: Force,
) -> Result<(Option<String>, Option<Decision>), AgentError> {
    let directory = profile.inhibit_directory.as_deref().filter(|_| force == Force::No);
    let inhibitor = directory.map(inhibitor).transpose()?.flatten();
    let state = &record.state;
    let waits = Waits {
        window: profile.window,
        inhibitor: inhibitor.as_deref(),
        until: state.until.filter(|_| state.phase == Phase::Failed),
        failures: state.failures,
    };
    let decision = gates::waits(&waits, Moment(now), force);
    Ok((inhibitor, decision))
}

/// Where it is, without touching anything.
///
/// # Errors
/// The disk's, where there is a record that cannot be read now.
pub fn status(slots: &Slots, state: &Path) -> Result<Status, AgentError> {
    let slots = slots.look().ok();
    let (record, found) = Record::load(state)?;
    let record = match (&slots, found) {
        (Some(evidence), Found::Missing | Found::Broken(_)) => Record::rebuilt(evidence),
        _ => record,
    };
    Ok(Status { phase: record.state.phase, record, slots })
}

impl Status {
    /// The same for a scraper.
    pub fn metrics(&self) -> String {
        metrics::render(&self.record, self.slots.as_ref())
    }
}
