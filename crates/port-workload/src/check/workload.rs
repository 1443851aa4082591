//! `[workload]`: a name and a mode at least (acceptance V-14 … V-18, Vu-10, Vu-11).

use crate::manifest::Workload;
use crate::problem::Problems;
use crate::words::Mode;

/// Longest name, in characters: it becomes a host name.
const LONGEST_NAME: usize = 63;

/// Gives the mode, where it is known.
pub(super) fn check(workload: &Workload, problems: &mut Problems) -> Option<Mode> {
    name(&workload.name, problems);
    super::plain("workload.image", workload.image.as_ref(), problems);
    super::plain("workload.description", workload.description.as_ref(), problems);
    if workload.mode.is_empty() {
        let words = Mode::WORDS.join(", ");
        problems.error("workload.mode", format!("a workload needs a mode: one of {words}"));
        return None;
    }
    problems.take("workload.mode", workload.mode.parse())
}

fn name(name: &str, problems: &mut Problems) {
    const RULE: &str = "letters, digits, `.`, `_` and `-`, a letter or digit first";
    let of_rule = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        problems.error("workload.name", format!("a workload needs a name: {RULE}"));
    } else if !name.chars().all(of_rule) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        problems.error("workload.name", format!("expected {RULE}, found `{name}`"));
    } else if name.len() > LONGEST_NAME {
        let message = format!("expected at most {LONGEST_NAME} characters, found {}", name.len());
        problems.error("workload.name", message);
    }
}
