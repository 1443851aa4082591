//! `port update check` and `fetch`: what a tag offers to one machine, and its two files.

use std::path::Path;

use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;
use serde_json::Value;

use crate::update::publish_arguments;

const REPOSITORY: &str = "os/kubesolo";

/// A registry with a release for both architectures, under its version and the channel.
fn released() -> (Registry, Project) {
    let (registry, project) = (Registry::start(), Project::new(env!("CARGO_BIN_EXE_port")));
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
fn o_38_o_39_o_40_o_55_wrong_bytes_leave_nothing_behind() {
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
