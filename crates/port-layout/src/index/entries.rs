//! An index as somebody wrote it: read to be understood, written back without loss.
//!
//! Invariant: what Port does not know (fields of the index, whole entries, fields of entries) is kept to the
//! byte; only what is set here changes.

use port_model::Digest;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::document::{self, DocumentError, DocumentKind};
use crate::json::{self, JsonError, RawObject};
use crate::media_types::{DOCKER_MANIFEST_LIST, OCI_INDEX};
use crate::oci::{Annotations, Descriptor};

/// One entry: what Port understands of it, and the text as written.
#[derive(Debug, Clone)]
pub struct Entry {
    descriptor: Descriptor,
    text: Box<RawValue>,
}

impl Entry {
    /// An entry of our own.
    pub fn new(descriptor: Descriptor) -> Self {
        let text = raw(&descriptor);
        Self { descriptor, text }
    }

    /// What it says.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The same entry with another size; all else stays to the byte.
    pub fn with_size(&self, size: u64) -> Self {
        let descriptor = Descriptor { size, ..self.descriptor.clone() };
        // It was read as an object.
        let Ok(mut fields) = serde_json::from_str::<RawObject>(self.text.get()) else {
            return Self::new(descriptor);
        };
        fields.set("size", raw(&size));
        // NOTE: not in Go's escapes, which would change what others wrote.
        Self { descriptor, text: from_json(crate::oci::to_bytes(&fields)) }
    }
}

impl PartialEq for Entry {
    /// Entries are the same where they are written the same.
    fn eq(&self, other: &Self) -> bool {
        self.text.get() == other.text.get()
    }
}

/// An index, of Port's or of others.
#[derive(Debug, Clone)]
pub struct IndexDocument {
    fields: RawObject,
    entries: Vec<Entry>,
}

impl Default for IndexDocument {
    fn default() -> Self {
        let mut fields = RawObject::default();
        fields.set("schemaVersion", raw(&2));
        fields.set("mediaType", raw(&OCI_INDEX));
        fields.set("manifests", raw::<[Descriptor]>(&[]));
        Self { fields, entries: Vec::new() }
    }
}

impl IndexDocument {
    /// Reads an index. `declared` is the media type under which it was handed over.
    ///
    /// # Errors
    /// [`DocumentError`] where it is malformed, unbounded, ambiguous, or a manifest.
    pub fn read(bytes: &[u8], declared: Option<&str>) -> Result<Self, DocumentError> {
        if document::kind(bytes, declared)? != DocumentKind::Index {
            return Err(DocumentError::Confused {
                expected: "`manifests`",
                found: "a manifest, not an index".to_owned(),
            });
        }
        let fields: RawObject = json::read(bytes, "index", "an OCI image index")?;
        let texts: Vec<Box<RawValue>> =
            fields.field("manifests", "index", "a list of manifests")?.unwrap_or_default();
        document::bounded("index", "manifests", texts.len())?;
        let mut entries = Vec::with_capacity(texts.len());
        for text in texts {
            let descriptor = serde_json::from_str(text.get()).map_err(|source| JsonError::Malformed {
                document: "index's entry",
                expected: "a descriptor",
                source,
            })?;
            entries.push(Entry { descriptor, text });
        }
        // Read now, so that a later change of them cannot fail.
        fields.field::<Annotations>("annotations", "index", "annotations")?;
        Ok(Self { fields, entries })
    }

    /// The entries, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same index with other entries.
    pub fn with_entries(mut self, entries: Vec<Entry>) -> Self {
        self.entries = entries;
        self
    }

    /// The media type that the document gives itself; OCI's where it gives none.
    pub fn media_type(&self) -> String {
        self.fields
            .field("mediaType", "index", "a media type")
            .ok()
            .flatten()
            .unwrap_or_else(|| OCI_INDEX.to_owned())
    }

    /// Whether it is Docker's older form, whose entries may only be Docker's manifests.
    pub fn is_docker(&self) -> bool {
        self.media_type() == DOCKER_MANIFEST_LIST
    }

    /// The index's own annotations.
    pub fn annotations(&self) -> Annotations {
        self.fields.field("annotations", "index", "annotations").ok().flatten().unwrap_or_default()
    }

    /// Sets annotations; others stay.
    pub fn annotate(&mut self, annotations: Annotations) {
        let mut all = self.annotations();
        all.extend(annotations);
        if !all.is_empty() {
            self.fields.set("annotations", raw(&all));
        }
    }

    /// Whether an entry names this manifest.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.entries.iter().any(|entry| &entry.descriptor.digest == digest)
    }

    /// The bytes to publish. An index without a `mediaType` gets OCI's, since registries ask for it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = self.fields.clone();
        let texts: Vec<&RawValue> = self.entries.iter().map(|entry| &*entry.text).collect();
        fields.set("mediaType", raw(&self.media_type()));
        // NOTE: not in Go's escapes, which would change what others wrote.
        fields.set("manifests", from_json(crate::oci::to_bytes(&texts)));
        crate::oci::to_bytes(&fields)
    }
}

/// The JSON text of a value, in the form that keeps its digest when Go's tools write it again.
fn raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    from_json(crate::go_json::to_bytes(&value))
}

fn from_json(bytes: Vec<u8>) -> Box<RawValue> {
    let text = String::from_utf8(bytes).unwrap_or_default();
    // Our values are always JSON; `null` is what a failed serialisation would have become anyway.
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
