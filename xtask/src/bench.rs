//! Measurements against the goals of the design, written into docs/benchmarks.md with the conditions they were taken
//! under. A goal that is missed is written down as missed, and the task fails.

mod base_images;
mod boot;
mod build;
mod client;
mod measured;
mod pairs;
mod registry;
mod report;
mod sample;
mod server;
mod servers;
mod transfer;
mod wire;
mod workload;

use crate::failure::{Failure, Outcome};

/// Fewer pairs say little about a median.
const LEAST_PAIRS: usize = 10;

/// Rounds of a gigabyte each say enough sooner.
const ROUNDS: usize = 5;

/// What `bench registry` moves.
const SIZE_MEBIBYTES: u64 = 1024;

pub(crate) fn run(mut arguments: lexopt::Parser) -> Outcome {
    use lexopt::prelude::*;

    let (mut what, mut pairs, mut size, mut quick) = (None, None, None, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("pairs") => pairs = Some(arguments.value()?.parse::<usize>()?),
            Long("quick") => quick = true,
            Long("size") => size = Some(arguments.value()?.parse::<u64>()?),
            Value(name) if what.is_none() => what = Some(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let at_least = |pairs: usize, least: usize| match pairs {
        enough if enough >= least => Ok(enough),
        few => Err(Failure::new(format!("expected --pairs of at least {least}, found {few}"))),
    };
    if quick && (what.as_deref() != Some("transfer") || pairs.is_some()) {
        return Err(Failure::new("--quick is for `bench transfer`, without --pairs"));
    }
    match (what.as_deref(), size) {
        (Some("boot"), None) => boot::run(at_least(pairs.unwrap_or(LEAST_PAIRS), LEAST_PAIRS)?),
        (Some("base-images"), None) => base_images::run(at_least(pairs.unwrap_or(LEAST_PAIRS), LEAST_PAIRS)?),
        (Some("build"), None) => build::run(at_least(pairs.unwrap_or(LEAST_PAIRS), LEAST_PAIRS)?),
        (Some("registry"), size) => {
            registry::run(size.unwrap_or(SIZE_MEBIBYTES).max(1), at_least(pairs.unwrap_or(ROUNDS), 1)?)
        }
        (Some("server"), None) => servers::run(at_least(pairs.unwrap_or(ROUNDS), 1)?),
        (Some("transfer"), None) => {
            transfer::run(if quick { 1 } else { at_least(pairs.unwrap_or(ROUNDS), 1)? })
        }
        (Some("workload"), None) => workload::run(at_least(pairs.unwrap_or(LEAST_PAIRS), LEAST_PAIRS)?),
        (Some(other), Some(_)) => Err(Failure::new(format!("`bench {other}` takes no --size"))),
        (other, None) => Err(unknown(other.unwrap_or(""))),
        (None, Some(_)) => Err(unknown("")),
    }
}

fn unknown(what: &str) -> Failure {
    Failure::new(format!(
        "expected `bench base-images`, `bench boot`, `bench build`, `bench registry`, `bench server`, `bench transfer` or `bench workload`, found `{what}`"
    ))
}
