//! How long to wait after a failure: twice as long each time, to a limit, and spread so that a fleet does not come back as one.
//!
//! Invariant: never less than half the step and never more than the limit; the chance is given, not made.

/// The first wait where nobody says one, in seconds.
pub const FIRST: u64 = 60;
/// The longest.
pub const LONGEST: u64 = 6 * 60 * 60;

/// Seconds to wait after so many failures in a row, of which the first waits `first` at most; none where that is 0. `chance` is any
/// number; machines have different ones.
pub fn wait(first: u64, failures: u32, chance: u64) -> u64 {
    let doubled = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
    let step = first.saturating_mul(doubled).min(LONGEST);
    let half = step / 2;
    half + chance % (step - half + 1)
}

/// Until when a wait lasts that ends then; nothing where it is over. A clock that was set back makes no wait longer than the longest.
pub fn lasts(until: Option<u64>, now: u64) -> Option<u64> {
    until.filter(|until| until.checked_sub(now).is_some_and(|left| (1..=LONGEST).contains(&left)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_is_within_its_step(failures in 0_u32..200, chance: u64) {
            let waited = wait(FIRST, failures, chance);
            prop_assert!((FIRST / 2..=LONGEST).contains(&waited), "{waited}");
            prop_assert!(wait(FIRST, failures + 2, chance) >= waited / 2);
            prop_assert_eq!(wait(0, failures, chance), 0);
        }
    }

    #[test]
    fn two_machines_wait_differently_and_one_the_same() {
        assert_ne!(wait(FIRST, 5, 1), wait(FIRST, 5, 2));
        assert_eq!(wait(FIRST, 5, 1), wait(FIRST, 5, 1));
    }

    #[test]
    fn a_wait_is_over_at_its_end_and_never_longer_than_the_longest() {
        let cases = [(None, None), (Some(99), None), (Some(100), None), (Some(101), Some(101))];
        for (until, expected) in cases {
            assert_eq!(lasts(until, 100), expected);
        }
        assert_eq!(lasts(Some(100 + LONGEST), 100), Some(100 + LONGEST));
        assert_eq!(lasts(Some(101 + LONGEST), 100), None, "the clock was set back");
    }
}
