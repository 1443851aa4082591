//! Measurements against the goals of the design, written into docs/benchmarks.md with the conditions they were taken
//! under. A goal that is missed is written down as missed, and the task fails.

mod boot;
mod build;
mod pairs;
mod report;

use crate::failure::{Failure, Outcome};

/// Fewer pairs say little about a median.
const LEAST_PAIRS: usize = 10;

pub(crate) fn run(mut arguments: lexopt::Parser) -> Outcome {
    use lexopt::prelude::*;

    let mut what = None;
    let mut pairs = LEAST_PAIRS;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("pairs") => pairs = arguments.value()?.parse()?,
            Value(name) if what.is_none() => what = Some(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if pairs < LEAST_PAIRS {
        return Err(Failure::new(format!("expected --pairs of at least {LEAST_PAIRS}, found {pairs}")));
    }
    match what.as_deref() {
        Some("boot") => boot::run(pairs),
        Some("build") => build::run(pairs),
        other => Err(Failure::new(format!(
            "expected `bench boot` or `bench build`, found `{}`",
            other.unwrap_or("")
        ))),
    }
}
