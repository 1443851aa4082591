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
    facts.push(tool(&search, "apt-get", "fetches Debian kernel packages", None));
    facts.push(tool(&search, "nix", "builds the PVM guest kernel from its flake", None));
    let needed = |fact: &&Fact| is_needed(host, &fact.name);
    let ready = facts.iter().filter(needed).all(|fact| fact.status != Status::Missing);
    DoctorReport { architecture: host, ready, facts }
}

/// What building and booting the sample's native variants needs.
fn is_needed(host: Architecture, name: &str) -> bool {
    name == port_runtime::qemu::program_name(host)
        || matches!(name, "e2fsck" | "debugfs" | "busybox" | "port-guest-agent")
}

fn agent(environment: &Environment) -> Fact {
    let found = environment.agent.iter().find(|path| port_content::fs::exists(path));
    Fact {
        name: "port-guest-agent".to_owned(),
        status: if found.is_some() { Status::Ok } else { Status::Missing },
        found: found.map_or_else(|| "not found".to_owned(), |path| path.display().to_string()),
        purpose: "goes into guest images".to_owned(),
        remedy: found.is_none().then(|| {
            "put `port-guest-agent` beside `port`, or name it with `PORT_GUEST_AGENT_BIN`".to_owned()
        }),
    }
}

fn tool(search: &SearchPath, program: &str, purpose: &str, remedy: Option<&str>) -> Fact {
    let found = search.find(program);
    Fact {
        name: program.to_owned(),
        status: if found.is_some() { Status::Ok } else { Status::Missing },
        found: found.as_ref().map_or_else(|| "not found".to_owned(), |path| path.display().to_string()),
        purpose: purpose.to_owned(),
        remedy: remedy.filter(|_| found.is_none()).map(str::to_owned),
    }
}
