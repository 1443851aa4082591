//! Where something has no room, no permission, no end or nothing to give: what is said, and what is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};
use port_testkit::skip;
use serde_json::Value;

use crate::fixture::*;
use crate::packed;
use crate::registry::{ANONYMOUS, TAG, noise, registry_project};

/// A registry that sees these requests.
fn hooked(hook: impl Fn(&Request) -> Action + Send + Sync + 'static) -> Registry {
    Registry::with(Abilities::default(), Box::new(hook))
}

#[test]
fn an_upload_that_is_too_large_is_called_that() {
    let text = br#"{"errors":[{"code":"SIZE_INVALID","message":"at most 10 MB"}]}"#;
    let registry = hooked(|request| match request.method.as_str() {
        "PUT" | "PATCH" => Action::Answer(Reply::new(413, text)),
        _ => Action::Pass,
    });
    let project = registry_project(registry.host(), ANONYMOUS);
    project.write(LOCAL_KERNEL, noise(3 << 20));
    let ran = artifacts(&project, "push", "tiny");
    assert_eq!(ran.code, 1, "{ran}");
    for words in ["answered 413 (SIZE_INVALID: at most 10 MB)", "`client_max_body_size`"] {
        assert!(ran.stderr.contains(words), "{words}: {ran}");
    }
    assert!(!ran.stderr.contains("sessions"), "{ran}");
}

#[test]
fn a_cache_that_takes_nothing_takes_nothing_back_of_what_is_published() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    project.write(LOCAL_KERNEL, noise(1000));
    // A file where the cache's directory would be.
    project.write(".port/cache", b"");
    let json = [&["--format", "json", "artifacts", "push", "--artifact", "tiny"][..], &X86].concat();
    let ran = project.port(&json);
    assert_eq!(ran.code, 0, "{ran}");
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(said["cache_error"].as_str().unwrap().contains(".port/cache"), "{said}");
    assert!(ran.stderr.contains("warning: published, but not put into the cache"), "{ran}");
    assert!(registry.manifest("port/tiny", TAG).is_some());
    std::fs::remove_file(project.path().join(".port/cache")).unwrap();
    let again: Value = serde_json::from_str(&project.port(&json).stdout).unwrap();
    assert_eq!(again["cache_error"], Value::Null);
    assert!(project.exists(again["files"][0]["cache_path"].as_str().unwrap()));
}

#[test]
fn a_cache_that_takes_nothing_keeps_nobody_from_what_was_pulled() {
    let registry = Registry::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    let image = noise(1000);
    project.write(LOCAL_KERNEL, image.clone());
    assert_eq!(artifacts(&project, "push", "tiny").code, 0);
    std::fs::remove_file(project.path().join(LOCAL_KERNEL)).unwrap();
    std::fs::remove_dir_all(project.path().join(".port/cache")).unwrap();
    project.write(".port/cache", b"");
    let ran = artifacts(&project, "pull", "tiny");
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stderr.contains("warning: pulled, but not put into the cache"), "{ran}");
    assert_eq!(project.read(LOCAL_KERNEL), image);
}

#[test]
fn nothing_published_is_one_line_and_a_hint() {
    let registry = Registry::start();
    let there = registry_project(registry.host(), ANONYMOUS);
    let place = format!("oci:{}:v1", there.path().join("layout").display());
    let absent = format!("{}/port/tiny:v7", registry.host());
    for (ran, name) in [
        (artifacts(&there, "pull", "tiny"), format!("{}/port/tiny:{TAG}`: the registry", registry.host())),
        (artifacts(&project(), "pull", "tiny"), SHOP_KERNEL.rsplit_once('/').unwrap().0.to_owned()),
        (
            there.port(&["artifacts", "copy", "--plain-http", &absent, &place]),
            format!("{absent}`: the registry"),
        ),
    ] {
        assert!(ran.code == 5 && ran.stderr.contains(&name), "{name}: {ran}");
        let lines: Vec<&str> = ran.stderr.lines().filter(|line| !line.is_empty()).collect();
        assert!(lines[0].starts_with("error: nothing is published "), "{ran}");
        assert!(lines[1..].iter().all(|line| line.starts_with("hint: ")), "{ran}");
    }
}

/// Runs a script with the program as `$0` where a user may mount; `None` after saying why not.
fn in_a_namespace(project: &Project, script: &str) -> Option<Ran> {
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_port")]);
    let ran = project.ran(command.current_dir(project.path()).output().unwrap());
    if ran.stderr.contains("unshare:") || ran.stderr.contains("mount:") {
        skip::because(&format!("no mount namespace: {}", ran.stderr));
        return None;
    }
    Some(ran)
}

#[test]
fn a_full_disk_is_named_with_the_path_and_the_remedy() {
    let registry = Registry::start();
    for (encoding, verb) in [("raw", "push"), ("packed", "push"), ("raw", "pull"), ("packed", "pull")] {
        let host = registry.host();
        let version = format!("v-{encoding}-{verb}");
        let configuration = packed::configuration(host, &version, &format!(r#", encoding = "{encoding}""#));
        let project = with_configuration(&configuration);
        packed::place(&project, &packed::image(1));
        if verb == "pull" {
            packed::report(&project, "push", &[]);
            std::fs::remove_dir_all(project.path().join(".port")).unwrap();
            std::fs::remove_dir_all(project.path().join("g")).unwrap();
        }
        let script = format!(
            "mkdir .port && mount -t tmpfs -o size=1m none .port && \
             \"$0\" artifacts {verb} --artifact root --architecture x86-64"
        );
        let Some(ran) = in_a_namespace(&project, &script) else { return };
        assert_eq!(ran.code, 1, "{encoding} {verb}\n{ran}");
        for words in ["No space left on device", "`.port/", "the disk is full", "`port store gc`"] {
            assert!(ran.stderr.contains(words), "{encoding} {verb}, {words}\n{ran}");
        }
    }
}

#[test]
fn what_may_not_be_written_is_named_with_the_path_and_the_remedy() {
    let registry = Registry::start();
    let pull = "\"$0\" artifacts pull --artifact tiny --architecture x86-64";
    for (close, refusal, remedy) in [
        ("mkdir k && mount -t tmpfs -o ro none k", "Read-only file system", "mount it writable"),
        // Whoever owns a directory is bound by its mode where he may not override it.
        ("mkdir k && chmod 555 k", "Permission denied", "run it as the user"),
    ] {
        let project = registry_project(registry.host(), ANONYMOUS);
        project.write(LOCAL_KERNEL, noise(1000));
        succeed(&project, "push", "tiny");
        std::fs::remove_dir_all(project.path().join("k")).unwrap();
        let without =
            if refusal.starts_with("Perm") { "setpriv --bounding-set=-all --inh-caps=-all " } else { "" };
        let Some(ran) = in_a_namespace(&project, &format!("{close} && {without}{pull}")) else { return };
        assert_eq!(ran.code, 1, "{ran}");
        for words in [refusal, "`k/x86_64", remedy] {
            assert!(ran.stderr.contains(words), "{words}\n{ran}");
        }
    }
}

#[test]
fn a_list_of_deltas_without_end_is_left_and_packs_are_taken() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lists);
    let registry = hooked(move |request| {
        if !request.target.contains("/referrers/") {
            return Action::Pass;
        }
        let page = counted.fetch_add(1, Ordering::SeqCst);
        let body = br#"{"schemaVersion":2,"manifests":[]}"#;
        let reply = Reply::new(200, body).header("content-type", "application/vnd.oci.image.index.v1+json");
        Action::Answer(reply.header("link", format!("<?page={page}>; rel=\"next\"")))
    });
    let host = registry.host();
    let publisher = packed::project(host);
    let reader = packed::project(host);
    packed::push(&publisher, host, 1, &[]);
    packed::pull(&reader, host, 1);
    lists.store(0, Ordering::SeqCst);
    packed::turn(&publisher, host, "v2", "");
    packed::place(&publisher, &packed::image(2));
    let (said, ran) = packed::report(&publisher, "push", &[]);
    assert!(ran.stderr.contains("no deltas are published"), "{ran}");
    assert_eq!((&said["delta_error"], lists.swap(0, Ordering::SeqCst)), (&Value::Null, 8), "{ran}");
    packed::turn(&reader, host, "v2", "");
    let (_, ran) = packed::report(&reader, "pull", &[]);
    assert!(ran.stderr.contains("so packs are taken"), "{ran}");
    assert!(ran.stderr.contains("longer than 8 pages"), "{ran}");
    assert_eq!(lists.load(Ordering::SeqCst), 8);
    packed::assert_same(&reader, &packed::image(2));
}

#[test]
fn commands_without_a_project_trust_the_token_services_that_port_toml_names() {
    // A token service elsewhere, where nobody answers.
    let registry = hooked(|_| {
        let challenge = r#"Bearer realm="https://localhost:1/token",service="x""#;
        Action::Answer(Reply::new(401, b"{}").header("www-authenticate", challenge))
    });
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let auths = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpzZWNyZXQ="}}}}}}"#, registry.host());
    project.write(".docker/config.json", auths);
    let place = format!("{}/port/tiny", registry.host());
    let (tagged, layout) = (format!("{place}:v1"), "oci:layout:v1");
    let run = |code: i32, words: &str, more: &[&str]| {
        let login = ["login", registry.host(), "--username", "user", "--password-stdin", "--plain-http"];
        let ran = crate::login::with_input(&project, &[&login[..], more].concat(), "other-secret\n");
        assert!(ran.code == code && ran.stderr.contains(words), "{ran}");
        for command in [
            &["artifacts", "copy", "--plain-http", &tagged, layout][..],
            &["update", "check", "--plain-http", "--repository", &place, "--tag", "stable"],
        ] {
            let ran = project.port(&[command, more].concat());
            assert!(ran.code == code && ran.stderr.contains(words), "{ran}");
        }
    };
    run(1, "https://localhost:1/token", &[]);
    let trusting = format!("[registries.\"{}\"]\ntrusted_realms = [\"localhost\"]\n", registry.host());
    let trusting = crate::registry::configuration(registry.host(), "port/tiny", ANONYMOUS) + &trusting;
    project.write("port.toml", &trusting);
    run(4, "localhost:1", &[]);
    // One that cannot be read is none, unless it is named.
    project.write("port.toml", "[registries");
    run(1, "warning: `registries` of `port.toml` is not used", &[]);
    project.write("other.toml", &trusting);
    run(4, "localhost:1", &["--config", "other.toml"]);
    run(2, "absent.toml", &["--config", "absent.toml"]);
}
