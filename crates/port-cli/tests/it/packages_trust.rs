//! Policies and packages: what they do not take is neither fetched nor run, and where nobody asks nothing is asked for.

use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;

use crate::packages::{json, pack_with, packages, project};
use crate::trust::{done, key};

const SIGNED: &str = "version = 1\n[keys]\nalice = { path = \"a.pub\" }\n[[rules]]\nreferences = [\"*/team/*\"]\nkeys = [\"alice\"]\n";
const NOTHING: &str = "version = 1\n";
/// A target that nothing boots, so that what is taken goes no further.
const XEN: [&str; 6] = ["--kernel", "kernel", "--architecture", "x86_64", "--platform", "xen"];

fn run(project: &Project, name: &str) -> Ran {
    project.port(&["run", "--package", name, "--architecture", "x86_64", "--plain-http"])
}

fn pull(project: &Project, name: &str, more: &[&str]) -> Ran {
    project.port(&[&["packages", "pull", name, "--plain-http"], more].concat())
}

/// A package in a registry, and somebody with a key.
fn published() -> (Registry, Project, String) {
    let (registry, here) = (Registry::start(), project());
    let name = format!("{}/team/hello:1", registry.host());
    json(&pack_with(&here, &name, &XEN));
    packages(&here, &["push", &name, "--plain-http"]);
    key(&here, "a.key", "p256");
    (registry, here, name)
}

#[track_caller]
fn refused(ran: &Ran, reason: &str) {
    assert!(ran.code == 3 && ran.stderr.contains(reason), "should say `{reason}`\n{ran}");
}

#[test]
fn what_no_policy_takes_is_neither_fetched_nor_run() {
    let (registry, _here, name) = published();
    let there = project();
    there.write("trust.toml", NOTHING);
    let before = registry.requests().len();
    for ran in [
        run(&there, &name),
        pull(&there, &name, &[]),
        pull(&there, &name, &["--workdir", "out"]),
        pack_with(&there, "mine", &["--from", &name, "--plain-http"]),
    ] {
        refused(&ran, "refusing `");
    }
    let asked = registry.requests().split_off(before);
    assert!(
        asked.iter().all(|request| request.target.ends_with("/manifests/1")),
        "the index alone: {asked:?}"
    );
    assert!(packages(&there, &["list"]).as_array().unwrap().is_empty() && !there.exists("out"));
    // What is packed here is asked about when it is run, and not before.
    json(&pack_with(&there, "local", &XEN));
    refused(&run(&there, "local"), "refusing `unikraft.org/local");
    // The machine's policy alone says the same.
    there.write("policy.toml", NOTHING);
    std::fs::remove_file(there.path().join("trust.toml")).unwrap();
    let mut command = there.command(&["run", "--package", "local", "--architecture", "x86_64"]);
    let ran = there.ran(command.env("PORT_TRUST_POLICY", "policy.toml").output().unwrap());
    refused(&ran, "refusing `unikraft.org/local");
    let ran = run(&there, "local");
    assert!(ran.code == 1 && ran.stderr.contains("packed for xen/x86_64"), "nobody asks: {ran}");
}

#[test]
fn what_is_signed_is_fetched_and_asked_about_again_when_it_runs() {
    let (registry, here, name) = published();
    let there = project();
    there.write("a.pub", here.read("a.pub"));
    there.write("trust.toml", SIGNED);
    refused(&pull(&there, &name, &[]), "0 of 1 required signatures are valid");
    refused(&run(&there, &name), "0 of 1 required signatures are valid");
    let sign = ["artifacts", "sign", &name, "--plain-http", "--key", "a.key"];
    done(&here, &sign);
    refused(&pull(&there, &name, &[]), "0 of 1 required signatures are valid");
    // Who is asked about is the target's manifest.
    done(&here, &[&sign[..], &["--recursive"]].concat());
    let ran = run(&there, &name);
    assert!(ran.code == 1 && ran.stderr.contains("packed for xen/x86_64"), "taken: {ran}");
    assert_eq!(pull(&there, &name, &["--workdir", "out"]).code, 0);
    assert_eq!(there.read("out/unikraft/bin/kernel"), b"the kernel");
    // It is here, and its name is another's key's: asked again.
    key(&there, "b.key", "p256");
    there.write("trust.toml", SIGNED.replace("a.pub", "b.pub"));
    refused(&run(&there, &name), "0 of 1 required signatures are valid");
    drop(registry);
}
