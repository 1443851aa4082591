//! Why an update did not happen, as a class: what metrics count, and what the exit code says.
//!
//! Invariant: a class that names an attack is never used for a mere fault, so that a count of attacks means something.

use serde::{Deserialize, Serialize};

/// See the module. The numbers are the exit codes of `port update`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A gate says no: denied before, or the way from this version does not exist.
    Gate,
    /// No signature that counts.
    Signature,
    /// Something older than what was seen.
    Rollback,
    /// Something that is no longer to be believed.
    Expired,
    /// Something for another machine or channel.
    WrongTarget,
    /// Parts that do not belong together.
    MixAndMatch,
    /// More bytes than were signed, or slower than anybody waits.
    Oversize,
    /// The place did not answer.
    Network,
    /// No space.
    DiskFull,
    /// The disk, or what is on it.
    Io,
    /// The new system did not get well.
    Unhealthy,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 11] = [
        Self::Gate,
        Self::Signature,
        Self::Rollback,
        Self::Expired,
        Self::WrongTarget,
        Self::MixAndMatch,
        Self::Oversize,
        Self::Network,
        Self::DiskFull,
        Self::Io,
        Self::Unhealthy,
    ];

    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Signature => "signature",
            Self::Rollback => "rollback",
            Self::Expired => "expired",
            Self::WrongTarget => "wrong-target",
            Self::MixAndMatch => "mix-and-match",
            Self::Oversize => "oversize",
            Self::Network => "network",
            Self::DiskFull => "disk-full",
            Self::Io => "io",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// The exit code of a command that ends with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Gate => 20,
            Self::Signature => 21,
            Self::Rollback => 22,
            Self::Expired => 23,
            Self::WrongTarget => 24,
            Self::MixAndMatch => 25,
            Self::Oversize => 26,
            Self::Network => 30,
            Self::DiskFull => 31,
            Self::Io => 32,
            Self::Unhealthy => 50,
        }
    }

    /// Whether somebody may have tried something.
    pub fn is_attack(self) -> bool {
        matches!(
            self,
            Self::Signature
                | Self::Rollback
                | Self::Expired
                | Self::WrongTarget
                | Self::MixAndMatch
                | Self::Oversize
        )
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_word_and_exit_code() {
        let words: std::collections::BTreeSet<_> = Class::ALL.iter().map(|class| class.as_str()).collect();
        let codes: std::collections::BTreeSet<_> = Class::ALL.iter().map(|class| class.exit_code()).collect();
        assert_eq!((words.len(), codes.len()), (Class::ALL.len(), Class::ALL.len()));
        for class in Class::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
    }
}
