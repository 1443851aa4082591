//! activate, healthcheck, rollback: what boots next, and what stays.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use port_content::FsError;
use port_transport::Client;
use port_update::machine::{Effect, Event, Phase};
use port_update::slots::{SlotError, SlotName};
use port_update::{Class, Version};
use serde::Serialize;

use super::{Agent, AgentError};

/// How long a health command may take.
const LONGEST_CHECK: Duration = Duration::from_secs(300);

/// What says whether all is well.
#[derive(Debug, Clone, Default)]
pub struct HealthChecks {
    /// A program that ends with 0.
    pub command: Option<PathBuf>,
    /// An address that answers with success.
    pub url: Option<String>,
    /// How many failures lead back; never where it is none or 0.
    pub auto_rollback_after: Option<u32>,
    /// How long all must be well.
    pub soak_seconds: u64,
}

/// What boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootReport {
    /// Where the update is.
    pub phase: Phase,
    /// What runs.
    pub running: SlotName,
    /// What boots next.
    pub next: SlotName,
    /// The release that it is about.
    pub version: Option<Version>,
    /// Whether a boot is what is wanted now.
    pub reboot: bool,
}

/// Lets the next boot try what was staged.
///
/// # Errors
/// [`AgentError`]; what boots next is as it was.
pub fn activate(agent: &mut Agent) -> Result<BootReport, AgentError> {
    let event = match agent.journal.phase() {
        // A kill may have come before the boot loader was told.
        Phase::Armed => Event::Restarted,
        _ => Event::Activate,
    };
    let target = agent.journal.record().state.attempt.as_ref().map(|attempt| attempt.target.clone());
    if let (Phase::Staged, Some(target)) = (agent.journal.phase(), &target)
        && let Err(error) = agent.slots.check(target)
    {
        // It rotted where it lay. That is no fault of the release: the next try brings it again.
        agent.journal.fail(error.class(), &crate::error::chain(&error), agent.now.seconds)?;
        agent.slots.invalidate()?;
        return Err(error.into());
    }
    let effects = agent.journal.apply(&event, agent.now.seconds)?;
    if let (Some(target), Some(Effect::Arm { tries })) = (target, effects.first()) {
        agent.slots.arm(&target, *tries)?;
        agent.journal.remember(|record| record.told = true)?;
    }
    agent.boot_report(true)
}

/// Asks whether what runs is well, and keeps it when it was for long enough. What was kept before is kept again, so that a boot loader
/// that counts every boot does not leave a system that is well.
///
/// # Errors
/// [`AgentError::Unhealthy`], after the way back was taken where that is due.
pub async fn healthcheck(agent: &mut Agent, checks: &HealthChecks) -> Result<BootReport, AgentError> {
    if agent.journal.phase() == Phase::RollingBack {
        agent.turn_back()?;
        return agent.boot_report(agent.journal.phase() == Phase::RollingBack);
    }
    if agent.journal.phase() == Phase::Degraded {
        // Whatever is done now may be the last: it is for an operator to do.
        return Err(AgentError::Degraded);
    }
    match ask(checks).await {
        Ok(()) => agent.well(checks)?,
        Err(reason) => return agent.unwell(checks, reason),
    }
    agent.boot_report(false)
}

/// The next boot is of what ran before.
///
/// # Errors
/// [`AgentError`]; what boots next is as it was.
pub fn rollback(agent: &mut Agent) -> Result<BootReport, AgentError> {
    if agent.journal.phase().rests() {
        // What runs is kept: it stays, unless there is something whole to go back to.
        agent.slots.way_back()?;
    }
    agent.journal.apply(&Event::Rollback, agent.now.seconds)?;
    agent.turn_back()?;
    agent.boot_report(agent.journal.phase() == Phase::RollingBack)
}

/// Boots this machine anew, to go on with a trial or on the way back.
///
/// # Errors
/// [`AgentError`]; the boot was not asked for.
pub async fn reboot(agent: &mut Agent, program: &Path) -> Result<BootReport, AgentError> {
    if matches!(agent.journal.phase(), Phase::Armed | Phase::Rebooting) {
        agent.journal.apply(&Event::Reboot, agent.now.seconds)?;
        if agent.journal.phase() == Phase::RollingBack {
            // It was tried often enough.
            agent.turn_back()?;
        }
    }
    let report = agent.boot_report(true)?;
    // CRASH: what boots next was flushed before; the boot may come before this returns.
    let status = tokio::process::Command::new(program).stdin(Stdio::null()).status().await;
    let status = status.map_err(|error| FsError::new("start", program, error))?;
    if status.success() {
        return Ok(report);
    }
    let reason = std::io::Error::other(format!("it ended with {status}: expected success"));
    Err(FsError::new("reboot with", program, reason).into())
}

/// An operator says that what runs is good, after no slot was: it is kept, and updates go on.
///
/// # Errors
/// [`AgentError`] where nothing was degraded.
pub fn repair(agent: &mut Agent) -> Result<BootReport, AgentError> {
    // CRASH: the record first: a kill before the boot loader knows leaves an idle agent whose next health check tells it.
    agent.journal.apply(&Event::Repaired, agent.now.seconds)?;
    agent.slots.keep_running()?;
    agent.boot_report(false)
}

impl Agent {
    fn well(&mut self, checks: &HealthChecks) -> Result<(), AgentError> {
        let now = self.now.seconds;
        match self.journal.phase() {
            Phase::Trial | Phase::Soaking => drop(self.journal.apply(&Event::Healthy, now)?),
            Phase::Armed | Phase::Rebooting => {}
            _ => return Ok(self.keep()?),
        }
        let since = self.journal.record().soaking_since;
        let soaked = since.is_some_and(|since| now.saturating_sub(since) >= checks.soak_seconds);
        if self.journal.phase() == Phase::Soaking && soaked {
            // CRASH: kept first: a kill before the record says so is soaked once more, and never the other way round.
            self.slots.keep_running()?;
            self.journal.apply(&Event::Soaked, now)?;
        }
        Ok(())
    }

    /// What runs and is not on trial stays.
    fn keep(&mut self) -> Result<(), SlotError> {
        let boot = self.slots.look()?.boot;
        let tries_itself = boot.trial.is_none_or(|trial| trial.slot == boot.running);
        if tries_itself { self.slots.keep_running() } else { Ok(()) }
    }

    fn unwell(&mut self, checks: &HealthChecks, reason: String) -> Result<BootReport, AgentError> {
        let now = self.now.seconds;
        let state = &self.journal.record().state;
        let failed = state.attempt.as_ref().map_or(0, |attempt| attempt.unhealthy).saturating_add(1);
        let last = checks.auto_rollback_after.is_some_and(|most| most > 0 && failed >= most);
        if matches!(state.phase, Phase::Trial | Phase::Soaking) {
            let words = reason.clone();
            self.journal.remember(|record| {
                record.last_error = Some(words);
                *record.counts.failures.entry(Class::Unhealthy).or_default() += 1;
            })?;
            self.journal.apply(&Event::Unhealthy { last }, now)?;
            if self.journal.phase() == Phase::RollingBack {
                self.turn_back()?;
            }
        }
        Err(AgentError::Unhealthy { reason })
    }

    /// From rolling back to the boot that ends it, or to its end where that boot already was.
    fn turn_back(&mut self) -> Result<(), AgentError> {
        let now = self.now.seconds;
        if let Err(error) = self.slots.turn_back() {
            let lost = |error: &SlotError| {
                matches!(error, SlotError::NothingThere { .. } | SlotError::Content { .. })
            };
            // A disk that failed once may read the next time; then the next run goes on.
            if lost(&error) && self.slots.way_back().is_err_and(|again| lost(&again)) {
                let words = crate::error::chain(&error);
                self.journal.remember(|record| record.last_error = Some(words))?;
                self.journal.apply(&Event::SlotsLost, now)?;
            }
            return Err(error.into());
        }
        self.journal.apply(&Event::TurnedBack, now)?;
        let evidence = self.slots.look()?;
        if let Some(event) = self.journal.record().news(&evidence, self.now.boot_id.as_deref()) {
            self.journal.apply(&event, now)?;
            self.slots.invalidate()?;
        }
        Ok(())
    }

    fn boot_report(&self, reboot: bool) -> Result<BootReport, AgentError> {
        let boot = self.slots.look()?.boot;
        let record = self.journal.record();
        let version = record.state.attempt.as_ref().map(|attempt| attempt.target.version.clone());
        let next = boot.trial.filter(|trial| trial.tries > 0).map_or(boot.kept, |trial| trial.slot);
        Ok(BootReport { phase: record.state.phase, running: boot.running, next, version, reboot })
    }
}

async fn ask(checks: &HealthChecks) -> Result<(), String> {
    if let Some(command) = &checks.command {
        let shown = command.display();
        let mut child = tokio::process::Command::new(command);
        child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let status = tokio::time::timeout(LONGEST_CHECK, child.status()).await;
        match status {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => return Err(format!("`{shown}` ended with {status}: expected success")),
            Ok(Err(error)) => return Err(format!("`{shown}` cannot be started: {error}")),
            Err(_) => return Err(format!("`{shown}` is not done after {} seconds", LONGEST_CHECK.as_secs())),
        }
    }
    if let Some(url) = &checks.url {
        Client::default().read(url, 1 << 20).await.map_err(|error| crate::error::chain(&error))?;
    }
    Ok(())
}
