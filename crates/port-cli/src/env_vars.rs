//! Every environment variable that Port reads, once. The only reader of the environment.
#![expect(clippy::disallowed_methods, reason = "this is the one place that the wall points to")]

use std::path::{Path, PathBuf};

use port_model::Architecture;
use port_ops::Environment;
use port_registry::Secret;
use port_registry::credentials::{CredentialPaths, Variables};

/// Where tests arm a failpoint: `name=kill` or `name=error` (see `port_content::failpoint`).
pub const FAILPOINT: &str = "PORT_FAILPOINT";
/// The BusyBox binary of guest images (acceptance P-32).
pub const BUSYBOX: &str = "PORT_BUSYBOX_BIN";
/// The guest agent's binary; else `port-guest-agent` beside `port`.
pub const GUEST_AGENT: &str = "PORT_GUEST_AGENT_BIN";
/// The probe kernel of `port doctor --boot`; else `port-probe-kernel-x86_64` beside `port`.
pub const PROBE_KERNEL: &str = "PORT_PROBE_KERNEL_BIN";
/// The launcher of workloads; else `port-launcher-ARCHITECTURE` beside `port`.
pub const LAUNCHER: &str = "PORT_LAUNCHER_BIN";
/// Where workloads' rooms are; else `/var/lib/port/workloads`.
pub const WORKLOADS: &str = "PORT_WORKLOADS";
/// The flake that the PVM guest kernel is built from (acceptance P-68).
pub const PVM_FLAKE_REF: &str = "PORT_PVM_BUILD_FLAKE_REF";
/// The flake's attribute (acceptance Pu-37).
pub const PVM_ATTRIBUTE: &str = "PORT_PVM_GUEST_KERNEL_ATTR";
/// The patched Firecracker of a PVM host (acceptance Pu-46).
pub const PVM_FIRECRACKER: &str = "PORT_PVM_FIRECRACKER_BINARY";
/// The base URL of the Firecracker CI bucket or of its mirror; before `sources.firecracker_ci_url`.
pub const FIRECRACKER_CI_URL: &str = "PORT_FIRECRACKER_CI_URL";
/// The machine's trust policy, in place of [`MACHINE_POLICY`].
pub const TRUST_POLICY: &str = "PORT_TRUST_POLICY";
/// Where the machine's trust policy is, if it has one.
const MACHINE_POLICY: &str = "/etc/port/trust.toml";
/// The passphrase of a private key, where nobody is to be asked.
pub const KEY_PASSPHRASE: &str = "PORT_KEY_PASSPHRASE";
/// What cosign calls it.
pub const COSIGN_PASSWORD: &str = "COSIGN_PASSWORD";

/// The directory of docker's `config.json`.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// The text of a docker `config.json`, before all files.
pub const DOCKER_AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";
/// A credential file in podman's format, before the usual ones.
pub const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";

/// Who signs requests to a bucket (`--storage s3://…`).
pub const AWS_ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
/// What they are signed with.
pub const AWS_SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// The token of the session that both are good for, if they are of one.
pub const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
/// The bucket's region; the first that is set.
pub const S3_REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// The S3 server; the first that is set.
pub const S3_ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// Where kraft keeps what it runs; its packages are in `oci` below it.
pub const KRAFTKIT_RUNTIME_DIR: &str = "KRAFTKIT_RUNTIME_DIR";

/// The socket of containerd, where kraft is told to keep its packages there.
pub const KRAFTKIT_CONTAINERD_ADDR: &str = "KRAFTKIT_CONTAINERD_ADDR";
/// The socket of containerd, as its own clients look for it.
pub const CONTAINERD_ADDRESS: &str = "CONTAINERD_ADDRESS";
/// containerd's namespace, for kraft and its own clients (acceptance K-9).
pub const CONTAINERD_NAMESPACE: &str = "CONTAINERD_NAMESPACE";

/// The value of a variable that is set, is text, and is not empty.
pub fn get(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the verbs need to know of the environment.
pub fn environment(host: Architecture) -> Environment {
    let executable = std::env::current_exe().ok();
    Environment {
        variable: get,
        credential_paths: CredentialPaths::from_variables(&credential_variables()),
        path: search_path(),
        agent: agents(host, executable.as_deref()),
        probe_kernel: probe_kernels(executable.as_deref()),
        busybox: get(BUSYBOX).map(PathBuf::from),
        pvm_flake_ref: get(PVM_FLAKE_REF),
        pvm_attribute: get(PVM_ATTRIBUTE),
        pvm_firecracker: get(PVM_FIRECRACKER).map(PathBuf::from),
        trust_policy: trust_policy(),
        firecracker_ci_url: get(FIRECRACKER_CI_URL),
    }
}

/// The machine's policy. One that is named must be there; the usual one need not, and one that cannot be looked at is there.
pub fn trust_policy() -> Option<PathBuf> {
    let usual = || {
        let path = PathBuf::from(MACHINE_POLICY);
        let there = port_content::fs::try_metadata(&path).map_or(true, |found| found.is_some());
        there.then_some(path)
    };
    get(TRUST_POLICY).map(PathBuf::from).or_else(usual)
}

/// Where Port may keep for a user what it could get again: `$XDG_CACHE_HOME/port`, else `~/.cache/port`.
pub fn cache_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.map(|cache| cache.join("port"))
}

/// kraft's runtime directory: its variable, else below `$XDG_DATA_HOME`, else below `~/.local/share`.
pub fn kraftkit_runtime_directory() -> Option<PathBuf> {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path(KRAFTKIT_RUNTIME_DIR).or_else(|| {
        let data = path("XDG_DATA_HOME").or_else(|| path("HOME").map(|home| home.join(".local/share")));
        data.map(|data| data.join("kraftkit/runtime"))
    })
}

/// What leads to the credential files of docker and podman.
fn credential_variables() -> Variables {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    Variables {
        home: path("HOME"),
        docker_config: path(DOCKER_CONFIG),
        docker_auth_config: get(DOCKER_AUTH_CONFIG).map(Secret::new),
        registry_auth_file: path(REGISTRY_AUTH_FILE),
        xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
        xdg_config_home: path("XDG_CONFIG_HOME"),
        path: std::env::var_os("PATH"),
        user_id: Some(rustix::process::getuid().as_raw()),
    }
}

/// PATH, and the directories of `e2fsck` and `debugfs`, which are not on the PATH of ordinary users.
fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect();
    for sbin in ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from) {
        if !directories.contains(&sbin) {
            directories.push(sbin);
        }
    }
    directories
}

/// Where the probe kernel may be: the variable alone if it is set, else beside `port`.
fn probe_kernels(executable: Option<&Path>) -> Vec<PathBuf> {
    if let Some(kernel) = get(PROBE_KERNEL) {
        return vec![kernel.into()];
    }
    let beside = executable.and_then(Path::parent);
    beside.map(|directory| directory.join("port-probe-kernel-x86_64")).into_iter().collect()
}

/// The launcher of workloads, where it is there. Not the name without the architecture, which is cargo's for one that
/// needs this machine's libraries.
pub fn launcher(host: Architecture) -> Option<PathBuf> {
    let beside = || Some(program()?.parent()?.join(format!("port-launcher-{host}")));
    get(LAUNCHER).map(PathBuf::from).or_else(beside).filter(|path| port_content::fs::exists(path))
}

/// `port` itself.
pub fn program() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// Where workloads' rooms are.
pub fn workloads() -> PathBuf {
    get(WORKLOADS).map_or_else(|| PathBuf::from("/var/lib/port/workloads"), PathBuf::from)
}

/// Where the guest agent may be: the variable alone if it is set, else beside `port`.
fn agents(host: Architecture, executable: Option<&Path>) -> Vec<PathBuf> {
    if let Some(agent) = get(GUEST_AGENT) {
        return vec![agent.into()];
    }
    let beside = executable.and_then(Path::parent);
    let names = [format!("port-guest-agent-{host}"), "port-guest-agent".to_owned()];
    beside.iter().flat_map(|directory| names.iter().map(|name| directory.join(name))).collect()
}
