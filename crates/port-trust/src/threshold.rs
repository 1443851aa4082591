//! The counting of signers. The only place where Port decides that enough have signed.
//!
//! Invariant: a key counts once, whatever it signed, under however many names and in however many forms.

use std::collections::BTreeSet;

use port_model::Digest;

/// Whether the keys with these fingerprints are enough, and how many of them there are.
pub(crate) fn enough<'a>(threshold: usize, signers: impl IntoIterator<Item = &'a Digest>) -> (bool, usize) {
    let unique: BTreeSet<&Digest> = signers.into_iter().collect();
    // A threshold of none would pass what nobody signed. Policies refuse it; this does too.
    (threshold > 0 && unique.len() >= threshold, unique.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Digest {
        Digest::sha256(&[byte; 32])
    }

    #[test]
    fn t_7_a_key_counts_once_and_no_threshold_is_zero() {
        let (one, two) = (key(1), key(2));
        for (threshold, signers, expected) in [
            (1, vec![&one], (true, 1)),
            (2, vec![&one, &one, &one], (false, 1)),
            (2, vec![&one, &two, &one], (true, 2)),
            (1, vec![], (false, 0)),
            (0, vec![], (false, 0)),
            (0, vec![&one], (false, 1)),
        ] {
            assert_eq!(enough(threshold, signers.clone()), expected, "{threshold} {signers:?}");
        }
    }
}
