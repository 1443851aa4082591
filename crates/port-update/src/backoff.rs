//! How long to wait after a failure: twice as long each time, to a limit, and spread so that a fleet does not come back as one.
//!
//! Invariant: never less than half the step and never more than the limit; the chance is given, not made.

/// The first wait, in seconds.
const FIRST: u64 = 60;
/// The longest.
pub const LONGEST: u64 = 6 * 60 * 60;

/// Seconds to wait after so many failures in a row. `chance` is any number; machines have different ones.
pub fn wait(failures: u32, chance: u64) -> u64 {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    let step = FIRST.saturating_mul(doubled).min(LONGEST);
    let half = step / 2;
    half + chance % (step - half + 1)
}

/// How long to wait where the place itself said, within reason.
pub fn asked(seconds: u64) -> u64 {
    seconds.clamp(1, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_is_within_its_step(failures in 0_u32..200, chance: u64) {
            let waited = wait(failures, chance);
            prop_assert!((FIRST / 2..=LONGEST).contains(&waited), "{waited}");
            prop_assert!(wait(failures + 2, chance) >= waited / 2);
        }
    }

    #[test]
    fn two_machines_wait_differently_and_one_the_same() {
        assert_ne!(wait(5, 1), wait(5, 2));
        assert_eq!(wait(5, 1), wait(5, 1));
        assert_eq!((asked(0), asked(99), asked(u64::MAX)), (1, 99, LONGEST));
    }
}
