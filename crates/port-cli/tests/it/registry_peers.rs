//! What Port publishes, other clients read; what they publish, Port reads: the same bytes, each way, on each server.

use std::path::Path;

use port_testkit::peers::{self, Software};
use port_testkit::project::Project;
use serde_json::Value;

use crate::fixture::*;
use crate::registry::{ANONYMOUS, TAG, forget, noise, open_registry, registry_project};

const LENGTH: usize = 2_000_003;

/// Runs `check` with a published kernel on every server that is here: the project, `REGISTRY/REPOSITORY`, the bytes.
fn on_every_server(check: impl Fn(&Project, &str, &[u8])) {
    for software in Software::ALL {
        let Some(registry) = open_registry(software) else { continue };
        let project = registry_project(registry.address(), ANONYMOUS);
        let content = noise(LENGTH);
        project.write(LOCAL_KERNEL, &content);
        succeed(&project, "push", "tiny");
        check(&project, &format!("{}/port/tiny", registry.address()), &content);
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn same(found: &[u8], expected: &[u8]) {
    assert!(found == expected, "{} bytes came back for {}, not the same", found.len(), expected.len());
}

#[test]
fn oras_pulls_what_port_pushed() {
    let Some(oras) = peers::tool("oras") else { return };
    on_every_server(|project, repository, content| {
        let image = format!("{repository}:{TAG}");
        peers::run(&oras, &["pull", "--plain-http", "-o", "by-oras", &image], project.path());
        same(&project.read("by-oras/vmlinux"), content);
        let manifest =
            json(&peers::run(&oras, &["manifest", "fetch", "--plain-http", &image], project.path()));
        assert_eq!(manifest["artifactType"], "application/vnd.port.kernel.v1");
        // By the version, through the index.
        let by_version = format!("{repository}:v1");
        let arguments = ["pull", "--plain-http", "--platform", "linux/amd64", "-o", "by-index", &by_version];
        peers::run(&oras, &arguments, project.path());
        same(&project.read("by-index/vmlinux"), content);
    });
}

#[test]
fn crane_reads_what_port_pushed() {
    let Some(crane) = peers::tool("crane") else { return };
    on_every_server(|project, repository, content| {
        let image = format!("{repository}:{TAG}");
        let manifest = peers::run(&crane, &["manifest", "--insecure", &image], project.path());
        let digest = json(&manifest)["layers"][0]["digest"].as_str().unwrap().to_owned();
        let blob = format!("{repository}@{digest}");
        same(&peers::run(&crane, &["blob", "--insecure", &blob], project.path()), content);
        let layout = ["pull", "--insecure", "--format", "oci", &image, "by-crane"];
        peers::run(&crane, &layout, project.path());
        same(&project.read(&format!("by-crane/blobs/{}", digest.replace(':', "/"))), content);
        let index =
            peers::run(&crane, &["manifest", "--insecure", &format!("{repository}:v1")], project.path());
        let listed = json(&index)["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let said = peers::run(&crane, &["digest", "--insecure", &image], project.path());
        assert_eq!(String::from_utf8(said).unwrap().trim(), listed, "tag and index name one manifest");
    });
}

#[test]
fn regctl_reads_what_port_pushed() {
    let Some(regctl) = peers::tool("regctl") else { return };
    on_every_server(|project, repository, content| {
        let host = repository.split('/').next().unwrap();
        peers::run(&regctl, &["registry", "set", "--tls", "disabled", "--skip-check", host], project.path());
        let image = format!("{repository}:{TAG}");
        same(&peers::run(&regctl, &["artifact", "get", &image], project.path()), content);
        let tags = peers::run(&regctl, &["tag", "ls", repository], project.path());
        assert_eq!(String::from_utf8(tags).unwrap(), format!("v1\n{TAG}\n"));
    });
}

#[test]
fn skopeo_copies_what_port_pushed() {
    let Some(skopeo) = peers::tool("skopeo") else { return };
    on_every_server(|project, repository, content| {
        let image = format!("docker://{repository}:{TAG}");
        let raw = peers::run(&skopeo, &["inspect", "--tls-verify=false", "--raw", &image], project.path());
        let manifest = json(&raw);
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "vmlinux");
        let copy = ["--insecure-policy", "copy", "--src-tls-verify=false", &image, "oci:by-skopeo:x"];
        peers::run(&skopeo, &copy, project.path());
        let blob = format!("by-skopeo/blobs/{}", digest.replace(':', "/"));
        same(&project.read(&blob), content);
    });
}

#[test]
fn a_copy_by_skopeo_is_pulled_by_port() {
    let Some(skopeo) = peers::tool("skopeo") else { return };
    on_every_server(|project, repository, content| {
        let from = format!("docker://{repository}:{TAG}");
        let (host, _) = repository.split_once('/').unwrap();
        let to = format!("docker://{host}/copied/tiny:{TAG}");
        let copy =
            ["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to];
        peers::run(&skopeo, &copy, project.path());
        let other = with_configuration(&crate::registry::configuration(host, "copied/tiny", ANONYMOUS));
        succeed(&other, "pull", "tiny");
        same(&other.read(LOCAL_KERNEL), content);
    });
}

/// Deletes what is published by publishing over it: another client's manifest takes the variant's tag.
fn pulled_from(push: impl Fn(&Path, &str)) {
    for software in Software::ALL {
        let Some(registry) = open_registry(software) else { continue };
        let project = registry_project(registry.address(), ANONYMOUS);
        let content = noise(LENGTH);
        project.write("vmlinux", &content);
        push(project.path(), &format!("{}/port/tiny:{TAG}", registry.address()));
        let ran = succeed(&project, "pull", "tiny");
        assert!(ran.stdout.contains("bytes: 2000003\n"), "{software:?}\n{ran}");
        same(&project.read(LOCAL_KERNEL), &content);
        // And again with nothing to fetch.
        succeed(&project, "pull", "tiny");
        forget(&project);
        succeed(&project, "pull", "tiny");
        same(&project.read(LOCAL_KERNEL), &content);
    }
}

#[test]
fn port_pulls_what_oras_pushed() {
    let Some(oras) = peers::tool("oras") else { return };
    pulled_from(|directory, image| {
        peers::run(&oras, &["push", "--plain-http", image, "vmlinux"], directory);
    });
    pulled_from(|directory, image| {
        let kind = "application/vnd.port.kernel.v1";
        let layer = "vmlinux:application/vnd.port.kernel.v1+binary";
        peers::run(&oras, &["push", "--plain-http", "--artifact-type", kind, image, layer], directory);
    });
}

#[test]
fn port_pulls_what_regctl_pushed() {
    let Some(regctl) = peers::tool("regctl") else { return };
    pulled_from(|directory, image| {
        let host = image.split('/').next().unwrap();
        peers::run(&regctl, &["registry", "set", "--tls", "disabled", "--skip-check", host], directory);
        let kind = "application/vnd.port.kernel.v1";
        let arguments =
            ["artifact", "put", "--artifact-type", kind, "--file-title", "--file", "vmlinux", image];
        peers::run(&regctl, &arguments, directory);
    });
}

#[test]
fn a_manifest_of_another_client_with_more_than_one_file_is_no_guess() {
    let Some(oras) = peers::tool("oras") else { return };
    let Some(registry) = open_registry(Software::DockerRegistry) else { return };
    let project = registry_project(registry.address(), ANONYMOUS);
    project.write("one", b"one");
    project.write("two", b"two");
    let image = format!("{}/port/tiny:{TAG}", registry.address());
    peers::run(&oras, &["push", "--plain-http", &image, "one", "two"], project.path());
    let ran = artifacts(&project, "pull", "tiny");
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("vmlinux"), "the file that was expected is named\n{ran}");
    assert!(!project.exists(LOCAL_KERNEL));
}
