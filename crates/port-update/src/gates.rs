//! Gates: whether this machine takes this release, and when. The only place that says "take".
//!
//! ```text
//! never: channel ─ machine ─ expired ─ sequence ─ epoch ─ denied ─ way from here        now: wave ─ window
//! ```
//!
//! Invariants: gates read what was signed, never an annotation; [`Force::Skip`] moves the second half and nothing of the first;
//! time never runs back: what was once later than a statement's end stays later.

mod unsigned;

use std::collections::BTreeSet;

use port_model::{Architecture, Digest};

use crate::backoff;
use crate::failure::Class;
use crate::release::ReleaseStatement;
use crate::version::Version;
use crate::waves;
use crate::window::Window;

pub use unsigned::{UnsignedRelease, decide_unsigned};

/// Which machine this is.
#[derive(Debug, Clone)]
pub struct Device {
    /// Of what it runs releases; any where it is empty.
    pub name: String,
    /// The channel that it follows.
    pub channel: String,
    /// Its architecture.
    pub architecture: Architecture,
    /// Which kind of that machine.
    pub variant: String,
    /// What runs now, where that is known.
    pub current: Option<Version>,
    /// Its place among all machines (see [`waves::place`]).
    pub place: u64,
    /// When it may be disturbed.
    pub window: Window,
}

/// What the machine remembers of the channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// The highest sequence that it saw, and which manifest had it.
    pub highest: Option<(u64, Digest)>,
    /// Whose number that is; every channel's where nobody knows.
    pub highest_channel: Option<String>,
    /// What runs, or waits to be booted.
    pub installed: Option<Digest>,
    /// The epoch that it committed to.
    pub floor_epoch: u64,
    /// The latest time at which it believed something.
    pub last_time: u64,
    /// Manifests that failed here, or that a release denied.
    pub denied: BTreeSet<Digest>,
}

/// When it is, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

/// Whether an operator wants it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Wait for wave and window.
    No,
    /// Do not wait.
    Skip,
}

/// What becomes of a release here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Decision {
    /// Take it.
    Take,
    /// It is here.
    UpToDate,
    /// Not yet.
    Deferred {
        /// Why.
        reason: String,
        /// When it may be; `None` where nothing of what is known makes it so.
        until: Option<u64>,
    },
    /// Never.
    Refused {
        /// What kind of no.
        class: Class,
        /// Why.
        reason: String,
    },
}

/// Decides about the release whose manifest or index was resolved to `digest`.
pub fn decide(
    release: &ReleaseStatement,
    digest: &Digest,
    (device, memory): (&Device, &Memory),
    Moment(now): Moment,
    force: Force,
) -> Decision {
    let now = now.max(memory.last_time);
    let refusal = target(release, device)
        .or_else(|| freshness(release, digest, memory, now))
        .or_else(|| way(release, digest, device, memory));
    if let Some((class, reason)) = refusal {
        return Decision::Refused { class, reason };
    }
    if memory.installed.as_ref() == Some(digest) {
        return Decision::UpToDate;
    }
    if force == Force::Skip {
        return Decision::Take;
    }
    wave(release, device, now).or_else(|| window(device.window, now)).unwrap_or(Decision::Take)
}

type Refusal = Option<(Class, String)>;

fn target(release: &ReleaseStatement, device: &Device) -> Refusal {
    let differs = |what: &str, expected: &str, found: &str| {
        Some((Class::WrongTarget, format!("{what}: expected `{expected}`, found `{found}`")))
    };
    if !device.name.is_empty() && release.name != device.name {
        return differs("it is a release of something else", &device.name, &release.name);
    }
    if release.channel != device.channel {
        return differs("it is for another channel", &device.channel, &release.channel);
    }
    if release.boot_set(device.architecture, &device.variant).is_none() {
        let kind = format!("{} {}", device.architecture.oci_name(), device.variant);
        let found: Vec<&str> = release.machines.iter().map(|set| set.architecture.oci_name()).collect();
        return differs("it is for other machines", kind.trim_end(), &found.join(", "));
    }
    None
}

fn freshness(release: &ReleaseStatement, digest: &Digest, memory: &Memory, now: u64) -> Refusal {
    let expires = release.expires.as_second();
    if i64::try_from(now).map_or(true, |now| now >= expires) {
        let reason = format!("it is to be believed until {}, and that is over", release.expires);
        return Some((Class::Expired, reason));
    }
    // Each channel counts for itself; what comes of another one is held by its end, the floor and the denials.
    if memory.highest_channel.as_ref().is_some_and(|channel| *channel != release.channel) {
        return None;
    }
    let (highest, seen) = memory.highest.as_ref()?;
    if release.sequence < *highest {
        let reason = format!("expected sequence {highest} or later, found {}", release.sequence);
        return Some((Class::Rollback, reason));
    }
    if release.sequence == *highest && digest != seen {
        let reason = format!("sequence {highest} was {seen} before, and is now {digest}");
        return Some((Class::Rollback, reason));
    }
    None
}

fn way(release: &ReleaseStatement, digest: &Digest, device: &Device, memory: &Memory) -> Refusal {
    if release.security_epoch < memory.floor_epoch {
        let (floor, found) = (memory.floor_epoch, release.security_epoch);
        return Some((Class::Rollback, format!("expected security epoch {floor} or later, found {found}")));
    }
    if memory.denied.contains(digest) || release.denies.contains(digest) {
        return Some((Class::Gate, format!("{digest} is denied here: it failed before, or was withdrawn")));
    }
    let (minimum, current) = (release.min_from.as_ref()?, device.current.as_ref());
    match current {
        Some(current) if current >= minimum => None,
        Some(current) => Some((Class::Gate, format!("it updates from {minimum} on, and {current} runs"))),
        None => Some((Class::Gate, format!("it updates from {minimum} on, and nobody knows what runs"))),
    }
}

fn wave(release: &ReleaseStatement, device: &Device, now: u64) -> Option<Decision> {
    if release.critical {
        return None;
    }
    let issued = u64::try_from(release.issued.as_second()).unwrap_or_default();
    let until = waves::begins(&release.waves, issued, device.place);
    if until.is_some_and(|begins| begins <= now) {
        return None;
    }
    Some(Decision::Deferred { reason: "its wave has not reached this machine".to_owned(), until })
}

/// Also asked before any network is used.
pub fn window(window: Window, now: u64) -> Option<Decision> {
    let until = match window.opens_in(now) {
        Some(0) => return None,
        Some(seconds) => Some(now.saturating_add(seconds)),
        None => None,
    };
    Some(Decision::Deferred { reason: "outside the maintenance window".to_owned(), until })
}

/// Who else has a say in when: asked before any network is used, and of whatever may be taken.
#[derive(Debug, Clone, Copy)]
pub struct Waits<'a> {
    /// When the machine may be disturbed.
    pub window: Window,
    /// Who holds updates up.
    pub inhibitor: Option<&'a str>,
    /// Until when it waits after a failure.
    pub until: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
}

/// Why nothing begins now; nothing where somebody forces it.
pub fn waits(waits: &Waits<'_>, Moment(now): Moment, force: Force) -> Option<Decision> {
    if force == Force::Skip {
        return None;
    }
    let held = waits.inhibitor.map(|who| (format!("held up by {who}"), None));
    let failed = || {
        let until = backoff::lasts(waits.until, now)?;
        Some((format!("the last {} tries failed", waits.failures.max(1)), Some(until)))
    };
    let deferred = |(reason, until)| Decision::Deferred { reason, until };
    window(waits.window, now).or_else(|| held.or_else(failed).map(deferred))
}

#[cfg(test)]
mod tests;
