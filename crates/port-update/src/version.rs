//! Versions of releases: three numbers, perhaps a suffix for what came before the release, in the order of semantic versioning.
//!
//! Invariant: the text that was parsed is the text that is shown. What follows a `+` is no part of the order.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version, as `v0.3.0` or `0.3.0-rc.1`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    text: String,
    numbers: [u32; 3],
    before: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version: expected `v1.2.3`, perhaps with `-` and a suffix")]
pub struct VersionError(String);

/// The longest text of a version.
const LONGEST: usize = 128;

impl Version {
    /// Whether it is older by its three numbers alone, as KubeSolo's minimum is compared (acceptance Ou-11).
    pub fn is_below(&self, minimum: &Self) -> bool {
        self.numbers < minimum.numbers
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError(text.chars().take(LONGEST).filter(|c| !c.is_control()).collect());
        if text.len() > LONGEST {
            return Err(wrong());
        }
        let bare = text.strip_prefix('v').unwrap_or(text);
        let (bare, build) = bare.split_once('+').unwrap_or((bare, "none"));
        let (numbers, before) = match bare.split_once('-') {
            Some((numbers, before)) => (numbers, Some(before)),
            None => (bare, None),
        };
        let numbers: Vec<u32> = numbers.split('.').map(number).collect::<Option<_>>().ok_or_else(wrong)?;
        let &[major, minor, patch] = numbers.as_slice() else { return Err(wrong()) };
        let parts = before.map(|before| before.split('.').map(part).collect::<Option<Vec<_>>>());
        let before = parts.unwrap_or(Some(Vec::new())).ok_or_else(wrong)?;
        if !build.split('.').all(is_word) {
            return Err(wrong());
        }
        Ok(Self { text: text.to_owned(), numbers: [major, minor, patch], before })
    }
}

/// Plain digits without zeros in front.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

fn part(text: &str) -> Option<Part> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(text).map(Part::Number);
    }
    is_word(text).then(|| Part::Word(text.to_owned()))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| {
            match (self.before.is_empty(), other.before.is_empty()) {
                (true, true) => Ordering::Equal,
                // What came before a release is older than it.
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => self.before.cmp(&other.before),
            }
        })
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn x_4_a_candidate_is_older_than_its_release() {
        let order = [
            "v1.0.0-1",
            "v1.0.0-2",
            "v1.0.0-10",
            "v1.0.0-a",
            "v1.0.0-rc",
            "v1.0.0-rc.1",
            "1.0.0",
            "v1.0.1",
            "v1.10.0",
        ];
        for pair in order.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("v1.0.0+build"), version("1.0.0"));
    }

    #[test]
    fn ou_11_the_minimum_is_compared_by_three_numbers() {
        assert!(!version("v1.0.0-rc.1").is_below(&version("1.0.0")));
        assert!(version("v0.9.9").is_below(&version("1.0.0")));
    }

    #[test]
    fn x_4_what_is_no_version_is_refused() {
        for bad in [
            "",
            "v",
            "1.0",
            "1.0.0.0",
            "01.0.0",
            "1.0.x",
            "1.0.0-",
            "1.0.0-a..b",
            "1.0.0-01",
            "1.0.0+",
            "1.0.0 ",
            "V1.0.0",
            "9999999999.0.0",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }
}
