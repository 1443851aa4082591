//! Bases of workload manifests that lie in the local store and in registries.

use port_testkit::project::{Project, Ran};
use port_testkit::registry::Registry;

use crate::trust::{done, key};

const BASE: &str = "[workload]\nname = \"base\"\nmode = \"container\"\n[resources]\npids_max = 7\n";

fn resolve(project: &Project, extends: &str) -> Ran {
    project.write("web.toml", format!("extends = \"{extends}\"\n[workload]\nname = \"web\"\n"));
    project.port(&["workload", "resolve", "web.toml", "--plain-http"])
}

/// Publishes layers as a plain push of files makes them; gives the manifest's digest.
fn publish(registry: &Registry, layers: &[(&str, &str)]) -> String {
    let descriptor = |media_type: &str, bytes: &[u8]| {
        let digest = registry.add_blob(bytes);
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let layers: Vec<_> =
        layers.iter().map(|(media_type, text)| descriptor(media_type, text.as_bytes())).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": layers,
    });
    let bytes = manifest.to_string();
    registry.add_manifest("acme/base", "v1", "application/vnd.oci.image.manifest.v1+json", bytes.as_bytes())
}

/// Puts a blob where the store has it; gives its digest.
fn store(project: &Project, text: &str) -> String {
    let digest = Registry::start().add_blob(text.as_bytes());
    project.write(&format!(".port/store/blobs/{}", digest.replace(':', "/")), text);
    digest
}

#[test]
fn v_12_vu_21_a_base_in_the_store_is_checked_against_its_digest() {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let digest = store(&project, BASE);
    let ran = resolve(&project, &format!("cas://{digest}"));
    assert_eq!(ran.code, 0, "{ran}");
    assert!(
        ran.stdout.contains("name = \"web\"\nmode = \"container\"") && ran.stdout.contains("pids_max = 7"),
        "{ran}"
    );

    project.write(&format!(".port/store/blobs/{}", digest.replace(':', "/")), BASE.replace('7', "8"));
    let ran = resolve(&project, &format!("cas://{digest}"));
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("cannot be read from the local store"), "{ran}");

    let ran = resolve(&project, &format!("cas://sha256:{}", "0".repeat(64)));
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("is not there") && ran.stderr.contains("web.toml:1:11: `extends`"), "{ran}");
}

#[test]
fn v_12_vu_21_a_base_in_a_registry_by_tag_and_by_digest() {
    let (registry, project) = (Registry::start(), Project::new(env!("CARGO_BIN_EXE_port")));
    let manifest = publish(&registry, &[("application/vnd.oci.image.layer.v1.tar", BASE)]);
    let by_tag = format!("oci://{}/acme/base:v1", registry.host());
    for extends in [by_tag.clone(), format!("{by_tag}@{manifest}")] {
        let ran = resolve(&project, &extends);
        assert_eq!(ran.code, 0, "{ran}");
        assert!(ran.stdout.contains("pids_max = 7"), "{ran}");
    }
    publish(
        &registry,
        &[("text/plain", "read me"), ("application/vnd.port.workload.v1+toml", &BASE.replace('7', "9"))],
    );
    assert!(resolve(&project, &by_tag).stdout.contains("pids_max = 9"));
    // What the digest names stays what it is.
    assert!(resolve(&project, &format!("{by_tag}@{manifest}")).stdout.contains("pids_max = 7"));
}

#[test]
fn vu_21_what_a_registry_cannot_give() {
    let (registry, project) = (Registry::start(), Project::new(env!("CARGO_BIN_EXE_port")));
    let base = format!("oci://{}/acme/base:v1", registry.host());
    let ran = resolve(&project, &base);
    assert!(ran.code == 2 && ran.stderr.contains("is not there"), "{ran}");
    publish(&registry, &[("text/plain", "one"), ("text/plain", "two")]);
    let ran = resolve(&project, &base);
    assert!(ran.code == 1 && ran.stderr.contains("holds no workload manifest"), "{ran}");
    publish(&registry, &[("text/plain", BASE)]);
    let blob = registry.add_blob(BASE.as_bytes());
    registry.lie(&blob, BASE.replace('7', "8").as_bytes());
    let ran = resolve(&project, &base);
    assert!(ran.code == 1 && ran.stdout.is_empty(), "{ran}");
    let ran = resolve(&project, "oci://127.0.0.1:1/acme/base:v1");
    assert_eq!(ran.code, 4, "{ran}");
}

#[test]
fn vu_21_a_policy_is_asked_about_bases_from_a_registry() {
    let (registry, project) = (Registry::start(), Project::new(env!("CARGO_BIN_EXE_port")));
    publish(&registry, &[("application/vnd.oci.image.layer.v1.tar", BASE)]);
    key(&project, "a.key", "p256");
    let rule = "[[rules]]\nreferences = [\"*/acme/*\"]\nkeys = [\"alice\"]\n";
    project.write("trust.toml", format!("version = 1\n[keys]\nalice = {{ path = \"a.pub\" }}\n{rule}"));
    let reference = format!("{}/acme/base:v1", registry.host());
    let ran = resolve(&project, &format!("oci://{reference}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran}");
    assert!(ran.stderr.contains("0 of 1 required signatures are valid"), "{ran}");
    done(&project, &["artifacts", "sign", "--plain-http", &reference, "--key", "a.key"]);
    let ran = resolve(&project, &format!("oci://{reference}"));
    assert!(ran.code == 0 && ran.stdout.contains("pids_max = 7"), "{ran}");
}

#[test]
fn a_base_from_elsewhere_cannot_name_files_here() {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    project.write("secret.toml", "password = \"hunter2\"\n");
    let path = project.path().join("secret.toml").display().to_string();
    for named in ["secret.toml", path.as_str()] {
        let digest = store(&project, &format!("extends = \"{named}\"\n{BASE}"));
        let ran = resolve(&project, &format!("cas://{digest}"));
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains("did not come from a file") && !ran.stderr.contains("hunter2"), "{ran}");
    }
}
