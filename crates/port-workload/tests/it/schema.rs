//! The JSON schema for editors knows exactly the keys that reading knows.

use serde_json::Value;

use crate::{WHOLE, manifest};

fn schema() -> Value {
    serde_json::from_str(&port_workload::json_schema()).unwrap()
}

/// Every key of `value`, by its path.
fn keys(path: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = format!("{path}/{key}");
                keys(&path, value, out);
                out.push(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys(path, item, out)),
        _ => {}
    }
}

/// The same for what a schema allows.
fn allowed(path: &str, schema: &Value, out: &mut Vec<String>) {
    let properties = schema["properties"].as_object().or_else(|| schema["items"]["properties"].as_object());
    for (key, schema) in properties.into_iter().flatten() {
        let path = format!("{path}/{key}");
        allowed(&path, schema, out);
        out.push(path);
    }
}

#[test]
fn v_1_v_11_the_schema_has_every_key_and_no_other() {
    let whole: Value = serde_json::from_str(&manifest(WHOLE).to_json().unwrap()).unwrap();
    let (mut written, mut known) = (Vec::new(), Vec::new());
    keys("", &whole, &mut written);
    allowed("", &schema(), &mut known);
    written.sort();
    written.dedup();
    known.sort();
    assert_eq!(known, written, "`whole.toml` has every key");
}

#[test]
fn v_10_the_schema_offers_the_known_words() {
    let words = schema()["properties"]["workload"]["properties"]["mode"]["anyOf"][0]["enum"].clone();
    assert_eq!(words, serde_json::json!(["container", "hybrid-native", "hybrid-kvm", "hybrid-emulated"]));
}

#[test]
fn the_committed_schema_is_the_program_s() {
    crate::golden::compare(
        "../../../../docs/formats/workload-manifest.schema.json",
        &port_workload::json_schema(),
    );
}
