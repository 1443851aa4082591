//! Release statements: what is read, and what is refused.

use port_content::hashing::digest_of;
use port_trust::{About, Candidate, Form, KeyKind, Question, Requirement, SecretKey, Signed, bundle, verify};
use serde_json::{Value, json};

use super::*;

/// A release with two parts for two architectures.
pub(crate) fn release(sequence: u64) -> ReleaseStatement {
    let part = |role: Role, architecture: Architecture| {
        let text = format!("{} {} {sequence}", role.file_name(), architecture.oci_name());
        Part { role, digest: digest_of(text.as_bytes()), size: text.len() as u64 }
    };
    let set = |architecture| BootSet {
        architecture,
        variant: String::new(),
        parts: vec![part(Role::Kernel, architecture), part(Role::Initramfs, architecture)],
        boot_arguments: None,
    };
    ReleaseStatement {
        name: "acme-os".to_owned(),
        channel: "stable".to_owned(),
        sequence,
        version: format!("v1.{sequence}.0").parse().unwrap(),
        security_epoch: 0,
        min_from: None,
        issued: Timestamp::from_second(1_000_000).unwrap(),
        expires: Timestamp::from_second(2_000_000).unwrap(),
        machines: vec![set(Architecture::X86_64), set(Architecture::Aarch64)],
        waves: Vec::new(),
        critical: false,
        denies: Vec::new(),
    }
}

fn subject() -> Digest {
    digest_of(b"index")
}

fn read(change: impl FnOnce(&mut Value)) -> Result<ReleaseStatement, ReleaseError> {
    let mut statement = release(3).to_statement(&subject(), "r/os").unwrap();
    change(&mut statement.predicate);
    ReleaseStatement::from_statement(&statement)
}

#[test]
fn a_statement_comes_back_as_it_was() {
    assert_eq!(read(|_| ()).unwrap(), release(3));
}

#[test]
fn t_3_t_6_a_statement_with_a_field_that_cannot_be_is_refused() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 16] = [
        ("unknown", |it| it["extra"] = json!(1)),
        ("no name", |it| it["name"] = json!("")),
        ("control", |it| it["name"] = json!("a\u{1b}[0m")),
        ("channel", |it| it["channel"] = json!("sta ble")),
        ("no channel", |it| drop(it.as_object_mut().unwrap().remove("channel"))),
        ("sequence", |it| it["sequence"] = json!(0)),
        ("negative", |it| it["sequence"] = json!(-1)),
        ("fraction", |it| it["sequence"] = json!(1.5)),
        ("expires", |it| it["expires"] = it["issued"].clone()),
        ("machines", |it| it["machines"] = json!([])),
        ("twice", |it| it["machines"][1] = it["machines"][0].clone()),
        ("architecture", |it| it["machines"][0]["architecture"] = json!("x86_64")),
        ("kernel", |it| it["machines"][0]["parts"] = json!([])),
        ("role twice", |it| it["machines"][0]["parts"][1]["role"] = json!("kernel")),
        ("size", |it| it["machines"][0]["parts"][0]["size"] = json!(0)),
        ("waves", |it| it["waves"] = json!([{"after_seconds": 0, "percent": 101}])),
    ];
    for (name, change) in changes {
        assert!(read(change).is_err(), "{name}");
    }
    let mut other = release(3).to_statement(&subject(), "r/os").unwrap();
    other.predicate_type = "https://slsa.dev/provenance/v1".to_owned();
    assert!(matches!(ReleaseStatement::from_statement(&other), Err(ReleaseError::Predicate { .. })));
}

/// A key that does not count, a signature over another manifest: neither makes a release.
#[test]
fn t_7_t_8_only_what_enough_keys_said_of_this_manifest_is_a_release() {
    let key = |byte| SecretKey::from_entropy(KeyKind::Ed25519, &[byte; 32]).unwrap();
    let statement = release(3).to_statement(&subject(), "r/os").unwrap();
    let judge = |subject: &Digest, signer: u8| {
        let bytes = bundle::sign(&statement, &key(signer));
        let candidate =
            Candidate { place: "referrer".to_owned(), form: Form::Referrer, signed: Signed::Bundle(bytes) };
        let question = Question { subject, name: None, policy: "test", about: About::Statement(PREDICATE) };
        verify(&question, &Requirement::one_key("release", key(1).public()), &[candidate])
    };
    let verified = judge(&subject(), 1).statement.unwrap();
    assert_eq!(ReleaseStatement::of(&verified).unwrap(), release(3));
    assert!(judge(&subject(), 2).statement.is_none(), "another key");
    assert!(judge(&digest_of(b"another index"), 1).statement.is_none(), "another manifest");
}
