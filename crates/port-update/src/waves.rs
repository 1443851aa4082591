//! Waves: a release reaches few machines first and all of them later.
//!
//! Invariant: a machine's place is the same for every release, and none is asked for it: it follows from a seed that only the
//! machine knows, so that a fleet is spread without anybody keeping a list.

use port_content::hashing::digest_of;
use serde::{Deserialize, Serialize};

/// How many of all machines may take a release from when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Seconds after the release was issued.
    pub after_seconds: u64,
    /// How many of a hundred.
    pub percent: u8,
}

/// How many different places there are.
const PLACES: u64 = 10_000;

/// A machine's place among all: the same for the same seed, 0 to 9999.
pub fn place(seed: &str) -> u64 {
    let hex = digest_of(seed.as_bytes());
    let first = hex.hex().get(..12).and_then(|hex| u64::from_str_radix(hex, 16).ok());
    first.unwrap_or_default() % PLACES
}

/// When a machine at this place may take a release that was issued then; `None` where no wave reaches it.
pub fn begins(waves: &[Wave], issued: u64, place: u64) -> Option<u64> {
    if waves.is_empty() {
        return Some(issued);
    }
    let reached = waves.iter().filter(|wave| place < u64::from(wave.percent) * (PLACES / 100));
    reached.map(|wave| issued.saturating_add(wave.after_seconds)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAVES: [Wave; 3] = [
        Wave { after_seconds: 0, percent: 1 },
        Wave { after_seconds: 3600, percent: 20 },
        Wave { after_seconds: 86_400, percent: 100 },
    ];

    #[test]
    fn a_machine_waits_for_the_first_wave_that_reaches_it() {
        for (place, expected) in
            [(0, 100), (99, 100), (100, 3700), (1999, 3700), (2000, 86_500), (9999, 86_500)]
        {
            assert_eq!(begins(&WAVES, 100, place), Some(expected), "{place}");
        }
        assert_eq!(begins(&[], 100, 9999), Some(100));
        assert_eq!(begins(&WAVES[..2], 100, 9999), None, "a halted rollout");
    }

    #[test]
    fn machines_are_spread() {
        let first = (0..2000).filter(|machine| place(&format!("machine {machine}")) < 2000).count();
        assert!((300..500).contains(&first), "{first} of 2000 in the first fifth");
        assert_eq!(place("a"), place("a"));
    }
}
