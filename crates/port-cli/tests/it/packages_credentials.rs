//! Where `port packages` has credentials from beside docker's files: kraft's variables.

use port_testkit::peers::{Access, PASSWORD, Registry, Security, Software, USER};
use port_testkit::project::{Project, Ran};

use crate::packages::{pack, project};
use crate::packages_peers::base64;

/// `port packages VERB NAME` with these variables.
fn port(project: &Project, words: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = project.command(&[&["packages"], words].concat());
    project.ran(command.envs(variables.iter().copied()).output().unwrap())
}

#[test]
fn ku_24_ku_25_ku_26_kraft_s_variables_sign_in_and_come_before_docker_s_and_podman_s_files() {
    let registry = [Software::DockerRegistry, Software::Distribution]
        .into_iter()
        .find_map(|software| Registry::start(software, Access::Basic, Security::Plain));
    let Some(registry) = registry else { return };
    let (here, host) = (project(), registry.address().to_owned());
    let name = format!("{host}/team/hello:1");
    pack(&here, &name, &[]);
    let push = ["push", name.as_str(), "--plain-http"];
    let plain: String =
        host.chars().map(|letter| if letter.is_ascii_digit() { letter } else { '_' }).collect();
    let variable = |host: &str, end: &str| format!("KRAFTKIT_AUTH_{host}_{end}");
    let (user, token) = (variable(&plain, "USER"), variable(&plain, "TOKEN"));

    let ran = port(&here, &push, &[]);
    assert!(ran.code == 1 && ran.stderr.contains("port login"), "{ran}");
    let ran = port(&here, &push, &[(&user, USER), (&token, "wrong")]);
    assert!(ran.code == 1 && ran.stderr.contains("401") && !ran.stderr.contains("wrong"), "{ran}");
    let ran = port(&here, &push, &[(&user, USER)]);
    assert!(ran.code == 2 && ran.stderr.contains(&token), "{ran}");
    assert_eq!(port(&here, &push, &[(&user, USER), (&token, PASSWORD)]).code, 0);
    // A token that has its user in it needs no other variable (Ku-26); one that has not is half an entry.
    let both = base64(&format!("{USER}:{PASSWORD}"));
    assert_eq!(port(&here, &push, &[(&token, &both)]).code, 0);
    let ran = port(&here, &push, &[(&token, &base64("no user"))]);
    assert!(ran.code == 2 && ran.stderr.contains(&user), "{ran}");
    // The host as it is written, before a file with other words.
    let auths = serde_json::json!({ "auths": { &host: { "auth": "d3Jvbmc6d3Jvbmc=" } } });
    here.write(".docker/config.json", auths.to_string());
    let (user, token) = (variable(&host, "USER"), variable(&host, "TOKEN"));
    let ran = port(&here, &["pull", &name, "--plain-http"], &[(&user, USER), (&token, PASSWORD)]);
    assert_eq!(ran.code, 0, "{ran}");
    // Where docker and podman keep theirs instead.
    std::fs::remove_file(here.path().join(".docker/config.json")).unwrap();
    let pull = ["pull", name.as_str(), "--plain-http"];
    assert_ne!(port(&here, &pull, &[]).code, 0);
    let auths = serde_json::json!({ "auths": { &host: { "auth": base64(&format!("{USER}:{PASSWORD}")) } } });
    for (file, variable) in [
        ("elsewhere/config.json", ("DOCKER_CONFIG", "elsewhere")),
        ("run/containers/auth.json", ("XDG_RUNTIME_DIR", "run")),
    ] {
        let file = here.write(file, auths.to_string());
        let value = here.path().join(variable.1).display().to_string();
        let ran = port(&here, &pull, &[(variable.0, &value)]);
        assert_eq!(ran.code, 0, "{variable:?}: {ran}");
        std::fs::remove_file(file).unwrap();
    }
    here.write(".docker/config.json", "{}");
    // Another registry's entry is not shown to this one.
    let other = [("KRAFTKIT_AUTH_GHCR_IO_USER", USER), ("KRAFTKIT_AUTH_GHCR_IO_TOKEN", PASSWORD)];
    assert_ne!(port(&here, &["pull", &name, "--plain-http"], &other).code, 0);
    let off = variable(&host, "VERIFY_SSL");
    let ran =
        port(&here, &["pull", &name, "--plain-http"], &[(&user, USER), (&token, PASSWORD), (&off, "false")]);
    assert!(ran.code == 0 && ran.stderr.contains("certificates are always checked"), "{ran}");
}
