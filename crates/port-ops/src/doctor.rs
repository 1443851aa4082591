//! doctor: what this host can do, what is missing, and how to get it.

use std::path::PathBuf;

use port_model::Architecture;
use port_runtime::boot_test::{self, BootTest, Outcome, Place};
use port_runtime::doctor::{Fact, Status};
use port_runtime::{RuntimeError, SearchPath, doctor as runtime_doctor};
use serde::Serialize;

use crate::workspace::Environment;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DoctorReport {
    /// The host's architecture.
    pub architecture: Architecture,
    /// Whether everything that building and booting native variants needs is there.
    pub ready: bool,
    /// Every fact, in a fixed order.
    pub facts: Vec<Fact>,
    /// How each VMM booted the probe kernel, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boots: Option<Vec<BootTest>>,
}

/// What a test boot cannot do without.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// There is nothing to boot.
    #[error("the probe kernel is not there: expected it at {}", places(looked))]
    NoProbeKernel {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// Its files cannot be made.
    #[error("the probe kernel cannot be booted")]
    Runtime(#[from] RuntimeError),
}

fn places(looked: &[PathBuf]) -> String {
    let shown: Vec<String> = looked.iter().map(|path| format!("`{}`", path.display())).collect();
    if shown.is_empty() { "a place beside `port`".to_owned() } else { shown.join(" or ") }
}

/// Boots the probe kernel under every VMM. Needs no project.
///
/// # Errors
/// [`DoctorError`]. A VMM that does not boot it is no error here.
pub async fn boot_tests(
    environment: &Environment,
    verdicts: Option<PathBuf>,
) -> Result<Vec<BootTest>, DoctorError> {
    let candidates = &environment.probe_kernel;
    let kernel = candidates.iter().find(|path| port_content::fs::exists(path));
    let kernel = kernel.ok_or_else(|| DoctorError::NoProbeKernel { looked: candidates.clone() })?;
    let search = SearchPath::new(environment.path.iter().cloned());
    let place = Place { search, run_root: crate::run::RUN_ROOT.into(), verdicts };
    Ok(boot_test::run(&place, kernel).await?)
}

/// Looks at this host. Needs no project.
pub async fn doctor(host: Architecture, environment: &Environment, work: Option<PathBuf>) -> DoctorReport {
    let search = SearchPath::new(environment.path.iter().cloned());
    let mut facts = runtime_doctor::examine(&search, work.as_deref()).await;
    facts.push(agent(environment));
    let debian = "comes with Debian and its like; elsewhere name another source of kernels";
    facts.push(Fact::of_program("apt-get", "fetches Debian kernel packages", debian, &search));
    let nix = "nixos.org/download, or a PVM kernel built elsewhere and named by its path";
    facts.push(Fact::of_program("nix", "builds the PVM guest kernel from its flake", nix, &search));
    for fact in &mut facts {
        fact.required = is_needed(host, &fact.name);
    }
    let ready = facts.iter().all(|fact| !fact.required || fact.status != Status::Missing);
    DoctorReport { architecture: host, ready, facts, boots: None }
}

impl DoctorReport {
    /// The names of what is needed and not there.
    pub fn lacking(&self) -> Vec<&str> {
        let lacking = self.facts.iter().filter(|fact| fact.required && fact.status == Status::Missing);
        lacking.map(|fact| fact.name.as_str()).collect()
    }

    /// The VMMs that are here and do not boot the probe kernel.
    pub fn failing(&self) -> Vec<&str> {
        let boots = self.boots.iter().flatten();
        boots.filter(|test| test.outcome == Outcome::Fails).map(|test| test.vmm.as_str()).collect()
    }

    /// Whether a test boot was asked for and no VMM passed it.
    pub fn boots_nothing(&self) -> bool {
        let boots = self.boots.as_ref();
        boots.is_some_and(|boots| boots.iter().all(|test| test.outcome != Outcome::Works))
    }
}

/// What building and booting the sample's native variants needs.
fn is_needed(host: Architecture, name: &str) -> bool {
    name == port_runtime::qemu::program_name(host)
        || matches!(name, "e2fsck" | "debugfs" | "busybox" | "port-guest-agent")
}

fn agent(environment: &Environment) -> Fact {
    let purpose = "goes into guest images";
    match environment.agent.iter().find(|path| port_content::fs::exists(path)) {
        Some(path) => Fact::new("port-guest-agent", Status::Ok, path.display().to_string(), purpose),
        None => Fact {
            remedy: Some(
                "build it with `cargo xtask agent`, put it beside `port`, or name it with \
                 `PORT_GUEST_AGENT_BIN`"
                    .to_owned(),
            ),
            ..Fact::new("port-guest-agent", Status::Missing, "not found", purpose)
        },
    }
}
