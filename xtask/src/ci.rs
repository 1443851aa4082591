//! Every check and every test, all failures told at the end. The tests run last, so that cargo's own result lines end
//! the run.

use std::time::Instant;

use crate::agent::{self, Agents};
use crate::failure::{Failure, Outcome};
use crate::system::{Purpose, Setup};
use crate::{acceptance, generate, layers, links, peers, process, sizes, system};

type Check = (&'static str, fn() -> Outcome);

const CHECKS: &[Check] = &[
    ("fmt", fmt),
    ("layers", layers::check),
    ("sizes", sizes::check),
    ("acceptance", acceptance::check),
    ("links", links::check),
    ("deny", deny),
    ("clippy", clippy),
    ("docs", docs),
    ("generate", generate::check),
];

/// What tests and demo need from outside: the system's programs and the guest agents.
pub(crate) fn set_up(setup: Setup) -> Outcome<Agents> {
    heading("set-up");
    system::ensure(setup, Purpose::Tests)?;
    peers::set_up(setup);
    agent::build(setup)
}

pub(crate) fn run(setup: Setup) -> Outcome {
    let agents = timed("set-up", || set_up(setup));
    if setup == Setup::Install && agents.is_err() {
        return agents.map(drop);
    }
    let mut findings = Vec::new();
    let mut note = |name: &str, outcome: Outcome| {
        let failure = outcome.err();
        let failed = failure.as_ref().map_or(&[][..], Failure::findings);
        for finding in failed {
            println!("{name}: {finding}");
        }
        findings.extend(failed.iter().map(|finding| format!("{name}: {finding}")));
    };
    let agents = agents.map_err(|failure| note("set-up", Err(failure))).ok();
    for (name, check) in CHECKS {
        heading(name);
        note(name, timed(name, check));
    }
    heading("tests");
    note("tests", timed("tests", || tests(agents.as_ref())));
    Failure::from_findings(findings)
}

/// Does a stage and says how long it took: continuous integration has an hour for all of them.
fn timed<T>(name: &str, stage: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = stage();
    println!("({name}: {:.1} s)", start.elapsed().as_secs_f64());
    done
}

fn heading(name: &str) {
    println!("\n== {name}");
}

fn fmt() -> Outcome {
    process::run(process::cargo().args(["fmt", "--all", "--", "--check"]))
}

fn clippy() -> Outcome {
    process::run(process::cargo().args([
        "clippy",
        "--quiet",
        "--keep-going",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

/// Links in the documentation that lead nowhere. It is read with the source at hand, so private items may be named.
fn docs() -> Outcome {
    process::run(
        process::cargo()
            .args(["doc", "--quiet", "--keep-going", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"),
    )
}

/// cargo-deny takes minutes to compile, so it is used where it is at hand and asked for in words elsewhere.
fn deny() -> Outcome {
    if process::find("cargo-deny").is_none() {
        println!("deny: skipped, cargo-deny is not on PATH; to have it: cargo install --locked cargo-deny");
        return Ok(());
    }
    process::run(process::cargo().args([
        "deny",
        "--workspace",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

fn tests(agents: Option<&Agents>) -> Outcome {
    let mut command = process::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if let Some(agents) = agents {
        command.envs(agents.variables());
    }
    process::run(&mut command)
}
