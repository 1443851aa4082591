//! `hybrid-emulated`: programs of another architecture, translated by QEMU's user mode (acceptance V-6).
//!
//! ```text
//! unshare: a user namespace of its own, mounts, processes, host name, network
//!   └─ number 1: registers the translators in a binfmt_misc that only this namespace has
//!        └─ becomes port-launcher: takes the root, starts and reaps ─► port-launcher: gives up rights ─► the command
//! ```
//!
//! systemd-nspawn does not run in a user namespace, and a binfmt_misc of its own has nobody else (Linux 6.7). So the host's table
//! stays as it is, and the workload's user 0 is nobody's root: it has no rights outside its namespaces. Where the kernel is too old, or no
//! translator is there, nothing is run: there is no other way, and no lesser one.

mod root;
#[cfg(test)]
mod tests;
mod translator;

use port_workload::{Mode, NetworkMode, Plan, Profile, SeccompWord};

pub(crate) use root::prepare_root;

use crate::container::{self, command};
use crate::driver::{Driver, Host, Request};
use crate::error::DriverError;
use crate::job::{Body, Job, Volume};
use translator::Translator;

/// The first kernel with a binfmt_misc for each user namespace.
const FIRST_KERNEL: (u32, u32) = (6, 7);

/// Number 1 until it becomes the launcher. Arguments: the root, the host name, registrations, `--`, the launcher's words.
const BEGIN: &str = r#"
set -e
root=$1 name=$2
shift 2
# What came from outside is locked where it is, and could not become the root.
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t binfmt_misc binfmt_misc "$root/proc/sys/fs/binfmt_misc"
while [ "$1" != -- ]; do
    printf '%s' "$1" >"$root/proc/sys/fs/binfmt_misc/register"
    shift
done
shift
printf '%s' "$name" >/proc/sys/kernel/hostname
exec "$@"
"#;

/// Runs programs of other architectures.
#[derive(Debug, Clone, Copy)]
pub struct EmulatedDriver;

impl Driver for EmulatedDriver {
    fn mode(&self) -> Mode {
        Mode::HybridEmulated
    }

    fn prepare(&self, plan: &Plan, request: &Request, host: &Host) -> Result<Job, DriverError> {
        let mut job = container::job(self.mode(), plan, request, host)?;
        let translators = translator::find(&host.search);
        if translators.is_empty() {
            let place = "on PATH (Debian: the package qemu-user-static)";
            return Err(DriverError::Missing { program: "qemu-ARCHITECTURE-static".to_owned(), place });
        }
        let Some(launcher) = &host.launcher else {
            let place = "beside `port`: it is number 1 of an emulated workload";
            return Err(DriverError::Missing { program: "port-launcher".to_owned(), place });
        };
        refuse_old_kernel(plan, host)?;
        let unkept = unkept(plan);
        container::kept(&unkept, request)?;
        job.warnings.extend(unkept);
        job.command = command(request);
        job.program = program(plan, request, &job, launcher, &translators)?;
        job.body = Body::Emulated {
            volumes: plan.mounts.iter().map(Volume::from).collect(),
            launcher: launcher.clone(),
            writable: crate::machine::writable_layer(plan) != port_workload::WritableLayer::None,
        };
        Ok(job)
    }
}

/// Translators cannot be registered for one workload alone: not a promise that is kept less well, but nothing that runs.
fn refuse_old_kernel(plan: &Plan, host: &Host) -> Result<(), DriverError> {
    if is_new_enough(&host.kernel_release) {
        return Ok(());
    }
    let (major, minor) = FIRST_KERNEL;
    Err(DriverError::Kernel {
        name: plan.name.clone(),
        found: host.kernel_release.clone(),
        expected: format!("{major}.{minor} or newer, whose user namespaces have a binfmt_misc of their own"),
    })
}

/// What of the plan cannot be kept.
fn unkept(plan: &Plan) -> Vec<String> {
    if matches!(plan.security.seccomp, Profile::Known(SeccompWord::Default | SeccompWord::Unconfined)) {
        return Vec::new();
    }
    let found = "a translator makes the system calls, and has no filter";
    vec![format!("`security.seccomp_profile`: expected `default` or `unconfined`: {found}")]
}

fn is_new_enough(release: &str) -> bool {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= FIRST_KERNEL
}

fn program(
    plan: &Plan,
    request: &Request,
    job: &Job,
    launcher: &std::path::Path,
    translators: &[Translator],
) -> Result<Vec<String>, DriverError> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let root = container::text(&request.room.join("root"))?.to_owned();
    let mut program =
        words(&["unshare", "--user", "--map-root-user", "--mount", "--uts", "--ipc", "--cgroup"]);
    if plan.network.mode != NetworkMode::Host {
        program.push("--net".to_owned());
    }
    program.extend(words(&["--pid", "--fork", "--kill-child", "--", "/bin/sh", "-c", BEGIN, "port-begin"]));
    program.extend([root.clone(), container::machine(&plan.name)]);
    program.extend(translators.iter().map(Translator::registration));
    program.push("--".to_owned());
    program.extend([container::text(launcher)?.to_owned(), "--root".to_owned(), root, "--init".to_owned()]);
    program.push("--".to_owned());
    program.extend(job.gate.iter().cloned());
    program.extend(command(request));
    Ok(program)
}
