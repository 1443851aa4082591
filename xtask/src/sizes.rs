//! How long things are. A file that nobody can hold in mind, a function without end, a file that does not say what it
//! is: each is a finding. Test modules and test files are not counted; they are lists, and lists may be long.

use crate::failure::{Failure, Outcome};
use crate::{rust_source, workspace};

const WARN_FILE_LINES: usize = 400;
const FAIL_FILE_LINES: usize = 600;
const FAIL_FUNCTION_LINES: usize = 80;

/// What a long function's comment must contain: it then says why.
const EXCUSE: &str = "one piece";

/// Files that may be longer, each with the reason. A long list is fine; a long argument is not.
const LONG_FILES: &[(&str, &str)] = &[];

/// What one file yields.
#[derive(Default, Debug, PartialEq, Eq)]
struct Findings {
    lines: usize,
    failures: Vec<String>,
    warnings: Vec<String>,
}

pub(crate) fn check() -> Outcome {
    let (mut failures, mut warnings, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for member in workspace::members()? {
        for folder in ["src", "tests", "benches", "examples"] {
            for (path, text) in member.rust_files(folder)? {
                let shown = format!("{}/{path}", member.shown_directory());
                let findings = inspect(&shown, &text, LONG_FILES);
                failures.extend(findings.failures);
                warnings.extend(findings.warnings);
                if findings.lines > 0 {
                    lengths.push(findings.lines);
                }
            }
        }
    }
    for warning in &warnings {
        println!("warning: {warning}");
    }
    Failure::from_findings(failures)?;
    lengths.sort_unstable();
    println!(
        "sizes: {} files, {} lines without tests; median {}, longest {}",
        lengths.len(),
        lengths.iter().sum::<usize>(),
        lengths.get(lengths.len() / 2).unwrap_or(&0),
        lengths.last().unwrap_or(&0)
    );
    Ok(())
}

/// Whether the whole file is test code, by its place.
pub(crate) fn is_test_file(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.any(|part| matches!(part, "tests" | "tests.rs" | "benches")) || path.ends_with("_tests.rs")
}

fn inspect(path: &str, text: &str, long_files: &[(&str, &str)]) -> Findings {
    let mut findings = Findings::default();
    if !text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with("//!")) {
        findings
            .failures
            .push(format!("{path}:1: expected a module doc (`//!`) first: what this file is and is not"));
    }
    if is_test_file(path) {
        return findings;
    }
    let product = rust_source::product_part(text);
    findings.lines = product.lines().count();
    let excused = long_files.iter().any(|(file, _)| *file == path);
    if findings.lines > FAIL_FILE_LINES && !excused {
        findings.failures.push(format!(
            "{path}: {} lines without tests; the limit is {FAIL_FILE_LINES}: divide it, or add it with its reason to \
             LONG_FILES in xtask/src/sizes.rs",
            findings.lines
        ));
    } else if findings.lines > WARN_FILE_LINES && !excused {
        findings.warnings.push(format!(
            "{path}: {} lines without tests; over {WARN_FILE_LINES} it is time to divide",
            findings.lines
        ));
    }
    findings.failures.extend(long_functions(path, product));
    findings
}

fn long_functions(path: &str, product: &str) -> Vec<String> {
    let lines: Vec<&str> = product.lines().collect();
    rust_source::functions(&rust_source::blanked(product))
        .into_iter()
        .filter(|function| function.length > FAIL_FUNCTION_LINES)
        .filter(|function| !comment_above(&lines, function.line_number).contains(EXCUSE))
        .map(|function| {
            format!(
                "{path}:{}: `{}` has {} lines; over {FAIL_FUNCTION_LINES} its comment must say why it is {EXCUSE}",
                function.line_number, function.name, function.length
            )
        })
        .collect()
}

/// The comments and attributes directly above a line, counted from 1.
fn comment_above(lines: &[&str], line_number: usize) -> String {
    let above = lines.get(..line_number.saturating_sub(1)).unwrap_or_default();
    let block = above
        .iter()
        .rev()
        .map(|line| line.trim())
        .take_while(|line| line.starts_with("//") || line.starts_with("#["));
    let mut block: Vec<_> = block.collect();
    block.reverse();
    block.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(lines: usize) -> String {
        format!(
            "//! Doc.\n{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "const A: u8 = 0;\n".repeat(lines - 1),
            "// t\n".repeat(900)
        )
    }

    #[test]
    fn only_the_product_part_counts() {
        let lengths = |lines: usize| {
            let findings = inspect("a/src/b.rs", &file(lines), &[]);
            (findings.lines, findings.warnings.len(), findings.failures.len())
        };
        assert_eq!(lengths(400), (400, 0, 0));
        assert_eq!(lengths(401), (401, 1, 0));
        assert_eq!(lengths(600), (600, 1, 0));
        assert_eq!(lengths(601), (601, 0, 1));
        let listed = inspect("a/src/b.rs", &file(601), &[("a/src/b.rs", "a table")]);
        assert_eq!((listed.warnings.len(), listed.failures.len()), (0, 0));
        assert_eq!(inspect("a/tests/b.rs", &file(900), &[]).failures, Vec::<String>::new());
    }

    #[test]
    fn every_file_says_what_it_is() {
        let missing = |text: &str| !inspect("a/src/b.rs", text, &[]).failures.is_empty();
        assert!(missing("use a;\n//! Late.\n"));
        assert!(missing("// no doc\n"));
        assert!(missing(""));
        assert!(!missing("\n//! Doc.\n"));
    }

    #[test]
    fn a_long_function_says_why() {
        let text = |comment: &str| {
            format!("//! Doc.\n\n{comment}#[inline]\nfn long() {{\n{}}}\n", "    a();\n".repeat(79))
        };
        assert_eq!(
            inspect("a.rs", &text("/// Does it.\n"), &[]).failures,
            ["a.rs:5: `long` has 81 lines; over 80 its comment must say why it is one piece",]
        );
        assert!(inspect("a.rs", &text("// This is one piece: a table.\n"), &[]).failures.is_empty());
        assert!(inspect("a.rs", &text("").replace("a();\n    a();", "a();"), &[]).failures.is_empty());
    }
}
