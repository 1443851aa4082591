//! Where an update is, and what happens to it: the words of the state machine.

use port_model::Digest;
use serde::{Deserialize, Serialize};

use crate::failure::Class;
use crate::machine::Target;

/// Where an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing happens.
    Idle,
    /// The place is asked.
    Checking,
    /// What it offers is here.
    UpToDate,
    /// What it offers is taken later.
    Deferred,
    /// What it offers is never taken.
    Refused,
    /// A release may be taken.
    Available,
    /// Its bytes come.
    Downloading,
    /// They are compared with what was signed.
    Verifying,
    /// They are written into the slot that does not run.
    Staging,
    /// They are there, and were read back.
    Staged,
    /// The next boot tries them.
    Armed,
    /// That boot was asked for.
    Rebooting,
    /// They run, and nobody knows yet how well.
    Trial,
    /// They run well, and must do so for a while.
    Soaking,
    /// They are what runs.
    Committed,
    /// A try failed; there will be another.
    Failed,
    /// The way back is being taken.
    RollingBack,
    /// What ran before runs again.
    RolledBack,
    /// Somebody holds it up.
    Blocked,
    /// No slot is good: nothing is done without an operator.
    Degraded,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 20] = [
        Self::Idle,
        Self::Checking,
        Self::UpToDate,
        Self::Deferred,
        Self::Refused,
        Self::Available,
        Self::Downloading,
        Self::Verifying,
        Self::Staging,
        Self::Staged,
        Self::Armed,
        Self::Rebooting,
        Self::Trial,
        Self::Soaking,
        Self::Committed,
        Self::Failed,
        Self::RollingBack,
        Self::RolledBack,
        Self::Blocked,
        Self::Degraded,
    ];

    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Checking => "checking",
            Self::UpToDate => "up-to-date",
            Self::Deferred => "deferred",
            Self::Refused => "refused",
            Self::Available => "available",
            Self::Downloading => "downloading",
            Self::Verifying => "verifying",
            Self::Staging => "staging",
            Self::Staged => "staged",
            Self::Armed => "armed",
            Self::Rebooting => "rebooting",
            Self::Trial => "trial",
            Self::Soaking => "soaking",
            Self::Committed => "committed",
            Self::Failed => "failed",
            Self::RollingBack => "rolling-back",
            Self::RolledBack => "rolled-back",
            Self::Blocked => "blocked",
            Self::Degraded => "degraded",
        }
    }

    /// Whether nothing is under way, so that the place may be asked.
    pub fn rests(self) -> bool {
        matches!(
            self,
            Self::Idle
                | Self::UpToDate
                | Self::Deferred
                | Self::Refused
                | Self::Committed
                | Self::Failed
                | Self::RolledBack
        )
    }

    /// Whether the next boot may be, or this boot is, one of a release that is not committed.
    pub fn is_past_arming(self) -> bool {
        matches!(self, Self::Armed | Self::Rebooting | Self::Trial | Self::Soaking | Self::RollingBack)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to know what there is.
    Check,
    /// There is nothing new.
    UpToDate,
    /// There is something for later.
    Deferred {
        /// For when, where that is known.
        until: Option<u64>,
    },
    /// There is something that is never taken.
    Refused(Class),
    /// There is something to take.
    Offered(Target),
    /// Somebody wants it.
    Begin,
    /// Its bytes are here.
    Fetched,
    /// They are what was signed.
    Verified,
    /// They are in the slot, and were read back.
    Staged,
    /// Somebody wants it to be booted.
    Activate,
    /// Somebody wants the boot now.
    Reboot,
    /// The release runs; says the boot, not a file.
    BootedNew,
    /// What ran before runs, and the release had its tries.
    BootedOld,
    /// All is well.
    Healthy,
    /// All is not well, for the last time if `last`.
    Unhealthy {
        /// Whether that is once too often.
        last: bool,
    },
    /// It was well for long enough.
    Soaked,
    /// A step did not succeed.
    Failed(Class),
    /// Somebody wants what ran before.
    Rollback,
    /// The next boot is of what ran before.
    TurnedBack,
    /// Somebody does not want this try.
    Abandon,
    /// The agent starts, and nothing is under way but what it finds.
    Restarted,
    /// Somebody holds updates up.
    Block,
    /// Nobody does any more.
    Unblock,
    /// No slot is good.
    SlotsLost,
    /// An operator says that one is.
    Repaired,
}

/// What is to be done about it, in order. Each may be done again: after a kill nobody knows whether it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask the place what there is.
    AskPlace,
    /// Bring the bytes of this manifest, going on where they are.
    Fetch(Digest),
    /// Compare them with what was signed.
    Verify(Digest),
    /// Make the slot that does not run invalid, write, flush, read back, make it valid.
    Stage(Digest),
    /// Let the next boots try the slot that does not run.
    Arm {
        /// How often.
        tries: u32,
    },
    /// Boot.
    Reboot,
    /// Ask whether all is well.
    CheckHealth,
    /// What runs stays what runs.
    MarkGood,
    /// The next boot is of what ran before.
    TurnBack,
    /// What was staged is not to be booted.
    Invalidate,
}
