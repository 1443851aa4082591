//! Names of a bundle's files: from a manifest, a URL, a path or a key to a plain base name (acceptance S-16, S-17, S-79 … S-83).
//!
//! Whatever goes in, what comes out has no separator and is neither `.` nor `..`: it stays in its directory.

use std::path::{Component, Path, PathBuf};

/// What a name becomes that has nothing usable in it.
const NAMELESS: &str = "artifact";

/// The longest name, in bytes. File systems take 255; a lock and a file that is being written add to it.
pub(crate) const LONGEST: usize = 200;

/// The name of an artifact: the one that the manifest gives, else its source's base name, else the fallback.
pub(crate) fn of(given: Option<&str>, source: Option<&str>, fallback: &str) -> String {
    match given.or(source.map(base_of_source)) {
        Some(name) => sanitized(name),
        None => sanitized(fallback),
    }
}

/// Replaces every character outside letters, digits, `.`, `_` and `-` with `_` (acceptance S-57, S-81).
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|character| if is_plain(character) { character } else { '_' }).collect()
}

/// Whether a character may be in names and ids.
pub(crate) fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

/// Where a file of this name lies, if that is inside the directory (acceptance S-18, S-83). Paths are compared as they are
/// written, with `.` and `..` resolved.
pub(crate) fn inside(directory: &Path, name: &Path) -> Option<PathBuf> {
    let (directory, path) = (resolved(directory), resolved(&directory.join(name)));
    path.starts_with(&directory).then_some(path)
}

fn sanitized(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    match plain(base) {
        name if matches!(name.as_str(), "" | "." | "..") => NAMELESS.to_owned(),
        // The end says what it is. It is plain, so every byte is a character.
        name => name.get(name.len().saturating_sub(LONGEST)..).unwrap_or(NAMELESS).to_owned(),
    }
}

/// The base name of a URL's path, or of a path.
fn base_of_source(source: &str) -> &str {
    let path = match source.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => {
            let rest = rest.split(['?', '#']).next().unwrap_or_default();
            rest.split_once('/').map_or("", |(_, path)| path)
        }
        _ => source,
    };
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "+.-".contains(character))
}

fn resolved(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_16_s_17_s_80_the_name_is_given_or_derived_or_the_fallback() {
        for (given, source, expected) in [
            (Some("kernel-6.1"), Some("https://host/x/vmlinux"), "kernel-6.1"),
            (None, Some("https://host/x/vmlinux-6.1.155"), "vmlinux-6.1.155"),
            (None, Some("https://host/x/vmlinux?token=a/b#c/d"), "vmlinux"),
            (None, Some("https://host/x/"), "x"),
            (None, Some("firecracker-ci/v1.15/x86_64/vmlinux-6.1.155"), "vmlinux-6.1.155"),
            (None, Some("/srv/images/vmlinux"), "vmlinux"),
            (None, Some("../vmlinux"), "vmlinux"),
            (None, Some("C:/images/vmlinux"), "vmlinux"),
            (None, None, "vmlinux"),
        ] {
            assert_eq!(of(given, source, "vmlinux"), expected, "{given:?} {source:?}");
        }
        assert_eq!(of(None, None, "rootfs.squashfs"), "rootfs.squashfs");
    }

    #[test]
    fn s_57_s_81_other_characters_become_underscores() {
        assert_eq!(plain("latest-v1.15_x/y z\u{e4}\n"), "latest-v1.15_x_y_z__");
        assert_eq!(of(None, Some("https://host/a%20b+c"), "x"), "a_20b_c");
        assert_eq!(of(Some("dir\\b c"), None, "x"), "b_c");
    }

    #[test]
    fn s_81_a_name_fits_into_a_directory() {
        let long = format!("https://host/{}.squashfs", "x".repeat(300));
        let name = of(None, Some(&long), "rootfs");
        assert!(name.len() == LONGEST && name.ends_with("xx.squashfs"), "{name}");
    }

    #[test]
    fn s_82_what_has_no_name_is_called_artifact() {
        for source in
            ["https://host", "https://host/", "https://host/..", "https://host/a/.", "..", ".", "", "/"]
        {
            assert_eq!(of(None, Some(source), "vmlinux"), "artifact", "{source:?}");
        }
    }

    #[test]
    fn s_18_s_83_what_leaves_the_directory_is_refused() {
        let directory = Path::new("/cache/bundle");
        for (name, expected) in [
            ("vmlinux", Some("/cache/bundle/vmlinux")),
            ("a/../vmlinux", Some("/cache/bundle/vmlinux")),
            (".", Some("/cache/bundle")),
            ("../bundle/vmlinux", Some("/cache/bundle/vmlinux")),
            ("/cache/bundle/x", Some("/cache/bundle/x")),
            ("../vmlinux", None),
            ("/cache/bundle-2/x", None),
            ("/etc/passwd", None),
            ("../../../../etc/passwd", None),
        ] {
            assert_eq!(inside(directory, Path::new(name)), expected.map(PathBuf::from), "{name}");
        }
    }
}
