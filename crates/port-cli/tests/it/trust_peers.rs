//! The real cosign beside Port: each verifies what the other signed, in both forms, with both kinds of keys.

use std::path::Path;
use std::process::Output;

use port_testkit::peers::{self, Software};
use port_testkit::project::Project;

use crate::copy::empty;
use crate::registry::{noise, open_registry};
use crate::trust::{done, key, port};

/// Runs cosign, which asks no log and no authority.
fn cosign(program: &Path, project: &Project, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(program);
    command.args(arguments).current_dir(project.path()).stdin(std::process::Stdio::null()).env_clear();
    command.env("HOME", project.path()).env("COSIGN_PASSWORD", "secret");
    command.output().unwrap()
}

#[track_caller]
fn succeeds(program: &Path, project: &Project, arguments: &[&str]) -> String {
    let output = cosign(program, project, arguments);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "cosign {arguments:?}\n{said}");
    said
}

const OFFLINE: [&str; 4] =
    ["--tlog-upload=false", "--use-signing-config=false", "--allow-insecure-registry", "-y"];

/// A registry with a manifest in the repositories `a` to `d`, each of which is signed in one way.
struct Shop {
    _registry: peers::Registry,
    project: Project,
    cosign: std::path::PathBuf,
    places: Vec<String>,
}

fn shop() -> Option<Shop> {
    let (cosign, oras) = (peers::tool("cosign")?, peers::tool("oras")?);
    let registry = open_registry(Software::DockerRegistry)?;
    let project = empty();
    project.write("file", noise(1000));
    let mut places = Vec::new();
    for repository in ["a", "b", "c", "d"] {
        let place = format!("{}/team/{repository}", registry.address());
        let tag = format!("{place}:v1");
        peers::run(&oras, &["push", "--plain-http", &tag, "file:application/x.file"], project.path());
        let resolved = peers::run(&oras, &["resolve", "--plain-http", &tag], project.path());
        places.push(format!("{place}@{}", String::from_utf8(resolved).unwrap().trim()));
    }
    Some(Shop { _registry: registry, project, cosign, places })
}

#[test]
fn cosign_verifies_what_port_signed() {
    let Some(Shop { _registry, project, cosign, places }) = shop() else { return };
    let forms = [("p256", "tag"), ("p256", "referrer"), ("ed25519", "tag"), ("ed25519", "referrer")];
    for (place, (kind, form)) in places.iter().zip(forms) {
        let (secret, public) = (format!("{kind}-{form}.key"), format!("{kind}-{form}.pub"));
        key(&project, &secret, kind);
        done(&project, &["artifacts", "sign", "--plain-http", place, "--key", &secret, "--form", form]);
        let verify = ["verify", "--insecure-ignore-tlog", "--allow-insecure-registry"];
        let bundle = if form == "tag" { "--new-bundle-format=false" } else { "--new-bundle-format=true" };
        let said = succeeds(&cosign, &project, &[&verify[..], &[bundle, "--key", &public, place]].concat());
        assert!(said.contains("The signatures were verified against the specified public key"), "{said}");
        // It is not just that cosign passes everything.
        key(&project, &format!("other-{secret}"), kind);
        let other = format!("other-{public}");
        let refused =
            self::cosign(&cosign, &project, &[&verify[..], &[bundle, "--key", &other, place]].concat());
        assert!(!refused.status.success(), "{kind} {form}");
    }
}

#[test]
fn port_verifies_what_cosign_signed() {
    let Some(Shop { _registry, project, cosign, places }) = shop() else { return };
    succeeds(&cosign, &project, &["generate-key-pair", "--output-key-prefix", "c"]);
    // A key of Port's is one of cosign's, and the other way round.
    key(&project, "p.key", "p256");
    key(&project, "e.key", "ed25519");
    let keys = [("c", "true"), ("c", "false"), ("p", "true"), ("e", "true")];
    for (place, (key, form)) in places.iter().zip(keys) {
        let (secret, public) = (format!("{key}.key"), format!("{key}.pub"));
        let bundle = format!("--new-bundle-format={form}");
        succeeds(&cosign, &project, &[&["sign", "--key", &secret, &bundle][..], &OFFLINE, &[place]].concat());
        let ran =
            port(&project, &["artifacts", "verify", "--plain-http", place, "--key", &public, "--explain"]);
        if key == "e" {
            // cosign's bundles by Ed25519 keys are pre-hashed, and Port says so.
            assert!(ran.code == 3 && ran.stdout.contains("in the pre-hashed form"), "{ran}");
            continue;
        }
        assert_eq!(ran.code, 0, "{key} {form}\n{ran}");
        // Port adds to what cosign wrote, and cosign still reads it.
        done(&project, &["artifacts", "sign", "--plain-http", place, "--key", "e.key"]);
        let verify = ["verify", "--insecure-ignore-tlog", "--allow-insecure-registry", &bundle];
        for public in [public.as_str(), "e.pub"] {
            succeeds(&cosign, &project, &[&verify[..], &["--key", public, place]].concat());
        }
        let both = ["--key", "e.pub", "--key", &public, "--threshold", "2"];
        done(&project, &[&["artifacts", "verify", "--plain-http", place][..], &both].concat());
    }
    project.write("predicate.json", r#"{"tested":true}"#);
    let kind = "https://example.com/tested/v1";
    let place = &places[0];
    let attest = ["attest", "--key", "c.key", "--type", kind, "--predicate", "predicate.json"];
    succeeds(&cosign, &project, &[&attest[..], &OFFLINE, &[place]].concat());
    let verify = ["artifacts", "verify", "--plain-http", place, "--type", kind, "--format", "json"];
    let ran = done(&project, &[&verify[..], &["--key", "c.pub"]].concat());
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["statement"]["predicate"]["tested"], true, "{report}");
    // And what Port states, cosign reads.
    let attest = ["artifacts", "attest", "--plain-http", place, "--key", "e.key", "--type", kind];
    done(&project, &[&attest[..], &["--predicate", "predicate.json"]].concat());
    let verify =
        ["verify-attestation", "--insecure-ignore-tlog", "--allow-insecure-registry", "--type", kind];
    succeeds(&cosign, &project, &[&verify[..], &["--key", "e.pub", place]].concat());
}
