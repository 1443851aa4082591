//! One `config.json` or `auth.json`, read: its entries for a registry, and the helper that it configures.
//!
//! Only what concerns the registry that is asked for is looked at, so a broken entry of another one is no
//! obstacle. Invariant: the same file gives the same answer, whatever the order of its keys.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use port_content::fs;
use serde_json::value::RawValue;

use super::document::{Malformed, Object, kind_of};
use super::entry;
use super::error::CredentialsError;
use super::helper;
use super::key::{self, Place};
use crate::credential::Credentials;
use crate::name::RegistryHost;

/// More than any such file has; one entry is some hundred bytes.
pub(super) const LARGEST_FILE: u64 = 1024 * 1024;

/// A credential file. Not `Debug`: it holds secrets.
pub(super) struct AuthFile {
    pub(super) path: PathBuf,
    pub(super) document: Object,
    pub(super) ends_with_newline: bool,
}

/// An entry of `auths` that speaks of the place that was asked for.
pub(super) struct Candidate<'a> {
    pub(super) key: String,
    pub(super) place: Place,
    entry: &'a RawValue,
}

/// The helper that a file configures for a registry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Configured {
    /// The part behind `docker-credential-`.
    pub(super) name: String,
    /// Where the file says so.
    pub(super) key: String,
    /// Whether it is for every registry (`credsStore`), not for this one (`credHelpers`).
    pub(super) is_store: bool,
}

impl AuthFile {
    /// Reads a file; `None` where there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, CredentialsError> {
        match fs::read_to_string(path, LARGEST_FILE) {
            Ok(text) => Self::parse(path, &text).map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(source) => Err(CredentialsError::File { path: path.to_owned(), source }),
        }
    }

    /// Reads the text of a file; an empty one is an empty object, as podman's first login expects it.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, CredentialsError> {
        let document = if text.trim().is_empty() { Ok(Object::default()) } else { Object::parse(text) };
        let document = document.map_err(|Malformed { line, column }| CredentialsError::Malformed {
            path: path.to_owned(),
            line,
            column,
        })?;
        Ok(Self { path: path.to_owned(), document, ends_with_newline: text.ends_with('\n') })
    }

    /// A member of the file that is an object; absent and null are empty.
    pub(super) fn section(&self, name: &'static str) -> Result<Option<Object>, CredentialsError> {
        let Some(value) = self.document.get(name).filter(|value| kind_of(value) != "null") else {
            return Ok(None);
        };
        let object = Object::parse(value.get());
        object.map(Some).map_err(|_| self.bad(name.to_owned(), "an object", kind_of(value)))
    }

    /// The helper for a registry: its own in `credHelpers`, else `credsStore`.
    pub(super) fn helper(&self, registry: &RegistryHost) -> Result<Option<Configured>, CredentialsError> {
        let asked = Place::of_registry(registry, None);
        let helpers = self.section("credHelpers")?.unwrap_or_default();
        let mut own: Vec<_> = helpers.iter().filter(|(key, _)| Place::of_key(key) == asked).collect();
        own.sort_by_key(|(key, _)| key::rank(key, registry));
        // Of two members of one key the last counts; they are neighbours in the file's order now.
        let own = own.first().and_then(|(key, _)| Some((*key, helpers.get(key)?)));
        let (key, value, is_store) = match (own, self.document.get("credsStore")) {
            (Some((key, value)), _) => (format!("credHelpers → {}", key::shown(key)), value, false),
            (None, Some(value)) => ("credsStore".to_owned(), value, true),
            (None, None) => return Ok(None),
        };
        let name: Option<String> =
            serde_json::from_str(value.get()).map_err(|_| self.bad(key.clone(), "text", kind_of(value)))?;
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
        if helper::is_valid_name(&name) {
            return Ok(Some(Configured { name, key, is_store }));
        }
        Err(self.bad(
            key,
            "the part of a program's name behind `docker-credential-`",
            "text that is no such name",
        ))
    }

    /// What the entry of a candidate proves; `None` for docker's empty mark.
    pub(super) fn credentials(
        &self,
        candidate: &Candidate<'_>,
    ) -> Result<Option<Credentials>, CredentialsError> {
        entry::read(candidate.entry).map_err(|bad| {
            let member = bad.member.map(|member| format!(" → {member}")).unwrap_or_default();
            self.bad(format!("auths → {}{member}", key::shown(&candidate.key)), bad.expected, bad.found)
        })
    }

    /// The error of a value of this file.
    pub(super) fn bad(&self, key: String, expected: &'static str, found: &'static str) -> CredentialsError {
        CredentialsError::BadValue { path: self.path.clone(), key, expected, found }
    }
}

/// The entries that cover `asked`: longest path first, then by the rank of their keys.
pub(super) fn candidates<'a>(
    auths: &'a Object,
    registry: &RegistryHost,
    asked: &Place,
) -> Vec<Candidate<'a>> {
    let mut found: Vec<Candidate<'a>> = auths
        .iter()
        .map(|(key, entry)| Candidate { key: key.to_owned(), place: Place::of_key(key), entry })
        .filter(|candidate| candidate.place.covers(asked))
        .collect();
    // Of two members of one key the last counts: it comes first, and the others go.
    found.reverse();
    found.sort_by(|a, b| {
        let order = |candidate: &Candidate<'_>| Reverse(candidate.place.path.len());
        let rank = key::rank(&a.key, registry).cmp(&key::rank(&b.key, registry));
        order(a).cmp(&order(b)).then(rank)
    });
    found.dedup_by(|later, earlier| later.key == earlier.key);
    found
}

/// A path through something that is no directory leads to no file, as an absent home does.
fn is_absent(error: &port_content::FsError) -> bool {
    error.is_not_found() || error.source.kind() == std::io::ErrorKind::NotADirectory
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> RegistryHost {
        text.parse().unwrap()
    }

    fn keys(auths: &str, registry: &str, path: &str) -> Vec<String> {
        let auths = Object::parse(auths).unwrap();
        let registry = host(registry);
        let asked = Place::of_registry(&registry, Some(&path.parse().unwrap()));
        candidates(&auths, &registry, &asked).into_iter().map(|candidate| candidate.key).collect()
    }

    #[test]
    fn candidates_come_in_one_order_whatever_the_order_of_the_file() {
        let forward = r#"{"http://h/v1/":{},"h/a":{},"https://h/v1/":{},"h":{},"h/a/b":{},"h/x":{},"h":{}}"#;
        let backward = r#"{"h/x":{},"h/a/b":{},"h":{},"https://h/v1/":{},"h/a":{},"http://h/v1/":{}}"#;
        let expected = ["h/a/b", "h/a", "h", "http://h/v1/", "https://h/v1/"];
        assert_eq!(keys(forward, "h", "a/b"), expected);
        assert_eq!(keys(backward, "h", "a/b"), expected);
    }

    #[test]
    fn hub_is_found_by_all_its_names() {
        let all = r#"{"registry-1.docker.io":{},"index.docker.io":{},"docker.io":{},"https://index.docker.io/v1/":{}}"#;
        let rest = ["https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"];
        assert_eq!(keys(all, "docker.io", "a"), [&["docker.io"][..], &rest].concat());
        let rest = ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io"];
        assert_eq!(keys(all, "index.docker.io", "a"), [&["index.docker.io"][..], &rest].concat());
    }

    #[test]
    fn the_helper_of_a_registry() {
        let helper = |text: &str, registry: &str| {
            AuthFile::parse(Path::new("f"), text)
                .unwrap()
                .helper(&host(registry))
                .map(|found| found.map(|f| f.name))
        };
        let text = r#"{"credsStore":"all","credHelpers":{"h":"one","https://index.docker.io/v1/":"hub","bad":7,"slash":"../x"}}"#;
        for (registry, name) in [("h", "one"), ("docker.io", "hub"), ("other", "all")] {
            assert_eq!(helper(text, registry).unwrap().as_deref(), Some(name), "{registry}");
        }
        for registry in ["bad", "slash"] {
            let error = helper(text, registry).unwrap_err().to_string();
            assert!(error.contains(&format!("credHelpers → {registry}")), "{error}");
        }
        for none in ["{}", "", r#"{"credsStore":"","credHelpers":null}"#, r#"{"credHelpers":{"x":"y"}}"#] {
            assert_eq!(helper(none, "h").unwrap(), None, "{none}");
        }
        assert!(helper(r#"{"credHelpers":[]}"#, "h").is_err());
    }
}
