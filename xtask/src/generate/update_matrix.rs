//! docs/formats/update-matrix.md: where every phase of an update goes with every event, from the table that a test of `port-update`
//! compares with the machine.

use std::fmt::Write as _;

use crate::failure::{Failure, Outcome};
use crate::workspace;

pub(super) const DOCUMENT: &str = "docs/formats/update-matrix.md";
const TABLE: &str = "crates/port-update/src/machine/matrix.txt";

const HEADER: &str = "\
# Phases and events of an update

Written by `cargo xtask generate` from `crates/port-update/src/machine/matrix.txt`, which a test compares with the machine, pair by pair. An
event that is not listed for a phase is illegal there: nothing changes, and a verb that wants it ends with 40. What is done is done after the
new phase is on disk, and may be done twice (docs/formats/update-state.md).
";

pub(super) fn document() -> Outcome<String> {
    render(&workspace::read_text(&workspace::root().join(TABLE))?)
}

fn render(table: &str) -> Outcome<String> {
    let mut text = HEADER.to_owned();
    let (mut phases, mut pairs) = (0, 0);
    for (number, line) in table.lines().enumerate() {
        let Some(pair) = line.strip_prefix("  ") else {
            phases += 1;
            // Writing into a text does not fail.
            let _ = write!(text, "\n## {line}\n\n| event | to | then |\n| --- | --- | --- |\n");
            continue;
        };
        let wrong = || {
            Failure::new(format!(
                "{TABLE}:{}: expected `  Event -> phase Effects`, found `{line}`",
                number + 1
            ))
        };
        let (event, rest) = pair.split_once(" -> ").ok_or_else(wrong)?;
        let (to, then) = rest.split_once(' ').unwrap_or((rest, ""));
        let _ = writeln!(text, "| {} | {to} | {} |", words(event), words(then));
        pairs += 1;
    }
    let _ = write!(text, "\n{phases} phases know {pairs} events between them.\n");
    Ok(text)
}

/// `BootedNew` as `booted new`; what stands in braces stays.
fn words(name: &str) -> String {
    let mut text = String::new();
    let mut braces = false;
    for character in name.chars() {
        braces = (braces || character == '{') && character != '}';
        if character.is_ascii_uppercase() && !braces {
            if !text.is_empty() && !text.ends_with(' ') {
                text.push(' ');
            }
            text.push(character.to_ascii_lowercase());
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_becomes_sections_and_what_is_no_table_is_named() {
        let text =
            render("idle\n  Check -> checking AskPlace\n  Unhealthy { last: true } -> idle\n").unwrap();
        for line in ["## idle", "| check | checking | ask place |", "| unhealthy { last: true } | idle |  |"]
        {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.ends_with("\n1 phases know 2 events between them.\n"), "{text}");
        assert!(render("idle\n  Check\n").unwrap_err().to_string().contains(":2: expected"));
    }
}
