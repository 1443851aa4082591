//! The JSON schema of a manifest, for editors: made from the same list of keys that reading uses. It knows forms and
//! words; what keys mean together is [`crate::check()`]'s.

use serde_json::{Map, Value, json};

use crate::fields::{self, Entry, Field, SECTIONS};
use crate::manifest::Manifest;
use crate::words::{Mode, NetworkMode, WritableLayer};

/// Where the schema says that it is from.
const ID: &str = "urn:port:workload-manifest:2";

/// The schema as it is committed: stable, one line at the end.
pub fn json_schema() -> String {
    let mut properties = Map::new();
    properties.insert("extends".to_owned(), text("A manifest that this one completes: a path from this file's directory, `cas://sha256:…` or `oci://registry/repository:version`."));
    for (section, about) in SECTIONS {
        let mut manifest = Manifest::default();
        let entries = fields::entries(&mut manifest).into_iter().filter(|entry| entry.section == section);
        let keys: Map<String, Value> =
            entries.map(|entry| (entry.key.to_owned(), property(&entry))).collect();
        properties.insert(section.to_owned(), object(about, &keys));
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "Workload manifest",
        "description": "What to run, in which mode, with which limits. A manifest that extends another need not say everything itself.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    // A `Value` always has a text.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

fn object(about: &str, properties: &Map<String, Value>) -> Value {
    json!({ "description": about, "type": "object", "properties": properties, "additionalProperties": false })
}

fn text(about: &str) -> Value {
    json!({ "description": about, "type": "string" })
}

fn property(entry: &Entry<'_>) -> Value {
    let mut schema = match &entry.field {
        Field::Required(_) | Field::Text(_) => text(entry.about),
        Field::Number(_) => json!({ "description": entry.about, "type": "integer", "minimum": 0 }),
        Field::Truth(_) => json!({ "description": entry.about, "type": "boolean" }),
        Field::Texts(_) => {
            json!({ "description": entry.about, "type": "array", "items": { "type": "string" } })
        }
        Field::Volumes(_) => json!({ "description": entry.about, "type": "array", "items": volume() }),
    };
    // Variables may stand anywhere in a text, so only texts that never need one are narrowed.
    let words = match (entry.section, entry.key) {
        ("workload", "mode") => Mode::WORDS,
        ("network", "mode") => NetworkMode::WORDS,
        ("storage", "writable_layer") => WritableLayer::WORDS,
        _ => return schema,
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("anyOf".to_owned(), json!([{ "enum": words }, { "pattern": "\\$\\{" }]));
    }
    schema
}

fn volume() -> Value {
    let mut readonly = json!({ "type": "boolean" });
    if let Some(readonly) = readonly.as_object_mut() {
        readonly.insert("description".to_owned(), "Whether the workload may not write to it.".into());
    }
    json!({
        "type": "object",
        "properties": {
            "host": text("The path on the host; relative ones start at the manifest's directory."),
            "container": text("The absolute path in the workload."),
            "readonly": readonly,
        },
        "required": ["host", "container"],
        "additionalProperties": false,
    })
}
