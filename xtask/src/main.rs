//! `cargo xtask`: everything a contributor runs, with nothing to install but Rust.
//!
//! One file per task. This crate is not part of the product: it depends on no crate of the workspace, so that a
//! broken product can still be checked, and it prints and reads files freely, which the product's crates may not.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool that prints, reads the environment and uses std::fs; the walls are for the product"
)]

mod acceptance;
mod agent;
mod bench;
mod ci;
mod conformance;
mod demo;
mod demo_oci;
mod failure;
mod fuzz;
mod generate;
mod layers;
mod links;
mod peers;
mod probe_kernel;
mod process;
mod rust_source;
mod sizes;
mod system;
mod table;
mod workspace;

use std::process::ExitCode;

use failure::{Failure, Outcome};

const HELP: &str = "\
Development tasks of Port.

Usage: cargo xtask TASK [OPTIONS]

Tasks:
  test                  Set up what the tests need, then do everything that `ci` does
  ci                    Every check and every test; all failures are listed at the end
  demo                  Set up, then the main job with the real binary: build, validate, push, delete, pull,
                        compare, validate, boot
  demo-push-oci         Builds the native kernel, pushes it to the registry on 127.0.0.1:5510 (started when none is
                        there) and deletes the local file
  demo-pull-oci         Pulls it back and compares the digests
  peers [--all]         Other people's registries and clients that the tests run Port against; --all the large ones too
  conformance [--clone DIRECTORY]
                        The suite of the OCI distribution specification against the control plane; --clone builds the
                        suite from a clone of distribution-spec, where Go's module proxy does not hand it out
  agent                 The static guest agent and the probe kernel, beside `port` (target/release, target/debug), where
                        `port` looks
  setup                 Only the set-up: system packages, the guest agents and the probe kernel

  fuzz TARGET SECONDS   A reader of what comes from outside (fuzz/fuzz_targets/) under libFuzzer, which takes a C++
                        compiler; findings go to target/fuzz/findings

  layers                Crate dependencies against the layer table of ARCHITECTURE.md
  links                 Relative links of README.md, ARCHITECTURE.md, CHANGELOG.md and docs/ lead somewhere
  sizes                 File and function lengths, module docs
  acceptance            The tests named in docs/acceptance.md exist; how many lines are shown
  generate [--check]    docs/cli.md from `port --help`, the JSON schemas from what `port` prints; --check fails where a
                        committed file differs

  bench build [--pairs N]   The second build of unchanged input (goal: under 100 ms)
  bench boot [--pairs N]    `port run` beside the bare QEMU command line (goal: at most 50 ms plus 5 % more)
  bench registry [--size MIB] [--pairs N]
                            Push and pull of one blob beside oras, crane, regctl and skopeo (goal: never slower than
                            the fastest, under 64 MiB of memory)
  bench server [--pairs N]  The control plane beside distribution, zot and Debian's registry (goals: 1.5 times the requests
                            for manifests, blobs at line rate, half the memory)
  bench base-images [--pairs N]
                            A cached bundle made ready, beside hashing its files (goal: 50 times faster)
  bench workload [--pairs N]
                            The start of a workload beside bare systemd-nspawn, runc and QEMU (goal: at most 50 ms more)
  bench transfer [--pairs N | --quick]
                            Root file systems of Debian packages and their updates, beside the same and casync (goals:
                            a third of the fastest one's time, 7 % of the bytes for an update; --quick: one round)

`test` and `demo` install missing system packages on Debian and Ubuntu, as root or with sudo without a password;
elsewhere they name what is missing, with the command to run, and stop. `ci` installs nothing: what is missing is
named, and the tests that need it say that they skip.
";

fn main() -> ExitCode {
    match run(lexopt::Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprint!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: lexopt::Parser) -> Outcome {
    use lexopt::prelude::*;

    let task = match arguments.next()? {
        None | Some(Short('h') | Long("help")) => {
            print!("{HELP}");
            return Ok(());
        }
        Some(Value(task)) => task.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match task.as_str() {
        "bench" => return bench::run(arguments),
        "conformance" => return conformance::run(arguments),
        "fuzz" => return fuzz::run(arguments),
        "generate" => return generate::run(arguments),
        "peers" => return peers::run(arguments),
        _ => {}
    }
    match arguments.next()? {
        None => {}
        Some(Short('h') | Long("help")) => {
            print!("{HELP}");
            return Ok(());
        }
        Some(other) => return Err(other.unexpected().into()),
    }
    match task.as_str() {
        "acceptance" => acceptance::check(),
        "agent" => agent::install(),
        "ci" => ci::run(system::Setup::Report),
        "demo" => demo::run(),
        "demo-pull-oci" => demo_oci::pull(),
        "demo-push-oci" => demo_oci::push(),
        "help" => {
            print!("{HELP}");
            Ok(())
        }
        "layers" => layers::check(),
        "links" => links::check(),
        "setup" => ci::set_up(system::Setup::Install).map(drop),
        "sizes" => sizes::check(),
        "test" => ci::run(system::Setup::Install),
        other => Err(Failure::new(format!("no task `{other}`; `cargo xtask --help` lists them"))),
    }
}
