//! The suite of the OCI distribution specification (conformance/ of distribution-spec), with everything optional switched on, tokens
//! asked for and collection running beside it. `cargo xtask conformance` brings the suite and shows its table.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use port_server::catalog::Sparse;
use port_server::maintenance::Rules;
use port_server::{Server, Settings};
use port_testkit::peers;

use crate::guarded::Guarded;
use crate::running::{Running, TOKEN};

/// What the suite is told.
const SETTINGS: &[(&str, &str)] = &[
    ("OCI_TLS", "disabled"),
    ("OCI_VERSION", "dev"),
    ("OCI_REPO1", "conformance/one"),
    ("OCI_REPO2", "conformance/two"),
    ("OCI_USERNAME", "port"),
    ("OCI_API_MANIFESTS_TAG_PARAM", "true"),
    ("OCI_API_BLOBS_UPLOAD_CANCEL", "true"),
    ("OCI_API_BLOBS_MOUNT_ANONYMOUS", "true"),
    ("OCI_DATA_SPARSE", "true"),
    ("OCI_DATA_SHA512", "true"),
];
/// Fewer than these is another suite than the one that was passed before.
const LEAST_TESTS: u64 = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn oci_conformance_everything_that_the_suite_can_test_passes() {
    let Some(suite) = peers::tool("conformance") else { return };
    let root = tempfile::tempdir().unwrap();
    // Thousands of small files that nobody needs afterwards: in memory, where that is a file system.
    let memory = tempfile::tempdir_in(Path::new("/dev/shm")).ok();
    let storage = memory.as_ref().unwrap_or(&root).path();
    let (settings, told) = Guarded::over(storage).settings().await;
    let settings = Settings { sparse: Sparse::Accepted, ..settings };
    let server = Server::bind(settings, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let rules = Rules { every: Duration::from_millis(500), ..Rules::default() };
    let maintenance = tokio::spawn(server.maintenance(rules).run());
    let server = Running::serving(server, Arc::clone(&told));
    let (address, directory) = (server.address.to_string(), root.path().to_owned());
    let said = tokio::task::spawn_blocking(move || run(&suite, &address, &directory)).await.unwrap();
    maintenance.abort();
    let summary = said.split_once("OCI Conformance Result:").map_or("", |(_, summary)| summary);
    println!("OCI Conformance Result:{summary}");
    for bad in ["Disabled", "Skip", "FAIL", "Error"] {
        assert_eq!(count(summary, bad), Some(0), "{bad}\n{}", failures(&said));
    }
    let passed = count(summary, "Pass").unwrap_or(0);
    assert!(passed >= LEAST_TESTS, "{passed} tests passed\n{said}");
    assert_eq!(count(summary, "Total"), Some(passed));
}

fn run(suite: &PathBuf, address: &str, directory: &Path) -> String {
    let mut command = Command::new(suite);
    command.current_dir(directory).stdin(Stdio::null()).env_clear().envs(SETTINGS.iter().copied());
    command.env("OCI_REGISTRY", address).env("OCI_PASSWORD", TOKEN).env("OCI_RESULTS_DIR", "results");
    let output = command.output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(!said.concat().contains(TOKEN), "a secret is in the output");
    said.concat()
}

/// The number behind a word and its dots.
fn count(summary: &str, word: &str) -> Option<u64> {
    let line = summary.lines().find(|line| line.trim_start().starts_with(&format!("{word}..")))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}

/// The lines that say what failed.
fn failures(said: &str) -> String {
    let bad = |line: &&str| ["FAIL", "Error", "Skip", "Disabled"].iter().any(|word| line.ends_with(word));
    said.lines().filter(bad).collect::<Vec<_>>().join("\n")
}
