//! check, for a machine: what it follows has this, and here becomes that of it. The gates are those of apply, and nothing changes.

use std::path::Path;

use port_model::Digest;
use port_update::gates::{Decision, Force, Moment};
use port_update::machine::Phase;
use port_update::{Slots, Version};
use serde::Serialize;

use super::{AgentError, Followed, Now, Profile, device, status, waits};

/// What is offered, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// What becomes of it.
    #[serde(flatten)]
    pub decision: Decision,
    /// The release.
    pub version: Version,
    /// Its manifest or index; of a web server's, its own name.
    pub digest: Digest,
    /// Whether it was signed by whom this machine believes. What was not has no number and no end.
    pub signed: bool,
    /// Its number.
    pub sequence: Option<u64>,
    /// Until when it is to be believed, in seconds since 1970.
    pub expires: Option<u64>,
    /// What runs.
    pub current: Option<Version>,
    /// Where the update of this machine is.
    pub phase: Phase,
}

/// Asks the place, and says what apply would do now. Neither the state nor the slots are written (acceptance Ou-17).
///
/// # Errors
/// [`AgentError`] where the place does not answer, or what it has is not signed as it must be.
pub async fn consider(
    (slots, state): (&Slots, &Path),
    followed: &Followed,
    profile: &Profile,
    now: &Now,
    force: Force,
) -> Result<Considered, AgentError> {
    let evidence = slots.look()?;
    let known = status(slots, state)?;
    let offer = followed.origin.ask(&followed.trust, profile, &state.with_file_name("downloads")).await?;
    let (device, memory) = (device(profile, &evidence), known.record.memory(&evidence));
    let decision = match offer.decide((&device, &memory), Moment(now.seconds), force) {
        Decision::Take => waits(profile, &known.record, now.seconds, force)?.1.unwrap_or(Decision::Take),
        other => other,
    };
    Ok(Considered {
        decision,
        signed: offer.is_signed(),
        sequence: offer.target.sequence,
        expires: offer.expires(),
        version: offer.target.version,
        digest: offer.target.digest,
        current: device.current,
        phase: known.phase,
    })
}
