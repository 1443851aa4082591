//! A version that has its index and no tags of variants, as another tool copies it: pull goes through the index.

use port_testkit::project::Project;
use port_testkit::registry::Registry;
use serde_json::Value;

use crate::fixture::*;
use crate::registry::{ANONYMOUS, TAG, forget, noise, registry_project};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry that has `port/tiny:v1` of two architectures as an index alone, and the content of x86_64.
fn copied_without_tags() -> (Registry, Vec<u8>) {
    let (one, two) = (Registry::start(), Registry::start());
    let project = registry_project(one.host(), ANONYMOUS);
    let content = noise(100_000);
    project.write(LOCAL_KERNEL, &content);
    project.write("k/aarch64/standard/vmlinux", b"arm");
    succeed(&project, "push", "tiny");
    let arm = ["artifacts", "push", "--artifact", "tiny", "--architecture", "aarch64"];
    assert_eq!(project.port(&arm).code, 0);
    let (from, to) = (format!("{}/port/tiny:v1", one.host()), format!("{}/port/tiny:v1", two.host()));
    let ran = project.port(&["artifacts", "copy", "--plain-http", &from, &to]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(two.manifest("port/tiny", TAG).is_none());
    (two, content)
}

/// Another index in its place.
fn with_index(registry: &Registry, change: impl Fn(&mut Vec<Value>)) {
    let mut index: Value = serde_json::from_slice(&registry.manifest("port/tiny", "v1").unwrap()).unwrap();
    change(index["manifests"].as_array_mut().unwrap());
    registry.add_manifest("port/tiny", "v1", INDEX, index.to_string().as_bytes());
}

fn refused(project: &Project, arguments: &[&str], code: i32, reasons: &[&str]) {
    let ran = project.port(arguments);
    assert_eq!(ran.code, code, "{ran}");
    for reason in reasons {
        assert!(ran.stderr.contains(reason), "should say `{reason}`\n{ran}");
    }
    assert!(!project.exists("k"), "{ran}");
}

#[test]
fn a_variant_without_a_tag_is_found_through_the_index() {
    let (registry, content) = copied_without_tags();
    let project = registry_project(registry.host(), ANONYMOUS);
    succeed(&project, "pull", "tiny");
    assert!(project.read(LOCAL_KERNEL) == content);
    forget(&project);
    let ran = project.port(&["artifacts", "pull", "--artifact", "tiny", "--all-variants"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(project.read("k/aarch64/standard/vmlinux") == b"arm");
    forget(&project);
    let remote = [&["artifacts", "inspect", "--artifact", "tiny", "--remote"][..], &X86].concat();
    let ran = project.port(&remote);
    assert!(ran.code == 0 && ran.stdout.contains("vmlinux"), "{ran}");
    let ran = artifacts(&project, "referrers", "tiny");
    assert!(ran.code == 0 && ran.stdout.starts_with("nothing refers to"), "{ran}");
}

#[test]
fn a_tag_comes_before_the_index() {
    let (registry, content) = copied_without_tags();
    let index: Value = serde_json::from_slice(&registry.manifest("port/tiny", "v1").unwrap()).unwrap();
    let mut entries = index["manifests"].as_array().unwrap().iter();
    let entry = entries.find(|entry| entry["platform"]["architecture"] == "amd64").unwrap();
    let manifest = registry.manifest("port/tiny", entry["digest"].as_str().unwrap()).unwrap();
    registry.add_manifest("port/tiny", TAG, MANIFEST, &manifest);
    with_index(&registry, Vec::clear);
    let project = registry_project(registry.host(), ANONYMOUS);
    succeed(&project, "pull", "tiny");
    assert!(project.read(LOCAL_KERNEL) == content);
}

#[test]
fn p_82_no_other_variant_of_the_index_serves_and_the_refusal_lists_what_exists() {
    let (registry, _) = copied_without_tags();
    let is_arm = |entry: &Value| entry["platform"]["architecture"] == "arm64";
    with_index(&registry, |entries| entries.retain(is_arm));
    let project = registry_project(registry.host(), ANONYMOUS);
    let pull = [&["artifacts", "pull", "--artifact", "tiny"][..], &X86].concat();
    let found = "found: kernel aarch64/firecracker/standard";
    refused(&project, &pull, 5, &["no kernel of the index matches `x86_64/firecracker/standard`", found]);
    let referrers = [&["artifacts", "referrers", "--artifact", "tiny"][..], &X86].concat();
    refused(&project, &referrers, 5, &[found]);
    // The same platform, another substrate, mode or class: somebody else's.
    for (key, value) in [
        ("vnd.port.substrate", "qemu"),
        ("vnd.port.protection-mode", "pvm"),
        ("vnd.port.protection-mode", "none"),
        ("vnd.port.class", "guest-image"),
    ] {
        let (registry, _) = copied_without_tags();
        with_index(&registry, |entries| {
            for entry in entries {
                entry["annotations"][key] = value.into();
            }
        });
        let project = registry_project(registry.host(), ANONYMOUS);
        refused(&project, &pull, 5, &["no kernel of the index matches `x86_64/firecracker/standard`"]);
    }
}

#[test]
fn an_index_that_lies_is_not_believed() {
    let pull = [&["artifacts", "pull", "--artifact", "tiny"][..], &X86].concat();
    // Says of the other architecture's manifest that it is this one.
    let (registry, _) = copied_without_tags();
    with_index(&registry, |entries| {
        entries.retain(|entry| entry["platform"]["architecture"] == "arm64");
        entries[0]["platform"]["architecture"] = "amd64".into();
    });
    let project = registry_project(registry.host(), ANONYMOUS);
    refused(&project, &pull, 1, &["it was made for `aarch64/firecracker/standard`"]);
    // Has two of this variant, or says another size, or names what is not there.
    let (registry, _) = copied_without_tags();
    with_index(&registry, |entries| {
        for entry in entries {
            entry["platform"]["architecture"] = "amd64".into();
        }
    });
    let project = registry_project(registry.host(), ANONYMOUS);
    refused(&project, &pull, 1, &["expected one, found sha256:"]);
    let (registry, _) = copied_without_tags();
    with_index(&registry, |entries| {
        for entry in entries {
            entry["size"] = 7.into();
        }
    });
    let project = registry_project(registry.host(), ANONYMOUS);
    refused(&project, &pull, 1, &["the index says 7"]);
    let (registry, _) = copied_without_tags();
    with_index(&registry, |entries| {
        for entry in entries {
            entry["digest"] = format!("sha256:{}", "0".repeat(64)).into();
        }
    });
    let project = registry_project(registry.host(), ANONYMOUS);
    refused(&project, &pull, 5, &["sha256:0000"]);
}

#[test]
fn a_version_that_is_no_index_says_nothing_of_variants() {
    let (registry, _) = copied_without_tags();
    let index: Value = serde_json::from_slice(&registry.manifest("port/tiny", "v1").unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let manifest = registry.manifest("port/tiny", digest).unwrap();
    registry.add_manifest("port/tiny", "v1", MANIFEST, &manifest);
    let project = registry_project(registry.host(), ANONYMOUS);
    let pull = [&["artifacts", "pull", "--artifact", "tiny"][..], &X86].concat();
    refused(&project, &pull, 5, &[TAG, "push it first"]);
    let empty = registry_project(Registry::start().host(), ANONYMOUS);
    refused(&empty, &pull, 5, &[TAG, "push it first"]);
}

#[test]
fn a_tag_that_no_index_lists_is_taken_from_nobody() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    project.write(LOCAL_KERNEL, b"one");
    succeed(&project, "push", "tiny");
    let published = registry.manifest("port/tiny", TAG).unwrap();
    with_index(&registry, Vec::clear);
    project.write(LOCAL_KERNEL, b"two");
    for strategy in ["merge", "exit"] {
        let ran = project.port(&["artifacts", "push", "--artifact", "tiny", "--strategy", strategy]);
        assert!(ran.code == 1 && ran.stderr.contains("already published as sha256:"), "{ran}");
        assert!(registry.manifest("port/tiny", TAG).unwrap() == published);
    }
    // The same content only lacks its entry.
    project.write(LOCAL_KERNEL, b"one");
    succeed(&project, "push", "tiny");
    with_index(&registry, Vec::clear);
    project.write(LOCAL_KERNEL, b"two");
    let ran = project.port(&["artifacts", "push", "--artifact", "tiny", "--overwrite"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(registry.manifest("port/tiny", TAG).unwrap() != published);
}
