//! `port login` and `port logout`: against a real registry where there is one, and against one in memory.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use port_testkit::peers::{self, PASSWORD, Registry, Security, Software, USER};
use port_testkit::project::{Project, Ran};
use port_testkit::registry as memory;
use port_testkit::skip;
use serde_json::Value;

/// `peer:peer-secret-4711`.
const ENCODED: &str = "cGVlcjpwZWVyLXNlY3JldC00NzEx";
const CONFIG: &str = ".docker/config.json";

fn empty() -> Project {
    Project::new(env!("CARGO_BIN_EXE_port"))
}

/// Debian's registry, which most hosts can have.
fn registry(security: Security) -> Option<Registry> {
    Registry::start(Software::DockerRegistry, peers::Access::Basic, security)
}

/// Runs `port` with this on its standard input. Whatever it says, no secret is in it.
pub fn with_input(project: &Project, arguments: &[&str], input: &str) -> Ran {
    let ran = project.port_reading(arguments, input);
    for secret in [PASSWORD, ENCODED, input.trim_end()] {
        assert!(secret.is_empty() || !ran.to_string().contains(secret), "a secret is shown\n{ran}");
    }
    ran
}

/// Signs in with the right password, in the clear.
pub fn sign_in(project: &Project, place: &str) -> Ran {
    let arguments = ["login", place, "--username", USER, "--password-stdin", "--plain-http"];
    with_input(project, &arguments, &format!("{PASSWORD}\n"))
}

fn config(project: &Project, path: &str) -> Value {
    serde_json::from_slice(&project.read(path)).unwrap()
}

#[test]
fn a_login_is_checked_stored_used_and_forgotten() {
    for software in Software::ALL {
        if let Some(registry) = Registry::start(software, peers::Access::Basic, Security::Plain) {
            check_stored_used_and_forgotten(registry.address());
        }
    }
}

fn check_stored_used_and_forgotten(host: &str) {
    let project = empty();
    project.write(CONFIG, r#"{ "detachKeys": "ctrl-e" }"#);
    let ran = sign_in(&project, host);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.starts_with(&format!("signed in to {host} as {USER}, stored in")), "{ran}");
    let stored = config(&project, CONFIG);
    assert_eq!(stored["auths"][host]["auth"], ENCODED);
    assert_eq!(stored["detachKeys"], "ctrl-e");
    let mode = std::fs::metadata(project.path().join(CONFIG)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The next command is signed in.
    let repository = format!("{host}/os/kubesolo");
    let publish = crate::update::publish_arguments(&project, &repository, "v0.3.0", "amd64");
    let publish: Vec<&str> = publish.iter().map(String::as_str).collect();
    let ran = project.port(&publish);
    assert_eq!(ran.code, 0, "{ran}");
    let ran = project.port(&["logout", host, "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &report["removed"][0]), (0, &Value::from(host)), "{ran}");
    assert!(config(&project, CONFIG)["auths"].get(host).is_none());
    let ran = project.port(&publish);
    assert!(ran.code == 1 && ran.stderr.contains(&format!("port login {host}")), "{ran}");
    let ran = project.port(&["logout", host]);
    assert!(ran.code == 0 && ran.stdout.starts_with("nobody was signed in"), "{ran}");
}

#[test]
fn a_wrong_password_is_not_stored() {
    let Some(registry) = registry(Security::Plain) else { return };
    let (project, host) = (empty(), registry.address());
    let arguments = ["login", host, "--username", USER, "--password-stdin", "--plain-http"];
    let ran = with_input(&project, &arguments, "wrong-secret-42\n");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran}");
    assert!(ran.stderr.contains(&format!("not signed in: `{host}` refuses the user `{USER}`")), "{ran}");
    assert!(!project.exists(".docker"), "something was stored");
    // An earlier login stays.
    assert_eq!(sign_in(&project, host).code, 0);
    let before = project.read(CONFIG);
    assert_eq!(with_input(&project, &arguments, "wrong-secret-42\n").code, 1);
    assert_eq!(project.read(CONFIG), before);
}

#[test]
fn a_registry_of_its_own_authority_is_signed_in_to_with_ca_file() {
    let Some(registry) = registry(Security::Tls) else { return };
    let (project, host) = (empty(), registry.address());
    let arguments = ["login", host, "--username", USER, "--password-stdin", "--format", "json"];
    let ran = with_input(&project, &arguments, PASSWORD);
    assert!(ran.code == 4 && !project.exists(".docker"), "{ran}");
    let authority = registry.certificate_authority();
    let with_authority = [&arguments[..], &["--ca-file", authority.to_str().unwrap()]].concat();
    let ran = with_input(&project, &with_authority, PASSWORD);
    assert_eq!(ran.code, 0, "{ran}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["checked"], &report["shadowed"]), (&Value::Bool(true), &Value::Null));
    assert_eq!((&report["registry"], &report["key"]), (&Value::from(host), &Value::from(host)));
}

#[test]
fn ku_26_a_token_that_has_its_user_in_it_signs_in_by_itself() {
    let Some(registry) = registry(Security::Plain) else { return };
    let (project, host) = (empty(), registry.address());
    let arguments = ["login", host, "--password-stdin", "--plain-http"];
    let ran = with_input(&project, &arguments, &format!("{ENCODED}\n"));
    assert!(ran.code == 0 && ran.stdout.starts_with(&format!("signed in to {host} as {USER},")), "{ran}");
    assert_eq!(config(&project, CONFIG)["auths"][host]["auth"], ENCODED);
    for other in [PASSWORD, "bm8gdXNlcg==", "OnBhc3N3b3Jk", "dXNlcjo="] {
        let ran = with_input(&project, &arguments, other);
        assert!(ran.code == 2 && ran.stderr.contains("base64 of `user:token`"), "{other}: {ran}");
    }
}

#[test]
fn podman_reads_what_a_login_stores_for_a_namespace() {
    let Some(registry) = registry(Security::Plain) else { return };
    let (project, host) = (empty(), registry.address());
    let team = format!("{host}/team");
    let arguments =
        ["login", &team, "-u", USER, "--password-stdin", "--plain-http", "--authfile", "auth.json"];
    let ran = with_input(&project, &arguments, PASSWORD);
    assert_eq!(ran.code, 0, "{ran}");
    // Nobody looks there unasked.
    assert!(ran.stderr.contains("commands will not use this login"), "{ran}");
    assert_eq!(config(&project, "auth.json")["auths"][&team]["auth"], ENCODED);
    assert!(!project.exists(".docker"));
    // It is for the namespace, and for nothing beside it.
    let publish = |repository: &str| {
        let arguments = crate::update::publish_arguments(&project, repository, "v0.3.0", "amd64");
        let mut command = project.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        project.ran(command.env("REGISTRY_AUTH_FILE", "auth.json").output().unwrap())
    };
    let (inside, outside) = (publish(&format!("{team}/app")), publish(&format!("{host}/others/app")));
    assert_eq!((inside.code, outside.code), (0, 1), "{inside}\n{outside}");
    if let Some(skopeo) = skip::tool("skopeo", "skopeo") {
        let (file, image) = (project.path().join("auth.json"), format!("docker://{team}/app"));
        let list = ["list-tags", "--tls-verify=false", "--authfile", file.to_str().unwrap(), &image];
        let tags = peers::run(&skopeo, &list, project.path());
        assert!(String::from_utf8_lossy(&tags).contains("v0.3.0-amd64"));
    }
    let ran = project.port(&["logout", &team, "--authfile", "auth.json"]);
    assert!(ran.code == 0 && config(&project, "auth.json")["auths"].get(&team).is_none(), "{ran}");
}

#[test]
fn a_token_service_is_asked_and_its_refusal_is_one() {
    let abilities = memory::Abilities {
        access: memory::Access::Bearer { basic: ENCODED.to_owned(), uses: 10 },
        ..memory::Abilities::default()
    };
    // The root of this registry answers whoever has a token.
    let root = |request: &memory::Request| {
        let signed_in = request.header("authorization").starts_with("Bearer token-");
        if request.target == "/v2/" && signed_in {
            return memory::Action::Answer(memory::Reply::new(200, b"{}"));
        }
        memory::Action::Pass
    };
    let registry = memory::Registry::with(abilities, Box::new(root));
    let project = empty();
    let arguments = ["login", registry.host(), "-u", USER, "--password-stdin", "--plain-http"];
    let ran = with_input(&project, &arguments, "wrong-secret-42");
    assert!(ran.code == 1 && ran.stderr.contains("the token service refuses"), "{ran}");
    assert!(!project.exists(".docker"));
    let ran = sign_in(&project, registry.host());
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(config(&project, CONFIG)["auths"][registry.host()]["auth"], ENCODED);
    assert!(registry.requests().iter().all(|request| !request.target.contains(PASSWORD)));
}

/// A registry that wants nobody's name.
fn open() -> memory::Registry {
    let root = |request: &memory::Request| match request.target.as_str() {
        "/v2/" => memory::Action::Answer(memory::Reply::new(200, b"{}")),
        _ => memory::Action::Pass,
    };
    memory::Registry::with(memory::Abilities::default(), Box::new(root))
}

#[test]
fn what_was_not_checked_or_will_not_be_used_is_said() {
    let (registry, project) = (open(), empty());
    let ran = sign_in(&project, registry.host());
    assert!(ran.code == 0 && ran.stderr.contains("lets everybody in"), "{ran}");
    let other = format!(r#"{{"auths":{{"{}":{{"auth":"b3RoZXI6cGFzc3dvcmQ="}}}}}}"#, registry.host());
    let mut command = project.command(&["logout", registry.host()]);
    let ran = project.ran(command.env("DOCKER_AUTH_CONFIG", other).output().unwrap());
    assert!(ran.code == 0 && ran.stderr.contains("are still found: "), "{ran}");
    assert!(ran.stderr.contains("DOCKER_AUTH_CONFIG") && !ran.stderr.contains("b3RoZXI6"), "{ran}");
}

#[test]
fn a_helper_gets_the_secret_and_an_absent_one_is_an_error() {
    let (registry, project) = (open(), empty());
    let before = r#"{ "credsStore": "test-of-port" }"#;
    project.write(CONFIG, before);
    let ran = sign_in(&project, registry.host());
    assert!(ran.code == 1 && ran.stderr.contains("not signed in: "), "{ran}");
    assert!(ran.stderr.contains("`docker-credential-test-of-port`"), "{ran}");
    assert_eq!(project.read(CONFIG), before.as_bytes());
    let helper = project.write(
        "bin/docker-credential-test-of-port",
        "#!/bin/sh\ncase $1 in store) cat > $HOME/kept;; get) cat $HOME/kept;; erase) rm $HOME/kept;; esac\n",
    );
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", project.path().join("bin").display(), std::env::var("PATH").unwrap());
    let arguments = ["login", registry.host(), "-u", USER, "--password-stdin", "--plain-http"];
    let mut command = project.command(&arguments);
    command.env("PATH", &path).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    let ran = project.ran(child.wait_with_output().unwrap());
    assert!(ran.code == 0 && ran.stdout.contains("stored with `docker-credential-test-of-port`"), "{ran}");
    assert!(!ran.to_string().contains(PASSWORD) && !ran.stderr.contains("not encrypted"), "{ran}");
    assert_eq!(config(&project, "kept")["Secret"], PASSWORD);
    let file = String::from_utf8(project.read(CONFIG)).unwrap();
    assert!(!file.contains(PASSWORD) && !file.contains(ENCODED), "{file}");
    let mut command = project.command(&["logout", registry.host()]);
    let ran = project.ran(command.env("PATH", &path).output().unwrap());
    assert!(
        ran.code == 0 && ran.stdout.contains("was told to forget it") && !project.exists("kept"),
        "{ran}"
    );
}

#[test]
fn a_page_that_everybody_is_led_to_checks_nothing() {
    let portal = |request: &memory::Request| {
        let reply = match request.target.as_str() {
            "/v2/" => memory::Reply::new(302, b"").header("location", "/welcome"),
            _ => memory::Reply::new(200, b"<html>"),
        };
        memory::Action::Answer(reply)
    };
    let registry = memory::Registry::with(memory::Abilities::default(), Box::new(portal));
    let project = empty();
    let ran = sign_in(&project, registry.host());
    assert!(ran.code == 1 && ran.stderr.contains("cannot be asked"), "{ran}");
    assert!(!project.exists(".docker"));
}

#[test]
fn a_registry_that_does_not_answer_is_unreachable() {
    let project = empty();
    // Nothing listens on the port of a listener that is gone.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ran = sign_in(&project, &address);
    assert!(ran.code == 4 && ran.stderr.contains("nothing was stored"), "{ran}");
    assert!(!project.exists(".docker"));
}

#[test]
fn a_password_is_no_argument_and_needs_a_way_in() {
    let project = empty();
    let login = |more: &[&str], input: &str| {
        with_input(&project, &[&["login", "registry.invalid", "--username", USER][..], more].concat(), input)
    };
    assert_eq!(login(&["--password", "x-secret-argument"], "").code, 2);
    let ran = login(&[], PASSWORD);
    assert!(ran.code == 2 && ran.stderr.contains("--password-stdin"), "{ran}");
    for input in ["", "\n", "a\0b"] {
        assert_eq!(login(&["--password-stdin"], input).code, 2, "{input:?}");
    }
    assert_eq!(login(&["--password-stdin"], &"x".repeat(70_000)).code, 1);
    for place in ["", "https://ghcr.io", "user@ghcr.io", "ghcr.io/"] {
        assert_eq!(project.port(&["login", place, "-u", "x", "--password-stdin"]).code, 2, "{place}");
    }
    let mut command = project.command(&["logout", "ghcr.io"]);
    let ran = project.ran(command.env_remove("HOME").output().unwrap());
    assert!(ran.code == 2 && ran.stderr.contains("--authfile"), "{ran}");
}

#[test]
fn a_terminal_is_asked_and_does_not_show_the_answer() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let (registry, project) = (open(), empty());
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
    let terminal = std::fs::File::options().read(true).write(true).open(name).unwrap();
    let mut command = project.command(&["login", registry.host(), "--username", USER, "--plain-http"]);
    command.stdin(terminal.try_clone().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut asked = vec![0; format!("Password of `{USER}` for `{}`: ", registry.host()).len()];
    child.stderr.as_mut().unwrap().read_exact(&mut asked).unwrap();
    assert!(asked.starts_with(b"Password of `peer`"), "{}", String::from_utf8_lossy(&asked));
    let mut controller = std::fs::File::from(controller);
    controller.write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
    let ran = project.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(config(&project, CONFIG)["auths"][registry.host()]["auth"], ENCODED);
    // The terminal shows again what is typed, and did not before.
    controller.write_all(b"after\n").unwrap();
    let mut shown = [0; 256];
    let length = controller.read(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown[..length]).into_owned();
    assert!(shown.contains("after") && !shown.contains(PASSWORD), "{shown}");
    drop(terminal);
}
