//! `port artifacts referrers`, and referrers on their way: left behind, filtered, without end.

use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::copy::*;

#[test]
fn referrers_stay_behind_on_request_and_types_are_filtered() {
    let (one, two) = (registry(true), registry(true));
    let published = publish(&one, "team/app");
    let (from, to) = (format!("{}/team/app:v1", one.host()), format!("{}/team/app:v1", two.host()));
    let project = empty();
    let report = copied(&project, &from, &to, &["--no-referrers"]);
    assert_eq!(report["manifests"].as_array().unwrap().len(), 3, "{report}");
    assert!(two.manifest("team/app", &name(&published.signature)).is_none());
    let place = format!("{}/team/app@{}", one.host(), name(&published.first));
    let of_type = |artifact_type| {
        let ran = project.port(&[
            "artifacts",
            "referrers",
            "--plain-http",
            &place,
            "--artifact-type",
            artifact_type,
        ]);
        assert_eq!(ran.code, 0, "{ran}");
        ran.stdout
    };
    assert!(of_type("application/vnd.test.signature").contains(&name(&published.signature)));
    assert!(of_type("application/vnd.test.other").starts_with("nothing refers to"));
}

#[test]
fn referrers_of_referrers_end() {
    let one = registry(true);
    let project = empty();
    one.add_blob(b"{}");
    one.add_blob(b"layer");
    let root = manifest(b"layer", None);
    one.add_manifest("a", "v1", MANIFEST, root.as_bytes());
    let mut last = root.clone();
    for level in 0..9 {
        let text = manifest(b"layer", Some(&descriptor(MANIFEST, last.as_bytes())));
        one.add_manifest("a", &name(&text), MANIFEST, text.as_bytes());
        last = text;
        let ran = copy(&project, &format!("{}/a:v1", one.host()), &format!("oci:out{level}:v1"), &[]);
        assert_eq!(ran.code == 0, level < 8, "{level}\n{ran}");
        assert!(level < 8 || ran.stderr.contains("more than 8 levels"), "{ran}");
    }
    // A list that says that a manifest refers to itself, or one that refers to nothing.
    let stranger = manifest(b"{}", None);
    let entries = [&root, &stranger].map(|text| descriptor(MANIFEST, text.as_bytes())).join(",");
    let list = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entries}]}}"#);
    let hook = Box::new(move |request: &port_testkit::registry::Request| {
        if request.target.contains("/referrers/") {
            return Action::Answer(Reply::new(200, list.as_bytes()).header("content-type", INDEX));
        }
        Action::Pass
    });
    let two = Registry::with(Abilities::default(), hook);
    for text in [&root, &stranger] {
        two.add_manifest("a", "v1", MANIFEST, text.as_bytes());
    }
    two.add_manifest("a", "v1", MANIFEST, root.as_bytes());
    refused(&project, &format!("{}/a:v1", two.host()), "oci:lost:v1", "and refers to another");
}
