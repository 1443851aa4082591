//! The keys of `auths` and `credHelpers`: which place in which registry one of them speaks of.
//!
//! ```text
//! example.com          https://example.com/v1/          example.com/team/app      https://index.docker.io/v1/
//!   host                 host (v1 and v2 are old           host and path            docker.io
//!                        names of the API)
//! ```
//!
//! Invariant: a key whose meaning is in doubt speaks of less, never of more; credentials of a path are not
//! sent for its neighbours.

use crate::name::{RegistryHost, RepositoryName};

/// What docker calls Docker Hub in its files and to its helpers.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";
/// What everybody else calls it.
const HUB: &str = "docker.io";
/// How much of a key a message shows, in characters.
const KEY_SHOWN: usize = 120;

/// A host and the part of its repositories that a key speaks of; an empty path is all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) path: String,
}

impl Place {
    /// The place of a key of a file.
    pub(super) fn of_key(key: &str) -> Self {
        let (has_scheme, rest) = without_scheme(key);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        // `host/v1` without scheme or slash may be podman's key of the repository `v1`.
        let is_api = matches!(path, "v1/" | "v2/") || has_scheme && matches!(path, "v1" | "v2");
        let path = if is_api { "" } else { path.trim_end_matches('/') };
        Self { host: canonical_host(host), path: path.to_owned() }
    }

    /// The place of a registry, or of one path in it.
    pub(super) fn of_registry(registry: &RegistryHost, path: Option<&RepositoryName>) -> Self {
        let path = path.map_or("", RepositoryName::as_str).to_owned();
        Self { host: canonical_host(registry.as_str()), path }
    }

    /// Whether credentials of this place are for `asked` too: the same host, and the same path or one below.
    pub(super) fn covers(&self, asked: &Self) -> bool {
        let below = asked.path.strip_prefix(&self.path);
        let is_below =
            below.is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'));
        self.host == asked.host && is_below
    }
}

/// What helpers know a registry by, in the order of asking. Docker uses the first of Hub's names, podman the second.
pub(super) fn server_names(registry: &RegistryHost) -> Vec<String> {
    if registry.is_docker_hub() {
        vec![HUB_KEY.to_owned(), HUB.to_owned()]
    } else {
        vec![registry.as_str().to_owned()]
    }
}

/// Sorts keys of one place: as it was asked for, as docker writes Hub, without scheme, then by bytes.
pub(super) fn rank<'a>(key: &'a str, registry: &RegistryHost) -> (bool, bool, bool, &'a str) {
    (key != registry.as_str(), key != HUB_KEY, without_scheme(key).0, key)
}

/// A key for a message: bounded, in one line, without user information that somebody may have left in it.
pub(super) fn shown(key: &str) -> String {
    let key = key.rsplit_once('@').map_or(key, |(_, rest)| rest);
    key.chars().filter(|character| !character.is_control()).take(KEY_SHOWN).collect()
}

fn without_scheme(key: &str) -> (bool, &str) {
    for scheme in ["https://", "http://"] {
        if let Some((start, rest)) = key.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return (true, rest);
        }
    }
    (false, key)
}

fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let is_hub = host.parse().is_ok_and(|host: RegistryHost| host.is_docker_hub());
    if is_hub { HUB.to_owned() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_key_has_one_place() {
        let cases = [
            ("example.com", "example.com", ""),
            ("Example.COM:5000", "example.com:5000", ""),
            ("https://example.com", "example.com", ""),
            ("HTTP://example.com/", "example.com", ""),
            ("https://example.com/v1/", "example.com", ""),
            ("https://example.com/v2", "example.com", ""),
            ("example.com/v1/", "example.com", ""),
            ("example.com/v1", "example.com", "v1"),
            ("https://example.com/team/v1/", "example.com", "team/v1"),
            ("example.com/team/app", "example.com", "team/app"),
            ("[::1]:5000/team", "[::1]:5000", "team"),
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("index.docker.io", "docker.io", ""),
            ("registry-1.docker.io/library", "docker.io", "library"),
            ("docker.io.example.com", "docker.io.example.com", ""),
            ("", "", ""),
            ("https://", "", ""),
            ("é", "é", ""),
        ];
        for (key, host, path) in cases {
            let expected = Place { host: host.to_owned(), path: path.to_owned() };
            assert_eq!(Place::of_key(key), expected, "{key}");
        }
    }

    #[test]
    fn a_path_covers_what_is_below_it_and_no_neighbour() {
        let cases = [
            ("h", "team/app", true),
            ("h/team", "team/app", true),
            ("h/team", "team", true),
            ("h/team", "teams/app", false),
            ("h/team/app", "team", false),
            ("h/team", "", false),
            ("i", "team", false),
        ];
        for (key, path, expected) in cases {
            let asked = Place { host: "h".to_owned(), path: path.to_owned() };
            assert_eq!(Place::of_key(key).covers(&asked), expected, "{key} {path}");
        }
    }

    #[test]
    fn a_shown_key_has_no_user_information_and_one_line() {
        assert_eq!(shown("https://ci:hunter2@example.com"), "example.com");
        assert_eq!(shown("a\n\u{1b}[31mb"), "a[31mb");
        assert_eq!(shown(&"x".repeat(1000)).len(), KEY_SHOWN);
    }
}
