//! `port packages` beside go-containerregistry, which kraft is built on, and on real registries with TLS and passwords.

use port_content::hashing::digest_of;
use port_testkit::peers::{self, Access, PASSWORD, Registry, Security, Software, USER};
use serde_json::Value;

use crate::packages::{json, pack, pack_with, packages, project, text};

#[test]
fn k_50_ku_9_ku_10_crane_validates_and_reads_what_port_pushed_and_port_pulls_what_crane_copied() {
    let Some(crane) = peers::tool("crane") else { return };
    for software in Software::ALL {
        let Some(registry) = Registry::start(software, Access::Open, Security::Plain) else { continue };
        let (project, name) = (project(), format!("{}/team/hello:1", registry.address()));
        let packed = pack(&project, &name, &["--kconfig", "kconfig", "--initrd", "initrd", "--cmd", "/app"]);
        let fc = ["--kernel", "other", "--architecture", "arm64", "--platform", "fc"];
        json(&pack_with(&project, &name, &fc));
        let pushed = packages(&project, &["push", &name, "--plain-http"]);
        let crane = |words: &[&str]| peers::run(&crane, &[&["--insecure"], words].concat(), project.path());
        let one = name.replace(":1", &format!("@{}", text(&packed["manifest"])));
        // Every document, and the digests in them against each other. Without `--fast` crane takes every layer for gzip,
        // whatever its type; what the layers hold is compared below.
        crane(&["validate", "--fast", "--remote", &name]);
        crane(&["validate", "--fast", "--remote", &one]);
        let index = crane(&["manifest", &name]);
        assert_eq!(digest_of(&index).to_string(), pushed["index"], "the index is named by its bytes");
        let config: Value = serde_json::from_slice(&crane(&["config", &one])).unwrap();
        assert_eq!((&config["os"], &config["config"]["Cmd"][0]), (&"qemu".into(), &"/app".into()));
        for layer in packed["layers"].as_array().unwrap() {
            let blob = format!("{}@{}", name.replace(":1", ""), text(&layer["digest"]));
            assert_eq!(digest_of(&crane(&["blob", &blob])).to_string(), layer["digest"]);
        }
        // The copy says the old name of itself; here it is what it was pulled as.
        let copied = format!("{}/copied/hello:2", registry.address());
        crane(&["copy", &name, &copied]);
        let there = crate::packages::project();
        let words = ["pull", &copied, "--plain-http", "--platform", "qemu", "--workdir", "out"];
        let pulled = packages(&there, &words);
        assert_eq!(
            (&pulled["targets"][0]["manifest"], &pulled["reference"]),
            (&packed["manifest"], &copied.clone().into())
        );
        assert_eq!(there.read("out/unikraft/bin/kernel"), b"the kernel");
        assert_eq!(packages(&there, &["list"])[0]["name"], copied.replace(":2", ""));
    }
}

#[test]
fn k_7_k_46_k_47_k_48_k_75_c_13_credentials_are_dockers_and_certificates_are_always_checked() {
    for software in Software::ALL {
        let Some(registry) = Registry::start(software, Access::Basic, Security::Tls) else { continue };
        let (here, there) = (project(), project());
        let name = format!("{}/team/hello:1", registry.address());
        pack(&here, &name, &[]);
        let authority = registry.certificate_authority().display().to_string();
        let push = ["packages", "push", &name, "--ca-file", &authority];
        let refused = here.port(&push);
        assert!(refused.code == 1 && refused.stderr.contains("port login"), "{software:?}\n{refused}");
        let sign_in = |project: &port_testkit::project::Project| {
            let entry = serde_json::json!({ "auth": base64(&format!("{USER}:{PASSWORD}")) });
            let file = serde_json::json!({ "auths": { registry.address(): entry } });
            project.write(".docker/config.json", serde_json::to_vec(&file).unwrap());
        };
        sign_in(&here);
        sign_in(&there);
        // Docker's file leads to no connection that is not checked.
        let ran = here.port(&push[..3]);
        assert!(ran.code != 0 && ran.stderr.contains("certificate"), "{software:?}\n{ran}");
        assert_eq!(here.port(&push).code, 0);
        let ran = there.port(&["packages", "pull", &name]);
        assert!(ran.code != 0 && ran.stderr.contains("certificate"), "{software:?}\n{ran}");
        packages(&there, &["pull", &name, "--ca-file", &authority, "--workdir", "out"]);
        assert_eq!(there.read("out/unikraft/bin/kernel"), b"the kernel");
        // Made from it under another name, published with the destination's credentials.
        let mine = format!("{}/mine/hello:2", registry.address());
        let words = ["--from", &name, "--push", "--ca-file", &authority];
        let fresh = project();
        sign_in(&fresh);
        let packed = json(&pack_with(&fresh, &mine, &words));
        assert_eq!(packed["pushed"]["reference"], mine);
    }
}

/// RFC 4648, section 4.
pub fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for digit in 0..=group.len() {
            encoded.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    encoded + &"=".repeat((3 - text.len() % 3) % 3)
}

#[test]
fn ku_12_skopeo_reads_a_package_when_it_is_told_the_platform() {
    let Some(skopeo) = peers::tool("skopeo") else { return };
    let project = project();
    let packed = pack(&project, "hello", &["--store", "port"]);
    let fc = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc", "--store", "port"];
    let other = json(&pack_with(&project, "hello", &fc));
    let source = "oci:.port/store:unikraft.org/hello:latest";
    let run = |words: &[&str]| peers::run(&skopeo, words, project.path());
    assert_eq!(digest_of(&run(&["inspect", "--raw", source])).to_string(), text(&other["index"]));
    for (platform, packed) in [("qemu", &packed), ("fc", &other)] {
        let told = ["--override-os", platform, "--override-arch", "x86_64", "--insecure-policy"];
        let to = format!("dir:by-skopeo-{platform}");
        run(&[&told[..], &["copy", source, &to]].concat());
        let layer = text(&packed["layers"][0]["digest"]).strip_prefix("sha256:").unwrap();
        let copied = project.read(&format!("by-skopeo-{platform}/{layer}"));
        assert_eq!(digest_of(&copied).hex(), layer, "{platform}");
    }
}
