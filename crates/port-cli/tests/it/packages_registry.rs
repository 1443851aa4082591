//! `port packages push` and `pull`: what travels, what is found, what is refused.

use port_content::hashing::digest_of;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};
use serde_json::{Value, json};

use crate::packages::{TARGET, blobs, json as report, pack, pack_with, packages, project, text};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const FC: [&str; 6] = ["--kernel", "other", "--architecture", "x86_64", "--platform", "fc"];

/// A package with the targets qemu and fc, in the registry; returns its name.
fn published(project: &Project, registry: &Registry) -> String {
    let name = format!("{}/team/hello:1", registry.host());
    pack(project, &name, &["--kconfig", "kconfig", "--initrd", "initrd", "--cmd", "/app"]);
    report(&pack_with(project, &name, &FC));
    packages(project, &["push", &name, "--plain-http"]);
    name
}

fn pull(project: &Project, name: &str, more: &[&str]) -> Ran {
    let words = ["packages", "--format", "json", "pull", name, "--plain-http"];
    project.port(&[&words[..], more].concat())
}

fn remote_index(registry: &Registry) -> Value {
    serde_json::from_slice(&registry.manifest("team/hello", "1").unwrap()).unwrap()
}

#[test]
fn k_76_k_82_k_85_what_is_pushed_comes_back_byte_for_byte() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = published(&here, &registry);
    let pulled = report(&pull(&there, &name, &[]));
    assert_eq!(pulled["remote_index"], pulled["index"], "all of it was pulled, so the index is the same");
    assert!(blobs(&there).is_subset(&blobs(&here)));
    assert_eq!(pulled["targets"].as_array().unwrap().len(), 2);
    for target in pulled["targets"].as_array().unwrap() {
        let digest = text(&target["manifest"]);
        assert_eq!(digest_of(&registry.manifest("team/hello", digest).unwrap()).to_string(), digest);
    }
    let unpacked =
        report(&pull(&there, &name, &["--workdir", "out", "--platform", "qemu"]))["unpacked"].clone();
    assert_eq!(
        (&unpacked["kernel"], &unpacked["command"][0]),
        (&"out/unikraft/bin/kernel".into(), &"/app".into())
    );
    assert_eq!(there.read("out/unikraft/bin/initrd"), b"the initrd");
    // A second push finds all of it.
    let again = packages(&there, &["push", &name, "--plain-http"]);
    assert_eq!((&again["sent_bytes"], &again["index"]), (&0.into(), &pulled["index"]));
}

#[test]
fn k_49_k_51_k_52_k_53_k_54_k_58_ku_18_only_what_is_asked_for_is_fetched() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = published(&here, &registry);
    let pulled = report(&pull(&there, &name, &["--platform", "firecracker"]));
    assert_ne!(pulled["remote_index"], pulled["index"], "the local index is smaller");
    assert_eq!(packages(&there, &["list"]).as_array().unwrap().len(), 1);
    assert_eq!(blobs(&there).len(), 4, "one layer, config, manifest, index");
    let pulled = report(&pull(&there, &name, &["--kconfig", "CONFIG_LIBUKDEBUG=y"]));
    assert_eq!(pulled["targets"][0]["platform"], "qemu");
    assert_eq!(packages(&there, &["list"]).as_array().unwrap().len(), 2, "beside what was there");
    // What is here is not fetched again.
    let before = registry.requests().len();
    let pulled = report(&pull(&there, &name, &[]));
    assert_eq!(pulled["fetched_bytes"], 0);
    let requests = registry.requests().split_off(before);
    let paths: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(paths, ["/v2/team/hello/manifests/1"], "the index alone");
    let ran = pull(&there, &name, &["--platform", "xen"]);
    assert!(ran.code == 5 && ran.stderr.contains("expected a target that fits, found "), "{ran}");
}

#[test]
fn k_55_k_57_a_digest_is_looked_for_in_the_index_of_its_tag() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = published(&here, &registry);
    let index = remote_index(&registry);
    let manifest = text(&index["manifests"][1]["digest"]).to_owned();
    let pulled = report(&pull(&there, &format!("{name}@{manifest}"), &["--workdir", "out"]));
    assert_eq!(pulled["targets"][0]["manifest"], manifest);
    assert_eq!(there.read("out/unikraft/bin/kernel"), b"another kernel");
    // The manifest is here and its index is not: the registry is asked, and nothing is fetched twice.
    let link = there.path().join(crate::packages::KRAFT).join("indexes").join(name.replace(':', "/"));
    std::fs::remove_file(link).unwrap();
    assert_eq!(there.port(&["packages", "info", &format!("{name}@{manifest}")]).code, 5);
    let pulled = report(&pull(&there, &format!("{name}@{manifest}"), &[]));
    assert_eq!((&pulled["targets"][0]["manifest"], &pulled["fetched_bytes"]), (&manifest.into(), &0.into()));
    let other = digest_of(b"no manifest").to_string();
    let ran = pull(&there, &format!("{name}@{other}"), &[]);
    assert!(ran.code == 5 && ran.stderr.contains(&other) && ran.stderr.contains("team/hello:1"), "{ran}");
    let ran = pull(&there, &format!("{}/team/absent:1", registry.host()), &[]);
    assert!(ran.code == 5 && ran.stderr.contains("in the registry"), "{ran}");
}

#[test]
fn k_83_k_84_c_19_a_target_that_was_rebuilt_replaces_the_old_one_and_is_the_one_unpacked() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = published(&here, &registry);
    let first = report(&pull(&there, &name, &["--platform", "qemu"]));
    here.write("kernel", "a newer kernel");
    pack(&here, &name, &["--kconfig", "kconfig"]);
    packages(&here, &["push", &name, "--plain-http"]);
    assert_eq!(remote_index(&registry)["manifests"].as_array().unwrap().len(), 2);
    let second = report(&pull(&there, &name, &["--platform", "qemu", "--workdir", "out"]));
    assert_eq!(first["targets"][0]["checksum"], second["targets"][0]["checksum"]);
    assert_ne!(first["targets"][0]["manifest"], second["targets"][0]["manifest"]);
    assert_eq!(there.read("out/unikraft/bin/kernel"), b"a newer kernel");
    assert_eq!(packages(&there, &["list"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_push_keeps_what_others_published_unless_it_is_told_otherwise() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = published(&here, &registry);
    let arm = ["--kernel", "other", "--architecture", "arm64", "--platform", "qemu"];
    report(&pack_with(&there, &name, &[&arm[..], &["--push", "--plain-http"]].concat()));
    assert_eq!(remote_index(&registry)["manifests"].as_array().unwrap().len(), 3);
    let ran = there.port(&["packages", "push", &name, "--plain-http", "--strategy", "exit"]);
    assert!(ran.code == 1 && ran.stderr.contains("exists with 3 manifests: expected none"), "{ran}");
    let before = blobs(&there);
    let ran = pack_with(
        &there,
        &format!("{}/team/hello:1", registry.host()),
        &[&TARGET[..], &["--push", "--plain-http", "--strategy", "exit"]].concat(),
    );
    assert!(ran.code == 1 && blobs(&there) == before, "{ran}");
    packages(&there, &["push", &name, "--plain-http", "--strategy", "overwrite"]);
    assert_eq!(remote_index(&registry)["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn k_74_an_original_of_the_same_registry_is_mounted() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = published(&here, &registry);
    let mine = format!("{}/mine/hello:2", registry.host());
    let words = ["--from", &name, "--platform", "qemu", "--cmd", "/mine", "--push", "--plain-http"];
    let packed = report(&pack_with(&there, &mine, &words));
    assert_eq!(packed["pushed"]["index"], packed["index"]);
    let requests = registry.requests();
    let fetched = |layer: &Value| {
        let path = format!("/v2/team/hello/blobs/{}", text(&layer["digest"]));
        requests.iter().any(|request| request.method == "GET" && request.target == path)
    };
    let layers = packed["layers"].as_array().unwrap();
    assert!(layers.len() == 2 && !layers.iter().any(fetched), "no layer was fetched");
    let pulled = report(&pull(&project(), &mine, &[]));
    assert_eq!(pulled["targets"][0]["manifest"], packed["manifest"]);
    // Without a push the layers come here, so that the package can start.
    let fresh = project();
    report(&pack_with(&fresh, "mine", &["--from", &name, "--platform", "fc", "--plain-http"]));
    packages(&fresh, &["unpack", "mine", "out"]);
    assert_eq!(fresh.read("out/unikraft/bin/kernel"), b"another kernel");
}

#[test]
fn a_pull_that_is_killed_is_continued_and_named_only_when_it_is_whole() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = published(&here, &registry);
    let words = ["packages", "--format", "json", "pull", &name, "--plain-http"];
    for point in ["atomic.before-sync", "atomic.before-rename", "atomic.after-rename"] {
        let killed = there.command(&words).env("PORT_FAILPOINT", format!("{point}=kill")).output().unwrap();
        assert!(!killed.status.success(), "{point}");
        assert_eq!(packages(&there, &["list"]), json!([]), "{point}");
    }
    assert_eq!(report(&pull(&there, &name, &[]))["targets"].as_array().unwrap().len(), 2);
    // An original that is made a package of without being in the store, and whose layer the registry has lost.
    let lost = remote_index(&registry)["manifests"][1]["digest"].clone();
    let lost: Value = serde_json::from_slice(&registry.manifest("team/hello", text(&lost)).unwrap()).unwrap();
    registry.lose_blob(text(&lost["layers"][0]["digest"]));
    let fresh = project();
    let ran = pack_with(&fresh, "mine", &["--from", &name, "--platform", "fc", "--plain-http"]);
    assert_ne!(ran.code, 0, "{ran}");
    assert_eq!(packages(&fresh, &["list"]), json!([]));
}

#[test]
fn ku_22_a_layer_that_is_nowhere_is_not_passed_over() {
    let (here, registry) = (project(), Registry::start());
    let name = format!("{}/team/hello:1", registry.host());
    let packed = pack(&here, &name, &[]);
    let layer = text(&packed["layers"][0]["digest"]).to_owned();
    let path = format!("{}/digests/sha256/{}", crate::packages::KRAFT, &layer[7..]);
    std::fs::remove_file(here.path().join(path)).unwrap();
    let ran = here.port(&["packages", "push", &name, "--plain-http"]);
    assert!(ran.code == 5 && ran.stderr.contains(&layer), "{ran}");
    assert!(registry.manifest("team/hello", "1").is_none(), "the tag is what it was");
}

#[test]
fn what_a_registry_sends_is_checked() {
    let (here, registry) = (project(), Registry::start());
    let name = published(&here, &registry);
    let index = remote_index(&registry);
    let manifest = registry.manifest("team/hello", text(&index["manifests"][0]["digest"])).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layer = text(&manifest["layers"][0]["digest"]).to_owned();
    let whole = registry.blob(&layer).unwrap();
    registry.lie(&layer, &vec![0; whole.len()]);
    let there = project();
    let ran = pull(&there, &name, &[]);
    assert!(ran.code == 1 && ran.stderr.contains(&layer), "{ran}");
    assert_eq!(packages(&there, &["list"]), json!([]));
    registry.lie(&layer, &whole);
    report(&pull(&there, &name, &[]));
    // An index whose entry says another target than the manifest's config.
    let mut lying = index.clone();
    lying["manifests"][0]["platform"]["os"] = "xen".into();
    registry.add_manifest("team/hello", "lying", INDEX, &serde_json::to_vec(&lying).unwrap());
    let ran = pull(&project(), &format!("{}/team/hello:lying", registry.host()), &["--platform", "xen"]);
    assert!(ran.code == 1 && ran.stderr.contains("is for qemu/x86_64: expected xen/x86_64"), "{ran}");
    // An entry without kraft's marker is not seen.
    let mut unmarked = index;
    for entry in unmarked["manifests"].as_array_mut().unwrap() {
        entry["annotations"].as_object_mut().unwrap().remove("sh.kraftkit.version");
    }
    registry.add_manifest("team/hello", "unmarked", INDEX, &serde_json::to_vec(&unmarked).unwrap());
    let ran = pull(&project(), &format!("{}/team/hello:unmarked", registry.host()), &[]);
    assert!(ran.code == 5 && ran.stderr.contains("found none"), "{ran}");
}

#[test]
fn a_document_that_would_be_kept_under_another_name_is_refused() {
    let (here, registry) = (project(), Registry::start());
    let name = published(&here, &registry);
    let mut index = remote_index(&registry);
    index["manifests"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into();
    registry.add_manifest("team/hello", "1", INDEX, &serde_json::to_vec(&index).unwrap());
    let there = project();
    let ran = pull(&there, &name, &[]);
    assert!(ran.code == 1 && ran.stderr.contains("is named by sha512: expected sha256"), "{ran}");
    assert_eq!(packages(&there, &["list"]), json!([]));
}

#[test]
fn a_push_that_fails_leaves_no_package_without_its_layers() {
    let refuse = std::sync::Arc::new(std::sync::atomic::AtomicU8::new(0));
    let asked = std::sync::Arc::clone(&refuse);
    // 1: no blob comes into the new repository; 2: no manifest does.
    let hook = move |request: &Request| {
        let refused = match asked.load(std::sync::atomic::Ordering::SeqCst) {
            // Asked for as well: all repositories of this registry have the same blobs.
            1 => request.target.contains("/mine/hello/blobs/"),
            2 => request.target.contains("/mine/hello/manifests/") && request.method == "PUT",
            _ => false,
        };
        if refused { Action::Answer(Reply::new(403, b"{}")) } else { Action::Pass }
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    let (here, there) = (project(), project());
    let name = published(&here, &registry);
    let mine = format!("{}/mine/hello:2", registry.host());
    let words = ["--from", &name, "--platform", "qemu", "--push", "--plain-http", "--strategy", "overwrite"];
    refuse.store(1, std::sync::atomic::Ordering::SeqCst);
    let ran = pack_with(&there, &mine, &words);
    assert!(ran.code != 0, "{ran}");
    assert_eq!(packages(&there, &["list"]), json!([]), "its layers are nowhere, so it is not there either");
    refuse.store(2, std::sync::atomic::Ordering::SeqCst);
    let ran = pack_with(&there, &mine, &words);
    assert!(
        ran.code != 0 && ran.stderr.contains("is packed here; `port packages push` publishes it"),
        "{ran}"
    );
    refuse.store(0, std::sync::atomic::Ordering::SeqCst);
    packages(&there, &["push", &mine, "--plain-http"]);
    report(&pull(&project(), &mine, &[]));
}

#[test]
fn ku_19_a_layer_of_another_kind_is_refused() {
    let (here, registry) = (project(), Registry::start());
    let name = published(&here, &registry);
    let mut index = remote_index(&registry);
    let entry = index["manifests"][1].clone();
    let manifest = registry.manifest("team/hello", text(&entry["digest"])).unwrap();
    let mut check = |kind: &str, code: i32| {
        let other = String::from_utf8(manifest.clone())
            .unwrap()
            .replace("layer.v1.tar\"", &format!("layer.v1.{kind}\""));
        let digest = registry.add_manifest("team/hello", "one", text(&entry["mediaType"]), other.as_bytes());
        index["manifests"] = json!([entry]);
        index["manifests"][0]["digest"] = digest.into();
        index["manifests"][0]["size"] = other.len().into();
        registry.add_manifest("team/hello", "1", INDEX, &serde_json::to_vec(&index).unwrap());
        let ran = pull(&project(), &name, &[]);
        assert_eq!(ran.code, code, "{kind}\n{ran}");
        ran.stderr
    };
    assert!(check("tar+zstd", 1).contains("expected a tar layer of OCI or Docker"));
    check("tar+gzip", 0);
}
