//! A chain becomes one manifest that stands alone (acceptance Vu-1): bases below, the manifest on top, variables put in,
//! paths from their own manifest's directory, defaults of the mode, then the others.
//!
//! Every value keeps its origin: a finding about a value of a base stands in that base's file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::chain::Chain;
use crate::defaults;
use crate::fields::{self, Field};
use crate::manifest::Manifest;
use crate::problem::{Problem, Problems};
use crate::read::Document;
use crate::variables::{Variables, escape};

/// A manifest that stands alone, and where everything in it came from.
#[derive(Debug)]
pub struct Resolved {
    /// The manifest, with literal texts.
    pub manifest: Manifest,
    /// What went wrong on the way.
    pub problems: Vec<Problem>,
    /// Whether every base is there: where one is missing, so may be what the manifest needs.
    whole: bool,
    documents: Vec<Document>,
    /// Which document said a key, by its path; the first where nobody did.
    origins: BTreeMap<String, usize>,
}

/// Something found, with the file that it is in.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Placed {
    /// The manifest, as it was named.
    pub file: String,
    /// What and where.
    #[serde(flatten)]
    pub finding: port_document::Finding,
}

impl Resolved {
    /// Resolves a whole chain.
    pub fn new(chain: Chain, variables: &Variables<'_>) -> Self {
        let (mut documents, broken) = chain.into_parts();
        let (mut manifest, mut origins) = merge(&mut documents);
        let mut problems = Problems::default();
        let whole = broken.is_none();
        if let Some(problem) = broken {
            origins.insert(problem.key.clone(), documents.len().saturating_sub(1));
            problems.0.push(problem);
        }
        substitute(&mut manifest, variables, &mut problems);
        rebase(&mut manifest, &documents, &origins);
        defaults::fill(&mut manifest);
        Self { manifest, problems: problems.0, whole, documents, origins }
    }

    /// The manifest as it is written, where `$$` is a dollar sign: reading and resolving it gives the same again.
    pub fn written(&self) -> Manifest {
        let mut manifest = self.manifest.clone();
        for mut entry in fields::entries(&mut manifest) {
            entry.field.texts("").into_iter().for_each(|(_, text)| *text = escape(text));
        }
        manifest
    }

    /// Everything that is wrong, all at once: what reading found, what resolving found, and `checked`. In the order of
    /// the chain and of each file.
    pub fn findings(&self, checked: &[Problem]) -> Vec<Placed> {
        let mut placed = Vec::new();
        for (index, document) in self.documents.iter().enumerate() {
            let read = document.findings.iter().cloned();
            let here = |problem: &&Problem| {
                let known = read_already(document, problem);
                self.origin(&problem.key) == index && !known
            };
            let checked = checked.iter().filter(|problem| self.whole || document.says(&problem.key));
            let later = self.problems.iter().chain(checked).filter(here);
            let later = later.map(|problem| document.locate(problem));
            let mut findings: Vec<_> = read.chain(later).collect();
            findings.sort_by_key(|finding| (finding.line, finding.column));
            placed
                .extend(findings.into_iter().map(|finding| Placed { file: document.name.clone(), finding }));
        }
        placed
    }

    /// The document that says `key`, or the nearest around it that somebody says.
    fn origin(&self, key: &str) -> usize {
        origin(&self.origins, key)
    }
}

/// Whether reading found fault with the key itself: that it is missing is then no news.
fn read_already(document: &Document, problem: &Problem) -> bool {
    document.findings.iter().any(|finding| finding.key == problem.key)
}

fn origin(origins: &BTreeMap<String, usize>, key: &str) -> usize {
    let mut at = key;
    loop {
        match origins.get(at) {
            Some(origin) => return *origin,
            None if at.is_empty() => return 0,
            None => at = at.rfind(['.', '[']).and_then(|cut| at.get(..cut)).unwrap_or_default(),
        }
    }
}

/// The manifests as one: the first that says a key wins, lists as a whole (acceptance Vu-22).
fn merge(documents: &mut [Document]) -> (Manifest, BTreeMap<String, usize>) {
    let mut merged = Manifest::default();
    let mut origins = BTreeMap::new();
    for (index, document) in documents.iter_mut().enumerate() {
        if index == 0 {
            merged.source = document.manifest.source.clone();
        }
        let keys = fields::entries(&mut merged).into_iter().zip(fields::entries(&mut document.manifest));
        for (mut mine, other) in keys {
            if mine.field.is_absent() && !other.field.is_absent() {
                origins.insert(mine.path(), index);
                mine.field.take(other.field);
            }
        }
    }
    (merged, origins)
}

fn substitute(manifest: &mut Manifest, variables: &Variables<'_>, problems: &mut Problems) {
    for mut entry in fields::entries(manifest) {
        let path = entry.path();
        for (key, text) in entry.field.texts(&path) {
            let (value, wrong) = variables.substitute(text);
            *text = value;
            wrong.into_iter().for_each(|(message, hint)| problems.error_with_hint(&key, message, hint));
        }
        // A text that a variable left empty says nothing, like any other empty one.
        if let Field::Text(text) = entry.field {
            *text = text.take().filter(|text| !text.is_empty());
        }
    }
}

/// Paths of the host start from the directory of the manifest that says them.
fn rebase(manifest: &mut Manifest, documents: &[Document], origins: &BTreeMap<String, usize>) {
    let directory = |key: &str| documents.get(origin(origins, key)).and_then(Document::directory);
    if let Some(path) = &mut manifest.kernel.path {
        join(directory("kernel.path"), path);
    }
    if let Some(rootfs) = manifest.storage.rootfs.as_mut().filter(|rootfs| !rootfs.contains("://")) {
        join(directory("storage.rootfs"), rootfs);
    }
    for volume in manifest.storage.volumes.iter_mut().flatten() {
        join(directory("storage.volumes"), &mut volume.host);
    }
}

fn join(directory: Option<&Path>, path: &mut String) {
    // A `..` is refused where it matters; joining would only hide what was written.
    if let (Some(directory), false) = (directory, path.is_empty()) {
        let plain = path.strip_prefix("./").unwrap_or(path);
        *path = directory.join(plain).to_string_lossy().into_owned();
    }
}
