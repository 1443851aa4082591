//! apply: from a tag to a slot that was read back. It boots nothing.

use std::path::PathBuf;

use port_content::{FsError, fs, hashing};
use port_model::Digest;
use port_registry::Partial;
use port_update::gates::{self, Decision, Force, Moment};
use port_update::inhibit::inhibitor;
use port_update::machine::{Event, Phase};
use port_update::release::{Part, Role};
use port_update::slots::SlotName;
use port_update::{Version, backoff, waves};
use serde::Serialize;

use super::offer::Offer;
use super::{Agent, AgentError, Followed, Profile};

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
    let result = agent.take(followed, profile, force).await;
    if let Err(error) = &result {
        agent.failed(error, waves::place(&profile.seed))?;
    }
    result
}

impl Agent {
    /// Into the record, and when the next try is due. What is staged stays: that a place does not answer is no fault of it.
    fn failed(&mut self, error: &AgentError, chance: u64) -> Result<(), AgentError> {
        let phase = self.journal.phase();
        let Some(class) = error.class().filter(|_| !matches!(phase, Phase::Refused | Phase::Staged)) else {
            return Ok(());
        };
        let now = self.now.seconds;
        self.journal.fail(class, &crate::error::chain(error), now)?;
        if phase == Phase::Staging {
            self.slots.invalidate()?;
        }
        let failures = self.journal.record().state.failures;
        let until = now.saturating_add(backoff::wait(failures, now.wrapping_add(chance)));
        Ok(self.journal.remember(|record| record.state.until = Some(until))?)
    }

    /// Asked before any network is used (acceptance Ou-7).
    fn waits(&self, profile: &Profile, force: Force) -> Result<Option<Outcome>, AgentError> {
        if force == Force::Skip {
            return Ok(None);
        }
        if let Some(Decision::Deferred { reason, until }) = gates::window(profile.window, self.now.seconds) {
            return Ok(Some(Outcome::Deferred { reason, until }));
        }
        let directory = profile.inhibit_directory.as_deref();
        let held = directory.map(inhibitor).transpose()?.flatten();
        Ok(held.map(|who| Outcome::Deferred { reason: format!("held up by {who}"), until: None }))
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
        let offer = Offer::ask(followed, profile).await?;
        let report = |outcome| ApplyReport {
            outcome,
            version: Some(offer.target.version.clone()),
            digest: Some(offer.target.digest.clone()),
        };
        if let Some((slot, digest)) = staged {
            if digest == offer.target.digest {
                return Ok(report(Outcome::Staged { slot }));
            }
            self.journal.apply(&Event::Abandon, now)?;
            self.slots.invalidate()?;
            self.journal.apply(&Event::Check, now)?;
        }
        let evidence = self.slots.look()?;
        let memory = self.journal.record().memory(&evidence);
        let device = self.device(profile, &evidence);
        let expires = offer.expires();
        match offer.decide((&device, &memory), Moment(now), force) {
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
        self.journal.remember(|record| record.statement_expires = expires)?;
        let slot = self.bring(followed, &offer).await?;
        Ok(report(Outcome::Staged { slot }))
    }

    fn staged(&self) -> Option<(SlotName, Digest)> {
        let evidence = self.slots.look().ok()?;
        let slot = evidence.idle();
        let target = &self.journal.record().state.attempt.as_ref()?.target;
        let header = evidence.header(slot)?;
        (header.target.digest == target.digest).then(|| (slot, target.digest.clone()))
    }

    /// Fetch, verify, stage: an event between each two.
    async fn bring(&mut self, followed: &Followed, offer: &Offer) -> Result<SlotName, AgentError> {
        let now = self.now.seconds;
        self.journal.apply(&Event::Begin, now)?;
        let repository = followed.registry.repository(&followed.place)?;
        fs::create_dir_all(&self.downloads)?;
        let mut partials = Vec::new();
        for part in &offer.set.parts {
            let partial = Partial::wait(&self.download(part)).await?;
            repository.blob_to_file(&part.digest, part.size, &partial).await?;
            partials.push((part.role, partial));
        }
        let bytes: u64 = offer.set.parts.iter().map(|part| part.size).sum();
        self.journal.remember(|record| record.counts.bytes = record.counts.bytes.saturating_add(bytes))?;
        self.journal.apply(&Event::Fetched, now)?;
        for part in &offer.set.parts {
            verify(&self.download(part), part)?;
        }
        self.journal.apply(&Event::Verified, now)?;
        let path = |role: Role| {
            let found = partials.iter().find(|(of, _)| *of == role);
            found.map(|(_, partial)| partial.path().to_owned()).unwrap_or_default()
        };
        let slot = self.slots.stage(&offer.target, &offer.set, path)?;
        self.journal.apply(&Event::Staged, now)?;
        for (_, partial) in partials {
            partial.forget()?;
        }
        Ok(slot)
    }

    fn download(&self, part: &Part) -> PathBuf {
        self.downloads.join(format!("{}.partial", part.digest.hex()))
    }
}

fn verify(path: &std::path::Path, part: &Part) -> Result<(), AgentError> {
    let (found, size) = hashing::digest_file(path)?;
    if found == part.digest && size == part.size {
        return Ok(());
    }
    let reason = format!("expected {} of {} bytes, found {found} of {size}", part.digest, part.size);
    Err(FsError::new("verify", path, std::io::Error::other(reason)).into())
}
