//! apply: from a tag to a slot that was read back. It boots nothing.

use std::path::PathBuf;

use port_content::fs;
use port_model::Digest;
use port_update::gates::{Decision, Force, Moment};
use port_update::machine::{Event, Phase};
use port_update::release::Role;
use port_update::slots::SlotName;
use port_update::{Class, Version, backoff, waves};
use serde::Serialize;

use super::media::Medium;
use super::offer::Offer;
use super::{Agent, AgentError, Followed, Profile, bytes, device, waits};

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is in this slot.
    Staged {
        /// Which one.
        slot: SlotName,
    },
    /// There is nothing new.
    UpToDate,
    /// Not yet.
    Deferred {
        /// Why.
        reason: String,
        /// Until when, in seconds since 1970, where that is known.
        until: Option<u64>,
    },
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApplyReport {
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The release that the tag leads to, where the place was asked.
    pub version: Option<Version>,
    /// Its manifest or index.
    pub digest: Option<Digest>,
}

/// Brings what the tag leads to into the slot that does not run.
///
/// # Errors
/// [`AgentError`]; the reason is in the record, too, and what boots is as it was.
pub async fn apply(
    agent: &mut Agent,
    followed: &Followed,
    profile: &Profile,
    force: Force,
) -> Result<ApplyReport, AgentError> {
    if let Some(outcome) = agent.waits(profile, force)? {
        return Ok(ApplyReport { outcome, version: None, digest: None });
    }
    agent.begin()?;
    Medium::sweep(&agent.downloads)?;
    let result = agent.take(followed, profile, force).await;
    if let Err(error) = &result {
        agent.failed(error, profile)?;
    }
    result
}

impl Agent {
    /// Into the record, and when the next try is due. What is staged stays: that a place does not answer is no fault of it.
    fn failed(&mut self, error: &AgentError, profile: &Profile) -> Result<(), AgentError> {
        let phase = self.journal.phase();
        let Some(class) = error.class().filter(|_| !matches!(phase, Phase::Refused | Phase::Staged)) else {
            return Ok(());
        };
        let now = self.now.seconds;
        if matches!(class, Class::DiskFull | Class::Oversize) {
            // Of no use for another try, and the record needs the room. Where even that fails, the next try sweeps.
            let _ = Medium::sweep(&self.downloads);
            let _ = bytes::sweep(&self.downloads, &[]);
        }
        self.journal.fail(class, &crate::error::chain(error), now)?;
        if phase == Phase::Staging {
            self.slots.invalidate()?;
        }
        let failures = self.journal.record().state.failures;
        // Machines that failed together do not come back together.
        let chance = now.wrapping_add(waves::place(&profile.seed));
        let until = now.saturating_add(backoff::wait(profile.backoff_seconds, failures, chance));
        Ok(self.journal.remember(|record| record.state.until = Some(until))?)
    }

    /// Asked before any network is used (acceptance Ou-7). Who holds updates up is in the record.
    fn waits(&mut self, profile: &Profile, force: Force) -> Result<Option<Outcome>, AgentError> {
        let now = self.now.seconds;
        let (inhibitor, decision) = waits(profile, self.journal.record(), now, force)?;
        let phase = self.journal.phase();
        match &inhibitor {
            Some(_) if phase.rests() => drop(self.journal.apply(&Event::Block, now)?),
            None if phase == Phase::Blocked => drop(self.journal.apply(&Event::Unblock, now)?),
            _ => {}
        }
        if self.journal.record().blocked_by != inhibitor {
            self.journal.remember(|record| record.blocked_by = inhibitor)?;
        }
        Ok(match decision {
            Some(Decision::Deferred { reason, until }) => Some(Outcome::Deferred { reason, until }),
            _ => None,
        })
    }

    /// To a phase that may ask. What a kill left is begun anew; its bytes are still there.
    fn begin(&mut self) -> Result<(), AgentError> {
        let now = self.now.seconds;
        match self.journal.phase() {
            Phase::Checking => drop(self.journal.apply(&Event::Restarted, now)?),
            Phase::Available | Phase::Downloading | Phase::Verifying => {
                self.journal.apply(&Event::Abandon, now)?;
            }
            Phase::Staging => {
                self.journal.apply(&Event::Abandon, now)?;
                self.slots.invalidate()?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn take(
        &mut self,
        followed: &Followed,
        profile: &Profile,
        force: Force,
    ) -> Result<ApplyReport, AgentError> {
        let now = self.now.seconds;
        if self.journal.phase().is_past_arming() {
            // The journal says it better than anybody.
            self.journal.apply(&Event::Check, now)?;
        }
        let staged = (self.journal.phase() == Phase::Staged).then(|| self.staged()).flatten();
        if staged.is_none() {
            if self.journal.phase() == Phase::Staged {
                self.journal.apply(&Event::Abandon, now)?;
            }
            self.journal.apply(&Event::Check, now)?;
        }
        let offer = followed.origin.ask(&followed.trust, profile, &self.downloads).await?;
        let report = |outcome| ApplyReport {
            outcome,
            version: Some(offer.target.version.clone()),
            digest: Some(offer.target.digest.clone()),
        };
        if let Some((slot, digest)) = staged {
            // What is here was waited for; whether it may be booted is asked again, since it was perhaps withdrawn or is over.
            let decision = self.decide(&offer, profile, Force::Skip)?;
            if digest == offer.target.digest && !matches!(decision, Decision::Refused { .. }) {
                return Ok(report(Outcome::Staged { slot }));
            }
            self.journal.apply(&Event::Abandon, now)?;
            self.slots.invalidate()?;
            self.journal.apply(&Event::Check, now)?;
        }
        match self.decide(&offer, profile, force)? {
            Decision::Take => {}
            Decision::UpToDate => {
                self.journal.apply(&Event::UpToDate, now)?;
                return Ok(report(Outcome::UpToDate));
            }
            Decision::Deferred { reason, until } => {
                self.journal.apply(&Event::Deferred { until }, now)?;
                return Ok(report(Outcome::Deferred { reason, until }));
            }
            Decision::Refused { class, reason } => {
                self.journal.refuse(class, &reason, now)?;
                return Err(AgentError::Refused { class, reason });
            }
        }
        self.journal.apply(&Event::Offered(offer.target.clone()), now)?;
        let slot = self.bring(&offer).await?;
        Ok(report(Outcome::Staged { slot }))
    }

    /// What becomes of an offer. Whatever is not refused is remembered here, so that nobody shows less later: what it withdraws, its
    /// number, and until when it is to be believed.
    fn decide(&mut self, offer: &Offer, profile: &Profile, force: Force) -> Result<Decision, AgentError> {
        let now = self.now.seconds;
        let evidence = self.slots.look()?;
        let memory = self.journal.record().memory(&evidence);
        let decision = offer.decide((&device(profile, &evidence), &memory), Moment(now), force);
        if !matches!(decision, Decision::Refused { .. }) && offer.is_signed() {
            let target = &offer.target;
            self.journal.remember(|record| {
                record.withdraw(offer.denies(), &target.version, now);
                record.state.saw(target);
                record.statement_expires = offer.expires();
            })?;
        }
        Ok(decision)
    }

    fn staged(&self) -> Option<(SlotName, Digest)> {
        let evidence = self.slots.look().ok()?;
        let slot = evidence.idle();
        let target = &self.journal.record().state.attempt.as_ref()?.target;
        let header = evidence.header(slot)?;
        (header.target.digest == target.digest).then(|| (slot, target.digest.clone()))
    }

    /// Fetch, verify, stage: an event between each two.
    async fn bring(&mut self, offer: &Offer) -> Result<SlotName, AgentError> {
        let now = self.now.seconds;
        self.journal.apply(&Event::Begin, now)?;
        self.slots.fits(&offer.target, &offer.set)?;
        let seeds = self.slots.look()?;
        let seeds = [seeds.boot.running, seeds.idle()].map(|slot| self.slots.directory(slot));
        let seeds = seeds.map(|directory| directory.join(Role::RootFilesystem.file_name()));
        let seeds: Vec<PathBuf> = seeds.into_iter().filter(|path| fs::exists(path)).collect();
        let gathered = offer.bytes.gather(&offer.set, &self.downloads, &seeds).await?;
        let (found, moved) = (gathered.found, gathered.size().saturating_sub(gathered.found));
        self.journal.remember(|record| {
            let counts = &mut record.counts;
            counts.bytes = counts.bytes.saturating_add(moved);
            counts.resumed_bytes = counts.resumed_bytes.saturating_add(found);
        })?;
        self.journal.apply(&Event::Fetched, now)?;
        gathered.verify()?;
        self.journal.apply(&Event::Verified, now)?;
        let slot = self.slots.stage(&offer.target, &gathered.set, |role| gathered.path(role))?;
        self.journal.apply(&Event::Staged, now)?;
        gathered.forget()?;
        Ok(slot)
    }
}
