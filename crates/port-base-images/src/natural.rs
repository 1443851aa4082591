//! Numeric-aware order of texts: runs of digits compare as numbers, everything else by code point (acceptance C-29).
//!
//! No locale, and no limit on the length of a number.

use std::cmp::Ordering;

/// Compares two texts; texts that differ only in leading zeros are ordered by code point, so that no two different ones are
/// equal.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (mut rest_left, mut rest_right) = (left, right);
    while !rest_left.is_empty() && !rest_right.is_empty() {
        let (head_left, tail_left) = run(rest_left);
        let (head_right, tail_right) = run(rest_right);
        let order = match (is_number(head_left), is_number(head_right)) {
            (true, true) => numbers(head_left, head_right),
            _ => head_left.cmp(head_right),
        };
        if order.is_ne() {
            return order;
        }
        (rest_left, rest_right) = (tail_left, tail_right);
    }
    rest_left.len().cmp(&rest_right.len()).then_with(|| left.cmp(right))
}

/// Compares two runs of digits by value.
pub(crate) fn numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// The longest beginning that is all digits, else one character.
fn run(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length = if digits > 0 { digits } else { text.chars().next().map_or(0, char::len_utf8) };
    text.split_at_checked(length).unwrap_or((text, ""))
}

fn is_number(run: &str) -> bool {
    run.starts_with(|character: char| character.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_29_digit_runs_are_numbers_and_the_rest_is_by_code_point() {
        let sorted = [
            "",
            "ubuntu-9.squashfs",
            "ubuntu-18.04.squashfs",
            "ubuntu-22.04.1.squashfs",
            "ubuntu-22.4.squashfs",
            "ubuntu-22.10.squashfs",
            "ubuntu-100.squashfs",
            "ubuntu-99999999999999999999999999.squashfs",
            "ubuntu-X.squashfs",
            "ubuntu-x.squashfs",
            "ubuntu-ä.squashfs",
        ];
        for (at, left) in sorted.iter().enumerate() {
            for (other, right) in sorted.iter().enumerate() {
                assert_eq!(compare(left, right), at.cmp(&other), "{left} and {right}");
            }
        }
        assert_eq!(compare("a01", "a1"), Ordering::Less, "never equal where the texts are not");
    }
}
