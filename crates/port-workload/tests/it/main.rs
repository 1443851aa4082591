//! Manifests from outside the crate, as its callers use it. One binary for all, so that it is linked once.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]
#![expect(unreachable_pub, reason = "a program has no outside")]

mod decoding;
mod encoding;
mod golden;
mod planning;
mod properties;
mod resolution;
mod schema;
mod validation;

use std::collections::BTreeMap;
use std::path::PathBuf;

use port_workload::{Chain, Document, Manifest, Placed, Resolved, Variables, check};

/// Every key, none of them at its default.
pub const WHOLE: &str = include_str!("../manifests/whole.toml");

/// The least that is valid (acceptance V-14).
pub const LEAST: &str = "[workload]\nname = \"web\"\nmode = \"container\"\n";

/// A file that nobody declared would be a test that nobody runs.
#[test]
fn no_test_file_is_forgotten() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            assert!(main.contains(&format!("mod {name};")), "tests/it/{name}.rs is not declared in main.rs");
        }
    }
}

/// A document as if it were read from the file `path`.
pub fn document(path: &str, text: &str) -> Document {
    Document::parse(path, PathBuf::from(path), text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

/// The manifest of `text`, without a source.
pub fn manifest(text: &str) -> Manifest {
    Document::parse("web.toml", PathBuf::new(), text.as_bytes()).unwrap().decoded().unwrap()
}

/// Resolves a chain of files, the first extending the second and so on.
pub fn resolved(files: &[(&str, &str)]) -> Resolved {
    resolved_with(files, &[])
}

/// The same with variables of the caller.
pub fn resolved_with(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Resolved {
    let ((path, text), bases) = files.split_first().unwrap();
    let mut chain = Chain::new(document(path, text), (*path).to_owned());
    for (path, text) in bases {
        assert!(chain.next().unwrap().is_some(), "nothing extends {path}");
        chain.push(document(path, text), (*path).to_owned()).unwrap();
    }
    assert_eq!(chain.next().unwrap(), None);
    let overrides: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let environment = |name: &str| (name == "FROM_ENVIRONMENT").then(|| "there".to_owned());
    let variables = Variables { overrides, host_name: "host-1".to_owned(), environment: &environment };
    Resolved::new(chain, &variables)
}

/// Everything wrong with a chain.
pub fn findings(files: &[(&str, &str)]) -> Vec<Placed> {
    let resolved = resolved(files);
    resolved.findings(&check(&resolved.manifest))
}

/// The findings, one line each: `error web.toml:3:8 workload.name: message`.
pub fn lines(findings: &[Placed]) -> Vec<String> {
    let line = |Placed { file, finding }: &Placed| {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        format!("{severity} {file}:{}:{} {}: {}", finding.line, finding.column, finding.key, finding.message)
    };
    findings.iter().map(line).collect()
}
