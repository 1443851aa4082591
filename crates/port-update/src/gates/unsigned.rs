//! Gates for releases that nobody signed, where the configuration allows them in as many words: KubeSolo's, as it publishes them.
//!
//! What is empty is no constraint (acceptance C-40). Both transports come here, so that both are refused alike (acceptance O-43).
//! Invariant: without a number there is still no way to something older, or to what failed here.

use port_model::Digest;

use super::{Decision, Device, Force, Memory, Moment, window};
use crate::failure::Class;
use crate::version::Version;

/// What such a release says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedRelease {
    /// Its version.
    pub version: Version,
    /// Its channel; any where it is empty.
    pub channel: String,
    /// Its architecture in Go's names; any where it is empty.
    pub architecture: String,
    /// The oldest version that may update to it.
    pub min_compatible_version: Option<Version>,
}

/// Decides about it.
pub fn decide_unsigned(
    release: &UnsignedRelease,
    digest: &Digest,
    (device, memory): (&Device, &Memory),
    Moment(now): Moment,
    force: Force,
) -> Decision {
    if let Some((class, reason)) = refusal(release, digest, device, memory) {
        return Decision::Refused { class, reason };
    }
    if memory.installed.as_ref() == Some(digest) || device.current.as_ref() == Some(&release.version) {
        return Decision::UpToDate;
    }
    match force {
        Force::Skip => Decision::Take,
        Force::No => window(device.window, now).unwrap_or(Decision::Take),
    }
}

fn refusal(
    release: &UnsignedRelease,
    digest: &Digest,
    device: &Device,
    memory: &Memory,
) -> Option<(Class, String)> {
    let differs = |what: &str, expected: &str, found: &str| {
        let differs = !found.is_empty() && found != expected;
        differs.then(|| (Class::WrongTarget, format!("{what}: expected `{expected}`, found `{found}`")))
    };
    let target = differs("it is for another channel", &device.channel, &release.channel).or_else(|| {
        differs("it is for another architecture", device.architecture.oci_name(), &release.architecture)
    });
    if target.is_some() {
        return target;
    }
    if memory.denied.contains(digest) {
        return Some((Class::Gate, format!("{digest} is denied here: it failed before")));
    }
    let current = device.current.as_ref();
    if let Some(current) = current.filter(|current| release.version < **current) {
        let reason = format!("expected {current} or later, which runs; found {}", release.version);
        return Some((Class::Rollback, reason));
    }
    let minimum = release.min_compatible_version.as_ref()?;
    match current {
        Some(current) if !current.is_below(minimum) => None,
        Some(current) => Some((Class::Gate, format!("it updates from {minimum} on, and {current} runs"))),
        None => Some((Class::Gate, format!("it updates from {minimum} on, and nobody knows what runs"))),
    }
}
