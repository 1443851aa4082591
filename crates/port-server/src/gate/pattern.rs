//! Which repositories a grant is about: `**` for all, else parts joined by `/`, where `*` stands for anything inside a part and a last
//! part `**` for whatever is below. Pure; what no pattern says is not covered.

use std::fmt;
use std::str::FromStr;

use crate::name::RepositoryName;

/// Longest pattern, in bytes.
const LONGEST: usize = 255;
/// What is below, at any depth.
const BELOW: &str = "**";

/// See the module. Valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no pattern of repositories: expected `**`, or parts of lower-case letters, digits, `._-` and `*`, joined by `/`, \
     with `**` only as the last one"
)]
pub struct PatternError(String);

impl Pattern {
    /// All repositories.
    pub fn all() -> Self {
        Self(BELOW.to_owned())
    }

    /// Whether it covers all repositories.
    pub fn is_all(&self) -> bool {
        self.0 == BELOW
    }

    /// Whether it covers this one.
    pub fn covers(&self, repository: &RepositoryName) -> bool {
        let mut parts = repository.as_str().split('/');
        for wanted in self.0.split('/') {
            let Some(part) = parts.next() else { return false };
            if wanted == BELOW {
                return true;
            }
            if !matches(wanted, part) {
                return false;
            }
        }
        parts.next().is_none()
    }
}

/// Whether a part fits. The pieces between stars are looked for from the left, each once: no input makes this slow.
fn matches(pattern: &str, part: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == part };
    let Some(mut left) = part.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match left.find(piece) {
            Some(at) => left = left.get(at + piece.len()..).unwrap_or(""),
            None => return false,
        }
    }
    left.ends_with(last)
}

fn is_part(part: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-' | b'*')
    };
    !part.is_empty() && !part.contains(BELOW) && part.bytes().all(allowed)
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let front = text.strip_suffix(BELOW).map(|front| front.strip_suffix('/').unwrap_or(front));
        let fits = match front {
            Some("") => text == BELOW,
            Some(front) => text.ends_with("/**") && front.split('/').all(is_part),
            None => text.split('/').all(is_part),
        };
        if fits && text.len() <= LONGEST {
            return Ok(Self(text.to_owned()));
        }
        Err(PatternError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_says_and_no_more() {
        for (pattern, covered, not_covered) in [
            ("**", &["a", "a/b/c"][..], &[][..]),
            ("team/a", &["team/a"], &["team", "team/a/b", "team/ab", "other/a"]),
            ("team/*", &["team/a", "team/abc"], &["team", "team/a/b", "teams/a"]),
            ("team/**", &["team/a", "team/a/b"], &["team", "teams/a", "x/team/a"]),
            ("*/prod-*", &["a/prod-1", "b/prod-x"], &["a/prod", "a/b/prod-1", "prod-1"]),
            ("a*b*c/x", &["abc/x", "aXbXc/x".to_lowercase().leak(), "abbc/x"], &["ac/x", "abcd/x", "acb/x"]),
            ("*a", &["a", "ba"], &["ab", "b"]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            for name in covered {
                assert!(pattern.covers(&name.parse().unwrap()), "{pattern} leaves {name} out");
            }
            for name in not_covered {
                assert!(!pattern.covers(&name.parse().unwrap()), "{pattern} covers {name}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let long = "a".repeat(256);
        for bad in
            ["", "/", "a/", "/a", "a//b", "A", "a/**/b", "a**", "**/a", "***", "a b", "ä", "/**", &long]
        {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?} was taken");
        }
    }
}
