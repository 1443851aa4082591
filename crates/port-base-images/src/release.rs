//! Firecracker's releases: their versions, the CI line of each, and what the releases page leads to.

/// The long-term CI line (acceptance S-3).
pub(crate) const LTS_LINE: &str = "v1.7";
/// The Firecracker version that goes with it.
pub(crate) const LTS_VERSION: &str = "v1.7.0";

/// The parts of `vX.Y.Z` where a text is one: digits only.
fn parts(text: &str) -> Option<[&str; 3]> {
    let numbers: Vec<&str> = text.strip_prefix('v')?.split('.').collect();
    let numbers: [&str; 3] = numbers.try_into().ok()?;
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.iter().all(digits).then_some(numbers)
}

/// The longest version, in bytes. It becomes part of a directory's name.
const LONGEST: usize = 32;

/// Whether a text looks like `vX.Y.Z` (acceptance S-71).
pub(crate) fn is_version(text: &str) -> bool {
    text.len() <= LONGEST && parts(text).is_some()
}

/// The CI line of a release: its first two components (acceptance S-39).
pub(crate) fn line_of(version: &str) -> Option<String> {
    let [major, minor, _] = parts(version).filter(|_| is_version(version))?;
    Some(format!("v{major}.{minor}"))
}

/// The version that the releases page led to (acceptance S-44): the address must end in `/releases/tag/vX.Y.Z`.
pub(crate) fn version_of_address(address: &str) -> Option<&str> {
    let (before, version) = address.rsplit_once('/')?;
    (before.ends_with("/releases/tag") && is_version(version)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_3_s_38_the_long_term_line_is_fixed() {
        assert_eq!((LTS_LINE, LTS_VERSION), ("v1.7", "v1.7.0"));
        assert_eq!(line_of(LTS_VERSION).as_deref(), Some(LTS_LINE));
    }

    #[test]
    fn s_39_s_71_the_line_is_the_first_two_components() {
        for (version, line) in [
            ("v1.15.1", Some("v1.15")),
            ("v10.0.0", Some("v10.0")),
            ("v1.15", None),
            ("1.15.1", None),
            ("v1.15.1-rc1", None),
            ("v1..1", None),
            ("v1.15.1.2", None),
            ("v١.١.١", None),
            ("v1.15.100000000000000000000000000", None),
            ("", None),
        ] {
            assert_eq!(line_of(version).as_deref(), line, "{version}");
            assert_eq!(is_version(version), line.is_some());
        }
    }

    #[test]
    fn s_43_s_44_the_version_is_the_end_of_the_final_address() {
        let base = "https://github.com/firecracker-microvm/firecracker";
        for (end, version) in [
            ("/releases/tag/v1.15.1", Some("v1.15.1")),
            ("/releases/tag/v1.15.1/", None),
            ("/releases/tag/v1.15.1?x=1", None),
            ("/releases/tag/v1.15", None),
            ("/releases/tag/v1.15.1-dev", None),
            ("/releases/latest", None),
            ("/tag/v1.15.1", None),
        ] {
            assert_eq!(version_of_address(&format!("{base}{end}")), version, "{end}");
        }
    }
}
