//! Several publishers of one version at once, each with another variant.

use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use port_testkit::peers::{Access, Registry as Peer, Security, Software};
use port_testkit::project::Project;
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};
use serde_json::Value;

use crate::fixture::with_configuration;
use crate::registry::noise;

/// Every variant that has no PVM in it: eight.
fn variants() -> Vec<(String, String)> {
    let architectures = ["x86_64", "aarch64"];
    let substrates = ["firecracker", "cloud-hypervisor", "qemu", "avf"];
    architectures.iter().flat_map(|a| substrates.iter().map(|s| ((*a).to_owned(), (*s).to_owned()))).collect()
}

fn publisher(registry: &str) -> Project {
    let backend =
        "{ backend = \"oci-registry\", transport = \"plain-http\", auth = { kind = \"anonymous\" } }";
    let mut text = format!(
        "[artifacts.kernels.tiny]\nreference = {{ registry = \"{registry}\", repository = \"port/tiny\", version = \"v1\" }}\n\
         distribution = {{ push = {backend}, pull = {backend} }}\n"
    );
    text += "variants = [\n";
    for (architecture, substrate) in variants() {
        text += &format!(
            "  {{ path = \"{architecture}/{substrate}/vmlinux\", selector = {{ architecture = \"{architecture}\", substrate = \"{substrate}\", protection_mode = \"standard\" }} }},\n"
        );
    }
    with_configuration(&(text + "]\n"))
}

/// Eight processes in eight directories, as eight CI jobs would be, publish their variant at the same moment.
fn all_at_once(registry: &str) {
    let jobs: Vec<(Project, Vec<String>)> = variants()
        .into_iter()
        .map(|(architecture, substrate)| {
            let job = publisher(registry);
            job.write(&format!("{architecture}/{substrate}/vmlinux"), format!("{architecture} {substrate}"));
            let flag = architecture.replace('_', "-");
            let arguments = [
                "artifacts",
                "push",
                "--artifact",
                "tiny",
                "--architecture",
                &flag,
                "--substrate",
                &substrate,
            ];
            (job, arguments.map(str::to_owned).to_vec())
        })
        .collect();
    let children: Vec<(usize, Child)> = jobs
        .iter()
        .enumerate()
        .map(|(number, (job, arguments))| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut command = job.command(&arguments);
            (number, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (number, child) in children {
        let ran = jobs[number].0.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
    }
    // Each variant is in the index and comes back with its own bytes.
    let reader = publisher(registry);
    let ran = reader.port(&["artifacts", "pull", "--artifact", "tiny", "--all-variants", "--format", "json"]);
    assert_eq!(ran.code, 0, "{ran}");
    for (architecture, substrate) in variants() {
        let bytes = reader.read(&format!("{architecture}/{substrate}/vmlinux"));
        assert_eq!(bytes, format!("{architecture} {substrate}").into_bytes());
    }
}

fn entries(index: &[u8]) -> usize {
    let index: Value = serde_json::from_slice(index).unwrap();
    index["manifests"].as_array().unwrap().len()
}

#[test]
fn eight_publishers_of_one_version_end_with_all_variants_in_the_index() {
    let registry =
        Registry::with(Abilities { etags: false, ..Abilities::default() }, Box::new(|_| Action::Pass));
    all_at_once(registry.host());
    assert_eq!(entries(&registry.manifest("port/tiny", "v1").unwrap()), 8);
}

#[test]
fn the_same_at_docker_registry_which_knows_no_conditions() {
    let Some(registry) = Peer::start(Software::DockerRegistry, Access::Open, Security::Plain) else { return };
    all_at_once(registry.address());
    let Some(curl) = port_testkit::skip::tool("curl", "curl") else { return };
    let index = std::process::Command::new(curl)
        .args(["-sf", "-H", "Accept: application/vnd.oci.image.index.v1+json"])
        .arg(format!("http://{}/v2/port/tiny/manifests/v1", registry.address()))
        .output()
        .unwrap();
    assert_eq!(entries(&index.stdout), 8);
}

#[test]
fn an_existing_variant_is_replaced_only_where_that_was_asked_for() {
    let registry = Registry::start();
    let project = publisher(registry.host());
    let push = |more: &[&str]| {
        let arguments = ["artifacts", "push", "--artifact", "tiny", "--architecture", "x86-64"];
        project.port(&[&arguments[..], more].concat())
    };
    project.write("x86_64/firecracker/vmlinux", b"one");
    assert_eq!(push(&[]).code, 0);
    assert_eq!(push(&["--strategy", "exit"]).code, 0, "the same content again is no conflict");
    project.write("x86_64/firecracker/vmlinux", b"two");
    let ran = push(&[]);
    assert!(ran.code == 1 && ran.stderr.contains("already published as sha256:"), "{ran}");
    let ran = push(&["--strategy", "exit"]);
    assert!(ran.code == 1 && ran.stderr.contains("strategy `exit`"), "{ran}");
    assert_eq!(push(&["--overwrite"]).code, 0);
    assert_eq!(entries(&registry.manifest("port/tiny", "v1").unwrap()), 1);
}

/// Somebody else publishes the same variant between this push's first look at the index and its writing.
#[test]
fn a_push_that_the_index_refuses_in_the_end_takes_the_tag_from_nobody() {
    const TAG: &str = "v1-x86_64-firecracker-standard";
    let push = |project: &Project, content: &[u8]| {
        project.write("x86_64/firecracker/vmlinux", content);
        let arguments = ["artifacts", "push", "--artifact", "tiny", "--architecture", "x86-64"];
        project.port(&[&arguments[..], &["--substrate", "firecracker"]].concat())
    };
    let faster = Registry::start();
    assert_eq!(push(&publisher(faster.host()), b"theirs").code, 0);
    let theirs = faster.manifest("port/tiny", "v1").unwrap();
    let sent = AtomicBool::new(false);
    let hook = move |request: &Request| {
        if request.method == "PUT" && request.target.contains("/blobs/uploads/") {
            sent.store(true, Ordering::SeqCst);
        }
        if request.method != "GET" || request.target != "/v2/port/tiny/manifests/v1" {
            return Action::Pass;
        }
        if !sent.load(Ordering::SeqCst) {
            return Action::Pass;
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        Action::Answer(Reply::new(200, &theirs).header("content-type", media_type))
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    let ran = push(&publisher(registry.host()), b"ours");
    assert!(ran.code == 1 && ran.stderr.contains("already published as sha256:"), "{ran}");
    assert_eq!(registry.manifest("port/tiny", TAG), None, "who pulls looks at the tag first");
}

/// Two artifacts with the same content, in two repositories of one registry.
fn twins(registry: &str) -> Project {
    let backend =
        "{ backend = \"oci-registry\", transport = \"plain-http\", auth = { kind = \"anonymous\" } }";
    let artifact = |name: &str| {
        format!(
            "[artifacts.kernels.{name}]\nreference = {{ registry = \"{registry}\", repository = \"port/{name}\", version = \"v1\" }}\n\
             distribution = {{ push = {backend}, pull = {backend} }}\n\
             variants = [{{ path = \"{name}/vmlinux\", selector = {{ architecture = \"x86_64\", substrate = \"firecracker\", protection_mode = \"standard\" }} }}]\n"
        )
    };
    let project = with_configuration(&(artifact("one") + &artifact("two")));
    for name in ["one", "two"] {
        project.write(&format!("{name}/vmlinux"), noise(3 << 20));
    }
    project
}

fn moved(report: &Value) -> u64 {
    let transfer = report.get(0).or_else(|| report["artifacts"].get(0)).unwrap_or(report);
    transfer["moved_bytes"].as_u64().unwrap_or_else(|| panic!("{report}"))
}

fn push_json(project: &Project, name: &str) -> Value {
    let ran = project.port(
        &[&["artifacts", "push", "--artifact", name, "--format", "json"][..], &crate::fixture::X86].concat(),
    );
    assert_eq!(ran.code, 0, "{ran}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn what_another_repository_of_the_registry_has_is_mounted() {
    // This registry keeps blobs for all repositories, and is made to say that the second has none.
    let hook = |request: &Request| match request.method.as_str() {
        "HEAD" if request.target.starts_with("/v2/port/two/blobs/") => Action::Answer(Reply::new(404, b"")),
        _ => Action::Pass,
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    let project = twins(registry.host());
    let before = push_json(&project, "one");
    assert!(moved(&before) >= 3 << 20, "{before}");
    let after = push_json(&project, "two");
    assert!(moved(&after) < 64 << 10, "{after}");
    let asked = registry.requests();
    let mounts = asked.iter().filter(|request| request.target.contains("from=port%2Fone")).count();
    assert!(mounts > 0, "{:?}", asked.iter().map(|request| &request.target).collect::<Vec<_>>());
}

#[test]
fn a_mount_that_is_refused_is_no_reason_to_fail() {
    for status in [202, 403, 404] {
        let hook = move |request: &Request| match request.method.as_str() {
            "HEAD" if request.target.starts_with("/v2/port/two/blobs/") => {
                Action::Answer(Reply::new(404, b""))
            }
            "POST" if request.target.contains("mount=") && status != 202 => {
                Action::Answer(Reply::new(status, b""))
            }
            _ => Action::Pass,
        };
        let registry = Registry::with(Abilities::default(), Box::new(hook));
        let project = twins(registry.host());
        push_json(&project, "one");
        if status == 202 {
            // It has lost the blob: then a mount begins an upload.
            let digest = port_content::hashing::digest_of(&noise(3 << 20)).to_string();
            registry.lose_blob(&digest);
        }
        let after = push_json(&project, "two");
        assert!(moved(&after) >= 3 << 20, "{status}: {after}");
    }
}

#[test]
fn docker_registry_mounts_what_another_repository_has() {
    let Some(registry) = Peer::start(Software::DockerRegistry, Access::Open, Security::Plain) else { return };
    let project = twins(registry.address());
    assert!(moved(&push_json(&project, "one")) >= 3 << 20);
    let after = push_json(&project, "two");
    assert!(moved(&after) < 64 << 10, "{after}");
}

/// Docker's registry says so while somebody pushes one of the index's manifests once more.
#[test]
fn an_index_that_lacks_a_manifest_for_a_moment_is_offered_again() {
    let refused = std::sync::atomic::AtomicUsize::new(0);
    let hook = move |request: &Request| {
        let index = request.method == "PUT" && request.target == "/v2/port/one/manifests/v1";
        if index && refused.fetch_add(1, Ordering::SeqCst) < 2 {
            let body = br#"{"errors":[{"code":"DIGEST_INVALID"},{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#;
            return Action::Answer(Reply::new(400, body));
        }
        Action::Pass
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    push_json(&twins(registry.host()), "one");
    assert_eq!(entries(&registry.manifest("port/one", "v1").unwrap()), 1);
}
