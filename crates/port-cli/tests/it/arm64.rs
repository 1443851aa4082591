//! An arm64 kernel and image, made by the library on any host and booted by `port run` under emulation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use port_build::{Context, Environment, KernelInput, LockMode};
use port_config::{Lock, Project};
use port_model::Architecture;
use port_model::progress::Silent;
use port_testkit::skip;

use crate::fixture::with_configuration;

#[test]
fn an_arm64_image_boots_under_emulation() {
    let Some(agent) = std::env::var_os("PORT_TEST_GUEST_AGENT_AARCH64") else {
        skip::because(
            "PORT_TEST_GUEST_AGENT_AARCH64 names no arm64 agent (`cargo xtask test` builds one where it can)",
        );
        return;
    };
    if skip::tool("qemu-system-aarch64", "qemu-system-arm").is_none() {
        return;
    }
    let Some(apt) = private_apt() else { return };
    let project = with_configuration("");
    let text = configuration(project.path());
    project.write("port.toml", &text);
    let parsed = Project::parse("port.toml", &text, Architecture::Aarch64).unwrap();
    let environment = Environment { agent: vec![agent.into()], path: apt, ..Environment::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match runtime.block_on(build(&parsed, &environment)) {
        Ok(lock) => project.write("port.lock", lock.to_string()),
        Err(error) if error.to_string().contains("can be reached") => {
            return skip::because(&error.to_string());
        }
        Err(error) => panic!("{error}"),
    };
    let ran = project.port(&["run", "arm", "--", "uname", "-m"]);
    assert_eq!((ran.code, ran.stdout.trim()), (0, "aarch64"), "{ran}");
}

fn configuration(directory: &Path) -> String {
    let selector = r#"{ architecture = "aarch64", substrate = "firecracker", protection_mode = "standard" }"#;
    let directory = directory.display();
    format!(
        r#"
[artifacts.kernels.kernel]
reference = {{ registry = "demo-fs", repository = "port/kernel", version = "v1" }}
variants = [{{ path = "{directory}/k/vmlinux", selector = {selector}, sources = [{{ kind = "debian-package", package = "linux-image-cloud-arm64" }}] }}]
[artifacts.guest_images.guest]
reference = {{ registry = "demo-fs", repository = "port/guest", version = "v1" }}
recipe = {{ format = "ext4", kernel = "kernel" }}
variants = [{{ path = "{directory}/g/rootfs.ext4", selector = {selector} }}]
[machines.arm]
kernel = "kernel"
guest_image = "guest"
architecture = "aarch64"
"#
    )
}

async fn build(project: &Project, environment: &Environment) -> Result<Lock, port_build::BuildError> {
    let mut lock = Lock::default();
    let downloads = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arm64/downloads");
    let client = port_transport::Client::default();
    let context = Context {
        sources: &project.sources,
        downloads: &downloads,
        host: Architecture::Aarch64,
        environment,
        client: &client,
        reporter: &Silent,
        lock: &lock.clone(),
        lock_mode: LockMode::Normal,
        standard: &BTreeSet::new(),
        source: None,
        digest_of: &port_content::hashing::digest_file,
    };
    let kernel = project.artifact("kernel").unwrap();
    let built = port_build::kernel(&context, kernel, &kernel.variants[0]).await?;
    let input = KernelInput { artifact: "kernel", config: &kernel.variants[0], entry: &built.entry };
    let guest = project.artifact("guest").unwrap();
    let image = port_build::guest_image(&context, guest, &guest.variants[0], Some(&input)).await?;
    lock.set(built.entry.clone());
    lock.set(image.entry);
    Ok(lock)
}

/// An apt of its own with arm64's package lists, so that nothing changes on this machine: directories to look for
/// programs in, the wrappers first.
pub fn private_apt() -> Option<Vec<PathBuf>> {
    let apt_get = skip::tool("apt-get", "apt")?;
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arm64");
    let state = root.join("apt");
    for directory in ["state/lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(state.join(directory)).unwrap();
    }
    std::fs::write(state.join("status"), "").unwrap();
    let configuration = format!(
        "APT::Architecture \"arm64\";\nAPT::Architectures {{ \"arm64\"; }};\nAPT::Sandbox::User \"root\";\n\
         Dir::State \"{0}/state\";\nDir::State::status \"{0}/status\";\nDir::Cache \"{0}/cache\";\n",
        state.display()
    );
    std::fs::write(state.join("apt.conf"), configuration).unwrap();
    let programs = root.join("bin");
    std::fs::create_dir_all(&programs).unwrap();
    for name in ["apt-get", "apt-cache"] {
        let real = apt_get.with_file_name(name);
        let script =
            format!("#!/bin/sh\nAPT_CONFIG='{}/apt.conf' exec {} \"$@\"\n", state.display(), real.display());
        std::fs::write(programs.join(name), script).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(programs.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let updated = Command::new(programs.join("apt-get")).args(["-qq", "update"]).output().unwrap();
    if !updated.status.success() {
        skip::because(&format!("apt has no arm64 lists: {}", String::from_utf8_lossy(&updated.stderr)));
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    Some(std::iter::once(programs).chain(std::env::split_paths(&path)).collect())
}
