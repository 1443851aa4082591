//! The hosted API, the panel's numbers and the health of the server as an OpenAPI document, which the server tells and the repository
//! keeps (docs/formats/control-plane.openapi.json, written by `cargo xtask generate`). The registry's face is the OCI distribution
//! specification's, which has no place for a copy here.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{Answer, Head, Set as _, empty, with};

/// Where the server tells it.
pub(crate) const PATH: &str = "/v1/openapi.json";

/// Answers with the document; nothing in it is a secret.
pub(crate) fn answer(head: &Head) -> Answer {
    if head.method != Method::GET && head.method != Method::HEAD {
        return empty(StatusCode::METHOD_NOT_ALLOWED).set("allow", "GET, HEAD");
    }
    with(StatusCode::OK, "application/json", document().into()).set("cache-control", "public, max-age=3600")
}

/// The document, with a line feed at its end.
pub fn document() -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Port control plane",
            "version": "1",
            "summary": "Artifacts of microVMs by name.",
            "description": "The hosted API. The same artifacts are served by the OCI distribution API at /v2/.",
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"}
        },
        "security": [{"bearer": []}, {"basic": []}],
        "paths": paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic", "description": "Any user name; the token as the password."}
            },
            "parameters": parameters(),
            "responses": {
                "Problem": {
                    "description": "What is wrong.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
                }
            },
            "schemas": schemas()
        }
    });
    // Strings and numbers always have a JSON form.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn paths() -> Value {
    json!({
        "/v1/artifacts:push": {"post": push()},
        "/v1/artifacts:pull": {"post": pull()},
        "/v1/artifacts:status": {"post": exchange(
            "artifactStatus", "How much of a file is here", "StatusRequest", "Status")},
        "/v1/artifacts:resolve": {"post": exchange(
            "resolveArtifact", "The files of a variant and what describes them", "Which", "Resolved")},
        "/v1/artifacts:publish": {"post": exchange(
            "publishArtifact", "Publish files that were staged, with their documents", "Publication", "Published")},
        "/v1/openapi.json": {"get": plain("openapi", "This document", "application/json", &[])},
        "/healthz": {"get": plain("health", "Whether the process answers", "text/plain", &[])},
        "/readyz": {"get": plain("readiness", "Whether the storage can be written and no end is near", "text/plain", &["503"])},
        "/metrics": {"get": metrics()}
    })
}

/// Answers that say no, with the shape of every problem.
fn refusals(mut responses: Value, statuses: &[&str]) -> Value {
    for status in statuses {
        responses[*status] = json!({"$ref": "#/components/responses/Problem"});
    }
    responses
}

fn body(schema: &str) -> Value {
    json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

/// `{route, result}` around a result.
fn result(schema: &str) -> Value {
    let properties = json!({
        "route": {"$ref": "#/components/schemas/Route"},
        "result": {"$ref": format!("#/components/schemas/{schema}")}
    });
    json!({
        "description": "Done.",
        "content": {"application/json": {"schema": {
            "type": "object", "required": ["route", "result"], "properties": properties
        }}}
    })
}

const ALWAYS: [&str; 8] = ["400", "401", "403", "409", "429", "500", "503", "507"];

fn push() -> Value {
    json!({
        "operationId": "pushArtifact",
        "summary": "Put one file beside the others of its variant",
        "parameters": [
            {"$ref": "#/components/parameters/transfer"},
            {"$ref": "#/components/parameters/audience"},
            {"$ref": "#/components/parameters/digest"},
            {"$ref": "#/components/parameters/offset"},
            {"$ref": "#/components/parameters/publish"}
        ],
        "requestBody": {"required": true, "content": {"application/octet-stream": {}}},
        "responses": refusals(json!({"200": result("Pushed")}), &ALWAYS)
    })
}

fn pull() -> Value {
    let bytes = json!({
        "description": "The bytes.",
        "headers": {"x-port-content-digest": {"schema": {"$ref": "#/components/schemas/Digest"}}},
        "content": {"application/octet-stream": {}}
    });
    json!({
        "operationId": "pullArtifact",
        "summary": "The bytes of one file, or a part of them",
        "parameters": [
            {"$ref": "#/components/parameters/audience"},
            {"name": "range", "in": "header", "schema": {"type": "string"}}
        ],
        "requestBody": {"required": true, "content": body("Transfer")},
        "responses": refusals(json!({"200": bytes, "206": bytes}), &["400", "401", "403", "404", "416", "429", "500", "503"])
    })
}

fn exchange(id: &str, summary: &str, request: &str, answer: &str) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "parameters": [{"$ref": "#/components/parameters/audience"}],
        "requestBody": {"required": true, "content": body(request)},
        "responses": refusals(json!({"200": result(answer)}), &["400", "401", "403", "404", "409", "429", "500", "503", "507"])
    })
}

fn plain(id: &str, summary: &str, media_type: &str, others: &[&str]) -> Value {
    let content = json!({media_type: {}});
    let mut responses = json!({"200": {"description": "As it is.", "content": content}});
    for status in others {
        responses[*status] = json!({"description": "Not now.", "content": content});
    }
    json!({"operationId": id, "summary": summary, "security": [], "responses": responses})
}

fn metrics() -> Value {
    let content = json!({"text/plain": {}});
    json!({
        "operationId": "metrics",
        "summary": "Counts, in Prometheus' text form, for tokens that may read everything",
        "responses": {
            "200": {"description": "The counts.", "content": content},
            "401": {"description": "A token is asked for."},
            "403": {"description": "The token may not read everything."}
        }
    })
}

fn parameters() -> Value {
    json!({
        "transfer": {
            "name": "x-port-artifact-transfer", "in": "header", "required": true,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Transfer"}}}
        },
        "audience": {
            "name": "x-port-audience", "in": "header", "schema": {"type": "string"},
            "description": "Which control plane the client believes to talk to."
        },
        "digest": {
            "name": "x-port-content-digest", "in": "header",
            "description": "The digest that the whole file must have.",
            "schema": {"$ref": "#/components/schemas/Digest"}
        },
        "offset": {
            "name": "x-port-upload-offset", "in": "header",
            "description": "Where the body begins in the file.", "schema": {"type": "integer", "minimum": 0}
        },
        "publish": {
            "name": "x-port-publish", "in": "header",
            "description": "`stage`: the file is published by a later request.", "schema": {"const": "stage"}
        }
    })
}

/// An object all of whose properties are required but those in `optional`.
fn object(properties: Value, optional: &[&str]) -> Value {
    let names = properties.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let required: Vec<&str> = names.filter(|name| !optional.contains(name)).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

fn schemas() -> Value {
    let of = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let text = || json!({"type": "string"});
    let number = || json!({"type": "integer", "minimum": 0});
    let list = |name: &str| json!({"type": "array", "items": of(name)});
    let transfer = || {
        json!({
            "artifact_name": text(), "reference": of("Reference"), "selector": of("Selector"),
            "filename": text(), "store_path": text()
        })
    };
    let with = |mut properties: Value, more: Value| {
        for (name, schema) in more.as_object().into_iter().flatten() {
            properties[name.as_str()] = schema.clone();
        }
        properties
    };
    let which = || json!({"reference": of("Reference"), "selector": of("Selector")});
    let documents = || json!({"manifest": text(), "config": text()});
    json!({
        "Digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"},
        "Reference": object(json!({"registry": text(), "repository": text(), "version": text()}), &[]),
        "Selector": object(json!({
            "architecture": words(port_model::Architecture::ALL),
            "substrate": words(port_model::Substrate::ALL),
            "protection_mode": words(port_model::ProtectionMode::ALL)
        }), &[]),
        "Transfer": object(transfer(), &[]),
        "Which": object(which(), &[]),
        "StatusRequest": object(with(transfer(), json!({"digest": of("Digest")})), &[]),
        "Status": object(json!({"held": {"type": "boolean"}, "offset": number()}), &[]),
        "Pushed": object(with(transfer(), json!({
            "bytes_copied": number(), "bytes_received": number(), "digest": of("Digest")})), &[]),
        "File": object(json!({"filename": text(), "size": number(), "digest": of("Digest")}), &["digest", "size"]),
        "Documents": object(documents(), &[]),
        "Resolved": object(json!({
            "repository": text(), "files": list("File"),
            "documents": {"oneOf": [of("Documents"), {"type": "null"}]}}), &[]),
        "Publication": object(with(with(which(), documents()), json!({
            "files": list("File"), "publish": {"enum": ["stage", "name"], "default": "name"}})), &["publish"]),
        "Published": object(json!({"repository": text(), "tag": text(), "manifest": of("Digest")}), &[]),
        "Route": object(json!({"method": text(), "path": text(), "control_plane": text()}), &[]),
        "Problem": object(json!({"route": of("Route"), "message": text(), "offset": number()}), &["offset"])
    })
}

fn words<T: std::fmt::Display>(all: &[T]) -> Value {
    json!({"enum": all.iter().map(ToString::to_string).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(target)) = fields.get("$ref") {
                        let pointer = target.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
                    }
                    fields.values().for_each(|value| walk(value, document));
                }
                Value::Array(values) => values.iter().for_each(|value| walk(value, document)),
                _ => {}
            }
        }
        let document: Value = serde_json::from_str(&document()).unwrap();
        walk(&document, &document);
        assert_eq!(
            document["components"]["schemas"]["Selector"]["properties"]["substrate"]["enum"][0],
            "firecracker"
        );
    }

    #[test]
    fn it_has_every_route_of_the_hosted_api_and_no_other() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let paths = document["paths"].as_object().unwrap().keys();
        let told: Vec<&str> =
            paths.filter_map(|path| path.strip_prefix("/v1/")).filter(|name| name.contains(':')).collect();
        let mut known = crate::hosted::ROUTES.to_vec();
        known.sort_unstable();
        assert_eq!(told, known);
    }
}
