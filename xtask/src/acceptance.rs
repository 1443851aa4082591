//! docs/acceptance.md says which behaviours are in force and which test shows each; this keeps it true.
//!
//! The table has the columns `| line | behaviour | shown by |`. "Line" is one number or several (`P-1, P-2`). "Shown by"
//! is one test or several, in backticks: `crate::module::tests::name` for a test in the sources of a crate,
//! `crate binary name` for one in `tests/binary.rs` or below `tests/binary/`. A line stands in one row only. A
//! second table, `| attack | what becomes of it | shown by |`, is held to its tests alike. That the tests pass is the test run's business;
//! here it is that they exist, are tests, and are not ignored.

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::{Failure, Outcome};
use crate::{table, workspace};

const DOCUMENT: &str = "docs/acceptance.md";
/// The series of the acceptance list and how many lines each has.
const SERIES: &[(&str, u32, &str)] = &[
    ("P", 84, "Port"),
    ("K", 94, "KraftKit"),
    ("S", 100, "smartvm"),
    ("O", 57, "KubeSolo OS"),
    ("V", 54, "Volt"),
];

/// Facts around the systems (`u`) and resolutions of ambiguities (`C`): counted apart.
const FURTHER_SERIES: &[(&str, u32, &str)] = &[
    ("Pu", 48, "around Port"),
    ("Ku", 33, "around KraftKit"),
    ("Su", 9, "around smartvm"),
    ("Ou", 24, "around KubeSolo OS"),
    ("Vu", 23, "around Volt"),
    ("C", 48, "resolutions"),
];

/// A number of the acceptance list: series and position.
type Line = (&'static str, u32);

/// Every Rust file: crate name, path inside the crate, text.
type Sources = BTreeMap<String, BTreeMap<String, String>>;

/// Where a named test must be.
struct Place<'a> {
    crate_name: &'a str,
    name: &'a str,
    files: Vec<(&'a String, &'a String)>,
}

pub(crate) fn check() -> Outcome {
    let text = workspace::read_text(&workspace::root().join(DOCUMENT))?;
    let mut sources = Sources::new();
    for member in workspace::members()? {
        let mut files = member.rust_files("src")?;
        files.extend(member.rust_files("tests")?);
        sources.insert(member.name, files);
    }
    let shown = shown(&text, &sources)?;
    Failure::from_findings(attacks(&text, &sources)?)?;
    for line in report(&shown) {
        println!("{line}");
    }
    let unlisted = unlisted(&shown, &sources);
    if !unlisted.is_empty() {
        let unlisted: Vec<_> = unlisted.iter().map(|(series, number)| format!("{series}-{number}")).collect();
        println!("note: a test carries the number, {DOCUMENT} has no row: {}", unlisted.join(", "));
    }
    Ok(())
}

/// The lines that are shown, or everything that is wrong with the document.
fn shown(text: &str, sources: &Sources) -> Outcome<BTreeSet<Line>> {
    let mut lines = BTreeSet::new();
    let mut findings = Vec::new();
    for row in table::rows(DOCUMENT, text, &["line", "behaviour", "shown by"])? {
        let [numbers, behaviour, tests, ..] = row.cells.as_slice() else { continue };
        let place = format!("{DOCUMENT}:{}", row.line_number);
        for number in numbers.split(',').map(str::trim) {
            match parse_line(number) {
                Ok(line) if lines.insert(line) => {}
                Ok(_) => findings.push(format!("{place}: {number} is listed a second time")),
                Err(problem) => findings.push(format!("{place}: {problem}")),
            }
        }
        if behaviour.is_empty() {
            findings.push(format!("{place}: {numbers} has no behaviour"));
        }
        let tests: Vec<_> = tests.split(',').map(|test| test.trim().trim_matches('`').trim()).collect();
        for test in tests {
            findings.extend(missing(test, sources).map(|problem| format!("{place}: {numbers}: {problem}")));
        }
    }
    Failure::from_findings(findings).map(|()| lines)
}

/// What is wrong with the table of attacks, which has no numbers of the acceptance list.
fn attacks(text: &str, sources: &Sources) -> Outcome<Vec<String>> {
    let mut findings = Vec::new();
    for row in table::rows(DOCUMENT, text, &["attack", "what becomes of it", "shown by"])? {
        let [attack, _, tests, ..] = row.cells.as_slice() else { continue };
        for test in tests.split(',').map(|test| test.trim().trim_matches('`').trim()) {
            let place = format!("{DOCUMENT}:{}: {attack}", row.line_number);
            findings.extend(missing(test, sources).map(|problem| format!("{place}: {problem}")));
        }
    }
    Ok(findings)
}

fn parse_line(text: &str) -> Result<Line, String> {
    let (series, number) =
        text.split_once('-').ok_or_else(|| format!("expected a line like `P-1`, found `{text}`"))?;
    let known = SERIES.iter().chain(FURTHER_SERIES).find(|(name, ..)| *name == series);
    let Some((name, total, _)) = known else {
        return Err(format!("`{text}`: no series `{series}` in the acceptance list"));
    };
    match number.parse::<u32>() {
        Ok(number) if (1..=*total).contains(&number) => Ok((name, number)),
        _ => Err(format!("`{text}`: expected a number from 1 to {total}")),
    }
}

/// What is wrong with a named test; None when it exists, is a test and runs.
fn missing(test: &str, sources: &Sources) -> Option<String> {
    let Place { crate_name, name, files } = match locate(test, sources) {
        Ok(place) => place,
        Err(problem) => return Some(problem),
    };
    let defined: Vec<_> = files
        .iter()
        .filter_map(|(path, text)| definition(text, name).map(|line| (path, text, line)))
        .collect();
    let Some((path, text, line)) = defined.first() else {
        let elsewhere = sources.iter().find_map(|(other, files)| {
            files
                .iter()
                .find(|(_, text)| definition(text, name).is_some())
                .map(|(path, _)| format!("{other}, {path}"))
        });
        let hint = elsewhere.map(|place| format!("; there is one in {place}")).unwrap_or_default();
        return Some(format!("`{test}` does not exist: no `fn {name}` there in `{crate_name}`{hint}"));
    };
    let attributes = attributes_above(text, *line);
    if !attributes.iter().any(|attribute| attribute.contains("test")) {
        return Some(format!("`{test}` is no test: `fn {name}` in {path} has no `#[test]`"));
    }
    if attributes.iter().any(|attribute| attribute.starts_with("#[ignore")) {
        return Some(format!("`{test}` is ignored"));
    }
    None
}

/// The crate, the test's name, and the files in which it may be defined.
fn locate<'a>(test: &'a str, sources: &'a Sources) -> Result<Place<'a>, String> {
    let find = |name: &str| {
        let wanted = name.replace('_', "-");
        let found = sources.get_key_value(&wanted);
        found.ok_or_else(|| format!("`{test}`: no crate `{wanted}` in the workspace"))
    };
    if let [crate_name, binary, name] = test.split_whitespace().collect::<Vec<_>>().as_slice() {
        let (crate_name, files) = find(crate_name)?;
        let (file, folder) = (format!("tests/{binary}.rs"), format!("tests/{binary}/"));
        // A path of modules may stand before the name, as cargo prints it.
        let name = name.rsplit("::").next().unwrap_or(name);
        let files = files.iter().filter(|(path, _)| **path == file || path.starts_with(&folder)).collect();
        return Ok(Place { crate_name, name, files });
    }
    let parts: Vec<_> = test.split("::").collect();
    let [crate_name, modules @ .., name] = parts.as_slice() else {
        return Err(format!("expected `crate::path::test` or `crate binary test`, found `{test}`"));
    };
    let (crate_name, files) = find(crate_name)?;
    let files =
        files.iter().filter(|(path, _)| module_of(path).is_some_and(|module| modules.starts_with(&module)));
    Ok(Place { crate_name, name, files: files.collect() })
}

/// The modules of a file below `src`: `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`, `src/lib.rs` is the crate itself.
fn module_of(path: &str) -> Option<Vec<&str>> {
    let mut parts: Vec<_> = path.strip_prefix("src/")?.strip_suffix(".rs")?.split('/').collect();
    if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
        parts.pop();
    }
    Some(parts)
}

/// The index of the line that defines `fn name`.
fn definition(text: &str, name: &str) -> Option<usize> {
    text.lines().position(|line| {
        let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
        let after = line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name));
        after.is_some_and(|rest| rest.starts_with(['(', '<']))
    })
}

fn attributes_above(text: &str, line: usize) -> Vec<&str> {
    let above: Vec<_> = text.lines().take(line).collect();
    above
        .into_iter()
        .rev()
        .map(str::trim)
        .take_while(|line| !line.is_empty() && !line.ends_with(['{', '}', ';']))
        .filter(|line| line.starts_with("#["))
        .collect()
}

fn report(shown: &BTreeSet<Line>) -> Vec<String> {
    let count = |series: &str| shown.iter().filter(|(name, _)| *name == series).count();
    let mut lines = Vec::new();
    let (mut shown_lines, mut all_lines) = (0, 0);
    for (series, total, system) in SERIES {
        let (done, total) = (count(series), *total as usize);
        lines.push(format!(
            "{series:<3}{system:<20}{done:>4} of {total:>3} shown, {:>3} not yet",
            total - done
        ));
        shown_lines += done;
        all_lines += total;
    }
    lines.push(format!(
        "   {:<20}{shown_lines:>4} of {all_lines:>3} shown, {:>3} not yet",
        "together",
        all_lines - shown_lines
    ));
    let further =
        FURTHER_SERIES.iter().map(|(series, total, _)| format!("{series} {} of {total}", count(series)));
    lines.push(format!("   further: {}", further.collect::<Vec<_>>().join(", ")));
    lines
}

/// Numbers that tests carry in their names (`p_74_…`, `ku_3_…`) without a row in the document.
fn unlisted(shown: &BTreeSet<Line>, sources: &Sources) -> BTreeSet<Line> {
    let mut carried = BTreeSet::new();
    for text in sources.values().flat_map(BTreeMap::values) {
        for line in text.lines() {
            let name = line.trim_start().trim_start_matches("async ").strip_prefix("fn ");
            carried.extend(name.into_iter().flat_map(leading_lines));
        }
    }
    carried.difference(shown).copied().collect()
}

/// `p_1_p_2_nested` carries P-1 and P-2; a word that is no series ends the list.
fn leading_lines(name: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut words = name.split('_');
    while let (Some(series), Some(number)) = (words.next(), words.next()) {
        let upper: String =
            series.char_indices().map(|(i, c)| if i == 0 { c.to_ascii_uppercase() } else { c }).collect();
        let Ok(line) = parse_line(&format!("{upper}-{number}")) else { break };
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "| line | behaviour | shown by |\n| --- | --- | --- |\n";

    fn sources() -> Sources {
        let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let model = BTreeMap::from([
            file("src/lib.rs", "//! Doc.\n"),
            file(
                "src/a/b.rs",
                "mod tests {\n    #[test]\n    fn p_1_p_2_works() {}\n\n    fn helper() {}\n\n    #[test]\n    #[ignore]\n    fn p_3_sleeps() {}\n}\n",
            ),
            file("src/variant.rs", "#[tokio::test]\nasync fn p_4_runs() {}\n"),
        ]);
        let cli = BTreeMap::from([file("tests/it/artifacts.rs", "#[test]\nfn p_13_builds() {}\n")]);
        Sources::from([("port-model".to_owned(), model), ("port-cli".to_owned(), cli)])
    }

    fn findings(rows: &str) -> Vec<String> {
        match shown(&format!("{HEADER}{rows}"), &sources()) {
            Ok(_) => Vec::new(),
            Err(failure) => failure.findings().to_vec(),
        }
    }

    #[test]
    fn rows_whose_tests_exist_are_shown() {
        let text = format!(
            "{HEADER}\
             | P-1, P-2 | nested | `port-model::a::b::tests::p_1_p_2_works` |\n\
             | P-4 | runs | `port_model::variant::p_4_runs`, `port-cli it artifacts::p_13_builds` |\n\
             | C-3 | builds | `port-cli it p_13_builds` |\n"
        );
        let shown = shown(&text, &sources()).unwrap();
        assert_eq!(shown.iter().copied().collect::<Vec<_>>(), [("C", 3), ("P", 1), ("P", 2), ("P", 4)]);
        let report = report(&shown);
        assert_eq!(report.first().unwrap(), "P  Port                   3 of  84 shown,  81 not yet");
        assert_eq!(report.get(5).unwrap(), "   together               3 of 389 shown, 386 not yet");
        assert!(report.last().unwrap().ends_with("C 1 of 48"), "{report:?}");
        assert_eq!(unlisted(&shown, &sources()).into_iter().collect::<Vec<_>>(), [("P", 3), ("P", 13)]);
    }

    #[test]
    fn a_test_that_is_not_there_is_found() {
        assert_eq!(
            findings("| P-1 | a | `port-model::a::b::tests::p_1_gone` |\n"),
            [
                "docs/acceptance.md:3: P-1: `port-model::a::b::tests::p_1_gone` does not exist: no `fn p_1_gone` there in `port-model`",
            ]
        );
        assert_eq!(
            findings("| P-1 | a | `port-model::variant::tests::p_1_p_2_works` |\n"),
            [
                "docs/acceptance.md:3: P-1: `port-model::variant::tests::p_1_p_2_works` does not exist: no `fn p_1_p_2_works` there in `port-model`; there is one in port-model, src/a/b.rs",
            ]
        );
        assert_eq!(
            findings("| P-1 | a | `port-model::a::b::tests::p_1_p_2` |\n").len(),
            1,
            "a prefix is not the name"
        );
        assert_eq!(
            findings("| P-1 | a | `port-none::x` |\n"),
            ["docs/acceptance.md:3: P-1: `port-none::x`: no crate `port-none` in the workspace",]
        );
        assert_eq!(
            findings("| P-1 | a | not yet |\n"),
            [
                "docs/acceptance.md:3: P-1: expected `crate::path::test` or `crate binary test`, found `not yet`",
            ]
        );
        assert_eq!(findings("| P-1 | a | `port-cli other p_13_builds` |\n").len(), 1);
    }

    #[test]
    fn a_function_that_does_not_run_shows_nothing() {
        assert_eq!(
            findings("| P-1 | a | `port-model::a::b::tests::helper` |\n"),
            [
                "docs/acceptance.md:3: P-1: `port-model::a::b::tests::helper` is no test: `fn helper` in src/a/b.rs has no `#[test]`",
            ]
        );
        assert_eq!(
            findings("| P-3 | a | `port-model::a::b::tests::p_3_sleeps` |\n"),
            ["docs/acceptance.md:3: P-3: `port-model::a::b::tests::p_3_sleeps` is ignored",]
        );
    }

    #[test]
    fn lines_are_known_and_stand_once() {
        let test = "`port-cli it p_13_builds`";
        assert_eq!(
            findings(&format!("| P-13 | a | {test} |\n| P-12, P-13 | b | {test} |\n")),
            ["docs/acceptance.md:4: P-13 is listed a second time",]
        );
        assert_eq!(
            findings(&format!("| P-85, X-1, 7 |  | {test} |\n")),
            [
                "docs/acceptance.md:3: `P-85`: expected a number from 1 to 84",
                "docs/acceptance.md:3: `X-1`: no series `X` in the acceptance list",
                "docs/acceptance.md:3: expected a line like `P-1`, found `7`",
                "docs/acceptance.md:3: P-85, X-1, 7 has no behaviour",
            ]
        );
    }
}
