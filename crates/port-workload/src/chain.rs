//! A manifest and what it extends: which base comes next, and when the chain is no chain (acceptance V-12, Vu-21).
//!
//! Nothing is read here: [`Chain::next`] says what to read, the caller brings it with [`Chain::push`]. What came from a
//! store or a registry has no directory, and cannot name files of this host as its base: it would choose for itself
//! what is read here.

use std::fmt;
use std::path::{Path, PathBuf};

use port_model::{Digest, Reference};

use crate::manifest::STORED;
use crate::problem::{Problem, Problems};
use crate::read::Document;
use crate::rootfs::PUBLISHED;

/// Most bases below one manifest.
pub const DEEPEST: usize = 10;

/// Where a base is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// A file: the path as it is opened from where the command runs.
    File(PathBuf),
    /// A blob of the local store.
    Stored(Digest),
    /// A manifest published in a registry.
    Published(Reference),
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stored(digest) => write!(f, "{STORED}{digest}"),
            Self::Published(reference) => write!(f, "{PUBLISHED}{reference}"),
        }
    }
}

/// Manifests, each extending the next; never empty.
#[derive(Debug)]
pub struct Chain {
    documents: Vec<Document>,
    /// What each is beyond its name: two names of one file are one manifest.
    identities: Vec<String>,
    /// Why the last manifest's base is missing from it.
    broken: Option<Problem>,
}

impl Chain {
    /// The chain of one manifest. `identity` is equal for equal places, as a file's canonical path is.
    pub fn new(document: Document, identity: String) -> Self {
        Self { documents: vec![document], identities: vec![identity], broken: None }
    }

    /// The base that is not here yet, if there is one.
    ///
    /// # Errors
    /// `extends` names nothing that can be read.
    pub fn next(&self) -> Result<Option<Base>, Problem> {
        let Some(document) = self.documents.last() else { return Ok(None) };
        let Some(extends) = &document.manifest.extends else { return Ok(None) };
        if self.documents.len() > DEEPEST {
            let message = format!("expected at most {DEEPEST} bases, found more: {}", self.names());
            return Err(problem(message, "let a manifest extend one that is nearer to the end of the chain"));
        }
        base(extends, document.directory()).map(Some)
    }

    /// Adds the base that [`Chain::next`] named.
    ///
    /// # Errors
    /// It is in the chain already: extending would never end.
    pub fn push(&mut self, document: Document, identity: String) -> Result<(), Problem> {
        if let Some(start) = self.identities.iter().position(|known| *known == identity) {
            let chain = self.documents.get(start..).unwrap_or_default();
            let again = chain.first().map(|document| document.name.as_str());
            let names: Vec<&str> = chain.iter().map(|document| document.name.as_str()).chain(again).collect();
            let message = format!("the manifests extend each other in a circle: {}", names.join(" → "));
            return Err(problem(message, "one of them has to stand on its own"));
        }
        self.documents.push(document);
        self.identities.push(identity);
        Ok(())
    }

    /// The manifests, the one that was asked for first.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// The last manifest's base cannot be had. What is here can be looked at all the same.
    pub fn give_up(&mut self, problem: Problem) {
        self.broken = Some(problem);
    }

    /// The manifests themselves, and why there are no more.
    pub(crate) fn into_parts(self) -> (Vec<Document>, Option<Problem>) {
        (self.documents, self.broken)
    }

    fn names(&self) -> String {
        let names = self.documents.iter().map(|document| document.name.as_str());
        names.collect::<Vec<_>>().join(" → ")
    }
}

/// A problem of `extends`.
pub fn problem(message: impl Into<String>, hint: impl Into<String>) -> Problem {
    let mut problems = Problems::default();
    problems.error_with_hint("extends", message, hint);
    // One was added just now.
    problems.0.swap_remove(0)
}

fn base(extends: &str, directory: Option<&Path>) -> Result<Base, Problem> {
    const FORMS: &str = "a base is a path, `cas://sha256:…` or `oci://registry/repository:version`";
    if let Some(digest) = extends.strip_prefix(STORED) {
        let parsed = crate::rootfs::stored(digest);
        return parsed.map(Base::Stored).map_err(|reason| problem(reason, FORMS));
    }
    if let Some(reference) = extends.strip_prefix(PUBLISHED) {
        let parsed = reference.parse::<Reference>();
        return parsed.map(Base::Published).map_err(|error| problem(error.to_string(), FORMS));
    }
    if let Some((scheme, _)) = extends.split_once("://") {
        return Err(problem(format!("expected a path, `cas://` or `oci://`, found `{scheme}://`"), FORMS));
    }
    if extends.contains("${") {
        let hint = "bases are read before variables are put in; write the path itself";
        return Err(problem(format!("expected a path without variables, found `{extends}`"), hint));
    }
    match directory {
        Some(directory) => Ok(Base::File(directory.join(extends))),
        None => {
            let message = format!("`{extends}` is a path, and this manifest did not come from a file");
            Err(problem(message, "what is stored or published extends `cas://` or `oci://` bases only"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str, text: &str) -> Document {
        Document::parse(name, PathBuf::from(name), text.as_bytes()).unwrap()
    }

    fn next_of(document: Document) -> Result<Option<Base>, String> {
        Chain::new(document, "x".to_owned()).next().map_err(|problem| problem.message)
    }

    #[test]
    fn v_12_vu_21_a_base_is_a_path_from_the_manifest_or_content() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let of = |extends: &str| next_of(document("dir/web.toml", &format!("extends = {extends:?}")));
        assert_eq!(of("base.toml").unwrap(), Some(Base::File("dir/base.toml".into())));
        assert_eq!(of("../base.toml").unwrap(), Some(Base::File("dir/../base.toml".into())));
        assert_eq!(of("/etc/base.toml").unwrap(), Some(Base::File("/etc/base.toml".into())));
        assert_eq!(of(&format!("cas://{digest}")).unwrap(), Some(Base::Stored(digest.parse().unwrap())));
        let published = of("oci://localhost:5000/acme/base:v1").unwrap();
        assert_eq!(published, Some(Base::Published("localhost:5000/acme/base:v1".parse().unwrap())));
        assert_eq!(next_of(document("web.toml", "")).unwrap(), None);
        for (extends, part) in [
            ("cas://", "cas://"),
            ("cas://sha256:abc", "sha256"),
            ("oci://acme", "registry/repository:version"),
            ("https://example.com/base.toml", "found `https://`"),
            ("${DIR}/base.toml", "without variables"),
        ] {
            let message = of(extends).unwrap_err();
            assert!(message.contains(part), "{extends}: {message}");
        }
    }

    #[test]
    fn what_came_from_elsewhere_names_no_files_here() {
        for path in ["base.toml", "/etc/passwd"] {
            let text = format!("extends = {path:?}");
            let stored = Document::parse("cas://x", PathBuf::new(), text.as_bytes()).unwrap();
            assert!(next_of(stored).unwrap_err().contains("did not come from a file"));
        }
    }

    #[test]
    fn vu_21_a_circle_is_named_with_its_chain() {
        let mut chain = Chain::new(document("a.toml", "extends = \"b.toml\""), "a".to_owned());
        chain.push(document("b.toml", "extends = \"c.toml\""), "b".to_owned()).unwrap();
        chain.push(document("c.toml", "extends = \"b.toml\""), "c".to_owned()).unwrap();
        let problem = chain.push(document("./b.toml", ""), "b".to_owned()).unwrap_err();
        assert!(problem.message.ends_with("b.toml → c.toml → b.toml"), "{}", problem.message);
        assert_eq!(problem.key, "extends");
    }

    #[test]
    fn vu_21_at_most_ten_bases() {
        let extending = |n: usize| document(&format!("{n}.toml"), "extends = \"x.toml\"");
        let mut chain = Chain::new(extending(0), "0".to_owned());
        for n in 1..=DEEPEST {
            assert!(chain.next().unwrap().is_some(), "{n} bases are allowed");
            chain.push(extending(n), n.to_string()).unwrap();
        }
        let problem = chain.next().unwrap_err();
        assert!(problem.message.contains("at most 10 bases"), "{}", problem.message);
        assert!(problem.message.contains("0.toml → 1.toml"), "{}", problem.message);
    }
}
