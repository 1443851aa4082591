//! Several publishers of one version at once, each with another variant.

use std::process::{Child, Stdio};

use port_testkit::peers::{Access, Registry as Peer, Security, Software};
use port_testkit::project::Project;
use port_testkit::registry::{Abilities, Action, Registry};
use serde_json::Value;

use crate::fixture::with_configuration;

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
