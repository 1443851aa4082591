//! `port artifacts copy` and `referrers`: between registries and layouts, honest ones and hostile ones.

use std::path::Path;

use port_content::hashing::digest_of;
use port_registry::{Anonymous, Client, Descriptor, HostOptions, Options, Transport};
use port_testkit::peers::{self, Software};
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Access, Action, Registry, Reply};

use crate::registry::{ANONYMOUS, TAG, forget, noise, open_registry, registry_project};

use crate::fixture::*;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn empty() -> Project {
    Project::new(env!("CARGO_BIN_EXE_port"))
}

fn copy(project: &Project, from: &str, to: &str, more: &[&str]) -> Ran {
    project.port(&[&["artifacts", "copy", "--plain-http", from, to][..], more].concat())
}

/// Copies, and gives the report.
fn copied(project: &Project, from: &str, to: &str, more: &[&str]) -> serde_json::Value {
    let ran = copy(project, from, to, &[&["--format", "json"][..], more].concat());
    assert_eq!(ran.code, 0, "{from} to {to}\n{ran}");
    serde_json::from_str(&ran.stdout).unwrap()
}

fn refused(project: &Project, from: &str, to: &str, reason: &str) -> Ran {
    let ran = copy(project, from, to, &[]);
    assert_ne!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains(reason), "should say `{reason}`\n{ran}");
    ran
}

/// How many things of a list came in one way.
fn count(report: &serde_json::Value, list: &str, outcome: &str) -> usize {
    report[list].as_array().unwrap().iter().filter(|entry| entry["outcome"] == outcome).count()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> String {
    format!(r#"{{"digest":"{}","mediaType":"{media_type}","size":{}}}"#, digest_of(bytes), bytes.len())
}

fn manifest(layer: &[u8], subject: Option<&str>) -> String {
    let (config, layer) =
        (descriptor("application/vnd.test.config", b"{}"), descriptor("application/vnd.test.layer", layer));
    let subject = subject.map_or_else(String::new, |subject| {
        format!(r#","artifactType":"application/vnd.test.signature","annotations":{{"by":"someone"}},"subject":{subject}"#)
    });
    format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layer}]{subject}}}"#)
}

fn index(manifests: &[&str]) -> String {
    let entries: Vec<String> = manifests.iter().map(|text| descriptor(MANIFEST, text.as_bytes())).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","))
}

/// What [`publish`] put into a registry.
struct Published {
    index: String,
    first: String,
    signature: String,
    countersignature: String,
    layer: Vec<u8>,
}

/// An index of two manifests, of which one has a signature, which has a signature.
fn publish(registry: &Registry, repository: &str) -> Published {
    let layer = noise(3 << 20);
    let first = manifest(&layer, None);
    let second = manifest(b"second", None);
    let signature = manifest(b"signature", Some(&descriptor(MANIFEST, first.as_bytes())));
    let countersignature = manifest(b"countersignature", Some(&descriptor(MANIFEST, signature.as_bytes())));
    for blob in [&layer[..], b"second", b"signature", b"countersignature", b"{}"] {
        registry.add_blob(blob);
    }
    let index = index(&[&first, &second]);
    for text in [&first, &second] {
        let digest = digest_of(text.as_bytes()).to_string();
        registry.add_manifest(repository, &digest, MANIFEST, text.as_bytes());
    }
    registry.add_manifest(repository, "v1", INDEX, index.as_bytes());
    let published = Published { index, first, signature, countersignature, layer };
    refer(registry.host(), repository, &published.first, &published.signature);
    refer(registry.host(), repository, &published.signature, &published.countersignature);
    published
}

/// Puts a referrer as Port's client does: below the fallback tag, where the registry has no referrers API.
fn refer(host: &str, repository: &str, subject: &str, referrer: &str) {
    let default = HostOptions { transport: Transport::PlainHttp, ..HostOptions::default() };
    let options = Options { default, ..Options::default() };
    let client = Client::new(
        options,
        std::sync::Arc::new(Anonymous),
        std::sync::Arc::new(port_model::progress::Silent),
    );
    let repository = client.repository(&host.parse().unwrap(), &repository.parse().unwrap()).unwrap();
    let mut descriptor: Descriptor =
        serde_json::from_str(&descriptor(MANIFEST, referrer.as_bytes())).unwrap();
    descriptor.artifact_type = Some("application/vnd.test.signature".to_owned());
    let bytes = bytes_of(referrer);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let subject = digest_of(subject.as_bytes());
    runtime.block_on(repository.put_referrer(&subject, &descriptor, &bytes)).unwrap();
}

fn bytes_of(text: &str) -> bytes::Bytes {
    bytes::Bytes::from(text.as_bytes().to_vec())
}

/// A registry with or without the referrers API.
fn registry(referrers: bool) -> Registry {
    Registry::with(Abilities { referrers, ..Abilities::default() }, Box::new(|_| Action::Pass))
}

/// The digest that a text has as a document.
fn name(text: &str) -> String {
    digest_of(text.as_bytes()).to_string()
}

#[test]
fn an_index_goes_around_with_its_referrers_and_comes_back_the_same() {
    for api in [true, false] {
        let (one, two) = (registry(api), registry(!api));
        let published = publish(&one, "team/app");
        let (from, to) = (format!("{}/team/app:v1", one.host()), format!("{}/other/app:v2", two.host()));
        let project = empty();
        // registry → layout → layout → another registry
        let report = copied(&project, &from, "oci:out:v1", &[]);
        assert_eq!(
            (count(&report, "manifests", "copied"), count(&report, "blobs", "copied")),
            (5, 5),
            "{report}"
        );
        copied(&project, "oci:out:v1", "oci:again:names/with:colons", &[]);
        let report = copied(&project, "oci:again:names/with:colons", &to, &[]);
        assert_eq!(
            (count(&report, "manifests", "copied"), count(&report, "blobs", "copied")),
            (5, 5),
            "{report}"
        );
        assert_eq!(two.manifest("other/app", "v2").unwrap(), published.index.as_bytes());
        assert!(two.blob(&digest_of(&published.layer).to_string()).unwrap() == published.layer);
        for text in [&published.first, &published.signature, &published.countersignature] {
            assert_eq!(two.manifest("other/app", &name(text)).unwrap(), text.as_bytes());
        }
        // the referrers are listed there, by API or tag
        let place = format!("{}/other/app@{}", two.host(), name(&published.first));
        let ran = project.port(&["artifacts", "referrers", "--plain-http", &place]);
        assert!(ran.stdout.contains(&name(&published.signature)), "{ran}");
        assert!(ran.stdout.contains("application/vnd.test.signature"), "{ran}");
        let place = format!("oci:again@{}", name(&published.signature));
        let ran = project.port(&["artifacts", "referrers", &place, "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["referrers"][0]["digest"], *name(&published.countersignature), "{ran}");
        assert_eq!(report["referrers"][0]["annotations"]["by"], "someone", "{ran}");
        // a second time everything is there
        let before = two.traffic().0;
        let report = copied(&project, &from, &to, &[]);
        assert_eq!(
            (count(&report, "manifests", "found"), count(&report, "blobs", "found")),
            (5, 5),
            "{report}"
        );
        assert_eq!((&report["moved_bytes"], two.traffic().0), (&0.into(), before));
    }
}

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
fn within_one_registry_blobs_are_mounted() {
    let registry = registry(true);
    publish(&registry, "team/app");
    let (from, to) = (format!("{}/team/app:v1", registry.host()), format!("{}/copy/app:v1", registry.host()));
    let report = copied(&empty(), &from, &to, &[]);
    // The registry in memory has one set of blobs: all are there at once.
    assert_eq!(count(&report, "blobs", "copied"), 0, "{report}");
    let Some(real) = open_registry(Software::DockerRegistry) else { return };
    let project = registry_project(real.address(), ANONYMOUS);
    project.write(LOCAL_KERNEL, noise(3 << 20));
    succeed(&project, "push", "tiny");
    let (from, to) = (format!("{}/port/tiny:v1", real.address()), format!("{}/copy/tiny:v1", real.address()));
    let report = copied(&project, &from, &to, &[]);
    assert_eq!(count(&report, "blobs", "mounted"), 2, "{report}");
    assert!(report["moved_bytes"].as_u64().unwrap() < 10_000, "{report}");
}

#[test]
fn a_copied_version_is_pulled_from_its_new_place() {
    let (Some(one), Some(two)) =
        (open_registry(Software::DockerRegistry), open_registry(Software::DockerRegistry))
    else {
        return;
    };
    let project = registry_project(one.address(), ANONYMOUS);
    let content = noise(3 << 20);
    project.write(LOCAL_KERNEL, &content);
    succeed(&project, "push", "tiny");
    // The store's own layout is a source too.
    let stored = format!("oci:.port/store:{}/port/tiny:{TAG}", one.address());
    copied(&project, &stored, "oci:out:v1", &[]);
    let (from, to) = (format!("{}/port/tiny:v1", one.address()), format!("{}/port/tiny:v1", two.address()));
    let report = copied(&project, &from, &to, &["--all-variants"]);
    assert_eq!(report["variant_tags"][0], TAG);
    // One variant of the index alone, and none that is not there.
    let report = copied(&project, &from, "oci:out:one", &["--architecture", "x86_64"]);
    assert_eq!(report["media_type"], MANIFEST);
    let ran = copy(&project, &from, "oci:out:other", &["--architecture", "aarch64"]);
    assert!(ran.code == 5 && ran.stderr.contains("found: kernel x86_64/firecracker/standard"), "{ran}");
    let other = registry_project(two.address(), ANONYMOUS);
    succeed(&other, "pull", "tiny");
    assert!(other.read(LOCAL_KERNEL) == content);
    // list and inspect, without the files
    forget(&other);
    let ran = other.port(&["artifacts", "list", "--remote", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list["published"].as_array().unwrap().len(), 1, "{ran}");
    assert_eq!(
        (&list["published"][0]["listed"], &list["published"][0]["bytes"]),
        (&"index".into(), &(3 << 20).into())
    );
    let ran =
        other.port(&["artifacts", "inspect", "--artifact", "tiny", "--remote", "--architecture", "x86-64"]);
    assert!(ran.code == 0 && ran.stdout.contains(&digest_of(&content).to_string()), "{ran}");
    assert!(!other.exists("k"), "inspect fetched files");
    let ran = other.port(&["artifacts", "referrers", "--artifact", "tiny", "--architecture", "x86-64"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("nothing refers to"), "{ran}");
}

#[test]
fn a_copy_into_the_store_survives_garbage_collection() {
    let one = registry(true);
    let published = publish(&one, "team/app");
    let project = project();
    project.write(LOCAL_KERNEL, elf_kernel("x"));
    succeed(&project, "push", "tiny");
    copied(&project, &format!("{}/team/app:v1", one.host()), "oci:.port/store:team/app:v1", &[]);
    let ran = project.port(&["store", "gc"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(project.port(&["store", "verify"]).code, 0);
    let two = registry(true);
    copied(&project, "oci:.port/store:team/app:v1", &format!("{}/team/app:v1", two.host()), &[]);
    assert!(two.manifest("team/app", &name(&published.countersignature)).is_some());
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused() {
    let layer = noise(2 << 20);
    let text = manifest(&layer, None);
    let wrong = vec![b'x'; layer.len()];
    let path = format!("/blobs/{}", digest_of(&layer));
    let hook = Box::new(move |request: &port_testkit::registry::Request| {
        if request.method == "GET" && request.target.ends_with(&path) {
            return Action::Answer(Reply::new(200, &wrong));
        }
        Action::Pass
    });
    let one = Registry::with(Abilities::default(), hook);
    one.add_blob(&layer);
    one.add_blob(b"{}");
    one.add_manifest("a", "v1", MANIFEST, text.as_bytes());
    let project = empty();
    let from = format!("{}/a:v1", one.host());
    refused(&project, &from, "oci:out:v1", "the registry sent other bytes than it named");
    assert!(!String::from_utf8_lossy(&project.read("out/index.json")).contains("ref.name"), "half-tagged");
    let two = registry(true);
    refused(&project, &from, &format!("{}/a:v1", two.host()), "the registry sent other bytes than it named");
    assert!(two.manifest("a", "v1").is_none());
    // The same in a layout: of the right size, with other bytes.
    layout(project.path(), &text, &layer);
    let blob = format!("lying/blobs/sha256/{}", digest_of(&layer).hex());
    project.write(&blob, vec![b'x'; layer.len()]);
    refused(&project, "oci:lying:v1", &format!("{}/a:v1", two.host()), "is something else");
    refused(&project, "oci:lying:v1", "oci:out:v1", "is something else");
    assert!(two.manifest("a", "v1").is_none());
}

/// A layout `lying` with one manifest named `v1`.
fn layout(root: &Path, text: &str, layer: &[u8]) {
    let root = root.join("lying");
    std::fs::create_dir_all(root.join("blobs/sha256")).unwrap();
    std::fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    for bytes in [text.as_bytes(), layer, b"{}"] {
        std::fs::write(root.join("blobs/sha256").join(digest_of(bytes).hex()), bytes).unwrap();
    }
    let entry = descriptor(MANIFEST, text.as_bytes());
    let entry = entry.replacen('{', r#"{"annotations":{"org.opencontainers.image.ref.name":"v1"},"#, 1);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
    std::fs::write(root.join("index.json"), index).unwrap();
}

#[test]
fn a_layout_cannot_lead_out_of_its_directory() {
    let project = empty();
    let text = manifest(b"layer", None);
    layout(project.path(), &text, b"layer");
    copied(&project, "oci:lying:v1", "oci:fine:v1", &[]);
    let blob = project.path().join("lying/blobs/sha256").join(digest_of(b"layer").hex());
    let secret = project.write("secret", "layer");
    std::fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(&secret, &blob).unwrap();
    refused(&project, "oci:lying:v1", "oci:out:v1", "cannot open");
    // A directory of blobs that is a link.
    std::fs::rename(project.path().join("lying/blobs/sha256"), project.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(project.path().join("elsewhere"), project.path().join("lying/blobs/sha256"))
        .unwrap();
    refused(&project, "oci:lying:v1", "oci:out:v1", "is no directory of its own");
    // Names and digests that go up.
    for place in ["oci:lying:../../secret", "oci:lying@sha256:../../secret"] {
        let ran = copy(&project, place, "oci:out:v1", &[]);
        assert_eq!(ran.code, 2, "{ran}");
    }
    let index = project.path().join("fine/index.json");
    let text = std::fs::read_to_string(&index).unwrap();
    let digest = text.split("\"digest\":\"").nth(1).unwrap().split('"').next().unwrap();
    std::fs::write(&index, text.replace(digest, "sha256:../../../secret")).unwrap();
    refused(&project, "oci:fine:v1", "oci:out:v1", "cannot be read");
    // A directory with something else in it is not taken for a layout.
    project.write("home/letter", "dear");
    refused(&project, "oci:lying:v1", "oci:home:v1", "is no directory of its own");
    assert!(!project.exists("home/oci-layout"));
}

#[test]
fn documents_without_end_are_refused() {
    let one = registry(true);
    let project = empty();
    let from = format!("{}/a:v1", one.host());
    // Indexes in indexes.
    let mut inner = index(&[]);
    for _ in 0..8 {
        one.add_manifest("a", &name(&inner), INDEX, inner.as_bytes());
        let entry = descriptor(INDEX, inner.as_bytes());
        inner = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry}]}}"#);
    }
    one.add_manifest("a", "v1", INDEX, inner.as_bytes());
    refused(&project, &from, "oci:out:v1", "nest deeper than 4");
    // More entries than are read.
    let entry = descriptor(MANIFEST, b"x");
    let bomb = vec![entry.as_str(); 2049].join(",");
    let bomb = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{bomb}]}}"#);
    one.add_manifest("a", "v1", INDEX, bomb.as_bytes());
    refused(&project, &from, "oci:out:v1", "at most 2048 are read");
    // An entry that is another size than it says.
    let text = manifest(b"layer", None);
    one.add_manifest("a", &name(&text), MANIFEST, text.as_bytes());
    let short = index(&[&text]).replace(&format!("\"size\":{}", text.len()), "\"size\":7");
    one.add_manifest("a", "v1", INDEX, short.as_bytes());
    refused(&project, &from, "oci:out:v1", "described as 7");
    assert!(!project.exists("out"), "nothing was moved, nothing was made");
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

#[test]
fn a_destination_that_refuses_is_left_untagged() {
    let one = registry(true);
    publish(&one, "team/app");
    let from = format!("{}/team/app:v1", one.host());
    let project = empty();
    for (method, part) in
        [("POST", "/blobs/uploads/"), ("PUT", "/blobs/uploads/"), ("PUT", "/manifests/sha256:")]
    {
        let hook = Box::new(move |request: &port_testkit::registry::Request| {
            if request.method == method && request.target.contains(part) {
                return Action::Answer(Reply::new(
                    403,
                    br#"{"errors":[{"code":"DENIED","message":"quota"}]}"#,
                ));
            }
            Action::Pass
        });
        let two = Registry::with(Abilities::default(), hook);
        let ran = refused(&project, &from, &format!("{}/team/app:v1", two.host()), "DENIED");
        assert!(ran.stderr.contains("port login"), "{ran}");
        assert!(two.manifest("team/app", "v1").is_none(), "{method} {part}");
        let tagged = two.requests().iter().any(|r| r.method == "PUT" && r.target.ends_with("/manifests/v1"));
        assert!(!tagged, "{method} {part}");
    }
    // A pinned destination that is to be something else.
    let two = registry(true);
    let pinned = format!("{}/team/app:v1@{}", two.host(), digest_of(b"other"));
    refused(&project, &from, &pinned, "the destination is to have");
    assert!(two.requests().is_empty());
    let ran = copy(&project, &format!("{}/team/none:v1", one.host()), "oci:out:v1", &[]);
    assert_eq!(ran.code, 5, "{ran}");
}

#[test]
fn each_registry_gets_its_own_credentials_and_no_other() {
    let one = registry(true);
    publish(&one, "team/app");
    let access = Access::Basic("dTpwdw==".to_owned());
    let two = Registry::with(Abilities { access, ..Abilities::default() }, Box::new(|_| Action::Pass));
    let project = empty();
    let (from, to) = (format!("{}/team/app:v1", one.host()), format!("{}/team/app:v1", two.host()));
    let ran = refused(&project, &from, &to, "401");
    assert!(ran.stderr.contains("port login"), "{ran}");
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"dTpwdw=="}}}}}}"#, two.host());
    project.write(".docker/config.json", config);
    copied(&project, &from, &to, &[]);
    assert!(two.manifest("team/app", "v1").is_some());
    assert!(one.requests().iter().all(|request| request.header("authorization").is_empty()));
    assert!(!project.exists(".port"), "a copy leaves nothing behind where no project is");
}

#[test]
fn a_copy_into_a_layout_that_fails_or_is_killed_keeps_the_old_name() {
    let one = registry(true);
    let project = empty();
    let from = format!("{}/team/app:v1", one.host());
    let old = manifest(b"old", None);
    one.add_blob(b"old");
    one.add_blob(b"{}");
    one.add_manifest("team/app", "v1", MANIFEST, old.as_bytes());
    copied(&project, &from, "oci:out:v1", &[]);
    let published = publish(&one, "team/app");
    for point in ["before-sync", "before-rename"] {
        for how in ["error", "kill"] {
            let mut command = project.command(&["artifacts", "copy", "--plain-http", &from, "oci:out:v1"]);
            command.env("PORT_FAILPOINT", format!("atomic.{point}={how}"));
            let ran = project.ran(command.output().unwrap());
            assert_ne!(ran.code, 0, "{ran}");
            let index = String::from_utf8(project.read("out/index.json")).unwrap();
            assert!(index.contains(&name(&old)), "{point} {how}: {index}");
        }
    }
    let report = copied(&project, &from, "oci:out:v1", &[]);
    assert_eq!(report["replaced"], *name(&old), "{report}");
    let two = registry(false);
    copied(&project, "oci:out:v1", &format!("{}/x:v1", two.host()), &[]);
    assert_eq!(two.manifest("x", "v1").unwrap(), published.index.as_bytes());
    // Where the partial file would be, somebody planted a link.
    std::fs::create_dir_all(project.path().join("trap/.partial")).unwrap();
    project.write("trap/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let target = project.write("precious", "precious");
    let partial = project.path().join("trap/.partial").join(digest_of(&published.layer).hex());
    std::os::unix::fs::symlink(target, partial).unwrap();
    refused(&project, &from, "oci:trap:v1", "is a symbolic link");
    assert_eq!(project.read("precious"), b"precious");
}

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

#[test]
fn what_is_published_is_listed_by_tags_and_by_directories_too() {
    let remote = |project: &Project, more: &[&str]| {
        let ran = project.port(&[&["artifacts", "list", "--remote", "--format", "json"][..], more].concat());
        assert_eq!(ran.code, 0, "{ran}");
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        report["published"].as_array().unwrap().clone()
    };
    // Tags alone: of a variant of port.toml, and of one that is not in it.
    let one = registry(true);
    for blob in [&b"kernel"[..], b"{}"] {
        one.add_blob(blob);
    }
    let text = manifest(b"kernel", None);
    for tag in [TAG, "v1-x86_64-qemu-standard", "v1-x86_64-toaster-standard", "v2", "latest"] {
        one.add_manifest("port/tiny", tag, MANIFEST, text.as_bytes());
    }
    let project = registry_project(one.host(), ANONYMOUS);
    let rows = remote(&project, &[]);
    let variants: Vec<_> =
        rows.iter().map(|row| (row["variant"].to_string(), row["configured"] == true)).collect();
    assert_eq!(variants.len(), 2, "{rows:?}");
    assert!(variants.iter().any(|(variant, configured)| variant.contains("qemu") && !configured), "{rows:?}");
    for row in &rows {
        assert_eq!(
            (&row["listed"], &row["bytes"], &row["manifest"]),
            (&"tag".into(), &6.into(), &name(&text).into())
        );
    }
    // An empty registry, an artifact that is not there.
    assert!(remote(&registry_project(registry(true).host(), ANONYMOUS), &[]).is_empty());
    assert_eq!(project.port(&["artifacts", "list", "--remote", "--artifact", "nobody"]).code, 5);
    // A directory.
    let project = crate::fixture::project();
    project.write(LOCAL_KERNEL, elf_kernel("x"));
    succeed(&project, "push", "tiny");
    let rows = remote(&project, &["--artifact", "tiny"]);
    assert_eq!((rows.len(), &rows[0]["listed"]), (1, &"directory".into()), "{rows:?}");
    let ran =
        project.port(&["artifacts", "inspect", "--artifact", "tiny", "--remote", "--architecture", "x86-64"]);
    assert!(ran.code == 0 && ran.stdout.contains("6.1.0-x"), "{ran}");
    let ran = project.port(&["artifacts", "referrers", "--artifact", "tiny", "--architecture", "x86-64"]);
    assert!(ran.code == 2 && ran.stderr.contains("knows of no referrers"), "{ran}");
}

#[test]
fn layers_that_only_their_vendor_hands_out_stay_behind_and_are_named() {
    let (one, two) = (registry(true), registry(true));
    one.add_blob(b"{}");
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let text = manifest(b"windows", None).replace("application/vnd.test.layer", foreign);
    one.add_manifest("a", "v1", MANIFEST, text.as_bytes());
    let report = copied(&empty(), &format!("{}/a:v1", one.host()), &format!("{}/a:v1", two.host()), &[]);
    assert_eq!(report["withheld_blobs"][0], *digest_of(b"windows").to_string(), "{report}");
    assert_eq!(two.manifest("a", "v1").unwrap(), text.as_bytes());
}
