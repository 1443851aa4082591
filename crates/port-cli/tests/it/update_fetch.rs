//! `port update check` and `fetch`: what a tag offers to one machine, and its two files.

use std::path::Path;

use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Access, Action, Registry, Reply, Request};
use serde_json::Value;

use crate::update::publish_arguments;

const REPOSITORY: &str = "os/kubesolo";

/// A registry with a release for both architectures, under its version and the channel.
fn released() -> (Registry, Project) {
    released_in(Registry::start())
}

fn released_in(registry: Registry) -> (Registry, Project) {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let repository = repository(&registry);
    for architecture in ["amd64", "arm64"] {
        let arguments = publish_arguments(&project, &repository, "v0.3.0", architecture);
        let ran = project.port(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ran.code, 0, "{ran}");
    }
    let words = ["update", "index", "--plain-http", "--repository", &repository, "--version", "v0.3.0"];
    let ran = project.port(&[&words[..], &["--channel", "stable"]].concat());
    assert_eq!(ran.code, 0, "{ran}");
    (registry, project)
}

fn repository(registry: &Registry) -> String {
    format!("{}/{REPOSITORY}", registry.host())
}

fn ask(registry: &Registry, project: &Project, verb: &str, tag: &str, more: &[&str]) -> Ran {
    let repository = repository(registry);
    let words = ["update", verb, "--plain-http", "--repository", &repository, "--tag", tag];
    project.port(&[&words[..], more].concat())
}

fn blob_requests(registry: &Registry) -> usize {
    registry
        .requests()
        .iter()
        .filter(|request| request.target.contains("/blobs/") && request.method == "GET")
        .count()
}

#[test]
fn o_2_o_15_o_20_o_21_the_metadata_comes_without_a_blob() {
    let (registry, project) = released();
    let before = blob_requests(&registry);
    for (tag, architecture) in [("stable", "amd64"), ("v0.3.0", "arm64"), ("v0.3.0-amd64", "amd64")] {
        let more = ["--architecture", architecture, "--format", "json"];
        let ran = ask(&registry, &project, "check", tag, &more);
        assert_eq!(ran.code, 0, "{ran}");
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(said["metadata"]["version"], "v0.3.0");
        assert_eq!(said["metadata"]["channel"], "stable");
        assert_eq!(said["metadata"]["architecture"], architecture);
        assert_eq!(said["metadata"]["release_notes"], "", "what is left out is empty");
    }
    assert_eq!(blob_requests(&registry), before);
}

#[test]
fn o_1_o_5_o_32_o_33_o_34_o_37_o_41_o_50_both_files_are_staged() {
    let (registry, project) = released();
    for architecture in ["amd64", "arm64"] {
        let stage = format!("made/for/{architecture}");
        let more = ["--architecture", architecture, "--stage", &stage, "--format", "json"];
        let ran = ask(&registry, &project, "fetch", "stable", &more);
        assert_eq!(ran.code, 0, "{ran}");
        let said: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(said["metadata"]["version"], "v0.3.0");
        for (key, name) in [("kernel_path", "vmlinuz"), ("initramfs_path", "kubesolo-os.gz")] {
            assert_eq!(said[key], format!("{stage}/{name}"));
            let published = project.read(&format!("{architecture}/{name}"));
            assert_eq!(project.read(&format!("{stage}/{name}")), published);
        }
        assert_eq!(
            names(&project.path().join(&stage)),
            ["kubesolo-os.gz", "vmlinuz"],
            "nothing else is left"
        );
    }
}

fn names(directory: &Path) -> Vec<String> {
    let paths = port_content::fs::read_dir(directory).unwrap();
    paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn o_17_the_architecture_is_this_machines_unless_it_is_said() {
    let (registry, project) = released();
    let ran = ask(&registry, &project, "check", "stable", &["--format", "json"]);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    assert_eq!(said["metadata"]["architecture"], own, "{ran}");
}

#[test]
fn o_16_o_22_o_31_o_56_what_cannot_be_found_is_named() {
    let (registry, project) = released();
    let ran = ask(&registry, &project, "check", "edge", &[]);
    assert!(ran.code == 5 && ran.stderr.contains("nothing under the tag `edge`"), "{ran}");
    let ran = ask(&registry, &project, "check", "v0.3.0-amd64", &["--architecture", "arm64"]);
    assert!(ran.code != 0 && ran.stderr.contains("amd64") && ran.stderr.contains("arm64"), "{ran}");
    let repository = repository(&registry);
    let arguments = publish_arguments(&project, &repository, "v0.4.0", "amd64");
    project.port(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let words = ["update", "index", "--plain-http", "--repository", &repository, "--version", "v0.4.0"];
    let composed = project.port(&[&words[..], &["--channel", "stable"]].concat());
    assert_eq!(composed.code, 0, "{composed}");
    let ran = ask(&registry, &project, "check", "v0.4.0", &["--architecture", "arm64"]);
    assert!(ran.code == 5 && ran.stderr.contains("no manifest for the architecture `arm64`"), "{ran}");
    for (place, named) in [("no-path", "no-path"), ("host/UPPER", "UPPER"), ("host/os:v1", "os:v1")] {
        let ran = project.port(&["update", "check", "--repository", place, "--tag", "stable"]);
        assert!(ran.code == 2 && ran.stderr.contains(named), "{ran}");
    }
}

#[test]
fn o_38_o_39_o_40_o_55_c_38_wrong_bytes_leave_nothing_behind() {
    let (registry, project) = released();
    let kernel = port_content::hashing::digest_of(&project.read("amd64/vmlinuz")).to_string();
    let same_size: Vec<u8> = project.read("amd64/vmlinuz").iter().map(|byte| byte ^ 1).collect();
    for wrong in [same_size, b"short".to_vec()] {
        registry.lie(&kernel, &wrong);
        let more = ["--architecture", "amd64", "--stage", "stage"];
        let ran = ask(&registry, &project, "fetch", "stable", &more);
        assert!(ran.code == 1 && ran.stderr.contains(&kernel), "{ran}");
        assert_eq!(names(&project.path().join("stage")), Vec::<String>::new(), "{ran}");
    }
}

#[test]
fn o_18_https_unless_plain_http_is_asked_for() {
    let (registry, project) = released();
    let before = registry.requests().len();
    let repository = repository(&registry);
    for verb in [&["check"][..], &["fetch", "--stage", "stage"]] {
        let words = [&["update"], verb, &["--repository", &repository, "--tag", "stable"]].concat();
        let ran = project.port(&words);
        assert!(ran.code == 4 && ran.stderr.contains("tls"), "{ran}");
    }
    assert_eq!(registry.requests().len(), before, "nothing went in the clear");
    let ran = ask(&registry, &project, "check", "stable", &["--architecture", "amd64"]);
    assert_eq!(ran.code, 0, "{ran}");
}

#[test]
fn o_19_anyone_fetches_what_is_public() {
    // Everybody gets a token there, as at the large public registries.
    let access = Access::Bearer { basic: String::new(), uses: 100 };
    let abilities = Abilities { access, ..Abilities::default() };
    let (registry, project) = released_in(Registry::with(abilities, Box::new(|_| Action::Pass)));
    let more = ["--architecture", "amd64", "--stage", "stage"];
    let ran = ask(&registry, &project, "fetch", "stable", &more);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(project.read("stage/vmlinuz"), project.read("amd64/vmlinuz"));
    let signed_in = |request: &Request| request.header("authorization").starts_with("Basic ");
    assert!(!registry.requests().iter().any(signed_in), "there is nobody to sign in as");
    // What is not public says how to sign in.
    let access = Access::Basic("dXNlcjpzZWNyZXQ=".to_owned());
    let closed = Registry::with(Abilities { access, ..Abilities::default() }, Box::new(|_| Action::Pass));
    let ran = ask(&closed, &project, "check", "stable", &[]);
    assert!(ran.code == 1 && ran.stderr.contains(&format!("port login {}", closed.host())), "{ran}");
}

#[test]
fn o_30_small_documents_are_checked_by_size_and_digest() {
    let (registry, project) = released();
    let index = registry.manifest(REPOSITORY, "stable").unwrap();
    let text = String::from_utf8(index).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let entries = document["manifests"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["platform"]["architecture"] == "amd64").unwrap();
    let (digest, size) = (entry["digest"].as_str().unwrap(), entry["size"].as_u64().unwrap());
    let manifest = registry.manifest(REPOSITORY, digest).unwrap();
    let refused = |words: &[&str]| {
        for verb in [&["check"][..], &["fetch", "--stage", "stage"]] {
            let more = [&verb[1..], &["--architecture", "amd64"]].concat();
            let ran = ask(&registry, &project, verb[0], "stable", &more);
            assert!(
                ran.code == 1 && words.iter().all(|words| ran.stderr.contains(words)),
                "{words:?}\n{ran}"
            );
            assert!(!project.exists("stage"), "{ran}");
        }
    };
    // Other bytes than the descriptor's, of the same size and of another.
    let same_size = String::from_utf8(manifest.clone()).unwrap().replace("\"v0.3.0\"", "\"v0.3.9\"");
    let longer = format!("{same_size} ");
    for wrong in [same_size, longer] {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        registry.add_manifest(REPOSITORY, digest, media_type, wrong.as_bytes());
        refused(&[digest]);
    }
    // The right bytes, and a descriptor that says another size.
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    registry.add_manifest(REPOSITORY, digest, media_type, &manifest);
    let wrong = text.replace(&format!("\"size\":{size}"), &format!("\"size\":{}", size + 1));
    assert_ne!(wrong, text);
    let media_type = "application/vnd.oci.image.index.v1+json";
    registry.add_manifest(REPOSITORY, "stable", media_type, wrong.as_bytes());
    refused(&[digest, &format!("has {size} bytes: expected {}", size + 1)]);
}

#[test]
fn o_57_a_registry_needs_only_the_probe_manifests_and_blobs() {
    let (full, project) = released();
    let hook = move |request: &Request| {
        let path = request.target.as_str();
        let known = path == "/v2/" || path.contains("/manifests/") || path.contains("/blobs/sha256:");
        if request.method == "GET" && known { Action::Pass } else { Action::Answer(Reply::new(405, b"")) }
    };
    let abilities = Abilities { ranges: false, referrers: false, etags: false, ..Abilities::default() };
    let least = Registry::with(abilities, Box::new(hook));
    for name in ["stable", "v0.3.0", "v0.3.0-amd64", "v0.3.0-arm64"] {
        let bytes = full.manifest(REPOSITORY, name).unwrap();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        least.add_manifest(REPOSITORY, name, document["mediaType"].as_str().unwrap(), &bytes);
    }
    for architecture in ["amd64", "arm64"] {
        for file in ["vmlinuz", "kubesolo-os.gz"] {
            least.add_blob(&project.read(&format!("{architecture}/{file}")));
        }
    }
    for (tag, architecture) in [("stable", "amd64"), ("v0.3.0-arm64", "arm64")] {
        let more = ["--architecture", architecture];
        let ran = ask(&least, &project, "check", tag, &more);
        assert_eq!(ran.code, 0, "{ran}");
        let stage = format!("stage-{architecture}");
        let ran = ask(&least, &project, "fetch", tag, &[&more[..], &["--stage", &stage]].concat());
        assert_eq!(ran.code, 0, "{ran}");
        let published = project.read(&format!("{architecture}/vmlinuz"));
        assert_eq!(project.read(&format!("{stage}/vmlinuz")), published);
    }
}
