//! Tests of `port-config` from outside, as a caller sees it.

mod encoding;
mod errors_artifacts;
mod errors_distribution;
mod errors_recipes_and_sources;
mod errors_settings;
mod lock;
mod project;
mod properties;
mod registries;
mod sample;

use port_config::Project;
use port_model::Architecture;

/// Checks the whole error that `text` gives. Both texts start on a line of their own, for the eye.
#[track_caller]
fn check(text: &str, expected: &str) {
    let text = text.trim_start_matches('\n');
    let Err(error) = Project::parse("port.toml", text, Architecture::X86_64) else {
        panic!("the text was taken");
    };
    let found = error.to_string();
    assert!(found == expected.trim_start_matches('\n'), "found:\n{found}\n");
}

/// A project that must be read.
#[track_caller]
fn parse(text: &str) -> Project {
    Project::parse("port.toml", text, Architecture::X86_64).unwrap_or_else(|error| panic!("{error}"))
}
