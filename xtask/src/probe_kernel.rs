//! The probe kernel: Port's own guest, with which `port doctor --boot` and the tests find out what boots here.
//!
//! For `x86_64-unknown-none`, which the compiler gets like any other target: no assembler and no linker but rust-lld. Built
//! wherever it is wanted and committed nowhere.

use std::path::PathBuf;

use crate::failure::Outcome;
use crate::system::Setup;
use crate::{agent, workspace};

const PACKAGE: &str = "port-probe-kernel";
const TARGET: &str = "x86_64-unknown-none";
/// Where `port` and its tests look for it.
const VARIABLE: &str = "PORT_PROBE_KERNEL_BIN";

/// The file beside `port`.
pub(crate) const NAME: &str = "port-probe-kernel-x86_64";

/// Builds it.
pub(crate) fn build(setup: Setup) -> Outcome<PathBuf> {
    agent::ensure_target(TARGET, setup)?;
    let script = workspace::root().join("crates").join(PACKAGE).join("kernel.ld");
    let flags = vec!["-Crelocation-model=static".to_owned(), format!("-Clink-arg=-T{}", script.display())];
    agent::build_program(PACKAGE, TARGET, flags, &["--features", "bare-metal"])
}

/// The same, as a variable for the tests. Without it they skip, and it is said why.
pub(crate) fn variable(setup: Setup) -> Option<(String, PathBuf)> {
    match build(setup) {
        Ok(kernel) => {
            println!("probe kernel: {}", agent::shown(&kernel));
            Some((VARIABLE.to_owned(), kernel))
        }
        Err(failure) => {
            println!(
                "note: no probe kernel, so the tests that boot it skip: {}",
                failure.findings().join("; ")
            );
            None
        }
    }
}
