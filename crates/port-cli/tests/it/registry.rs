//! Registries as a user configures them: the round trip on each server, signing in, TLS, and no other network.

use std::process::Command;

use port_testkit::peers::{self, Access, PASSWORD, Registry, Security, Software, USER};
use port_testkit::project::{Project, Ran};
use port_testkit::skip;

use crate::fixture::*;

/// The backend table of the acceptance (P-50, P-51).
pub const ANONYMOUS: &str = r#"transport = "plain-http", auth = { kind = "anonymous" }"#;
const BASIC_ENV: &str = r#"transport = "plain-http", auth = { kind = "basic-env", username_variable = "T_USER", password_variable = "T_PASSWORD" }"#;
/// The variant's published tag.
pub const TAG: &str = "v1-x86_64-firecracker-standard";

/// A project whose kernel `tiny` lives in the registry at `address`, reached as `backend` says.
pub fn registry_project(address: &str, backend: &str) -> Project {
    with_configuration(&configuration(address, "port/tiny", backend))
}

/// The configuration of [`registry_project`].
pub fn configuration(address: &str, repository: &str, backend: &str) -> String {
    format!(
        r#"
[artifacts.kernels.tiny]
reference = {{ registry = "{address}", repository = "{repository}", version = "v1" }}
variants = [
  {{ path = "{LOCAL_KERNEL}", selector = {{ architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }}, sources = [{{ kind = "path", path = "source/vmlinux" }}] }},
  {{ path = "k/aarch64/standard/vmlinux", selector = {{ architecture = "aarch64", substrate = "firecracker", protection_mode = "standard" }} }},
]
[artifacts.kernels.tiny.distribution]
push = {{ backend = "oci-registry", {backend} }}
pull = {{ backend = "oci-registry", {backend} }}
"#
    )
}

/// An open registry in the clear.
pub fn open_registry(software: Software) -> Option<Registry> {
    Registry::start(software, Access::Open, Security::Plain)
}

/// Deletes everything local.
pub fn forget(project: &Project) {
    for directory in ["k", ".port"] {
        let _ = std::fs::remove_dir_all(project.path().join(directory));
    }
}

/// Pushes, deletes everything local, pulls, compares.
fn round_trip(project: &Project, content: &[u8]) -> Ran {
    project.write(LOCAL_KERNEL, content);
    let pushed = succeed(project, "push", "tiny");
    forget(project);
    succeed(project, "pull", "tiny");
    assert!(project.read(LOCAL_KERNEL) == content, "what came back differs");
    pushed
}

/// Runs with variables.
fn with_variables(project: &Project, verb: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = project.command(&[&["artifacts", verb, "--artifact", "tiny"][..], &X86].concat());
    command.envs(variables.iter().copied());
    let ran = project.ran(command.output().unwrap());
    assert!(!format!("{ran}").contains(PASSWORD), "a secret is in the output: {ran}");
    ran
}

#[test]
fn p_50_p_51_p_52_p_53_a_round_trip_on_every_registry() {
    for software in Software::ALL {
        let Some(registry) = open_registry(software) else { continue };
        let project = registry_project(registry.address(), ANONYMOUS);
        let pushed = round_trip(&project, &noise(3 << 20));
        let place = format!("{}/port/tiny:{TAG}", registry.address());
        assert!(pushed.stdout.contains(&format!("store path: {place}\n")), "{software:?}\n{pushed}");
        assert!(pushed.stdout.contains("backend: oci-registry plain-http anonymous\n"), "{pushed}");
        let cached =
            format!(".port/cache/{}/port/tiny/v1/x86_64/firecracker/standard/vmlinux", registry.address());
        assert!(project.exists(&cached), "{software:?}: {cached}");
    }
}

#[test]
fn p_53_two_variants_share_a_version_and_a_second_push_sends_nothing() {
    let Some(registry) = open_registry(Software::DockerRegistry) else { return };
    let project = registry_project(registry.address(), ANONYMOUS);
    round_trip(&project, b"x86");
    project.write("k/aarch64/standard/vmlinux", b"arm");
    let aarch64 = ["--artifact", "tiny", "--architecture", "aarch64"];
    assert_eq!(project.port(&[&["artifacts", "push"][..], &aarch64].concat()).code, 0);
    forget(&project);
    assert_eq!(project.port(&["artifacts", "pull", "--artifact", "tiny", "--all-variants"]).code, 0);
    assert_eq!(project.read(LOCAL_KERNEL), b"x86");
    assert_eq!(project.read("k/aarch64/standard/vmlinux"), b"arm");
    let again = project.port(&[&["--format", "json", "artifacts", "push"][..], &aarch64].concat());
    assert_eq!(again.code, 0, "{again}");
}

#[test]
fn p_54_build_push_delete_pull_without_any_other_network() {
    const SCRIPT: &str = r#"
ip link set lo up || exit 90
docker-registry serve registry.yml > registry.log 2>&1 &
registry=$!
trap 'kill $registry' EXIT
for _ in $(seq 200); do (exec 3<>/dev/tcp/127.0.0.1/5510) 2>/dev/null && break; sleep 0.05; done
set -e
args="--artifact tiny --architecture x86-64"
"$PORT" artifacts build $args
sha256sum k/x86_64/standard/vmlinux > built
"$PORT" artifacts push $args
rm -r k .port
"$PORT" artifacts pull $args
sha256sum --check --status built
"#;
    if !cfg!(target_arch = "x86_64") {
        return skip::because("the tiny kernel is built on x86_64 only");
    }
    if peers::tool("docker-registry").is_none() || skip::tool("ip", "iproute2").is_none() {
        return;
    }
    let project = registry_project("127.0.0.1:5510", ANONYMOUS);
    project.write("source/vmlinux", elf_kernel("p54"));
    project.write(
        "registry.yml",
        "version: 0.1\nstorage: {filesystem: {rootdirectory: data}}\nhttp: {addr: '127.0.0.1:5510', secret: x}\n",
    );
    // A network of its own with nothing but the loopback address: whoever asks for more, fails.
    let may = Command::new("unshare").args(["--user", "--map-root-user", "--net", "true"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        return skip::because("this host lets no user make a network of its own (unshare --user --net)");
    }
    let port = project.command(&[]).get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "bash", "-c", SCRIPT]);
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    command.current_dir(project.path()).env("PATH", path).env("HOME", project.path()).env("PORT", port);
    let ran = project.ran(command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran}");
    assert_eq!(project.read(LOCAL_KERNEL), elf_kernel("p54"));
}

#[test]
fn only_what_is_missing_moves() {
    let Some(registry) = open_registry(Software::DockerRegistry) else { return };
    let proxy = port_testkit::proxy::Proxy::start(registry.address(), Default::default(), &[]);
    let project = registry_project(proxy.address(), ANONYMOUS);
    let content = noise(5 << 20);
    project.write(LOCAL_KERNEL, &content);
    succeed(&project, "push", "tiny");
    let (up, size) = (proxy.up(), content.len() as u64);
    assert!((size..size + (64 << 10)).contains(&up), "{up} bytes went up for {size}");
    succeed(&project, "push", "tiny");
    assert!(proxy.up() - up < 64 << 10, "the second push sent {} bytes", proxy.up() - up);
    let down = proxy.down();
    succeed(&project, "pull", "tiny");
    assert!(proxy.down() - down < 64 << 10, "a pull of what is here fetched {} bytes", proxy.down() - down);
}

#[test]
fn basic_auth_comes_from_the_variables_that_the_file_names() {
    for software in Software::ALL {
        let Some(registry) = Registry::start(software, Access::Basic, Security::Plain) else { continue };
        let project = registry_project(registry.address(), BASIC_ENV);
        project.write(LOCAL_KERNEL, b"kernel");
        let right = [("T_USER", USER), ("T_PASSWORD", PASSWORD)];
        let ran = with_variables(&project, "push", &right);
        assert_eq!(ran.code, 0, "{software:?}\n{ran}");
        forget(&project);
        assert_eq!(with_variables(&project, "pull", &right).code, 0, "{software:?}");
        assert_eq!(project.read(LOCAL_KERNEL), b"kernel");
    }
}

#[test]
fn a_wrong_password_is_told_and_never_shown() {
    const WRONG: &str = "wrong-secret-0815";
    let Some(registry) = Registry::start(Software::DockerRegistry, Access::Basic, Security::Plain) else {
        return;
    };
    let project = registry_project(registry.address(), BASIC_ENV);
    project.write(LOCAL_KERNEL, b"kernel");
    for verb in ["push", "pull"] {
        let ran = with_variables(&project, verb, &[("T_USER", USER), ("T_PASSWORD", WRONG)]);
        assert_eq!(ran.code, 1, "{ran}");
        let all = ran.to_string();
        assert!(!all.contains(WRONG), "{all}");
        // What base64 makes of `peer:wrong-secret-0815` without its last bits.
        assert!(!all.contains("cGVlcjp3cm9uZy1zZWNyZXQtMDgx"), "{all}");
        assert!(all.contains(registry.address()), "{all}");
        assert!(all.contains("credentials") || all.contains("denied") || all.contains("sign in"), "{all}");
    }
    let ran = artifacts(&registry_project(registry.address(), ANONYMOUS), "pull", "tiny");
    assert_eq!(ran.code, 1, "{ran}");
}

#[test]
fn a_missing_variable_is_named() {
    let project = registry_project("127.0.0.1:9", BASIC_ENV);
    project.write(LOCAL_KERNEL, b"kernel");
    for (set, missing) in [("T_USER", "T_PASSWORD"), ("T_PASSWORD", "T_USER")] {
        for verb in ["push", "pull"] {
            let ran = with_variables(&project, verb, &[(set, "something")]);
            assert_ne!(ran.code, 0, "{ran}");
            assert!(ran.stderr.contains(&format!("`{missing}`")), "{verb} without {missing}\n{ran}");
        }
    }
}

#[test]
fn basic_auth_comes_from_dockers_config() {
    let Some(registry) = Registry::start(Software::DockerRegistry, Access::Basic, Security::Plain) else {
        return;
    };
    let project = registry_project(registry.address(), r#"transport = "plain-http""#);
    project.write(LOCAL_KERNEL, b"kernel");
    let ran = artifacts(&project, "push", "tiny");
    assert_eq!(ran.code, 1, "nobody has signed in\n{ran}");
    // base64 of `peer:peer-secret-4711`
    let auth = "cGVlcjpwZWVyLXNlY3JldC00NzEx";
    let file = format!(r#"{{ "auths": {{ "{}": {{ "auth": "{auth}" }} }} }}"#, registry.address());
    project.write(".docker/config.json", &file);
    round_trip(&project, b"kernel");
    std::fs::rename(project.path().join(".docker"), project.path().join("elsewhere")).unwrap();
    forget(&project);
    let elsewhere = project.path().join("elsewhere");
    let ran = with_variables(&project, "pull", &[("DOCKER_CONFIG", elsewhere.to_str().unwrap())]);
    assert_eq!(ran.code, 0, "{ran}");
}

#[test]
fn tls_with_an_authority_of_ones_own() {
    for software in Software::ALL {
        let Some(registry) = Registry::start(software, Access::Basic, Security::Tls) else { continue };
        let authority = registry.certificate_authority();
        let variables = [("T_USER", USER), ("T_PASSWORD", PASSWORD)];
        let auth = BASIC_ENV.replace("plain-http", "https");
        let stranger = registry_project(registry.address(), &auth);
        stranger.write(LOCAL_KERNEL, b"kernel");
        let ran = with_variables(&stranger, "push", &variables);
        assert_ne!(ran.code, 0, "{software:?}: an unknown authority must not be trusted\n{ran}");
        assert!(ran.stderr.contains("certificate"), "{software:?}\n{ran}");
        let known = format!("{auth}, certificate_authority = \"{}\"", authority.display());
        let project = registry_project(registry.address(), &known);
        project.write(LOCAL_KERNEL, b"kernel");
        let ran = with_variables(&project, "push", &variables);
        assert_eq!(ran.code, 0, "{software:?}\n{ran}");
        forget(&project);
        assert_eq!(with_variables(&project, "pull", &variables).code, 0, "{software:?}");
        assert_eq!(project.read(LOCAL_KERNEL), b"kernel");
    }
}

/// Bytes that no compression and no hole makes smaller, the same in every run.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Hashing and packing gigabytes for a registry that takes nothing would be for nothing.
#[test]
fn who_may_not_push_reads_so_before_anything_is_hashed() {
    use port_testkit::registry::{Abilities, Action, Registry as InMemory, Reply, Request};
    let hook = |request: &Request| match request.method.as_str() {
        "POST" => Action::Answer(Reply::new(403, br#"{"errors":[{"code":"DENIED","message":"read only"}]}"#)),
        _ => Action::Pass,
    };
    let registry = InMemory::with(Abilities::default(), Box::new(hook));
    let project = registry_project(registry.host(), ANONYMOUS);
    let kernel = project.write(LOCAL_KERNEL, noise(1 << 20));
    std::fs::File::options().write(true).open(kernel).unwrap().set_len(40 << 20).unwrap();
    let ran = artifacts(&project, "push", "tiny");
    assert!(ran.code == 1 && ran.stderr.contains("read only"), "{ran}");
    let asked: Vec<String> =
        registry.requests().iter().map(|request| format!("{} {}", request.method, request.target)).collect();
    assert_eq!(asked, ["POST /v2/port/tiny/blobs/uploads/"]);
    let stored = std::fs::read_dir(project.path().join(".port/store/blobs/sha256"));
    assert_eq!(stored.map_or(0, Iterator::count), 0, "nothing was taken into the store");
}

/// A push that has nothing to do asks for nothing.
#[test]
fn a_push_of_what_is_published_begins_no_upload() {
    use port_testkit::registry::Registry as InMemory;
    let registry = InMemory::start();
    let project = registry_project(registry.host(), ANONYMOUS);
    project.write(LOCAL_KERNEL, noise(1 << 20));
    succeed(&project, "push", "tiny");
    let before = registry.requests().len();
    succeed(&project, "push", "tiny");
    let posts = registry.requests().into_iter().skip(before).filter(|request| request.method == "POST");
    assert_eq!(posts.count(), 0);
    assert_eq!(registry.sessions(), 0, "the question left no session");
}

/// What `oras push` put beside the files of the variant is left out, and that is said (docs/formats/layouts.md).
#[test]
fn layers_that_are_no_part_of_the_variant_are_named() {
    use port_testkit::registry::Registry as InMemory;
    let registry = InMemory::start();
    let layer = |title: &str, bytes: &[u8]| {
        let digest = registry.add_blob(bytes);
        format!(
            r#"{{"mediaType":"application/octet-stream","digest":"{digest}","size":{},"annotations":{{"org.opencontainers.image.title":"{title}"}}}}"#,
            bytes.len()
        )
    };
    let config = registry.add_blob(b"{}");
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.unknown.artifact.v1","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[{},{}]}}"#,
        layer("vmlinux", &elf_kernel("oras")),
        layer("README.md", b"read me")
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    registry.add_manifest("port/tiny", TAG, media_type, manifest.as_bytes());
    let project = registry_project(registry.host(), ANONYMOUS);
    let ran = succeed(&project, "pull", "tiny");
    assert_eq!(project.read(LOCAL_KERNEL), elf_kernel("oras"));
    assert!(ran.stderr.contains("the layer `README.md` (application/octet-stream, sha256:"), "{ran}");
}
