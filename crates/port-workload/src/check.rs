//! Whether a manifest makes sense: every problem at once, by key, errors apart from warnings (acceptance Vu-9).
//!
//! Values are checked here and nowhere else; [`crate::plan()`] asks this first and then only reads them again.

mod kernel;
mod network;
mod resources;
mod security;
mod storage;
mod workload;

use std::str::FromStr;

use port_model::UnknownWord;

use crate::manifest::Manifest;
use crate::problem::{Problem, Problems};
use crate::words::Mode;
pub(crate) use storage::plain_path;

/// Everything that is wrong with a manifest, in the order of its sections.
pub fn check(manifest: &Manifest) -> Vec<Problem> {
    let mut problems = Problems::default();
    let mode = workload::check(&manifest.workload, &mut problems);
    kernel::check(manifest, mode, &mut problems);
    security::check(&manifest.security, &mut problems);
    resources::check(&manifest.resources, &mut problems);
    network::check(&manifest.network, &mut problems);
    storage::check(manifest, &mut problems);
    problems.0
}

/// The word at `key`, if there is one and it is known.
fn word<W: FromStr<Err = UnknownWord>>(
    key: &str,
    text: Option<&String>,
    problems: &mut Problems,
) -> Option<W> {
    problems.take(key, text?.parse())
}

/// Every item of the list at `key` that `parse` takes, with the item's own key.
fn items<T, E: std::fmt::Display>(
    key: &str,
    texts: Option<&Vec<String>>,
    parse: impl Fn(&str) -> Result<T, E>,
    problems: &mut Problems,
) -> Vec<(String, T)> {
    let mut parsed = Vec::new();
    for (index, text) in texts.into_iter().flatten().enumerate() {
        let key = format!("{key}[{index}]");
        if let Some(value) = problems.take(&key, parse(text)) {
            parsed.push((key, value));
        }
    }
    parsed
}

/// A text for people or kernels: nothing that could drive a terminal or end a line.
fn plain(key: &str, text: Option<&String>, problems: &mut Problems) {
    if let Some(c) = text.and_then(|text| text.chars().find(|c| c.is_control() && *c != '\n' && *c != '\t')) {
        problems.error(key, format!("must not hold the control character {c:?}"));
    }
}

/// Whether a mode is one of `modes`; an unknown one is a problem of its own.
fn is_one_of(mode: Option<Mode>, modes: &[Mode]) -> bool {
    mode.is_some_and(|mode| modes.contains(&mode))
}
