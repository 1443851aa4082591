//! `port artifacts attest`: statements about what was built here, and about anything.

use port_testkit::registry::Registry;

use crate::fixture::*;
use crate::registry::{ANONYMOUS, TAG, registry_project};
use crate::trust::{done, key, port};

#[test]
fn provenance_says_what_the_lock_records_of_what_is_published() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    key(&project, "a.key", "ed25519");
    project.write("source/vmlinux", elf_kernel("a"));
    let attest = |kind: &str| {
        let arguments = ["artifacts", "attest", "--artifact", "tiny", "--key", "a.key", "--type", kind];
        port(&project, &[&arguments[..], &X86, &["--format", "json"]].concat())
    };
    let early = attest("slsa-provenance");
    assert!(early.code == 1 && early.stderr.contains("`port.lock` has no record of a build"), "{early}");
    succeed(&project, "build", "tiny");
    succeed(&project, "push", "tiny");
    let ran = attest("slsa-provenance");
    assert_eq!(ran.code, 0, "{ran}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let predicate = &report["statement"]["predicate"];
    assert_eq!(report["predicate_type"], "https://slsa.dev/provenance/v1");
    let input = &predicate["buildDefinition"]["resolvedDependencies"][0];
    let expected = port_content::hashing::digest_of(&elf_kernel("a"));
    assert_eq!(
        (&input["name"], &input["digest"]["sha256"]),
        (&"path".into(), &expected.hex().into()),
        "{report}"
    );
    assert!(predicate["runDetails"]["builder"]["id"].is_string());
    // The same record gives the same statement, and the same referrer.
    assert_eq!(attest("slsa-provenance").stdout, ran.stdout);

    let bill = attest("spdx");
    assert_eq!(bill.code, 0, "{bill}");
    let bill: serde_json::Value = serde_json::from_str(&bill.stdout).unwrap();
    let document = &bill["statement"]["predicate"];
    assert_eq!(document["spdxVersion"], "SPDX-2.3", "{bill}");
    assert_eq!(document["packages"].as_array().unwrap().len(), 2);
    assert_eq!(document["relationships"][0]["relationshipType"], "DESCRIBES");

    // A policy may ask for it besides the signature.
    let place = format!("{}/port/tiny:{TAG}", registry.host());
    let rule =
        "version = 1\n[keys]\na = { path = \"a.pub\" }\n[[rules]]\nreferences = [\"**\"]\nkeys = [\"a\"]\n";
    project.write("trust.toml", format!("{rule}attestations = [\"https://slsa.dev/provenance/v1\"]\n"));
    let missing = artifacts(&project, "pull", "tiny");
    assert!(
        missing.code == 3 && missing.stderr.contains("0 of 1 required signatures are valid"),
        "{missing}"
    );
    done(&project, &["artifacts", "sign", "--plain-http", &place, "--key", "a.key"]);
    succeed(&project, "pull", "tiny");
    project.write("trust.toml", format!("{rule}attestations = [\"https://example.com/tested/v1\"]\n"));
    let missing = artifacts(&project, "pull", "tiny");
    assert!(missing.code == 3 && missing.stderr.contains("of `https://example.com/tested/v1`"), "{missing}");
    project.write("tested.json", r#"{"tested":true}"#);
    let attest =
        ["artifacts", "attest", "--plain-http", &place, "--key", "a.key", "--predicate", "tested.json"];
    done(&project, &[&attest[..], &["--type", "https://example.com/tested/v1"]].concat());
    succeed(&project, "pull", "tiny");
}

#[test]
fn nothing_is_stated_of_what_somebody_else_built() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    key(&project, "a.key", "p256");
    project.write("source/vmlinux", elf_kernel("a"));
    succeed(&project, "build", "tiny");
    project.write(LOCAL_KERNEL, elf_kernel("another"));
    succeed(&project, "push", "tiny");
    let arguments =
        ["artifacts", "attest", "--artifact", "tiny", "--key", "a.key", "--type", "slsa-provenance"];
    let ran = port(&project, &[&arguments[..], &X86].concat());
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("did not come out of the build that `port.lock` records"), "{ran}");
    let place = format!("{}/port/tiny:{TAG}", registry.host());
    for (kind, file, expected) in [
        ("slsa-provenance", None, "nothing is known of how"),
        ("tested", Some("{}"), "expected a URI as its type"),
        ("https://sigstore.dev/cosign/sign/v1", Some("{}"), "a signature is made with"),
        ("https://example.com/x", Some(r#"{"a":1,"a":2}"#), "predicate is not one"),
        ("https://example.com/x", None, "needs a predicate"),
    ] {
        project.write("predicate.json", file.unwrap_or_default());
        let mut arguments =
            vec!["artifacts", "attest", "--plain-http", &place, "--key", "a.key", "--type", kind];
        arguments.extend(file.iter().flat_map(|_| ["--predicate", "predicate.json"]));
        let ran = port(&project, &arguments);
        assert!(ran.code != 0 && ran.stderr.contains(expected), "{kind}: should say `{expected}`\n{ran}");
    }
}

/// The lock is written by hand: what an image is built of is not what is tested here.
#[test]
fn a_guest_images_bill_of_materials_has_the_packages_of_its_directory() {
    let registry = Registry::start();
    let text = r#"
[artifacts.guest_images.root]
reference = { registry = "HOST", repository = "port/root", version = "v1" }
distribution = { push = { backend = "oci-registry", BACKEND }, pull = { backend = "oci-registry", BACKEND } }
recipe = { format = "ext4", directory = "tree" }
variants = [{ path = "g/rootfs.ext4", selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" } }]
"#;
    let project = with_configuration(&text.replace("HOST", registry.host()).replace("BACKEND", ANONYMOUS));
    key(&project, "a.key", "p256");
    let image = b"a file system";
    project.write("g/rootfs.ext4", image);
    let package = |name: &str| {
        format!("Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.2-3\n\n")
    };
    project.write("tree/var/lib/dpkg/status", package("zlib1g") + &package("bash"));
    let input =
        port_build::directory_input(&project.path().join("tree"), &port_content::hashing::digest_file);
    let (input, output) = (input.unwrap(), port_content::hashing::digest_of(image));
    let lock = format!(
        r#"version = 1
[[variants]]
artifact = "root"
selector = {{ architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }}
[[variants.inputs]]
source = "directory tree"
resolved = "tree"
digest = "{}"
size = {}
[[variants.outputs]]
file = "rootfs.ext4"
digest = "{output}"
size = {}
"#,
        input.digest,
        input.size,
        image.len()
    );
    project.write("port.lock", lock);
    succeed(&project, "push", "root");
    let attest = || {
        let arguments = ["artifacts", "attest", "--artifact", "root", "--key", "a.key", "--type", "spdx"];
        port(&project, &[&arguments[..], &X86, &["--format", "json"]].concat())
    };
    let ran = attest();
    assert_eq!(ran.code, 0, "{ran}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let packages = report["statement"]["predicate"]["packages"].as_array().unwrap();
    let names: Vec<_> = packages.iter().skip(1).map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["directory", "bash", "zlib1g"], "{report}");
    assert_eq!(packages[2]["externalRefs"][0]["referenceLocator"], "pkg:deb/debian/bash@1.2-3?arch=amd64");
    // Another tree than the one that went in says nothing about the image.
    project.write("tree/var/lib/dpkg/status", package("evil"));
    let changed = attest();
    assert_eq!(changed.code, 1, "{changed}");
    assert!(changed.stderr.contains("is not what it was when the image was built"), "{changed}");
}
