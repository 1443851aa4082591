//! The guest agents and the launcher of workloads: static programs for the host's architecture and, where the compiler can, for the other one. The probe
//! kernel (`probe_kernel.rs`) comes with them: both are what `port` looks for beside itself.
//!
//! Their bytes are part of guest images, so they must not depend on where the clone lies: paths are remapped, and the
//! compiler is pinned. A target directory of their own keeps these flags from building everything else again.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::system::Setup;
use crate::{probe_kernel, process, workspace};

const PACKAGE: &str = "port-guest-agent";
/// The launcher of workloads, static like the agent: it runs on whatever root a workload has.
const LAUNCHER: &str = "port-launcher";

/// Where `port` and its tests look for the host's agent and launcher.
const NATIVE_VARIABLE: &str = "PORT_GUEST_AGENT_BIN";
const LAUNCHER_VARIABLE: &str = "PORT_LAUNCHER_BIN";

/// What `rustup target add` may take, in seconds, before the tests go on without the other architecture.
const TARGET_PATIENCE: &str = "90";

/// The agents and the probe kernel that were built, as the environment of tests and demo.
pub(crate) struct Agents {
    variables: Vec<(String, PathBuf)>,
}

impl Agents {
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.variables.iter().map(|(name, path)| (name.as_str(), path.as_path()))
    }
}

/// Builds both agents and the probe kernel. The host's agent must succeed; without the others, their tests skip, and it is
/// said why.
pub(crate) fn build(setup: Setup) -> Outcome<Agents> {
    let native = std::env::consts::ARCH;
    let agent = build_native(native)?;
    println!("agent: {native} at {}", shown(&agent));
    let mut variables = vec![(NATIVE_VARIABLE.to_owned(), agent.clone()), (test_variable(native), agent)];
    variables.push((LAUNCHER_VARIABLE.to_owned(), build_static(LAUNCHER, native)?));
    let other = if native == "x86_64" { "aarch64" } else { "x86_64" };
    match build_other(other, setup) {
        Ok(agent) => {
            println!("agent: {other} at {}", shown(&agent));
            variables.push((test_variable(other), agent));
        }
        Err(failure) => {
            println!(
                "note: no {other} guest agent, so its boot test will skip: {}",
                failure.findings().join("; ")
            );
        }
    }
    variables.extend(probe_kernel::variable(setup));
    Ok(Agents { variables })
}

/// Builds the host's agent and the probe kernel and puts them beside `port`, where `port` looks for them first.
///
/// Under the name with the architecture: the plain one is cargo's, which a build of the whole workspace replaces by an
/// agent that needs this machine's libraries.
pub(crate) fn install() -> Outcome {
    let architecture = std::env::consts::ARCH;
    let agent = build_native(architecture)?;
    put_beside_port("agent", &agent, &format!("{PACKAGE}-{architecture}"))?;
    let launcher = build_static(LAUNCHER, architecture)?;
    put_beside_port("launcher", &launcher, &format!("{LAUNCHER}-{architecture}"))?;
    match probe_kernel::build(Setup::Install) {
        Ok(kernel) => put_beside_port("probe kernel", &kernel, probe_kernel::NAME),
        Err(failure) => {
            println!("note: no probe kernel for `port doctor --boot`: {}", failure.findings().join("; "));
            Ok(())
        }
    }
}

fn put_beside_port(what: &str, file: &Path, name: &str) -> Outcome {
    for profile in ["release", "debug"] {
        let place = workspace::target_directory().join(profile).join(name);
        put(file, &place)?;
        println!("{what}: {}", shown(&place));
    }
    Ok(())
}

/// Copies a file so that whoever reads the old one at this moment keeps it.
fn put(file: &Path, place: &Path) -> Outcome {
    let directory = place.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(|error| Failure::io("create", directory, &error))?;
    let new = place.with_extension(format!("{}.tmp", std::process::id()));
    std::fs::copy(file, &new).map_err(|error| Failure::io("copy", file, &error))?;
    std::fs::rename(&new, place).map_err(|error| Failure::io("replace", place, &error))
}

/// The host's agent only, for what boots nothing else.
pub(crate) fn build_for_host() -> Outcome<Agents> {
    let agent = build_native(std::env::consts::ARCH)?;
    println!("agent: {}", shown(&agent));
    let launcher = build_static(LAUNCHER, std::env::consts::ARCH)?;
    Ok(Agents {
        variables: vec![(NATIVE_VARIABLE.to_owned(), agent), (LAUNCHER_VARIABLE.to_owned(), launcher)],
    })
}

/// `PORT_TEST_GUEST_AGENT_X86_64`, `PORT_TEST_GUEST_AGENT_AARCH64`.
fn test_variable(architecture: &str) -> String {
    format!("PORT_TEST_GUEST_AGENT_{}", architecture.to_ascii_uppercase())
}

fn build_native(architecture: &str) -> Outcome<PathBuf> {
    build_static(PACKAGE, architecture)
}

fn build_static(package: &str, architecture: &str) -> Outcome<PathBuf> {
    let flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    build_program(package, &format!("{architecture}-unknown-linux-gnu"), flags, &[])
}

/// musl brings its own start files, and rust-lld links for any architecture: no cross compiler is needed.
fn build_other(architecture: &str, setup: Setup) -> Outcome<PathBuf> {
    let target = format!("{architecture}-unknown-linux-musl");
    ensure_target(&target, setup)?;
    build_program(PACKAGE, &target, vec!["-Clinker=rust-lld".to_owned()], &[])
}

/// Sees to it that the compiler can build for a target.
pub(crate) fn ensure_target(target: &str, setup: Setup) -> Outcome {
    if is_installed(target) {
        return Ok(());
    }
    if setup == Setup::Report {
        return Err(Failure::new(format!("its target is not installed; run: rustup target add {target}")));
    }
    process::run(process::program("timeout").args([TARGET_PATIENCE, "rustup", "target", "add", target]))
}

fn is_installed(target: &str) -> bool {
    let library =
        process::read(process::program("rustc").args(["--print", "target-libdir", "--target", target]));
    library.is_ok_and(|path| Path::new(path.trim()).is_dir())
}

/// Builds a program of its own target and flags, small and the same wherever the clone lies.
pub(crate) fn build_program(
    package: &str,
    target: &str,
    mut flags: Vec<String>,
    more: &[&str],
) -> Outcome<PathBuf> {
    let directory = workspace::target_directory().join("agent");
    flags.push(format!("--remap-path-prefix={}=/port", workspace::root().display()));
    flags.push(format!("--remap-path-prefix={}=/cargo", cargo_home().display()));
    let mut command = process::cargo();
    command
        .args(["build", "--quiet", "--release", "--package", package, "--bin", package, "--target", target])
        .args(more)
        .arg("--target-dir")
        .arg(&directory)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // It is read at every boot and does little: small is fast here.
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat");
    process::run(&mut command)?;
    Ok(directory.join(target).join("release").join(package))
}

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// A path of the clone, and its file's size.
pub(crate) fn shown(path: &Path) -> String {
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let root = workspace::root();
    format!("{} ({size} bytes)", path.strip_prefix(root).unwrap_or(path).display())
}
