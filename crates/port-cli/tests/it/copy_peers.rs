//! What oras, regctl and skopeo attach and lay out, Port copies; what Port copies, they find.

use std::path::Path;

use port_content::hashing::digest_of;
use port_testkit::peers::{self, Software};

use crate::copy::*;
use crate::registry::{noise, open_registry};

/// Attached with oras, carried by Port and by other clients in both directions.
#[test]
fn what_others_attach_is_copied_and_others_find_what_port_copied() {
    let (Some(one), Some(two)) =
        (open_registry(Software::DockerRegistry), open_registry(Software::DockerRegistry))
    else {
        return;
    };
    let Some(oras) = peers::tool("oras") else { return };
    let project = empty();
    let run = |program: &Path, arguments: &[&str]| {
        String::from_utf8(peers::run(program, arguments, project.path())).unwrap()
    };
    let (first, second) = (format!("{}/t/x:v1", one.address()), format!("{}/t/x:v1", two.address()));
    project.write("file", noise(3 << 20));
    project.write("signature", "signed");
    run(&oras, &["push", "--plain-http", &first, "file:application/x.file"]);
    run(
        &oras,
        &["attach", "--plain-http", "--artifact-type", "application/x.sig", &first, "signature:text/plain"],
    );
    copied(&project, &first, "oci:port:v1", &[]);
    run(&oras, &["cp", "-r", "--from-plain-http", &first, "--to-oci-layout", "oras:v1"]);
    copied(&project, "oci:oras:v1", &second, &[]);
    assert!(run(&oras, &["discover", "--plain-http", &second]).contains("application/x.sig"));
    assert!(run(&oras, &["discover", "--oci-layout", "port:v1"]).contains("application/x.sig"));
    if let Some(skopeo) = peers::tool("skopeo") {
        let raw = run(&skopeo, &["inspect", "--raw", "oci:port:v1"]);
        assert!(raw.contains("application/x.file"), "{raw}");
    }
    let Some(regctl) = peers::tool("regctl") else { return };
    run(&regctl, &["registry", "set", "--tls", "disabled", one.address()]);
    run(&regctl, &["image", "copy", "--referrers", &first, "ocidir://regctl:v1"]);
    let ran = project.port(&["artifacts", "referrers", "oci:regctl:v1"]);
    assert!(ran.stdout.contains("application/x.sig"), "{ran}");
    let report = copied(&project, "oci:regctl:v1", &format!("{}/t/y:v1", two.address()), &[]);
    assert_eq!(report["manifests"].as_array().unwrap().len(), 2, "{report}");
}

/// regctl and oras read referrers in a layout in different forms; both are there, and a second copy adds to them.
#[test]
fn regctl_and_oras_see_what_refers_to_a_manifest_in_a_layout_of_ports() {
    let one = registry(true);
    let published = publish(&one, "team/app");
    let project = empty();
    let from = format!("{}/team/app:v1", one.host());
    copied(&project, &from, "oci:out:v1", &[]);
    let name_of_list = format!("sha256-{}", digest_of(published.first.as_bytes()).hex());
    let index: serde_json::Value = serde_json::from_slice(&project.read("out/index.json")).unwrap();
    let named = |name: &str| {
        let mut entries = index["manifests"].as_array().unwrap().iter();
        entries.find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == name).cloned()
    };
    let list = named(&name_of_list).unwrap();
    assert_eq!(list["mediaType"], INDEX);
    let list = project.read(&format!("out/blobs/{}", list["digest"].as_str().unwrap().replace(':', "/")));
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list["manifests"][0]["digest"], *name(&published.signature), "{list}");
    assert_eq!(list["manifests"][0]["artifactType"], "application/vnd.test.signature", "{list}");
    // One signature more, and the layout's own lists stay.
    let later = manifest(b"later", Some(&descriptor(MANIFEST, published.first.as_bytes())));
    one.add_blob(b"later");
    refer(one.host(), "team/app", &published.first, &later);
    copied(&project, &from, "oci:out:v1", &[]);
    let ran = project.port(&["artifacts", "referrers", &format!("oci:out@{}", name(&published.first))]);
    assert_eq!(ran.stdout.matches("application/vnd.test.signature").count(), 2, "{ran}");
    let run = |program: &Path, arguments: &[&str]| {
        String::from_utf8(peers::run(program, arguments, project.path())).unwrap()
    };
    if let Some(regctl) = peers::tool("regctl") {
        for (subject, referrers) in [
            (&published.first, &[&published.signature, &later][..]),
            (&published.signature, &[&published.countersignature]),
        ] {
            let place = format!("ocidir://out@{}", name(subject));
            let said = run(&regctl, &["artifact", "list", &place]);
            assert!(referrers.iter().all(|text| said.contains(&name(text))), "{said}");
        }
        // And it carries them on.
        let from = format!("ocidir://out@{}", name(&published.first));
        run(&regctl, &["image", "copy", "--referrers", &from, "ocidir://on:v1"]);
        let ran = project.port(&["artifacts", "referrers", "oci:on:v1"]);
        assert!(ran.stdout.contains(&name(&later)), "{ran}");
    }
    let Some(oras) = peers::tool("oras") else { return };
    // oras finds a manifest in a layout by its name alone.
    copied(&project, &format!("oci:out@{}", name(&published.first)), "oci:out:first", &[]);
    let said = run(&oras, &["discover", "--oci-layout", "out:first"]);
    for text in [&published.signature, &later] {
        assert_eq!(said.matches(&name(text)).count(), 1, "{said}");
    }
}

/// A name that stands for a list, given to something else, is kept.
#[test]
fn a_list_that_somebody_else_named_is_not_replaced() {
    let one = registry(true);
    let published = publish(&one, "team/app");
    let project = empty();
    let list = format!("sha256-{}", digest_of(published.first.as_bytes()).hex());
    let other = manifest(b"other", None);
    one.add_blob(b"other");
    one.add_manifest("team/app", "other", MANIFEST, other.as_bytes());
    copied(&project, &format!("{}/team/app:other", one.host()), &format!("oci:out:{list}"), &[]);
    copied(&project, &format!("{}/team/app:v1", one.host()), "oci:out:v1", &[]);
    let index: serde_json::Value = serde_json::from_slice(&project.read("out/index.json")).unwrap();
    let mut entries = index["manifests"].as_array().unwrap().iter();
    let entry = entries.find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == *list);
    assert_eq!(entry.unwrap()["digest"], *name(&other), "{index}");
    let ran = project.port(&["artifacts", "referrers", &format!("oci:out@{}", name(&published.first))]);
    assert!(ran.stdout.contains(&name(&published.signature)), "{ran}");
}

/// regctl carries cosign's tags too, on request; Port takes them from its layout, and it finds them in Port's.
#[test]
fn attachments_go_from_and_to_layouts_of_regctl() {
    let Some(regctl) = peers::tool("regctl") else { return };
    let (one, two) = (registry(true), registry(true));
    let attached = crate::copy_attachments::attached(&one);
    let project = empty();
    let run = |arguments: &[&str]| String::from_utf8(peers::run(&regctl, arguments, project.path())).unwrap();
    run(&["registry", "set", "--tls", "disabled", "--skip-check", one.host()]);
    let from = format!("{}/team/app:v1", one.host());
    run(&["image", "copy", "--digest-tags", "--referrers", &from, "ocidir://regctl:v1"]);
    copied(&project, "oci:regctl:v1", &format!("{}/a:v1", two.host()), &[]);
    copied(&project, &from, "oci:port:v1", &[]);
    let tags = run(&["tag", "ls", "ocidir://port"]);
    for (tag, text) in &attached.all {
        assert_eq!(two.manifest("a", tag).map(String::from_utf8), Some(Ok(text.clone())), "{tag}");
        assert!(tags.lines().any(|line| line == tag), "{tag}: {tags}");
    }
}
