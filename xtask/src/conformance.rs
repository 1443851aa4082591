//! `cargo xtask conformance`: the suite of the OCI distribution specification against the control plane.
//!
//! What is run and what must come of it is the test `oci_conformance…` of port-server, which runs in every `cargo test`
//! where the suite is there; this brings the suite and shows what it says.

use std::path::PathBuf;

use crate::failure::{Failure, Outcome};
use crate::system::Setup;
use crate::{peers, process};

pub(crate) fn run(mut arguments: lexopt::Parser) -> Outcome {
    use lexopt::prelude::*;

    let mut clone: Option<PathBuf> = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("clone") => clone = Some(arguments.value()?.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    match clone {
        Some(clone) => peers::conformance_from(&std::path::absolute(&clone).unwrap_or(clone))?,
        None => peers::set_up(Setup::Install),
    }
    if !peers::program(peers::CONFORMANCE).is_file() {
        return Err(Failure::new(
            "the suite is not here (said above): name a clone of its repository with `--clone DIR`"
                .to_owned(),
        ));
    }
    let test = [
        "test",
        "--quiet",
        "--package",
        "port-server",
        "--test",
        "it",
        "oci_conformance",
        "--",
        "--nocapture",
    ];
    process::run(process::cargo().args(test))
}
