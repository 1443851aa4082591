//! Several `port` processes at once.

use std::process::Child;

use port_testkit::registry::Registry;

use crate::fixture::*;
use crate::registry::{ANONYMOUS, TAG, forget, noise, registry_project};

#[test]
fn eight_processes_that_push_and_pull_one_artifact_all_succeed() {
    let project = project();
    project.write(LOCAL_KERNEL, vec![1; 3 << 20]);
    succeed(&project, "push", "tiny");
    let mut children: Vec<Child> = Vec::new();
    for round in 0..8 {
        let verb = if round % 2 == 0 { "push" } else { "pull" };
        let arguments = [&["artifacts", verb, "--artifact", "tiny"][..], &X86].concat();
        let mut command = project.command(&arguments);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        children.push(command.spawn().unwrap());
    }
    for child in children {
        let ran = project.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
    }
    assert_eq!(project.read(LOCAL_KERNEL), project.read(SHOP_KERNEL));
    assert_eq!(project.port(&["store", "verify"]).code, 0);
    let lane = project.path().join(SHOP_KERNEL).parent().unwrap().parent().unwrap().to_owned();
    assert_eq!(std::fs::read_dir(lane).unwrap().count(), 1, "no leftovers beside the published variant");
}

#[test]
fn builds_of_one_project_keep_each_others_lock_entries() {
    if !cfg!(target_arch = "x86_64") {
        port_testkit::skip::because("the tiny kernel is built on x86_64 only");
        return;
    }
    let more: String = (0..4)
        .map(|n| format!("[artifacts.kernels.k{n}]\nreference = {{ registry = \"r\", repository = \"k{n}\", version = \"v1\" }}\nvariants = [{{ path = \"k{n}/vmlinux\", selector = {{ architecture = \"x86_64\", substrate = \"firecracker\", protection_mode = \"standard\" }}, sources = [{{ kind = \"path\", path = \"source/vmlinux\" }}] }}]\n"))
        .collect();
    let project = with_configuration(&more);
    project.write("source/vmlinux", elf_kernel("race"));
    let children: Vec<Child> = (0..4)
        .map(|n| project.command(&["artifacts", "build", "--artifact", &format!("k{n}")]).spawn().unwrap())
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let lock = String::from_utf8(project.read("port.lock")).unwrap();
    for n in 0..4 {
        assert!(lock.contains(&format!("artifact = \"k{n}\"")), "{lock}");
    }
}

fn all_succeed(project: &port_testkit::project::Project, arguments: &[&str], count: usize) {
    let start = |_| {
        let mut command = project.command(arguments);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<Child> = (0..count).map(start).collect();
    for child in children {
        let ran = project.ran(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
    }
}

/// Files that are gathered, or were.
fn gathered(project: &port_testkit::project::Project, directory: &str) -> usize {
    std::fs::read_dir(project.path().join(directory)).map_or(0, Iterator::count)
}

#[test]
fn processes_that_pull_one_blob_from_a_registry_fetch_it_once() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    let content = noise(8 << 20);
    project.write(LOCAL_KERNEL, &content);
    succeed(&project, "push", "tiny");
    for round in 0..3 {
        forget(&project);
        let before = registry.traffic().1;
        all_succeed(&project, &[&["artifacts", "pull", "--artifact", "tiny"][..], &X86].concat(), 6);
        assert!(project.read(LOCAL_KERNEL) == content, "round {round}");
        let fetched = registry.traffic().1 - before;
        assert!(fetched < content.len() as u64 * 3 / 2, "round {round}: {fetched} bytes came");
        assert_eq!(gathered(&project, ".port/store/partial"), 0, "round {round}: nothing stays behind");
        assert_eq!(project.port(&["store", "verify"]).code, 0, "round {round}");
    }
}

#[test]
fn processes_that_copy_one_blob_into_a_layout_fetch_it_once() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    let content = noise(8 << 20);
    project.write(LOCAL_KERNEL, &content);
    succeed(&project, "push", "tiny");
    let from = format!("{}/port/tiny:{TAG}", registry.host());
    for round in 0..3 {
        let before = registry.traffic().1;
        let to = format!("oci:out{round}:v1");
        // The directory is made first: who finds one half made says that it is none.
        let manifest = ["artifacts", "copy", "--plain-http", &from, &to];
        std::fs::create_dir_all(project.path().join(format!("out{round}/blobs"))).unwrap();
        project.write(&format!("out{round}/oci-layout"), b"{\"imageLayoutVersion\":\"1.0.0\"}");
        all_succeed(&project, &manifest, 6);
        let fetched = registry.traffic().1 - before;
        assert!(fetched < content.len() as u64 * 3 / 2, "round {round}: {fetched} bytes came");
        assert_eq!(gathered(&project, &format!("out{round}/.partial")), 0, "round {round}");
    }
}
