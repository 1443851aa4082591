//! `port control-plane gc` and `openapi`: what is removed from a storage, and what is said of it.

use port_testkit::project::{Project, Ran};
use serde_json::Value;

use crate::fixture::*;

const STORAGE: &str = ".port/hosted/demo";

fn project() -> Project {
    with_configuration(
        r#"
[control_planes.demo]
endpoint = "http://127.0.0.1:7040"
audience = "port-demo"
auth = { scheme = "bearer", header = "authorization", source = { kind = "env", variable = "PORT_DEMO_TOKEN" } }
"#,
    )
}

/// A blob as the storage keeps it; gives its digest's digits.
fn blob(project: &Project, bytes: &[u8]) -> String {
    let hex = port_content::hashing::digest_of(bytes).hex().to_owned();
    project.write(&format!("{STORAGE}/blobs/sha256/{}/{hex}", &hex[..2]), bytes);
    hex
}

fn gc(project: &Project, arguments: &[&str]) -> Ran {
    project.port(&[&["control-plane", "gc", "--control-plane", "demo"], arguments].concat())
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"))
}

#[test]
fn what_nobody_has_goes_and_what_nobody_names_goes_a_round_later() {
    let project = project();
    let alone = blob(&project, b"alone");
    let had = blob(&project, b"had");
    project.write(&format!("{STORAGE}/holders/sha256/{had}/port/demo/_held"), b"");
    let ran = gc(&project, &["--blob-hours", "0", "--format", "json"]);
    assert_eq!(ran.code, 0, "{ran}");
    let first = report(&ran);
    assert_eq!((&first["blobs"], &first["holders_condemned"]), (&1.into(), &1.into()), "{ran}");
    assert!(!project.exists(&format!("{STORAGE}/blobs/sha256/{}/{alone}", &alone[..2])));
    assert!(project.exists(&format!("{STORAGE}/blobs/sha256/{}/{had}", &had[..2])));
    let ran = gc(&project, &["--blob-hours", "1"]);
    assert!(ran.stdout.contains("removed 0 blobs"), "an hour is not over: {ran}");
    let ran = gc(&project, &["--blob-hours", "0"]);
    assert!(ran.stdout.contains("removed 1 blob ") && ran.stdout.contains("(3 B)"), "{ran}");
}

#[test]
fn a_blob_that_rotted_is_put_aside_and_the_exit_code_says_so() {
    let project = project();
    let hex = blob(&project, b"kernel");
    project.write(&format!("{STORAGE}/holders/sha256/{hex}/port/demo/_held"), b"");
    assert_eq!(gc(&project, &["--scrub"]).code, 0);
    let place = format!("{STORAGE}/blobs/sha256/{}/{hex}", &hex[..2]);
    project.write(&place, b"kernal");
    let ran = gc(&project, &["--scrub", "--format", "json"]);
    assert_eq!(ran.code, 1, "{ran}");
    let rotten = &report(&ran)["scrub"]["quarantined"][0];
    assert_eq!(rotten["digest"], format!("sha256:{hex}"));
    assert_eq!(rotten["repositories"][0], "port/demo");
    assert!(!project.exists(&place));
    assert_eq!(project.read(&format!("{STORAGE}/quarantine/sha256/{hex}")), b"kernal");
}

#[test]
fn the_openapi_document_is_json_and_needs_no_configuration() {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let ran = project.port(&["control-plane", "openapi"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(report(&ran)["openapi"], "3.1.0");
}
