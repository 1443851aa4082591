//! What cosign attached below tags of its own (`sha256-<hex>.sig`, `.att`, `.sbom`) goes along with a copy.

use port_content::hashing::digest_of;
use port_testkit::project::Project;
use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::copy::*;

/// The tag below which cosign keeps this kind of thing for a document.
fn tag(of: &str, kind: &str) -> String {
    format!("sha256-{}.{kind}", digest_of(of.as_bytes()).hex())
}

/// Attaches a manifest with one layer; returns it.
fn attach(registry: &Registry, to: &str, kind: &str, layer: &str) -> String {
    let text = manifest(layer.as_bytes(), None);
    registry.add_blob(layer.as_bytes());
    registry.add_manifest("team/app", &tag(to, kind), MANIFEST, text.as_bytes());
    text
}

/// What [`attached`] put into a registry.
pub struct Attached {
    published: Published,
    /// Tag and text.
    pub all: Vec<(String, String)>,
}

/// The index of [`publish`]: signed itself, one manifest with all three kinds, its list of contents signed too, and the same
/// list of contents for the other manifest.
pub fn attached(registry: &Registry) -> Attached {
    let published = publish(registry, "team/app");
    let (index, first) = (published.index.as_str(), published.first.as_str());
    let second = manifest(b"second", None);
    let sbom = attach(registry, first, "sbom", "contents");
    let mut all = Vec::new();
    for (to, kind, layer) in [
        (index, "sig", "signature of the index"),
        (first, "sig", "signature of the first"),
        (first, "att", "attestation of the first"),
        (first, "sbom", "contents"),
        (&second, "sbom", "contents"),
        (&sbom, "sig", "signature of the contents"),
    ] {
        all.push((tag(to, kind), attach(registry, to, kind, layer)));
    }
    Attached { published, all }
}

fn attachments(report: &serde_json::Value) -> Vec<String> {
    let attachments = report["attachments"].as_array().unwrap();
    attachments.iter().map(|attachment| attachment["tag"].as_str().unwrap().to_owned()).collect()
}

fn sorted(tags: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut tags: Vec<String> = tags.into_iter().collect();
    tags.sort();
    tags
}

#[test]
fn what_cosign_attached_goes_around_and_comes_back_the_same() {
    let (one, two, three) = (registry(true), registry(false), registry(true));
    let attached = attached(&one);
    let tags = sorted(attached.all.iter().map(|(tag, _)| tag.clone()));
    let from = format!("{}/team/app:v1", one.host());
    let (second, third) = (format!("{}/x/y:v1", two.host()), format!("{}/z:v1", three.host()));
    let project = empty();
    // registry → registry, registry → layout → layout → registry
    let report = copied(&project, &from, &second, &[]);
    assert_eq!(sorted(attachments(&report)), tags, "{report}");
    // Five of the index and its referrers, five attachments: one has two tags.
    assert_eq!(count(&report, "manifests", "copied"), 10, "{report}");
    copied(&project, &from, "oci:out:v1", &[]);
    let report = copied(&project, "oci:out:v1", "oci:again:v1", &[]);
    assert_eq!(sorted(attachments(&report)), tags, "{report}");
    copied(&project, "oci:again:v1", &third, &[]);
    for (tag, text) in &attached.all {
        assert_eq!(two.manifest("x/y", tag).unwrap(), text.as_bytes(), "{tag}");
        assert_eq!(three.manifest("z", tag).unwrap(), text.as_bytes(), "{tag}");
        assert!(three.blob(&digest_of(b"contents").to_string()).is_some());
        let index = String::from_utf8(project.read("again/index.json")).unwrap();
        assert!(index.contains(&format!("\"org.opencontainers.image.ref.name\":\"{tag}\"")), "{index}");
    }
    // Again: nothing moves, nothing is written.
    let before = (two.traffic().0, project.read("again/index.json"));
    let report = copied(&project, &from, &second, &[]);
    assert_eq!((&report["moved_bytes"], two.traffic().0), (&0.into(), before.0), "{report}");
    copied(&project, "oci:out:v1", "oci:again:v1", &[]);
    assert!(project.read("again/index.json") == before.1);
}

#[test]
fn attachments_stay_behind_with_the_referrers_and_follow_their_own_manifest_alone() {
    let (one, two) = (registry(true), registry(true));
    let attached = attached(&one);
    let project = empty();
    let from = format!("{}/team/app:v1", one.host());
    let report = copied(&project, &from, &format!("{}/a:v1", two.host()), &["--no-referrers"]);
    assert!(attachments(&report).is_empty(), "{report}");
    assert!(attached.all.iter().all(|(tag, _)| two.manifest("a", tag).is_none()));
    assert!(!one.requests().iter().any(|request| request.target.contains(".sig")), "nobody asked for them");
    // By digest, one manifest of the index: what belongs to the others does not come.
    let first = format!("{}/team/app@{}", one.host(), name(&attached.published.first));
    let report = copied(&project, &first, &format!("{}/b:v1", two.host()), &[]);
    let first = attached.published.first.as_str();
    let mut expected: Vec<String> = ["sig", "att", "sbom"].map(|kind| tag(first, kind)).into();
    expected.push(tag(&manifest(b"contents", None), "sig"));
    assert_eq!(sorted(attachments(&report)), sorted(expected), "{report}");
    let belong = report["manifests"].as_array().unwrap().iter();
    let belong = belong.filter(|manifest| manifest["refers_to"] == *name(first)).count();
    assert_eq!(belong, 4, "a referrer, and three attachments: {report}");
}

#[test]
fn a_manifest_that_was_signed_once_more_comes_with_both_signatures() {
    let (one, two) = (registry(true), registry(true));
    let published = publish(&one, "team/app");
    let old = attach(&one, &published.index, "sig", "one signature");
    let (from, to) = (format!("{}/team/app:v1", one.host()), format!("{}/a:v1", two.host()));
    let project = empty();
    copied(&project, &from, &to, &[]);
    let new = attach(&one, &published.index, "sig", "two signatures");
    let ran = copy(&project, &from, &to, &[]);
    let tag = tag(&published.index, "sig");
    assert!(ran.stdout.contains(&format!("attachment: {tag} (replaced {})\n", name(&old))), "{ran}");
    assert_eq!(two.manifest("a", &tag).unwrap(), new.as_bytes());
}

/// A registry that answers requests for one tag with a status.
fn answering(part: String, method: &'static str, status: u16) -> Registry {
    let hook = Box::new(move |request: &port_testkit::registry::Request| {
        if request.method == method && request.target.ends_with(&part) {
            return Action::Answer(Reply::new(status, br#"{"errors":[{"code":"DENIED","message":"no"}]}"#));
        }
        Action::Pass
    });
    Registry::with(Abilities::default(), hook)
}

#[test]
fn an_attachment_that_cannot_be_had_or_put_is_said_and_nothing_is_tagged() {
    let index = publish(&registry(true), "team/app").index;
    let sig = tag(&index, "sig");
    let project = empty();
    let to_two = |project: &Project, from: &Registry, two: &Registry| {
        let (from, to) = (format!("{}/team/app:v1", from.host()), format!("{}/a:v1", two.host()));
        refused(project, &from, &to, "DENIED");
        assert!(two.manifest("a", "v1").is_none());
    };
    // Nobody knows whether it is signed.
    let hidden = answering(sig.clone(), "GET", 403);
    publish(&hidden, "team/app");
    to_two(&project, &hidden, &registry(true));
    // The destination takes everything but the signature's tag.
    let one = registry(true);
    publish(&one, "team/app");
    attach(&one, &index, "sig", "signature");
    let two = answering(format!("/manifests/{sig}"), "PUT", 403);
    to_two(&project, &one, &two);
    // Deleted between asking and fetching: left out, and said.
    let digest = digest_of(manifest(b"signature", None).as_bytes());
    let one = answering(format!("/manifests/{digest}"), "GET", 404);
    publish(&one, "team/app");
    attach(&one, &index, "sig", "signature");
    let report = copied(&project, &format!("{}/team/app:v1", one.host()), "oci:out:v1", &[]);
    assert_eq!(report["absent_referrers"][0], *digest.to_string(), "{report}");
    assert!(attachments(&report).is_empty(), "{report}");
}

#[test]
fn attachments_of_attachments_end() {
    let one = registry(true);
    let published = publish(&one, "team/app");
    let project = empty();
    let mut last = published.first.clone();
    for level in 0..9 {
        last = attach(&one, &last, "sig", &format!("level {level}"));
    }
    let from = format!("{}/team/app:v1", one.host());
    refused(&project, &from, "oci:out:v1", "more than 8 levels");
    // One that is attached to itself is no circle.
    let two = registry(true);
    two.add_blob(b"{}");
    two.add_blob(b"layer");
    let text = manifest(b"layer", None);
    two.add_manifest("team/app", "v1", MANIFEST, text.as_bytes());
    two.add_manifest("team/app", &tag(&text, "sig"), MANIFEST, text.as_bytes());
    let report = copied(&project, &format!("{}/team/app:v1", two.host()), "oci:circle:v1", &[]);
    assert_eq!(attachments(&report), [tag(&text, "sig")], "{report}");
}
