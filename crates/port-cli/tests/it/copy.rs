//! `port artifacts copy` between registries and layouts, and what its tests in the other files share.

use port_content::hashing::digest_of;
use port_registry::{Anonymous, Client, Descriptor, HostOptions, Options, Transport};
use port_testkit::peers::Software;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};

use crate::registry::{ANONYMOUS, TAG, forget, noise, open_registry, registry_project};

use crate::fixture::*;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub fn empty() -> Project {
    Project::new(env!("CARGO_BIN_EXE_port"))
}

pub fn copy(project: &Project, from: &str, to: &str, more: &[&str]) -> Ran {
    project.port(&[&["artifacts", "copy", "--plain-http", from, to][..], more].concat())
}

/// Copies, and gives the report.
pub fn copied(project: &Project, from: &str, to: &str, more: &[&str]) -> serde_json::Value {
    let ran = copy(project, from, to, &[&["--format", "json"][..], more].concat());
    assert_eq!(ran.code, 0, "{from} to {to}\n{ran}");
    serde_json::from_str(&ran.stdout).unwrap()
}

pub fn refused(project: &Project, from: &str, to: &str, reason: &str) -> Ran {
    let ran = copy(project, from, to, &[]);
    assert_ne!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains(reason), "should say `{reason}`\n{ran}");
    ran
}

/// How many things of a list came in one way.
pub fn count(report: &serde_json::Value, list: &str, outcome: &str) -> usize {
    report[list].as_array().unwrap().iter().filter(|entry| entry["outcome"] == outcome).count()
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> String {
    format!(r#"{{"digest":"{}","mediaType":"{media_type}","size":{}}}"#, digest_of(bytes), bytes.len())
}

pub fn manifest(layer: &[u8], subject: Option<&str>) -> String {
    let (config, layer) =
        (descriptor("application/vnd.test.config", b"{}"), descriptor("application/vnd.test.layer", layer));
    let subject = subject.map_or_else(String::new, |subject| {
        format!(r#","artifactType":"application/vnd.test.signature","annotations":{{"by":"someone"}},"subject":{subject}"#)
    });
    format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layer}]{subject}}}"#)
}

pub fn index(manifests: &[&str]) -> String {
    let entries: Vec<String> = manifests.iter().map(|text| descriptor(MANIFEST, text.as_bytes())).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","))
}

/// What [`publish`] put into a registry.
pub struct Published {
    pub index: String,
    pub first: String,
    pub signature: String,
    pub countersignature: String,
    pub layer: Vec<u8>,
}

/// An index of two manifests, of which one has a signature, which has a signature.
pub fn publish(registry: &Registry, repository: &str) -> Published {
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
pub fn refer(host: &str, repository: &str, subject: &str, referrer: &str) {
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
pub fn registry(referrers: bool) -> Registry {
    Registry::with(Abilities { referrers, ..Abilities::default() }, Box::new(|_| Action::Pass))
}

/// The digest that a text has as a document.
pub fn name(text: &str) -> String {
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

/// Without a store, what a copy has on its way lies in the user's cache: a rerun goes on from there.
#[test]
fn a_copy_between_registries_that_was_stopped_is_continued_without_a_store() {
    let source = Registry::start();
    let published = publish(&source, "team/app");
    let project = empty();
    let from = format!("{}/team/app:v1", source.host());
    // What is small goes through; what is large is refused when it has come here.
    let full = |request: &Request| match request.header("content-length").parse::<u64>() {
        Ok(length) if length > 1 << 20 => Action::Answer(Reply::new(403, b"")),
        _ => Action::Pass,
    };
    let refuses = Registry::with(Abilities::default(), Box::new(full));
    let ran = copy(&project, &from, &format!("{}/team/app:v1", refuses.host()), &[]);
    assert_ne!(ran.code, 0, "{ran}");
    let directory = project.path().join(".cache/port/copies");
    let there = || -> Vec<String> {
        let names = std::fs::read_dir(&directory).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let digest = digest_of(&published.layer);
    assert!(there().contains(&format!("{}.copy", digest.hex())), "{:?}", there());
    let before = source.traffic().1;
    let takes = Registry::start();
    copied(&project, &from, &format!("{}/team/app:v1", takes.host()), &[]);
    assert_eq!(takes.blob(&digest.to_string()).unwrap(), published.layer);
    let fetched = source.traffic().1 - before;
    assert!(fetched < 1 << 20, "{fetched} bytes of {} came again", published.layer.len());
    assert_eq!(there(), Vec::<String>::new(), "nothing stays behind");
}
