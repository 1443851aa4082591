//! SLSA provenance, version 1, of a build that `port.lock` records.
//!
//! The same record gives the same bytes: no clock, no invocation, nothing of the machine that built.

use port_config::LockedInput;
use serde_json::{Value, json};

use crate::trust::built::Built;

/// What kind of build it was: `port artifacts build`.
const BUILD_TYPE: &str = "urn:vnd.port:build:v1";
/// Who built: whoever holds the key. Port runs on their machine, and promises nothing of it.
const BUILDER: &str = "urn:vnd.port:builder:local";

/// The predicate.
pub(crate) fn predicate(built: &Built<'_>) -> Value {
    let Built { target, entry, .. } = built;
    let variant = target.variant();
    let parameters = json!({
        "artifact": entry.artifact,
        "class": target.artifact.class.to_string(),
        "reference": target.artifact.reference.to_string(),
        "variant": variant.to_string(),
    });
    let inputs: Vec<Value> = entry.inputs.iter().map(dependency).collect();
    let mut definition = json!({
        "buildType": BUILD_TYPE, "externalParameters": parameters, "resolvedDependencies": inputs,
    });
    if let (Some(kernel), Some(fields)) = (&entry.kernel, definition.as_object_mut()) {
        let kernel = json!({ "kernel": { "release": kernel.release, "modules": kernel.modules } });
        fields.insert("internalParameters".to_owned(), kernel);
    }
    let outputs: Vec<Value> = entry
        .outputs
        .iter()
        .map(|output| json!({ "name": output.file.as_str(), "digest": digest(&output.digest) }))
        .collect();
    let version = json!({ "port": env!("CARGO_PKG_VERSION") });
    json!({
        "buildDefinition": definition,
        "runDetails": { "builder": { "id": BUILDER, "version": version }, "byproducts": outputs },
    })
}

/// What went in. Where it lay on the machine that built is not said.
fn dependency(input: &LockedInput) -> Value {
    let mut dependency = json!({ "name": name(input), "digest": digest(&input.digest) });
    if let (Some(version), Some(fields)) = (version(input), dependency.as_object_mut()) {
        fields.insert("annotations".to_owned(), json!({ "resolved": version }));
    }
    dependency
}

/// The configured source; without the path, where it is one of this machine.
pub(crate) fn name(input: &LockedInput) -> &str {
    let first = input.source.split(' ').next().unwrap_or_default();
    match first {
        "directory" | "path" | "debian-file" | "agent" | "busybox" | "init" | "recipe" => first,
        _ => &input.source,
    }
}

/// What a package or a kernel resolved to: a version, never a place.
pub(crate) fn version(input: &LockedInput) -> Option<&str> {
    let first = input.source.split(' ').next().unwrap_or_default();
    matches!(first, "debian-package" | "modules" | "kernel-release").then_some(input.resolved.as_str())
}

pub(crate) fn digest(digest: &port_model::Digest) -> Value {
    json!({ digest.algorithm().as_str(): digest.hex() })
}
