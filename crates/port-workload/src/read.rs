//! From bytes to a manifest with places. Types are checked here, values are not: that is [`crate::check()`]'s
//! (acceptance V-30, V-46). The invariant: whatever the manifest holds has its place in the document.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use port_document::{
    DocumentError, Gathered, LARGEST_TEXT, Node, Place, Severity, Syntax, Table, UnknownKeys, locate,
    read_bytes,
};

use crate::fields::{self, Field, SECTIONS};
use crate::manifest::{Manifest, Volume};
use crate::problem::Problem;

/// Where every key stands, by its path.
pub(crate) type Places = BTreeMap<String, Range<usize>>;

/// A manifest, the text that it was read from, and where in it everything stands.
#[derive(Debug, Clone)]
pub struct Document {
    /// How messages name it.
    pub name: String,
    /// What it says. Keys of a wrong type are absent.
    pub manifest: Manifest,
    /// What reading it found: keys of a wrong type, unknown keys. Ordered by place.
    pub findings: Vec<port_document::Finding>,
    pub(crate) places: Places,
    text: String,
    secrets: Vec<Range<usize>>,
}

impl Document {
    /// Reads TOML, or JSON where the text begins with `{` (acceptance V-1, V-47). `source` is remembered.
    ///
    /// # Errors
    /// The bytes are no TOML, no JSON, no text, or too many. Keys of a wrong type are findings of the document.
    pub fn parse(name: &str, source: PathBuf, bytes: &[u8]) -> Result<Self, DocumentError> {
        let places = RefCell::default();
        let reading = read_bytes(bytes, Syntax::TomlOrJson, UnknownKeys::Noted, |_, root| {
            Some(manifest(&root, &places))
        });
        let (findings, secrets) = (reading.findings, reading.secrets);
        let Some(mut manifest) = reading.value else {
            return Err(DocumentError { file: name.to_owned(), findings });
        };
        manifest.source = source;
        // It was read, so it is text and within the bound.
        let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(LARGEST_TEXT)).unwrap_or_default());
        let places = places.into_inner();
        Ok(Self { name: name.to_owned(), manifest, findings, places, text: text.into_owned(), secrets })
    }

    /// The manifest, unless a key is of a wrong type (acceptance V-45).
    ///
    /// # Errors
    /// It names the file and every such key.
    pub fn decoded(self) -> Result<Manifest, DocumentError> {
        if self.findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(DocumentError { file: self.name, findings: self.findings });
        }
        Ok(self.manifest)
    }

    /// The directory that its relative paths start from; none where it was not read from a file.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.manifest.source.parent().filter(|_| !self.manifest.source.as_os_str().is_empty())
    }

    /// Whether the key itself stands here; a section says nothing yet.
    pub(crate) fn says(&self, key: &str) -> bool {
        key.contains('.') && self.places.contains_key(key)
    }

    /// The finding with its place here: the key's own, else its nearest surrounding one's.
    pub(crate) fn locate(&self, problem: &Problem) -> port_document::Finding {
        let mut at = problem.key.as_str();
        let span = loop {
            match self.places.get(at) {
                Some(span) => break span.clone(),
                None if at.is_empty() => break 0..0,
                None => at = at.rfind(['.', '[']).and_then(|cut| at.get(..cut)).unwrap_or_default(),
            }
        };
        let place = Place { key: problem.key.clone(), span };
        let Problem { severity, message, hint, .. } = problem.clone();
        locate(&self.text, Gathered { severity, place, message, hint }, &self.secrets)
    }
}

const MISPLACED_EXTENDS: &str = "`extends` stands at the top of the file, above the first `[table]`; TOML counts it to the table that is open";

fn manifest(root: &Table<'_>, places: &RefCell<Places>) -> Manifest {
    let mut manifest = Manifest::default();
    let remember = |place: &Place| {
        places.borrow_mut().insert(place.key.clone(), place.span.clone());
    };
    manifest.extends = root.optional("extends").and_then(|node| text(&node, &remember));
    let sections: Vec<Option<Table<'_>>> = SECTIONS
        .iter()
        .map(|(section, _)| {
            root.optional(section).inspect(|node| remember(&node.place)).and_then(Node::table)
        })
        .collect();
    for entry in fields::entries(&mut manifest) {
        let index = SECTIONS.iter().position(|(section, _)| *section == entry.section);
        let table = index.and_then(|index| sections.get(index)).and_then(Option::as_ref);
        if let Some(node) = table.and_then(|table| table.optional(entry.key)) {
            value(entry.field, node, &remember);
        }
    }
    for table in sections.iter().flatten() {
        table.elsewhere(&["extends"], MISPLACED_EXTENDS);
        table.finish();
    }
    root.finish();
    manifest
}

fn value(field: Field<'_>, node: Node<'_>, remember: &dyn Fn(&Place)) {
    remember(&node.place);
    match field {
        Field::Required(place) => *place = text(&node, remember).unwrap_or_default(),
        Field::Text(place) => *place = text(&node, remember),
        // 0 is the original's way to say nothing (acceptance Vu-13).
        Field::Number(place) => *place = node.signed().filter(|number| *number != 0),
        Field::Truth(place) => *place = node.boolean(),
        Field::Texts(place) => {
            *place = node.each(|node| {
                remember(&node.place);
                node.string().map(str::to_owned)
            });
        }
        Field::Volumes(place) => *place = node.each(|node| volume(node, remember)),
    }
}

/// A text; an empty one says nothing.
fn text(node: &Node<'_>, remember: &dyn Fn(&Place)) -> Option<String> {
    remember(&node.place);
    node.string().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn volume(node: Node<'_>, remember: &dyn Fn(&Place)) -> Option<Volume> {
    remember(&node.place);
    let table = node.table()?;
    // Absent paths are a matter of values: the check says so.
    let host = table.maybe("host", |node| Some(text(&node, remember).unwrap_or_default()));
    let container = table.maybe("container", |node| Some(text(&node, remember).unwrap_or_default()));
    let readonly = table.maybe("readonly", |node| node.boolean());
    table.finish();
    Some(Volume {
        host: host?.unwrap_or_default(),
        container: container?.unwrap_or_default(),
        readonly: readonly?,
    })
}
