//! `port update publish` and `index`: releases of KubeSolo OS, beside oras.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use port_layout::kubesolo::{self, Resolved};
use port_model::Architecture;
use port_testkit::peers::{self, Access, Security, Software};
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};
use serde_json::Value;

const KERNEL: &str = "application/vnd.kubesolo.os.kernel.v1+octet-stream";
const INITRAMFS: &str = "application/vnd.kubesolo.os.initramfs.v1+gzip";

fn empty() -> Project {
    Project::new(env!("CARGO_BIN_EXE_port"))
}

/// The command line that publishes two files made for this architecture.
pub fn publish_arguments(
    project: &Project,
    repository: &str,
    version: &str,
    architecture: &str,
) -> Vec<String> {
    let file = |name: &str| {
        let content = format!("{name} of {version} for {architecture}\n");
        project.write(&format!("{architecture}/{name}"), content).display().to_string()
    };
    let (kernel, initramfs) = (file("vmlinuz"), file("kubesolo-os.gz"));
    let words = [
        "update",
        "publish",
        "--plain-http",
        "--repository",
        repository,
        "--version",
        version,
        "--channel",
        "stable",
        "--architecture",
        architecture,
        "--kernel",
        &kernel,
        "--initramfs",
        &initramfs,
    ];
    words.map(str::to_owned).to_vec()
}

fn publish(project: &Project, repository: &str, version: &str, architecture: &str, more: &[&str]) -> Ran {
    let mut arguments = publish_arguments(project, repository, version, architecture);
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    project.port(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn index_arguments<'a>(repository: &'a str, version: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "update",
        "index",
        "--plain-http",
        "--repository",
        repository,
        "--version",
        version,
        "--channel",
        "stable",
    ];
    [&words[..], more].concat()
}

fn index(project: &Project, repository: &str, version: &str, more: &[&str]) -> Ran {
    project.port(&index_arguments(repository, version, more))
}

fn report(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// A real registry and oras, or `None` after saying what is missing.
fn with_oras() -> Option<(peers::Registry, PathBuf)> {
    let registry = peers::Registry::start(Software::DockerRegistry, Access::Open, Security::Plain);
    let oras = peers::tool("oras");
    Some((registry?, oras?))
}

#[test]
fn o_47_o_48_ou_24_a_release_is_pulled_by_oras_with_the_same_bytes() {
    let Some((registry, oras)) = with_oras() else { return };
    let (project, repository) = (empty(), format!("{}/os/kubesolo", registry.address()));
    let more = [
        "--min-compatible-version",
        "v0.2.0",
        "--release-notes",
        "faster",
        "--release-date",
        "2026-01-31T12:00:00Z",
        "--format",
        "json",
    ];
    let published = report(&publish(&project, &repository, "v0.3.0", "amd64", &more));
    report(&publish(&project, &repository, "v0.3.0", "arm64", &more));
    let oras = |arguments: &[&str]| peers::run(&oras, arguments, project.path());
    let single = oras(&["manifest", "fetch", "--plain-http", &format!("{repository}:v0.3.0-amd64")]);
    assert_eq!(published["manifest"], port_content::hashing::digest_of(&single).to_string());
    let manifest: Value = serde_json::from_slice(&single).unwrap();
    for (key, value) in [
        ("version", "v0.3.0"),
        ("channel", "stable"),
        ("min_compatible_version", "v0.2.0"),
        ("architecture", "amd64"),
        ("release_notes", "faster"),
        ("release_date", "2026-01-31T12:00:00Z"),
    ] {
        assert_eq!(manifest["annotations"][format!("io.kubesolo.os.{key}")], value, "{manifest:#}");
    }
    let composed = report(&index(&project, &repository, "v0.3.0", &["--format", "json"]));
    for tag in ["v0.3.0", "stable"] {
        let bytes = oras(&["manifest", "fetch", "--plain-http", &format!("{repository}:{tag}")]);
        assert_eq!(composed["index"], port_content::hashing::digest_of(&bytes).to_string(), "{tag}");
        let index: Value = serde_json::from_slice(&bytes).unwrap();
        let platforms: Vec<_> =
            index["manifests"].as_array().unwrap().iter().map(|e| &e["platform"]).collect();
        let expected =
            ["amd64", "arm64"].map(|arch| serde_json::json!({ "architecture": arch, "os": "linux" }));
        assert_eq!(platforms, expected.iter().collect::<Vec<_>>());
        for architecture in ["amd64", "arm64"] {
            let to = format!("pulled-{tag}-{architecture}");
            let (platform, from) = (format!("linux/{architecture}"), format!("{repository}:{tag}"));
            oras(&["pull", "--plain-http", "--platform", &platform, "-o", &to, &from]);
            for name in ["vmlinuz", "kubesolo-os.gz"] {
                let local = project.read(&format!("{architecture}/{name}"));
                assert_eq!(project.read(&format!("{to}/{name}")), local, "{tag} {architecture} {name}");
            }
        }
    }
}

#[test]
fn o_4_o_6_o_7_what_oras_pushes_is_read_and_indexed() {
    let Some((registry, oras)) = with_oras() else { return };
    let (project, repository) = (empty(), format!("{}/os/kubesolo", registry.address()));
    project.write("vmlinuz", b"a kernel");
    project.write("kubesolo-os.gz", b"an initramfs");
    let from = |arguments: &[&str]| peers::run(&oras, arguments, project.path());
    for architecture in ["amd64", "arm64"] {
        let reference = format!("{repository}:v0.3.0-{architecture}");
        let architecture = format!("io.kubesolo.os.architecture={architecture}");
        from(&[
            "push",
            "--plain-http",
            &reference,
            &format!("vmlinuz:{KERNEL}"),
            &format!("kubesolo-os.gz:{INITRAMFS}"),
            "--annotation",
            "io.kubesolo.os.version=v0.3.0",
            "--annotation",
            "io.kubesolo.os.channel=stable",
            "--annotation",
            &architecture,
        ]);
    }
    let bytes = from(&["manifest", "fetch", "--plain-http", &format!("{repository}:v0.3.0-arm64")]);
    let read = kubesolo::resolve(&bytes, None, "v0.3.0-arm64", Architecture::Aarch64).unwrap();
    let Resolved::Release(release) = read else { panic!("an index") };
    assert_eq!(release.metadata.version, "v0.3.0");
    assert_eq!(release.kernel.digest, port_content::hashing::digest_of(b"a kernel"));
    assert_eq!(release.initramfs.digest, port_content::hashing::digest_of(b"an initramfs"));
    // Our step after theirs.
    let composed = report(&index(&project, &repository, "v0.3.0", &["--format", "json"]));
    assert_eq!(composed["manifests"].as_array().unwrap().len(), 2);
    let bytes = from(&["manifest", "fetch", "--plain-http", &format!("{repository}:stable")]);
    for (architecture, name) in [(Architecture::X86_64, "amd64"), (Architecture::Aarch64, "arm64")] {
        let Resolved::Entry(entry) = kubesolo::resolve(&bytes, None, "stable", architecture).unwrap() else {
            panic!("no index")
        };
        let reference = format!("{repository}@{}", entry.digest);
        let manifest = from(&["manifest", "fetch", "--plain-http", &reference]);
        let release = kubesolo::decode(&manifest, Some(&entry.media_type), "stable", architecture).unwrap();
        assert_eq!(release.metadata.architecture, name);
    }
}

#[test]
fn o_47_a_rerun_changes_nothing_and_other_content_needs_overwrite() {
    let (registry, project) = (Registry::start(), empty());
    let repository = format!("{}/os/kubesolo", registry.host());
    let first = publish(&project, &repository, "v0.3.0", "amd64", &[]);
    assert!(first.code == 0 && first.stdout.contains("(sent)"), "{first}");
    let before = registry.manifest("os/kubesolo", "v0.3.0-amd64").unwrap();
    let again = publish(&project, &repository, "v0.3.0", "amd64", &[]);
    assert!(again.code == 0 && !again.stdout.contains("(sent)"), "{again}");
    assert!(again.stdout.contains("(already there)"), "{again}");
    let ran = publish(&project, &repository, "v0.3.0", "amd64", &["--release-notes", "other"]);
    assert!(ran.code == 1 && ran.stderr.contains("`v0.3.0-amd64` is published already"), "{ran}");
    assert_eq!(registry.manifest("os/kubesolo", "v0.3.0-amd64").unwrap(), before);
    let ran = publish(&project, &repository, "v0.3.0", "amd64", &["--release-notes", "other", "--overwrite"]);
    assert!(ran.code == 0 && ran.stdout.contains("replaced"), "{ran}");
    assert_ne!(registry.manifest("os/kubesolo", "v0.3.0-amd64").unwrap(), before);
}

#[test]
fn ou_24_what_is_no_release_is_refused_before_anything_is_sent() {
    let (registry, project) = (Registry::start(), empty());
    let repository = format!("{}/os/kubesolo", registry.host());
    let refused = |version: &str, more: &[&str], code: i32, words: &str| {
        let ran = publish(&project, &repository, version, "amd64", more);
        assert!(ran.code == code && ran.stderr.contains(words), "{version} {more:?}\n{ran}");
    };
    for version in ["", "0.3.0", "v0.3", "v0.3.0+x", "v0.3.0-arm64"] {
        refused(version, &[], 2, "the release's version is");
    }
    refused("v0.3.0", &["--min-compatible-version", "old"], 2, "minimum version");
    refused("v0.3.0", &["--release-date", "yesterday"], 2, "RFC 3339");
    let nothing = project.write("nothing", b"").display().to_string();
    let replace = |flag: &str, path: &str, code: i32, words: &str| {
        let mut arguments = publish_arguments(&project, &repository, "v0.3.0", "amd64");
        let at = arguments.iter().position(|word| word == flag).unwrap() + 1;
        arguments[at] = path.to_owned();
        let ran = project.port(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(ran.code == code && ran.stderr.contains(words), "{flag} {path}\n{ran}");
    };
    replace("--kernel", &nothing, 2, "the kernel has 0 bytes");
    replace("--initramfs", &nothing, 2, "the initramfs has 0 bytes");
    replace("--kernel", "absent", 5, "absent");
    replace("--channel", "v1.0.0", 2, "the release's channel is");
    replace("--channel", "a b", 2, "the release's channel is");
    replace("--architecture", "riscv64", 2, "possible values: amd64, arm64");
    replace("--repository", "os", 2, "--repository");
    assert!(registry.requests().is_empty(), "{:?}", registry.requests());
}

#[test]
fn o_48_only_manifests_of_one_release_make_an_index() {
    let (registry, project) = (Registry::start(), empty());
    let repository = format!("{}/os/kubesolo", registry.host());
    let refused = |more: &[&str], code: i32, words: &str| {
        let ran = index(&project, &repository, "v0.3.0", more);
        assert!(ran.code == code && ran.stderr.contains(words), "{more:?}\n{ran}");
        assert!(registry.manifest("os/kubesolo", "stable").is_none());
        assert!(registry.manifest("os/kubesolo", "v0.3.0").is_none());
    };
    refused(&[], 5, "expected one of v0.3.0-amd64, v0.3.0-arm64, found none");
    assert_eq!(publish(&project, &repository, "v0.3.0", "amd64", &[]).code, 0);
    refused(&["--architecture", "amd64,arm64"], 5, "v0.3.0-arm64");
    let amd64 = registry.manifest("os/kubesolo", "v0.3.0-amd64").unwrap();
    let put = |from: &str, to: &str| {
        let bytes = String::from_utf8(amd64.clone()).unwrap().replace(from, to);
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        registry.add_manifest("os/kubesolo", "v0.3.0-arm64", media_type, bytes.as_bytes());
    };
    put("", "");
    refused(&[], 1, "is for the architecture `amd64`: expected `arm64`");
    let arm64 = ("os.architecture\":\"amd64", "os.architecture\":\"arm64");
    let bytes = String::from_utf8(amd64.clone()).unwrap().replace(arm64.0, arm64.1);
    for (from, to, words) in [
        ("\"v0.3.0\"", "\"v0.3.1\"", "has the version `v0.3.1`: expected `v0.3.0`"),
        ("\"stable\"", "\"edge\"", "has the channel `edge`: expected `stable`"),
        (KERNEL, "application/x", "has no layer of the type"),
        ("os.architecture\":\"arm64", "os.arch\":\"arm64", "has the architecture ``: expected `arm64`"),
    ] {
        let wrong = bytes.replace(from, to);
        assert_ne!(wrong, bytes, "{from}");
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        registry.add_manifest("os/kubesolo", "v0.3.0-arm64", media_type, wrong.as_bytes());
        refused(&[], 1, words);
    }
}

#[test]
fn o_48_an_index_grows_and_loses_nothing() {
    let (registry, project) = (Registry::start(), empty());
    let repository = format!("{}/os/kubesolo", registry.host());
    let found = |tag: &str| registry.manifest("os/kubesolo", tag).unwrap();
    for architecture in ["amd64", "arm64"] {
        assert_eq!(publish(&project, &repository, "v0.3.0", architecture, &[]).code, 0);
        let ran = index(&project, &repository, "v0.3.0", &["--architecture", architecture]);
        assert_eq!(ran.code, 0, "{ran}");
    }
    let both = found("v0.3.0");
    let document: Value = serde_json::from_slice(&both).unwrap();
    assert_eq!(document["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(found("stable"), both);
    // A rerun writes no other bytes.
    assert_eq!(index(&project, &repository, "v0.3.0", &[]).code, 0);
    assert_eq!((found("v0.3.0"), found("stable")), (both.clone(), both.clone()));
    // What an index says is not changed unasked.
    assert_eq!(
        publish(&project, &repository, "v0.3.0", "amd64", &["--release-notes", "x", "--overwrite"]).code,
        0
    );
    let ran = index(&project, &repository, "v0.3.0", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("`v0.3.0` is published already"), "{ran}");
    assert_eq!((found("v0.3.0"), found("stable")), (both.clone(), both.clone()));
    assert_eq!(index(&project, &repository, "v0.3.0", &["--overwrite"]).code, 0);
    assert!(found("v0.3.0") != both && found("stable") == found("v0.3.0"));
    // The next release moves the channel and leaves the version.
    let old = found("v0.3.0");
    assert_eq!(publish(&project, &repository, "v0.3.1", "amd64", &[]).code, 0);
    let ran = index(&project, &repository, "v0.3.1", &[]);
    assert!(ran.code == 0 && ran.stdout.contains("stable was sha256:"), "{ran}");
    assert!(found("v0.3.0") == old && found("stable") == found("v0.3.1"));
    // A job of the old release that runs once more leads nobody back.
    let new = found("stable");
    let ran = index(&project, &repository, "v0.3.0", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("`stable` is at the newer release `v0.3.1`"), "{ran}");
    assert_eq!(found("stable"), new);
    assert_eq!(index(&project, &repository, "v0.3.0", &["--overwrite"]).code, 0);
    assert_eq!(found("stable"), old);
    // An index that somebody else composed is not taken for ours.
    let foreign = String::from_utf8(found("v0.3.1")).unwrap().replace("io.kubesolo.os.channel", "other");
    registry.add_manifest(
        "os/kubesolo",
        "v0.3.1",
        "application/vnd.oci.image.index.v1+json",
        foreign.as_bytes(),
    );
    let ran = index(&project, &repository, "v0.3.1", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("has the channel ``"), "{ran}");
}

#[test]
fn o_48_two_jobs_at_once_are_both_in_the_index() {
    let (registry, project) = (Registry::start(), empty());
    let repository = format!("{}/os/kubesolo", registry.host());
    for architecture in ["amd64", "arm64"] {
        assert_eq!(publish(&project, &repository, "v0.3.0", architecture, &[]).code, 0);
    }
    let jobs = ["amd64", "arm64"].map(|architecture| {
        let mut command =
            project.command(&index_arguments(&repository, "v0.3.0", &["--architecture", architecture]));
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for job in jobs {
        let ran = project.ran(job.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
    }
    let document: Value =
        serde_json::from_slice(&registry.manifest("os/kubesolo", "v0.3.0").unwrap()).unwrap();
    assert_eq!(document["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(registry.manifest("os/kubesolo", "stable"), registry.manifest("os/kubesolo", "v0.3.0"));
}

/// A job of a newer release moves the channel between this job's first look at it and its writing.
#[test]
fn o_48_the_channel_is_not_led_back_by_a_job_that_looked_too_early() {
    let (newer, project) = (Registry::start(), empty());
    let elsewhere = format!("{}/os/kubesolo", newer.host());
    assert_eq!(publish(&project, &elsewhere, "v0.3.1", "amd64", &[]).code, 0);
    assert_eq!(index(&project, &elsewhere, "v0.3.1", &[]).code, 0);
    let theirs = newer.manifest("os/kubesolo", "stable").unwrap();
    let indexed = AtomicBool::new(false);
    let hook = move |request: &Request| {
        let target = request.target.as_str();
        if request.method == "PUT" && target == "/v2/os/kubesolo/manifests/v0.3.0" {
            indexed.store(true, Ordering::SeqCst);
        }
        let reading = request.method != "PUT" && target == "/v2/os/kubesolo/manifests/stable";
        if !reading || !indexed.load(Ordering::SeqCst) {
            return Action::Pass;
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let digest = port_content::hashing::digest_of(&theirs).to_string();
        let reply = Reply::new(200, &theirs).header("content-type", media_type);
        Action::Answer(reply.header("docker-content-digest", digest))
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    let repository = format!("{}/os/kubesolo", registry.host());
    assert_eq!(publish(&project, &repository, "v0.3.0", "amd64", &[]).code, 0);
    let ran = index(&project, &repository, "v0.3.0", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("`stable` is at the newer release `v0.3.1`"), "{ran}");
    assert_eq!(registry.manifest("os/kubesolo", "stable"), None, "it was written");
}

/// What other tools wrote into the index is theirs, and stays as they wrote it.
#[test]
fn o_48_what_is_in_the_index_stays_to_the_byte() {
    const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let (registry, project) = (Registry::start(), empty());
    let repository = format!("{}/os/kubesolo", registry.host());
    for architecture in ["amd64", "arm64"] {
        assert_eq!(publish(&project, &repository, "v0.3.0", architecture, &[]).code, 0);
    }
    let digest = port_content::hashing::digest_of(&registry.manifest("os/kubesolo", "v0.3.0-amd64").unwrap());
    let size = registry.manifest("os/kubesolo", "v0.3.0-amd64").unwrap().len();
    let attestation = "a".repeat(64);
    let entries = format!(
        r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":{size},"digest":"{digest}","platform":{{"os":"linux","architecture":"amd64","variant":"v3","os.version":"6.1"}},"annotations":{{"com.example":"kept <1>"}},"urls":["https://example.com/x"]}},{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{attestation}","size":7,"platform":{{"architecture":"unknown","os":"unknown"}},"annotations":{{"vnd.docker.reference.type":"attestation-manifest"}}}}"#
    );
    let fields = r#""annotations":{"com.example.team":"kernel","io.kubesolo.os.channel":"stable","io.kubesolo.os.version":"v0.3.0"},"x-other":[1, 2]"#;
    let theirs =
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{entries}],{fields}}}"#);
    registry.add_manifest("os/kubesolo", "v0.3.0", OCI_INDEX, theirs.as_bytes());
    // Nothing is to be added: then nothing is written.
    let ran = index(&project, &repository, "v0.3.0", &["--architecture", "amd64"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(registry.manifest("os/kubesolo", "v0.3.0").unwrap(), theirs.as_bytes());
    assert_eq!(registry.manifest("os/kubesolo", "stable").unwrap(), theirs.as_bytes());
    let ran = index(&project, &repository, "v0.3.0", &[]);
    assert_eq!(ran.code, 0, "{ran}");
    let now = String::from_utf8(registry.manifest("os/kubesolo", "v0.3.0").unwrap()).unwrap();
    assert!(now.contains(&entries) && now.contains(fields), "{now}");
    let document: Value = serde_json::from_str(&now).unwrap();
    assert_eq!(document["manifests"][2]["platform"]["architecture"], "arm64", "{now}");
    assert_eq!(registry.manifest("os/kubesolo", "stable").unwrap(), now.as_bytes());
    // Docker's older form may not list these manifests, and is not turned into another.
    let docker = "application/vnd.docker.distribution.manifest.list.v2+json";
    let theirs = theirs.replace(OCI_INDEX, docker);
    registry.add_manifest("os/kubesolo", "v0.3.0", docker, theirs.as_bytes());
    let ran = index(&project, &repository, "v0.3.0", &[]);
    assert!(ran.code == 1 && ran.stderr.contains(&format!("has the media type `{docker}`")), "{ran}");
    assert_eq!(registry.manifest("os/kubesolo", "v0.3.0").unwrap(), theirs.as_bytes());
}
