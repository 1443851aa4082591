//! Keys, signatures and policies, as a user has them: signed here, asked for by pull and run, refused with exit code 3.

use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};

use crate::copy::{INDEX, MANIFEST, copied, descriptor, manifest, name};
use crate::fixture::*;
use crate::registry::{ANONYMOUS, TAG, forget, registry_project};

/// Runs `port` with the passphrase of every key of these tests.
pub fn port(project: &Project, arguments: &[&str]) -> Ran {
    let mut command = project.command(arguments);
    command.env("PORT_KEY_PASSPHRASE", "secret");
    project.ran(command.output().unwrap())
}

#[track_caller]
pub fn done(project: &Project, arguments: &[&str]) -> Ran {
    let ran = port(project, arguments);
    assert_eq!(ran.code, 0, "{arguments:?}\n{ran}");
    ran
}

pub fn key(project: &Project, file: &str, kind: &str) {
    done(project, &["keys", "generate", "--type", kind, "--output", file]);
}

/// A registry with the kernel `tiny` of a project, which has the keys `a` and `b`.
fn published() -> (Registry, Project) {
    published_at(Registry::start())
}

fn published_at(registry: Registry) -> (Registry, Project) {
    let project = registry_project(registry.host(), ANONYMOUS);
    project.write(LOCAL_KERNEL, elf_kernel("a"));
    succeed(&project, "push", "tiny");
    key(&project, "a.key", "p256");
    key(&project, "b.key", "ed25519");
    (registry, project)
}

const POLICY: &str = r#"
version = 1
[keys]
alice = { path = "a.pub" }
bob = { path = "b.pub" }
[[rules]]
references = ["*/port/*"]
keys = ["alice", "bob"]
threshold = THRESHOLD
"#;

fn policy(project: &Project, threshold: u32) {
    project.write("trust.toml", POLICY.replace("THRESHOLD", &threshold.to_string()));
}

fn sign(project: &Project, key: &str, more: &[&str]) -> serde_json::Value {
    let arguments =
        [&["artifacts", "sign", "--artifact", "tiny", "--key", key, "--format", "json"][..], &X86, more];
    serde_json::from_str(&done(project, &arguments.concat()).stdout).unwrap()
}

/// Pulls anew, into a place where nothing lies.
fn pull(project: &Project) -> Ran {
    forget(project);
    artifacts(project, "pull", "tiny")
}

#[track_caller]
fn refused(project: &Project, expected: &str) -> Ran {
    let ran = pull(project);
    assert_eq!(ran.code, 3, "{ran}");
    assert!(ran.stderr.contains(expected), "should say `{expected}`\n{ran}");
    assert!(!project.exists(LOCAL_KERNEL) && !project.exists(".port/cache"), "something was written\n{ran}");
    ran
}

#[test]
fn keys_are_made_listed_and_never_overwritten() {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    key(&project, "keys/one.key", "p256");
    key(&project, "keys/two.key", "ed25519");
    let text = String::from_utf8(project.read("keys/one.key")).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"), "{text}");
    let mode = |file: &str| {
        std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(project.path().join(file)).unwrap().permissions(),
        )
    };
    assert_eq!((mode("keys/one.key") & 0o777, mode("keys/one.pub") & 0o777), (0o600, 0o644));
    let again = port(&project, &["keys", "generate", "--output", "keys/one.key"]);
    assert_eq!(again.code, 2, "{again}");
    assert!(again.stderr.contains("a key is never overwritten"), "{again}");
    assert_eq!(project.read("keys/one.key"), text.as_bytes());
    project.write("keys/bad.pub", "no key");
    let list = done(&project, &["keys", "list", "keys", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    let kinds: Vec<_> = list["keys"].as_array().unwrap().iter().map(|key| key["kind"].as_str()).collect();
    assert_eq!(kinds, [None, Some("p256"), Some("p256"), Some("ed25519"), Some("ed25519")], "{list}");
    assert_eq!(list["keys"][1]["fingerprint"], list["keys"][2]["fingerprint"]);
    let asked = project.port(&["keys", "generate", "--output", "keys/three.key"]);
    assert_eq!(asked.code, 2, "{asked}");
    assert!(asked.stderr.contains("no terminal to ask for the passphrase"), "{asked}");
}

#[test]
fn what_is_signed_is_pulled_and_what_is_not_is_refused() {
    let (_registry, project) = published();
    policy(&project, 1);
    refused(&project, "0 of 1 required signatures are valid");
    for form in ["tag", "referrer"] {
        let report = sign(&project, "a.key", &["--form", form]);
        assert_eq!(report["signed"][0]["tag"].is_string(), form == "tag", "{report}");
        let ran = pull(&project);
        assert_eq!(ran.code, 0, "{ran}");
    }
    policy(&project, 2);
    let ran = refused(&project, "1 of 2 required signatures is valid");
    assert!(ran.stderr.contains("by `alice`: does not count again: a key counts once"), "{ran}");
    sign(&project, "b.key", &[]);
    assert_eq!(pull(&project).code, 0);
}

#[test]
fn signing_again_changes_nothing_and_signing_by_others_adds() {
    let (registry, project) = published();
    let report = sign(&project, "a.key", &[]);
    let tag = report["signed"][0]["tag"].as_str().unwrap();
    let first = registry.manifest("port/tiny", tag).unwrap();
    assert_eq!(sign(&project, "a.key", &[]), report);
    assert_eq!(registry.manifest("port/tiny", tag).unwrap(), first);
    sign(&project, "b.key", &[]);
    let manifest: serde_json::Value =
        serde_json::from_slice(&registry.manifest("port/tiny", tag).unwrap()).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2, "{manifest}");
    let listed = project.port(&["artifacts", "referrers", "--artifact", "tiny", "--architecture", "x86-64"]);
    assert_eq!(listed.stdout.matches("application/vnd.dev.sigstore.bundle.v0.3+json").count(), 2, "{listed}");
}

/// Four owners of keys sign at once, each in both forms; nobody's signature is lost.
#[test]
fn who_signs_at_the_same_time_loses_nothing() {
    let (registry, project) = published();
    key(&project, "c.key", "p256");
    key(&project, "d.key", "ed25519");
    let keys = ["a.key", "b.key", "c.key", "d.key"];
    std::thread::scope(|scope| {
        for key in keys {
            let project = &project;
            scope.spawn(move || sign(project, key, &[]));
        }
    });
    let place = format!("{}/port/tiny:{TAG}", registry.host());
    let mut arguments =
        vec!["artifacts", "verify", "--plain-http", &place, "--threshold", "4", "--format", "json"];
    let public = keys.map(|key| key.replace(".key", ".pub"));
    arguments.extend(public.iter().flat_map(|file| ["--key", file]));
    let report: serde_json::Value = serde_json::from_str(&done(&project, &arguments).stdout).unwrap();
    assert_eq!(report["verdicts"][0]["findings"].as_array().unwrap().len(), 8, "{report}");
}

#[test]
fn verify_explains_in_words_and_in_json() {
    let (registry, project) = published();
    sign(&project, "b.key", &["--form", "tag"]);
    let place = format!("{}/port/tiny:{TAG}", registry.host());
    let verify = |more: &[&str]| {
        port(&project, &[&["artifacts", "verify", "--plain-http", &place][..], more].concat())
    };
    let good = verify(&["--key", "b.pub"]);
    assert_eq!(good.code, 0, "{good}");
    assert!(good.stdout.starts_with("trusted: "), "{good}");
    let bad = verify(&["--key", "a.pub", "--explain"]);
    assert_eq!(bad.code, 3, "{bad}");
    assert!(
        bad.stdout.contains("layer 1: by nobody known: does not count: no key that counts made it"),
        "{bad}"
    );
    let two = verify(&["--key", "a.pub", "--key", "b.pub", "--threshold", "2", "--format", "json"]);
    assert_eq!(two.code, 3, "{two}");
    let report: serde_json::Value = serde_json::from_str(&two.stdout).unwrap();
    assert_eq!(report["trusted"], false);
    assert_eq!(
        (&report["verdicts"][0]["signed_by"], &report["verdicts"][0]["threshold"]),
        (&1.into(), &2.into())
    );
    assert_eq!(report["verdicts"][0]["findings"][0]["outcome"]["outcome"], "counted", "{report}");
    let nothing = verify(&[]);
    assert_eq!(nothing.code, 2, "{nothing}");
    assert_eq!(verify(&["--key", "a.pub", "--threshold", "2"]).code, 2);
    let wrong = port(&project, &["artifacts", "sign", "--plain-http", &place, "--key", "a.pub"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("wrong kind of key file"), "{wrong}");
    let mut command = project.command(&["artifacts", "sign", "--plain-http", &place, "--key", "a.key"]);
    let wrong = project.ran(command.env("PORT_KEY_PASSPHRASE", "another").output().unwrap());
    assert!(wrong.code == 1 && wrong.stderr.contains("the passphrase does not open the key"), "{wrong}");
}

#[test]
fn a_policy_with_a_slip_trusts_nothing() {
    let (_registry, project) = published();
    sign(&project, "a.key", &[]);
    project.write(
        "trust.toml",
        POLICY.replace("THRESHOLD", "1").replace("keys = [\"alice\"", "keys = [\"alcie\""),
    );
    let ran = pull(&project);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("there is no key `alcie` (did you mean `alice`?)"), "{ran}");
}

/// The machine's policy holds beside the project's, and the project cannot take anything back.
#[test]
fn the_machines_policy_holds_too() {
    let (_registry, project) = published();
    policy(&project, 1);
    sign(&project, "a.key", &[]);
    project.write(
        "machine.toml",
        "version = 1\n[[rules]]\nreferences = [\"*/port/tiny\"]\naccept = \"nothing\"\n",
    );
    forget(&project);
    let mut command = project.command(&[&["artifacts", "pull", "--artifact", "tiny"][..], &X86].concat());
    let ran = project.ran(command.env("PORT_TRUST_POLICY", "machine.toml").output().unwrap());
    assert_eq!(ran.code, 3, "{ran}");
    assert!(
        ran.stderr.contains("rule 1 of `machine.toml` (`*/port/tiny`) takes nothing of this name"),
        "{ran}"
    );
}

/// A file-system store has no signatures, so a policy that asks for them takes nothing from there.
#[test]
fn what_cannot_be_signed_is_refused() {
    let project = project();
    project.write(LOCAL_KERNEL, elf_kernel("a"));
    succeed(&project, "push", "tiny");
    key(&project, "a.key", "p256");
    key(&project, "b.key", "p256");
    policy(&project, 1);
    refused(&project, "only registries and OCI layouts have them");
    project.write(
        "trust.toml",
        "version = 1\n[[rules]]\nreferences = [\"demo-fs/**\"]\naccept = \"unsigned\"\n",
    );
    assert_eq!(pull(&project).code, 0);
}

/// T8 and the tag form: another manifest's signatures, moved below the tag of this one.
#[test]
fn t_8_a_tag_of_signatures_that_is_swapped_is_refused() {
    let (registry, project) = published();
    policy(&project, 1);
    let report = sign(&project, "a.key", &["--form", "tag"]);
    let signatures = registry.manifest("port/tiny", report["signed"][0]["tag"].as_str().unwrap()).unwrap();
    // Another kernel is published under the same tag, unsigned; its tag of signatures is the old one's.
    project.write(LOCAL_KERNEL, elf_kernel("evil"));
    let ran =
        port(&project, &[&["artifacts", "push", "--artifact", "tiny", "--overwrite"][..], &X86].concat());
    assert_eq!(ran.code, 0, "{ran}");
    refused(&project, "found: no signature");
    let evil = name(&String::from_utf8(registry.manifest("port/tiny", TAG).unwrap()).unwrap());
    registry.add_manifest("port/tiny", &format!("{}.sig", evil.replace(':', "-")), MANIFEST, &signatures);
    let ran = refused(&project, "by `alice`: does not count: it is over sha256:");
    assert!(ran.stderr.contains(report["signed"][0]["digest"].as_str().unwrap()), "{ran}");
}

/// X23: a list of referrers that is a lie, in each of its parts.
#[test]
fn x_23_a_referrer_that_lies_about_its_subject_is_refused() {
    let good = Registry::start();
    let (good, project) = published_at(good);
    policy(&project, 1);
    let report = sign(&project, "a.key", &["--form", "referrer"]);
    let bundle = good.manifest("port/tiny", report["signed"][0]["referrer"].as_str().unwrap()).unwrap();
    let signed = good.manifest("port/tiny", TAG).unwrap();
    // The bundle says `subject` A and is listed below B; then it says B, and its statement A.
    project.write(LOCAL_KERNEL, elf_kernel("evil"));
    let ran =
        port(&project, &[&["artifacts", "push", "--artifact", "tiny", "--overwrite"][..], &X86].concat());
    assert_eq!(ran.code, 0, "{ran}");
    let evil = good.manifest("port/tiny", TAG).unwrap();
    let turned = String::from_utf8(bundle.clone()).unwrap();
    let turned = turned.replace(&digest(&signed), &digest(&evil));
    assert_ne!(turned.as_bytes(), bundle);
    for (lie, expected) in [(bundle, "it refers to sha256:"), (turned.into_bytes(), "it is over sha256:")] {
        let list = format!(
            r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
            descriptor(MANIFEST, &lie)
        );
        let hook = Box::new(move |request: &Request| {
            if request.target.contains("/referrers/") {
                return Action::Answer(Reply::new(200, list.as_bytes()).header("content-type", INDEX));
            }
            Action::Pass
        });
        let bad = Registry::with(Abilities::default(), hook);
        let from = format!("{}/port/tiny:v1", good.host());
        copied(
            &project,
            &from,
            &format!("{}/port/tiny:v1", bad.host()),
            &["--no-referrers", "--all-variants"],
        );
        let layer: serde_json::Value = serde_json::from_slice(&lie).unwrap();
        for blob in [&layer["layers"][0], &layer["config"]] {
            bad.add_blob(&good.blob(blob["digest"].as_str().unwrap()).unwrap());
        }
        bad.add_manifest("port/tiny", &digest(&lie), MANIFEST, &lie);
        let there = registry_project(bad.host(), ANONYMOUS);
        for file in ["trust.toml", "a.pub", "b.pub"] {
            there.write(file, project.read(file));
        }
        refused(&there, expected);
    }
}

fn digest(bytes: &[u8]) -> String {
    port_content::hashing::digest_of(bytes).to_string()
}

/// T9: the tag moves between the check and the download.
#[test]
fn t_9_what_was_verified_is_what_is_installed_or_nothing() {
    let (registry, project) = published();
    policy(&project, 1);
    sign(&project, "a.key", &[]);
    let host = registry.host().to_owned();
    let evil = manifest(b"evil", None);
    // After the first look at signatures the tag leads to something else.
    let moved = std::sync::atomic::AtomicBool::new(false);
    let evil_bytes = evil.clone();
    let hook = Box::new(move |request: &Request| {
        if request.target.contains("/referrers/") {
            moved.store(true, std::sync::atomic::Ordering::SeqCst);
        }
        let asks = request.target.ends_with(&format!("/manifests/{TAG}"));
        if asks && moved.load(std::sync::atomic::Ordering::SeqCst) {
            return Action::Answer(Reply::new(200, evil_bytes.as_bytes()).header("content-type", MANIFEST));
        }
        Action::Pass
    });
    let second = Registry::with(Abilities::default(), hook);
    copied(
        &project,
        &format!("{host}/port/tiny:v1"),
        &format!("{}/port/tiny:v1", second.host()),
        &["--all-variants"],
    );
    let there = registry_project(second.host(), ANONYMOUS);
    for file in ["a.pub", "b.pub"] {
        there.write(file, project.read(file));
    }
    let listed = format!("threshold = 1\nidentities = [\"{host}/port/*\"]");
    there.write("trust.toml", POLICY.replace("threshold = THRESHOLD", &listed));
    let ran = pull(&there);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(there.read(LOCAL_KERNEL), elf_kernel("a"));
}

/// T10: a registry that lists more than anybody signs, or bundles without end.
#[test]
fn t_10_floods_are_refused_and_hide_nothing() {
    let (registry, project) = published();
    policy(&project, 1);
    let strangers: Vec<String> = (0..300)
        .map(|number| format!(r#"{{"digest":"sha256:{number:064x}","mediaType":"{MANIFEST}","size":100}}"#))
        .collect();
    let list =
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, strangers.join(","));
    let hook = Box::new(move |request: &Request| {
        if request.target.contains("/referrers/") {
            return Action::Answer(Reply::new(200, list.as_bytes()).header("content-type", INDEX));
        }
        Action::Pass
    });
    let flooded = Registry::with(Abilities::default(), hook);
    let from = format!("{}/port/tiny:v1", registry.host());
    copied(
        &project,
        &from,
        &format!("{}/port/tiny:v1", flooded.host()),
        &["--no-referrers", "--all-variants"],
    );
    let there = registry_project(flooded.host(), ANONYMOUS);
    for file in ["trust.toml", "a.pub", "b.pub"] {
        there.write(file, project.read(file));
    }
    refused(&there, "300 signatures: at most 256 are looked at");
}

/// A registry that does not answer is unreachable, not unsigned.
#[test]
fn signatures_that_cannot_be_asked_for_are_no_refusal() {
    let hook = Box::new(|request: &Request| {
        if request.target.contains("/referrers/") {
            return Action::Answer(Reply::new(403, b"{}"));
        }
        Action::Pass
    });
    let (_registry, project) = published_at(Registry::with(Abilities::default(), hook));
    policy(&project, 1);
    let ran = pull(&project);
    assert!(ran.code != 0 && ran.code != 3, "{ran}");
    assert!(!project.exists(LOCAL_KERNEL), "{ran}");
}

#[test]
fn layouts_are_signed_and_verified_and_a_copy_takes_signatures_along() {
    let (registry, project) = published();
    let from = format!("{}/port/tiny:v1", registry.host());
    sign(&project, "a.key", &[]);
    let done_json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&done(&project, &[arguments, &["--format", "json"]].concat()).stdout).unwrap()
    };
    copied(&project, &from, "oci:out:v1", &[]);
    let report = done_json(&[
        "artifacts",
        "sign",
        "oci:out:v1",
        "--key",
        "b.key",
        "--form",
        "referrer",
        "--recursive",
    ]);
    assert_eq!(report["signed"].as_array().unwrap().len(), 2, "{report}");
    for signed in report["signed"].as_array().unwrap() {
        let place = format!("oci:out@{}", signed["digest"].as_str().unwrap());
        done(&project, &["artifacts", "verify", &place, "--key", "b.pub"]);
    }
    let variant = format!("oci:out@{}", report["signed"][1]["digest"].as_str().unwrap());
    done(
        &project,
        &["artifacts", "verify", &variant, "--key", "a.pub", "--key", "b.pub", "--threshold", "2"],
    );
    let nameless = port(&project, &["artifacts", "sign", "oci:out:v1", "--key", "a.key"]);
    assert!(nameless.code == 1 && nameless.stderr.contains("sign with `--form referrer`"), "{nameless}");
}
