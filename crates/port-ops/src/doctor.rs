//! doctor: what this host can do, what is missing, and how to get it.

use std::path::PathBuf;

use port_model::Architecture;
use port_runtime::doctor::{Fact, Status};
use port_runtime::{SearchPath, doctor as runtime_doctor};
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
    DoctorReport { architecture: host, ready, facts }
}

impl DoctorReport {
    /// The names of what is needed and not there.
    pub fn lacking(&self) -> Vec<&str> {
        let lacking = self.facts.iter().filter(|fact| fact.required && fact.status == Status::Missing);
        lacking.map(|fact| fact.name.as_str()).collect()
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
