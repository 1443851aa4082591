//! `fuzz TARGET SECONDS`: libFuzzer on the pinned stable toolchain, with the coverage that it steers by.
//!
//! The targets are a workspace of their own under `fuzz/`, so that the product is neither built nor locked with them.
//! `fuzz/corpus/TARGET` holds seeds and stays as it is; what a run finds goes to `target/fuzz`.

use std::path::Path;

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// What cargo-fuzz passes too: counters on every edge, compared values, one unit so that nothing is inlined twice.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// An input that takes more memory than this, in MiB, is a finding.
const MEMORY: &str = "512";

pub(crate) fn run(mut arguments: lexopt::Parser) -> Outcome {
    use lexopt::prelude::*;

    let mut words = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let known = targets()?;
    match words.as_slice() {
        [target, seconds] if known.contains(target) => match seconds.parse::<u32>() {
            Ok(seconds) => fuzz(target, seconds),
            Err(_) => Err(Failure::new(format!("expected a number of seconds, found `{seconds}`"))),
        },
        found => Err(Failure::new(format!(
            "expected a target ({}) and a number of seconds, found `{}`",
            known.join(", "),
            found.join(" ")
        ))),
    }
}

/// The targets, by the names of their files.
fn targets() -> Outcome<Vec<String>> {
    let directory = workspace::root().join("fuzz/fuzz_targets");
    let failed = |error: std::io::Error| Failure::io("list", &directory, &error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && name != "support" {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn fuzz(target: &str, seconds: u32) -> Outcome {
    let output = workspace::target_directory().join("fuzz");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = process::cargo();
    // With a target named, the flags reach neither build scripts nor macros, which run without a fuzzer.
    build
        .args([
            "build",
            "--release",
            "--locked",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--bin",
            target,
            "--target",
        ])
        .arg(&triple)
        .env("CARGO_TARGET_DIR", output.join("build"))
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    process::run(&mut build)?;
    let (corpus, findings) = (output.join("corpus").join(target), output.join("findings").join(target));
    for directory in [&corpus, &findings] {
        std::fs::create_dir_all(directory).map_err(|error| Failure::io("create", directory, &error))?;
    }
    let program = output.join("build").join(triple).join("release").join(target);
    let mut run = process::program(program);
    run.arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg("-timeout=20")
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg(&corpus);
    let seeds = workspace::root().join("fuzz/corpus").join(target);
    if Path::new(&seeds).is_dir() {
        run.arg(seeds);
    }
    process::run(&mut run)?;
    println!("fuzz: {target} ran {seconds} s and found nothing");
    Ok(())
}
