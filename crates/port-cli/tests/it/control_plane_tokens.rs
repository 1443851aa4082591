//! Tokens, TLS and the audit log of a control plane, as an operator uses them, and other people's clients against it.

use std::path::Path;

use port_testkit::certificates::Maker;
use port_testkit::project::Project;
use port_testkit::{peers, skip};
use serde_json::Value;

use crate::control_plane::{Server, TOKEN, artifacts_as, serve, served, served_with};
use crate::fixture::*;

fn token(project: &Project, scopes: &[&str]) -> Value {
    let plane =
        ["control-plane", "token", "create", "--control-plane", "demo", "--name", "ci", "--format", "json"];
    let scopes: Vec<&str> = scopes.iter().flat_map(|scope| ["--scope", *scope]).collect();
    let ran = project.port(&[&plane[..], &scopes].concat());
    assert_eq!(ran.code, 0, "{ran}");
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn p_62_tokens_are_made_used_listed_and_revoked() {
    let (project, _server) = served();
    project.write(LOCAL_KERNEL, b"kernel");
    let (push, pull) = (["push", "--artifact", "tiny"], ["pull", "--artifact", "tiny"]);
    let (push, pull) = ([&push[..], &X86].concat(), [&pull[..], &X86].concat());
    let writer = token(&project, &["pull,push:**"]);
    let reader = token(&project, &["pull:demo-fs/**"]);
    let text = |made: &Value, field: &str| made[field].as_str().unwrap().to_owned();
    let read_only = artifacts_as(Some(&text(&reader, "token")), &project, &push);
    assert!(read_only.code != 0 && read_only.stderr.contains("403"), "{read_only}");
    let pushed = artifacts_as(Some(&text(&writer, "token")), &project, &push);
    assert_eq!(pushed.code, 0, "{pushed}");
    std::fs::remove_file(project.path().join(LOCAL_KERNEL)).unwrap();
    let pulled = artifacts_as(Some(&text(&reader, "token")), &project, &pull);
    assert_eq!(pulled.code, 0, "{pulled}");
    let flags = ["--control-plane", "demo"];
    let listed = project.port(&[&["control-plane", "token", "list"][..], &flags].concat());
    assert!(listed.stdout.contains("pull,push:**") && listed.stdout.contains("never"), "{listed}");
    assert!(!listed.stdout.contains(&text(&writer, "token")), "{listed}");
    let id = text(&writer, "id");
    let revoke = [&["control-plane", "token", "revoke"][..], &flags, &[&id]].concat();
    assert_eq!(project.port(&revoke).code, 0);
    assert_eq!(project.port(&revoke).code, 5, "there is none any more");
    let refused = artifacts_as(Some(&text(&writer, "token")), &project, &push);
    assert!(refused.code != 0 && refused.stderr.contains("401"), "{refused}");
}

#[test]
fn tokens_that_cannot_be_are_refused_with_what_is_expected() {
    let (project, _server) = served();
    for (arguments, expected) in [
        (&["--name", "a/b", "--scope", "pull:**"][..], "cannot name a token"),
        (&["--name", "a", "--scope", "write:**"], "pull, push, delete or admin"),
        (&["--name", "a", "--scope", "pull:Team"], "no pattern"),
        (&["--name", "a", "--scope", "pull:**", "--expires", "soon"], "30d"),
        (&["--name", "a", "--scope", "pull:**", "--expires", "2001-01-01T00:00:00Z"], "expired already"),
    ] {
        let create = ["control-plane", "token", "create", "--control-plane", "demo"];
        let ran = project.port(&[&create[..], arguments].concat());
        assert!(ran.code == 2 && ran.stderr.contains(expected), "{arguments:?}: {ran}");
    }
}

#[test]
fn what_happened_is_in_the_audit_log_and_a_change_of_it_is_found() {
    let (project, server) = served_with(&["--audit-log", "audit.jsonl"]);
    project.write(LOCAL_KERNEL, b"kernel");
    let push = [&["push", "--artifact", "tiny"][..], &X86].concat();
    assert_eq!(artifacts_as(Some(TOKEN), &project, &push).code, 0);
    server.stop();
    let log = String::from_utf8(project.read("audit.jsonl")).unwrap();
    assert!(
        log.contains("artifacts:push") && log.contains("`vmlinux` sha256:") && !log.contains(TOKEN),
        "{log}"
    );
    let verify = ["control-plane", "audit", "verify", "audit.jsonl"];
    let good = project.port(&verify);
    assert!(good.code == 0 && good.stdout.contains("head: "), "{good}");
    let head = good.stdout.split_once("head: ").unwrap().1.trim().to_owned();
    assert_eq!(project.port(&[&verify[..], &["--head", &head]].concat()).code, 0);
    project.write("audit.jsonl", log.replacen("\"status\":200", "\"status\":403", 1));
    let changed = project.port(&verify);
    assert!(changed.code == 1 && changed.stderr.contains("was changed at line"), "{changed}");
    let again = project.ran(
        serve(&project).args(["--audit-log", "audit.jsonl"]).env("PORT_DEMO_TOKEN", TOKEN).output().unwrap(),
    );
    assert!(again.code == 1 && again.stderr.contains("was changed at line"), "{again}");
}

/// Pushes and pulls an image as skopeo does, signing in with this token.
fn skopeo_round(skopeo: &Path, project: &Project, registry: &str, token: &str, tls: &[&str]) {
    let image = format!("docker://{registry}/team/image:v1");
    let credentials = format!("anybody:{token}");
    let tls = |side: &str| tls.iter().map(|flag| flag.replace("SIDE", side)).collect::<Vec<_>>();
    let copy = |side: &str, from: &str, to: &str| {
        let credentials_flag = format!("--{side}-creds");
        let flags = tls(side);
        let mut arguments = vec!["copy", &credentials_flag, &credentials];
        arguments.extend(flags.iter().map(String::as_str));
        arguments.extend([from, to]);
        peers::run(skopeo, &arguments, project.path());
    };
    copy("dest", "oci:image:v1", &image);
    copy("src", &image, "oci:back:v1");
    assert_eq!(project.read("image/index.json").is_empty(), project.read("back/index.json").is_empty());
}

/// A small image in OCI layout.
fn image(project: &Project) {
    use port_content::hashing::digest_of;
    let blob = |bytes: &str| {
        let digest = digest_of(bytes.as_bytes());
        project.write(&format!("image/blobs/sha256/{}", digest.hex()), bytes);
        (digest.to_string(), bytes.len())
    };
    let (config, config_size) =
        blob(r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":{config_size}}},"layers":[]}}"#
    );
    let (manifest, manifest_size) = blob(&manifest);
    project.write("image/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    project.write(
        "image/index.json",
        format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{manifest}","size":{manifest_size},"annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#
        ),
    );
}

#[test]
fn skopeo_signs_in_with_a_stored_token() {
    let Some(skopeo) = skip::tool("skopeo", "skopeo") else { return };
    // Everybody may read: whoever pushes must be asked for a token all the same.
    for flags in [&[][..], &["--anonymous-pull"]] {
        let (project, server) = served_with(flags);
        image(&project);
        let made = token(&project, &["pull,push:team/**"]);
        let registry = server.endpoint.strip_prefix("http://").unwrap().to_owned();
        skopeo_round(
            &skopeo,
            &project,
            &registry,
            made["token"].as_str().unwrap(),
            &["--SIDE-tls-verify=false"],
        );
    }
}

#[test]
fn skopeo_and_port_speak_tls_with_it() {
    let Some(skopeo) = skip::tool("skopeo", "skopeo") else { return };
    let project = crate::control_plane::project();
    let Some(maker) = Maker::new(project.path()) else { return };
    maker.self_signed("server");
    let server =
        Server::start_with(&project, &["--tls-certificate", "server.pem", "--tls-key", "server.key"]);
    image(&project);
    let registry = server.endpoint.strip_prefix("http://").unwrap().to_owned();
    std::fs::create_dir(project.path().join("certificates")).unwrap();
    std::fs::copy(project.path().join("server.pem"), project.path().join("certificates/ca.crt")).unwrap();
    let directory = project.path().join("certificates").display().to_string();
    let flag = format!("--SIDE-cert-dir={directory}");
    skopeo_round(&skopeo, &project, &registry, TOKEN, &[&flag]);
}

#[test]
fn oras_and_crane_sign_in_with_a_stored_token() {
    let (project, server) = served_with(&["--anonymous-pull"]);
    let made = token(&project, &["pull,push:team/**"]);
    let token = made["token"].as_str().unwrap();
    let registry = server.endpoint.strip_prefix("http://").unwrap().to_owned();
    let config = format!("{}", project.path().join("docker").display());
    project.write("docker/config.json", "{}");
    project.write("tool", b"a tool");
    if let Some(oras) = peers::tool("oras") {
        let reference = format!("{registry}/team/tool:v1");
        let login = [
            "login",
            "--plain-http",
            "--registry-config",
            "docker/oras.json",
            "-u",
            "x",
            "-p",
            token,
            &registry,
        ];
        peers::run(&oras, &login, project.path());
        let flags = ["--plain-http", "--registry-config", "docker/oras.json"];
        peers::run(&oras, &[&["push"][..], &flags, &[&reference, "tool"]].concat(), project.path());
        std::fs::remove_file(project.path().join("tool")).unwrap();
        peers::run(
            &oras,
            &["pull", "--plain-http", "--registry-config", "docker/none.json", &reference],
            project.path(),
        );
        assert_eq!(project.read("tool"), b"a tool");
        let wrong = [
            "login",
            "--plain-http",
            "--registry-config",
            "docker/wrong.json",
            "-u",
            "x",
            "-p",
            "wrong",
            &registry,
        ];
        assert!(!peers::try_run(&oras, &wrong, project.path()).status.success(), "a wrong token signed in");
    }
    if let Some(crane) = peers::tool("crane") {
        image(&project);
        let run = |arguments: &[&str]| {
            let ran = std::process::Command::new(&crane)
                .args(arguments)
                .current_dir(project.path())
                .env("DOCKER_CONFIG", &config)
                .output()
                .unwrap();
            assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        };
        run(&["auth", "login", &registry, "-u", "x", "-p", token]);
        let reference = format!("{registry}/team/crane:v1");
        run(&["push", "image", &reference, "--insecure"]);
        run(&["pull", &reference, "pulled.tar", "--insecure"]);
    }
}
