//! docs/benchmarks.md: one section per measurement, between markers, with the conditions it was taken under. Text
//! outside the markers is people's and stays.

use std::fmt::Write;

use super::pairs::Summary;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

const DOCUMENT: &str = "docs/benchmarks.md";
const HEADER: &str =
    "# Benchmarks\n\nMeasured by `cargo xtask bench`; the sections between the markers are written by it.\n";

/// A measurement with its goal.
pub(super) struct Report {
    /// The marker's name.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What was compared and how, in sentences.
    pub(super) method: String,
    /// What was measured; the summaries are in milliseconds.
    pub(super) rows: Vec<(String, Summary)>,
    pub(super) goal: String,
    pub(super) found: String,
    pub(super) met: bool,
}

impl Report {
    /// Prints it, writes its section, and fails where the goal was missed.
    pub(super) fn publish(&self) -> Outcome {
        publish_section(self.name, &self.section())?;
        if self.met {
            Ok(())
        } else {
            Err(Failure::new(format!("goal missed: {}; found {}", self.goal, self.found)))
        }
    }

    fn section(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n{}\n\n", self.title, self.method, conditions());
        text.push_str("| what | median | least | most |\n| --- | ---: | ---: | ---: |\n");
        for (what, summary) in &self.rows {
            let Summary { median, least, most } = summary;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {what} | {median:.1} ms | {least:.1} ms | {most:.1} ms |");
        }
        let verdict = if self.met { "met" } else { "missed" };
        let _ = write!(text, "\nGoal: {}. Found: {}. **{verdict}**\n", self.goal, self.found);
        text
    }
}

/// A goal, what was found, and whether that is enough.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) goal: String,
    pub(super) found: String,
    pub(super) met: bool,
}

impl Verdict {
    /// A paragraph of a section.
    pub(super) fn paragraph(&self) -> String {
        let verdict = if self.met { "met" } else { "missed" };
        format!("\nGoal: {}. Found: {}. **{verdict}**\n", self.goal, self.found)
    }

    /// What a task says of a goal that was missed.
    pub(super) fn finding(&self, title: &str) -> Option<String> {
        let Self { goal, found, met } = self;
        (!met).then(|| format!("{title}: goal missed: {goal}; found {found}"))
    }
}

/// Prints a section and writes it between its markers.
pub(super) fn publish_section(name: &str, section: &str) -> Outcome {
    println!("\n{section}");
    let path = workspace::root().join(DOCUMENT);
    let text = if path.is_file() { workspace::read_text(&path)? } else { HEADER.to_owned() };
    workspace::write_text(&path, &replaced(&text, name, section)?)?;
    println!("wrote the section `{name}` of {DOCUMENT}");
    Ok(())
}

/// The machine in the words that matter for the numbers.
pub(super) fn conditions() -> String {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit =
        process::read(process::program("git").args(["describe", "--always", "--dirty", "--abbrev=10"]))
            .unwrap_or_default();
    format!(
        "Machine: {model}, {count} processors, Linux {}; Port at commit {}.",
        kernel.trim(),
        commit.trim()
    )
}

fn replaced(text: &str, name: &str, section: &str) -> Outcome<String> {
    let (begin, end) = (format!("<!-- bench:{name}:begin -->"), format!("<!-- bench:{name}:end -->"));
    let block = format!("{begin}\n{section}{end}");
    match (text.split_once(&begin), text.split_once(&end)) {
        (None, None) => Ok(format!("{}\n\n{block}\n", text.trim_end())),
        (Some((before, _)), Some((head, after))) if before.len() < head.len() => {
            Ok(format!("{before}{block}{after}"))
        }
        _ => Err(Failure::new(format!(
            "{DOCUMENT}: expected `{begin}` before `{end}`, found only one or the wrong order"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_appended_then_replaced_and_the_rest_stays() {
        let first = replaced("# B\n\nMine.\n", "boot", "one\n").unwrap();
        assert_eq!(first, "# B\n\nMine.\n\n<!-- bench:boot:begin -->\none\n<!-- bench:boot:end -->\n");
        let both = replaced(&format!("{first}\nTail.\n"), "build", "x\n").unwrap();
        let second = replaced(&both, "boot", "two\n").unwrap();
        assert_eq!(second, both.replace("one", "two"));
        assert!(replaced("<!-- bench:boot:begin -->\n", "boot", "x\n").is_err());
        assert!(replaced("<!-- bench:boot:end -->\n<!-- bench:boot:begin -->\n", "boot", "x\n").is_err());
    }

    #[test]
    fn the_section_says_goal_and_verdict() {
        let report = Report {
            name: "boot",
            title: "Boot",
            method: "How.".to_owned(),
            rows: vec![("`port run`".to_owned(), Summary { median: 1.26, least: 1.0, most: 2.0 })],
            goal: "fast".to_owned(),
            found: "slow".to_owned(),
            met: false,
        };
        let section = report.section();
        assert!(section.contains("| `port run` | 1.3 ms | 1.0 ms | 2.0 ms |"), "{section}");
        assert!(section.ends_with("\nGoal: fast. Found: slow. **missed**\n"), "{section}");
    }
}
