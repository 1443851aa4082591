//! `0-3,6`: which processors (acceptance V-32, Vu-14). Which of them a host has is not known here.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// One more than the highest number of a processor: what kernels are built for, with room.
const MOST: u32 = 65_536;

/// Processors, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct CpuSet(BTreeSet<u32>);

/// A text that names no processors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpuSetError {
    /// A part is neither a number nor a range.
    #[error("expected numbers and ranges as `0-3,6`, found `{part}` in `{text}`")]
    Form {
        /// The part.
        part: String,
        /// All of it.
        text: String,
    },
    /// A range runs backward.
    #[error("expected ranges that ascend, found `{0}`")]
    Descending(String),
    /// No kernel counts so far.
    #[error("expected processors below {MOST}, found `{0}`")]
    TooHigh(String),
}

impl CpuSet {
    /// The processors, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }
}

impl FromStr for CpuSet {
    type Err = CpuSetError;

    fn from_str(text: &str) -> Result<Self, CpuSetError> {
        let mut processors = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first, part, text)?, number(last, part, text)?);
            if first > last {
                return Err(CpuSetError::Descending(part.to_owned()));
            }
            processors.extend(first..=last);
        }
        Ok(Self(processors))
    }
}

fn number(digits: &str, part: &str, text: &str) -> Result<u32, CpuSetError> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        return Err(CpuSetError::Form { part: part.to_owned(), text: text.to_owned() });
    }
    let number = digits.parse().ok().filter(|number| *number < MOST);
    number.ok_or_else(|| CpuSetError::TooHigh(part.to_owned()))
}

impl fmt::Display for CpuSet {
    /// The one form with ascending, separate ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for processor in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == processor => *last = processor,
                _ => ranges.push((processor, processor)),
            }
        }
        let one = |(first, last): &(u32, u32)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        f.write_str(&ranges.iter().map(one).collect::<Vec<_>>().join(","))
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_32_vu_14_sets_of_processors() {
        for (text, shown) in [
            ("0", "0"),
            ("0-3,6", "0-3,6"),
            ("6,0-3", "0-3,6"),
            ("0,1,2", "0-2"),
            ("2-2", "2"),
            ("0-4,2-6", "0-6"),
            ("65535", "65535"),
        ] {
            assert_eq!(text.parse::<CpuSet>().unwrap().to_string(), shown, "{text}");
        }
        for (text, part) in [
            ("", "numbers and ranges"),
            ("0,", "numbers and ranges"),
            ("0-", "numbers and ranges"),
            ("-1", "numbers and ranges"),
            ("0-1-2", "numbers and ranges"),
            ("a", "found `a`"),
            ("0, 1", "found ` 1`"),
            ("3-0", "ascend"),
            ("65536", "below 65536"),
            ("0-4294967296", "below 65536"),
        ] {
            let error = text.parse::<CpuSet>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
