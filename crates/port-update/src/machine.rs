//! The state machine of an update, as a pure function: `(state, event) → (state, effects)`.
//!
//! ```text
//! idle ─► checking ─► available ─► downloading ─► verifying ─► staging ─► staged ─► armed ─► rebooting ─► trial ─► soaking ─► committed
//!             └─► up-to-date | deferred | refused      └────── failed ──────┘          └───── rolling-back ─► rolled-back ────┘
//! ```
//!
//! The state is written before its effects are done (`port-ops`), so that a kill is a [`Event::Restarted`] in the phase whose effects
//! may or may not have happened. Invariants, each a property test: an event that a phase does not know changes nothing; one manifest
//! from offer to commit; the floor rises at commit alone; what was rolled back is denied; no more than [`MOST_TRANSITIONS`] and
//! [`MOST_REBOOTS`] for one attempt.

mod phase;

use std::collections::BTreeSet;

use port_model::Digest;
use serde::{Deserialize, Serialize};

use crate::failure::Class;
use crate::version::Version;

pub use phase::{Effect, Event, Phase};

/// How many transitions one attempt may make.
pub const MOST_TRANSITIONS: u32 = 32;
/// How many boots one attempt may ask for.
pub const MOST_REBOOTS: u32 = 3;
/// How often the boot loader tries a release before it goes back by itself.
pub const TRIES: u32 = 3;

/// What is being installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The manifest or index that was resolved once.
    pub digest: Digest,
    /// Its version, for people.
    pub version: Version,
    /// Its number; none where nobody signed it.
    pub sequence: Option<u64>,
    /// The channel that counts so; none where nobody signed it, or nobody remembered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Its epoch.
    pub security_epoch: u64,
}

/// One try to install one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which try it is, over all.
    pub number: u64,
    /// Of what.
    pub target: Target,
    /// How many transitions it made.
    pub transitions: u32,
    /// How many boots it asked for.
    pub reboots: u32,
    /// How many health checks failed.
    pub unhealthy: u32,
}

impl Attempt {
    fn new(number: u64, target: Target) -> Self {
        Self { number, target, transitions: 0, reboots: 0, unhealthy: 0 }
    }
}

/// All that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// With what; none while nothing is offered.
    pub attempt: Option<Attempt>,
    /// What was committed last.
    pub committed: Option<Target>,
    /// The highest number that was seen, and its manifest.
    pub highest: Option<(u64, Digest)>,
    /// The channel whose number that is: each counts for itself. Where nobody remembered it, it is every channel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_channel: Option<String>,
    /// The epoch that was committed to.
    pub floor_epoch: u64,
    /// What is never taken again.
    pub denied: BTreeSet<Digest>,
    /// Until when it waits, in seconds since 1970.
    pub until: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
    /// The class of the last one.
    pub last_failure: Option<Class>,
    /// How many attempts there were.
    pub attempts: u64,
    /// How many ended in a way back.
    pub rollbacks: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            phase: Phase::Idle,
            attempt: None,
            committed: None,
            highest: None,
            highest_channel: None,
            floor_epoch: 0,
            denied: BTreeSet::new(),
            until: None,
            failures: 0,
            last_failure: None,
            attempts: 0,
            rollbacks: 0,
        }
    }
}

impl State {
    /// The highest number that was seen of a channel, and its manifest.
    pub fn highest_of(&self, channel: Option<&str>) -> Option<&(u64, Digest)> {
        let known = self.highest_channel.as_deref();
        self.highest.as_ref().filter(|_| known.is_none() || channel.is_none() || known == channel)
    }

    /// Remembers the number of a release that is believed, where it is higher than what was seen of its channel.
    pub fn saw(&mut self, target: &Target) {
        let Some(sequence) = target.sequence else { return };
        let channel = target.channel.as_deref();
        if self.highest_of(channel).is_none_or(|(highest, _)| *highest <= sequence) {
            self.highest = Some((sequence, target.digest.clone()));
            self.highest_channel = target.channel.clone();
        }
    }
}

/// An event that the phase does not know. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an update that is {phase} knows no `{event}`")]
pub struct Illegal {
    /// Where it is.
    pub phase: Phase,
    /// What happened.
    pub event: String,
}

/// The next state, and what is to be done.
///
/// # Errors
/// [`Illegal`]; then nothing is to be done.
pub fn step(state: &State, event: &Event) -> Result<(State, Vec<Effect>), Illegal> {
    let illegal = || Illegal { phase: state.phase, event: format!("{event:?}") };
    let phase = next_phase(state, event).ok_or_else(illegal)?;
    let mut next = State { phase, ..state.clone() };
    take(&mut next, event).ok_or_else(illegal)?;
    if state.phase.rests() && *event == Event::Rollback {
        // What is left is what was committed, whatever was tried since.
        next.attempt = next.committed.clone().map(|target| Attempt::new(next.attempts, target));
    }
    count(&mut next, state.phase, event);
    if state.phase != Phase::RolledBack && next.phase == Phase::RolledBack {
        deny(&mut next);
    }
    let effects = effects(&next, state.phase, event);
    Ok((next, effects))
}

/// The table: where a phase goes to.
fn next_phase(state: &State, event: &Event) -> Option<Phase> {
    use Phase as P;
    let phase = state.phase;
    Some(match (phase, event) {
        (P::Degraded, Event::Repaired) => P::Idle,
        (P::Degraded, Event::Restarted) => P::Degraded,
        (P::Degraded, _) => return None,
        (_, Event::SlotsLost) => P::Degraded,
        (P::Blocked, Event::Unblock) => P::Idle,
        (P::Blocked, Event::Restarted | Event::Block) => P::Blocked,
        (P::Blocked, _) => return None,
        (from, Event::Check) if from.rests() => P::Checking,
        (from, Event::Block) if from.rests() => P::Blocked,
        (from, Event::Rollback) if from.rests() && from != P::RolledBack => P::RollingBack,
        (from, Event::Restarted) if from.rests() => from,
        (P::Checking, event) => checking(event)?,
        (P::Available, Event::Begin) => P::Downloading,
        (P::Downloading, Event::Fetched) => P::Verifying,
        (P::Verifying, Event::Verified) => P::Staging,
        (P::Staging, Event::Staged) => P::Staged,
        (P::Available | P::Downloading | P::Verifying | P::Staging, Event::Restarted) => P::Available,
        (P::Available | P::Downloading | P::Verifying | P::Staging | P::Staged, Event::Abandon) => P::Idle,
        (P::Available | P::Downloading | P::Verifying | P::Staging | P::Staged, Event::Failed(_)) => {
            P::Failed
        }
        (P::Staged, Event::Restarted) => P::Staged,
        (P::Staged, Event::Activate) => P::Armed,
        (from, event) if from.is_past_arming() => past_arming(state, event)?,
        _ => return None,
    })
}

fn checking(event: &Event) -> Option<Phase> {
    Some(match event {
        Event::UpToDate => Phase::UpToDate,
        Event::Deferred { .. } => Phase::Deferred,
        Event::Refused(_) => Phase::Refused,
        Event::Offered(_) => Phase::Available,
        Event::Failed(_) => Phase::Failed,
        Event::Abandon | Event::Restarted => Phase::Idle,
        _ => return None,
    })
}

/// From here on there is always a way back, and nothing but it or the end of the trial.
fn past_arming(state: &State, event: &Event) -> Option<Phase> {
    use Phase as P;
    let spent = state
        .attempt
        .as_ref()
        .is_none_or(|attempt| attempt.transitions >= MOST_TRANSITIONS || attempt.reboots >= MOST_REBOOTS);
    Some(match (state.phase, event) {
        // The way back ends with the boot that says so: until then the slot that is left may be the one that runs.
        (P::RollingBack, Event::BootedOld) => P::RolledBack,
        (
            P::RollingBack,
            Event::TurnedBack | Event::Restarted | Event::Failed(_) | Event::BootedNew | Event::Rollback,
        ) => P::RollingBack,
        (P::RollingBack, _) => return None,
        (_, Event::BootedOld) => P::RolledBack,
        (_, Event::Rollback) => P::RollingBack,
        (P::Armed | P::Rebooting, Event::Reboot) if spent => P::RollingBack,
        (P::Armed | P::Rebooting, Event::Reboot) => P::Rebooting,
        (P::Armed | P::Rebooting, Event::Failed(_)) => P::RollingBack,
        (P::Trial | P::Soaking, Event::BootedNew) if spent => P::RollingBack,
        (P::Armed | P::Rebooting | P::Trial | P::Soaking, Event::BootedNew) => P::Trial,
        (P::Armed | P::Rebooting | P::Trial | P::Soaking, Event::Restarted) => state.phase,
        (P::Trial, Event::Healthy) => P::Soaking,
        (P::Soaking, Event::Healthy) => P::Soaking,
        (P::Trial, Event::Unhealthy { last: false }) if !spent => P::Trial,
        (P::Trial | P::Soaking, Event::Unhealthy { .. }) => P::RollingBack,
        (P::Soaking, Event::Soaked) => P::Committed,
        _ => return None,
    })
}

/// What the event brings with it; `None` where the phase cannot have it.
fn take(next: &mut State, event: &Event) -> Option<()> {
    match event {
        Event::Offered(target) => {
            if next.denied.contains(&target.digest) || target.security_epoch < next.floor_epoch {
                return None;
            }
            let highest = next.highest_of(target.channel.as_deref());
            if let (Some(sequence), Some((highest, _))) = (target.sequence, highest)
                && sequence < *highest
            {
                return None;
            }
            next.saw(target);
            next.attempts = next.attempts.saturating_add(1);
            next.attempt = Some(Attempt::new(next.attempts, target.clone()));
        }
        // The place answered, or the bytes came: what failed before is no row any more.
        Event::Deferred { until } => (next.until, next.failures) = (*until, 0),
        Event::Staged => next.failures = 0,
        Event::UpToDate => (next.until, next.failures) = (None, 0),
        Event::Failed(class) => {
            next.failures = next.failures.saturating_add(1);
            next.last_failure = Some(*class);
        }
        // What is refused did arrive: nobody waits longer for it.
        Event::Refused(class) => next.last_failure = Some(*class),
        Event::Soaked => {
            let target = next.attempt.as_ref()?.target.clone();
            next.floor_epoch = next.floor_epoch.max(target.security_epoch);
            next.committed = Some(target);
            (next.failures, next.last_failure) = (0, None);
        }
        Event::Check => next.until = None,
        _ => {}
    }
    Some(())
}

fn count(next: &mut State, before: Phase, event: &Event) {
    if let Some(attempt) = &mut next.attempt {
        // Looking again whether all is well, or what a kill left, is no step of an attempt that is past its arming.
        let looked = before == next.phase && matches!(event, Event::Healthy | Event::Restarted);
        attempt.transitions = attempt.transitions.saturating_add(u32::from(!looked));
        match event {
            // A boot that nobody asked for is a boot, too.
            Event::Reboot => attempt.reboots = attempt.reboots.saturating_add(1),
            Event::BootedNew if before != Phase::Rebooting => {
                attempt.reboots = attempt.reboots.saturating_add(1);
            }
            Event::Unhealthy { .. } => attempt.unhealthy = attempt.unhealthy.saturating_add(1),
            _ => {}
        }
        // Nothing goes on for ever before the slot is armed, either.
        let early = !next.phase.rests() && !next.phase.is_past_arming();
        if early && attempt.transitions >= MOST_TRANSITIONS {
            next.phase = Phase::Failed;
            next.failures = next.failures.saturating_add(1);
            next.last_failure = Some(Class::Gate);
        }
    }
    if matches!(
        next.phase,
        Phase::Idle | Phase::UpToDate | Phase::Deferred | Phase::Refused | Phase::Checking
    ) {
        next.attempt = None;
    }
    if next.phase == Phase::Available && matches!(event, Event::Offered(_)) {
        next.until = None;
    }
}

/// What was rolled back is not taken again; nor is what an operator left behind.
fn deny(next: &mut State) {
    next.rollbacks = next.rollbacks.saturating_add(1);
    next.last_failure = Some(Class::Unhealthy);
    let left = next.attempt.take().map(|attempt| attempt.target).or_else(|| next.committed.take());
    if let Some(target) = left {
        if next.committed.as_ref() == Some(&target) {
            next.committed = None;
        }
        next.denied.insert(target.digest);
    }
}

fn effects(next: &State, before: Phase, event: &Event) -> Vec<Effect> {
    let digest = next.attempt.as_ref().map(|attempt| attempt.target.digest.clone());
    let moved = next.phase != before || matches!(event, Event::Restarted | Event::Rollback);
    match (next.phase, digest) {
        (Phase::Checking, _) => vec![Effect::AskPlace],
        (Phase::Downloading, Some(digest)) => vec![Effect::Fetch(digest)],
        (Phase::Verifying, Some(digest)) => vec![Effect::Verify(digest)],
        (Phase::Staging, Some(digest)) => vec![Effect::Stage(digest)],
        (Phase::Armed, _) if moved => vec![Effect::Arm { tries: TRIES }],
        (Phase::Rebooting, _) if *event == Event::Reboot => vec![Effect::Reboot],
        (Phase::Trial, _) => vec![Effect::CheckHealth],
        (Phase::Soaking, _) if !moved => vec![Effect::CheckHealth],
        (Phase::Committed, _) if moved && *event != Event::Restarted => vec![Effect::MarkGood],
        // After a kill nobody knows whether the mark was made.
        (Phase::Committed, Some(_)) => vec![Effect::MarkGood],
        (Phase::RollingBack, _) if *event == Event::TurnedBack => vec![Effect::Reboot],
        (Phase::RollingBack, _) => vec![Effect::TurnBack],
        (Phase::RolledBack, _) if moved && *event != Event::Restarted => vec![Effect::Invalidate],
        (Phase::Idle | Phase::Failed, _) if matches!(before, Phase::Staged | Phase::Staging) => {
            vec![Effect::Invalidate]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
