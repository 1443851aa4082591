//! A second build of unchanged input has nothing to do; this is how long it takes to find that out.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::pairs::{self, summary};
use super::report::Report;
use crate::agent::Agents;
use crate::failure::{Failure, Outcome};
use crate::{agent, demo, generate, process};

const GOAL_MILLISECONDS: f64 = 100.0;

pub(super) fn run(count: usize) -> Outcome {
    let agents = agent::build_for_host()?;
    let port = generate::port("release")?;
    // The first build does the work, however long it takes; measure() then throws one more round away.
    for artifact in ["demo-kernel", "demo-guest"] {
        process::run(&mut command(&port, &agents, artifact))?;
    }
    let pairs =
        pairs::measure(count, &mut || timed(&mut command(&port, &agents, "demo-kernel")), &mut || {
            timed(&mut command(&port, &agents, "demo-guest"))
        })?;
    let kernel = summary(pairs.iter().map(|pair| pair.a));
    let guest = summary(pairs.iter().map(|pair| pair.b));
    let worst = kernel.median.max(guest.median);
    Report {
        name: "build",
        title: "Second build of unchanged input",
        method: format!(
            "`port artifacts build` of what is built already, kernel and guest image in turns, {count} times each; \
             from the start of the process to its end."
        ),
        rows: vec![("`demo-kernel`".to_owned(), kernel), ("`demo-guest`".to_owned(), guest)],
        goal: format!("both medians under {GOAL_MILLISECONDS:.0} ms"),
        found: format!("{worst:.1} ms at most"),
        met: worst < GOAL_MILLISECONDS,
    }
    .publish()
}

fn command(port: &Path, agents: &Agents, artifact: &str) -> Command {
    let mut command = process::program(port);
    command.args(["--config", demo::CONFIGURATION, "artifacts", "build", "--artifact", artifact]);
    command.envs(agents.variables());
    command
}

/// Milliseconds from start to end; a failure is no measurement, nor is a guest that panicked.
pub(super) fn timed(command: &mut Command) -> Outcome<f64> {
    let start = Instant::now();
    let said = process::read(command)?;
    let elapsed = start.elapsed().as_secs_f64() * 1000.0;
    // QEMU ends with status 0 when a guest that panicked restarts into `-no-reboot`.
    if said.contains("Kernel panic") {
        return Err(Failure::new(format!("`{}`: the guest panicked:\n{said}", process::shown(command))));
    }
    Ok(elapsed)
}
