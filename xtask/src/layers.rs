//! The layer table of ARCHITECTURE.md is a promise; this keeps it.
//!
//! The table has the columns `| level | crate | may use |`. A level is a number, `dev` (used by tests only) or `tool`
//! (used by nothing). "May use" lists crates by name, or `nothing`. A crate may use only what its row lists, and a row
//! may list only lower levels: an arrow never points upward or sideways, so there is no cycle to reason about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::failure::{Failure, Outcome};
use crate::workspace::{self, Member};
use crate::{rust_source, table};

const DOCUMENT: &str = "ARCHITECTURE.md";

/// Crates that compute and never do I/O: their tests need no disk, and they can be read without one in mind.
const PURE: &[&str] = &[
    "port-model",
    "port-document",
    "port-layout",
    "port-config",
    "port-workload",
    "port-guest-protocol",
    "port-probe-kernel",
    "port-trust",
];

/// What a pure crate may not name.
const IMPURE_PATHS: &[&str] = &["std::fs", "std::net", "std::process", "std::thread", "std::env"];

/// What a pure crate may not depend on.
const IMPURE_DEPENDENCIES: &[&str] =
    &["tokio", "reqwest", "rustix", "libc", "tempfile", "vsock", "signal-hook"];

/// Of `std::net`, the names that are plain values.
const PURE_NET: &[&str] =
    &["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4", "SocketAddrV6", "AddrParseError"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Numbered(u32),
    Dev,
    Tool,
}

struct Row {
    level: Level,
    may_use: BTreeSet<String>,
}

/// What the check needs to know of a crate.
#[derive(Default)]
struct Crate {
    dependencies: BTreeSet<String>,
    dev_dependencies: BTreeSet<String>,
    /// Product text by path.
    sources: BTreeMap<String, String>,
}

pub(crate) fn check() -> Outcome {
    let text = workspace::read_text(&workspace::root().join(DOCUMENT))?;
    let rows = parse(&text)?;
    let mut crates = BTreeMap::new();
    for member in workspace::members()? {
        let described = describe(&member)?;
        crates.insert(member.name, described);
    }
    Failure::from_findings(violations(&rows, &crates))?;
    let arrows: usize = rows.values().map(|row| row.may_use.len()).sum();
    println!("layers: {} crates keep the layer table of {DOCUMENT} ({arrows} arrows allowed)", crates.len());
    Ok(())
}

fn parse(text: &str) -> Outcome<BTreeMap<String, Row>> {
    let mut rows = BTreeMap::new();
    let mut findings = Vec::new();
    for row in table::rows(DOCUMENT, text, &["level", "crate", "may use"])? {
        let [level, name, may_use, ..] = row.cells.as_slice() else { continue };
        let place = format!("{DOCUMENT}:{}", row.line_number);
        let name = unquoted(name);
        let Some(level) = parse_level(level) else {
            findings.push(format!(
                "{place}: level of `{name}`: expected a number, `dev` or `tool`, found `{level}`"
            ));
            continue;
        };
        let words = may_use.split(',').map(unquoted);
        let may_use = words.filter(|word| !word.is_empty() && word != "nothing" && word != "–").collect();
        if rows.insert(name.clone(), Row { level, may_use }).is_some() {
            findings.push(format!("{place}: `{name}` has a second row"));
        }
    }
    Failure::from_findings(findings).map(|()| rows)
}

fn parse_level(cell: &str) -> Option<Level> {
    match cell {
        "dev" => Some(Level::Dev),
        "tool" => Some(Level::Tool),
        number => number.parse().ok().map(Level::Numbered),
    }
}

fn unquoted(cell: &str) -> String {
    cell.trim().trim_matches('`').to_owned()
}

fn violations(rows: &BTreeMap<String, Row>, crates: &BTreeMap<String, Crate>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, row) in rows {
        if !crates.contains_key(name) {
            findings.push(format!("{DOCUMENT} lists `{name}`, which is no crate of the workspace"));
        }
        for used in &row.may_use {
            findings.extend(wrong_arrow(name, row.level, used, rows));
        }
    }
    for (name, described) in crates {
        match rows.get(name) {
            None => findings.push(format!("`{name}` is missing from the layer table of {DOCUMENT}")),
            Some(row) => findings.extend(wrong_dependencies(name, row, described, rows, crates)),
        }
        if PURE.contains(&name.as_str()) {
            findings.extend(impurities(name, described));
        }
    }
    findings
}

/// An arrow of the table itself that does not point down.
fn wrong_arrow(name: &str, level: Level, used: &str, rows: &BTreeMap<String, Row>) -> Option<String> {
    let Some(other) = rows.get(used) else {
        return Some(format!("{DOCUMENT}: `{name}` may use `{used}`, which has no row"));
    };
    let direction = match (level, other.level) {
        (Level::Numbered(from), Level::Numbered(to)) if to > from => "upward",
        (Level::Numbered(from), Level::Numbered(to)) if to == from => "sideways",
        (_, Level::Dev | Level::Tool) => "out of the product",
        _ => return None,
    };
    Some(format!(
        "{DOCUMENT}: the arrow from `{name}` (level {level}) to `{used}` (level {}) points {direction}",
        other.level
    ))
}

fn wrong_dependencies(
    name: &str,
    row: &Row,
    described: &Crate,
    rows: &BTreeMap<String, Row>,
    crates: &BTreeMap<String, Crate>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for used in described.dependencies.iter().filter(|used| crates.contains_key(*used)) {
        if !row.may_use.contains(used) {
            let allowed: Vec<_> = row.may_use.iter().map(String::as_str).collect();
            let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
            findings.push(format!("`{name}` depends on `{used}`; its row of {DOCUMENT} allows: {allowed}"));
        }
    }
    for used in described.dev_dependencies.iter().filter(|used| crates.contains_key(*used)) {
        let for_tests = rows.get(used).is_some_and(|other| other.level == Level::Dev);
        if !for_tests && !row.may_use.contains(used) {
            findings.push(format!(
                "the tests of `{name}` depend on `{used}`, which is neither of level `dev` nor in its row of {DOCUMENT}"
            ));
        }
    }
    findings
}

fn impurities(name: &str, described: &Crate) -> Vec<String> {
    let mut findings: Vec<_> = described
        .dependencies
        .iter()
        .filter(|used| IMPURE_DEPENDENCIES.contains(&used.as_str()))
        .map(|used| format!("`{name}` does no I/O, yet depends on `{used}`"))
        .collect();
    for (path, text) in &described.sources {
        let blanked = rust_source::blanked(text);
        let named = rust_source::paths(&blanked, "std").into_iter().filter(|named| is_impure(named));
        findings.extend(named.map(|named| format!("`{name}` does no I/O, yet {path} names `{named}`")));
    }
    findings
}

fn is_impure(named: &str) -> bool {
    let starts_with = |prefix: &str| {
        named.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let value_of_net = named.strip_prefix("std::net::").and_then(|rest| rest.split("::").next());
    IMPURE_PATHS.iter().any(|prefix| starts_with(prefix))
        && !value_of_net.is_some_and(|word| PURE_NET.contains(&word))
}

fn describe(member: &Member) -> Outcome<Crate> {
    let mut described = Crate::default();
    collect(&member.manifest, &mut described);
    // What a platform adds counts like the rest: the table knows no platforms.
    let targets = member.manifest.get("target").and_then(toml::Value::as_table);
    for target in targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table) {
        collect(target, &mut described);
    }
    for (path, text) in member.rust_files("src")? {
        if !crate::sizes::is_test_file(&path) {
            described.sources.insert(path, rust_source::product_part(&text).to_owned());
        }
    }
    Ok(described)
}

fn collect(manifest: &toml::Table, described: &mut Crate) {
    let add = |section: &str, names: &mut BTreeSet<String>| {
        let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else { return };
        for (key, value) in table {
            // `package` names the real crate behind a renamed one.
            let package = value.get("package").and_then(toml::Value::as_str);
            names.insert(package.unwrap_or(key).to_owned());
        }
    };
    add("dependencies", &mut described.dependencies);
    add("build-dependencies", &mut described.dependencies);
    add("dev-dependencies", &mut described.dev_dependencies);
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(number) => number.fmt(f),
            Self::Dev => f.write_str("dev"),
            Self::Tool => f.write_str("tool"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
| level | crate | may use |
| --- | --- | --- |
| 0 | `port-model` | nothing |
| 1 | `port-content` | `port-model` |
| 1 | `port-config` | port-model |
| 2 | `port-store` | `port-content`, `port-model` |
| dev | `port-testkit` | `port-store` |
| tool | `xtask` | nothing |
";

    fn manifest(text: &str) -> Crate {
        let mut described = Crate::default();
        collect(&text.parse().unwrap(), &mut described);
        described
    }

    fn workspace(changes: &[(&str, &str)]) -> BTreeMap<String, Crate> {
        let mut crates: BTreeMap<_, _> = [
            ("port-model", "[dependencies]\nserde = \"1\""),
            ("port-content", "[dependencies]\nport-model.workspace = true"),
            ("port-config", "[dependencies]\nport-model = { path = \"x\" }"),
            ("port-store", "[dependencies]\nport-content.workspace = true\n[dev-dependencies]\nport-testkit = { path = \"x\" }"),
            ("port-testkit", "[dependencies]\nport-store.workspace = true"),
            ("xtask", ""),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), manifest(text)))
        .collect();
        crates.extend(changes.iter().map(|(name, text)| ((*name).to_owned(), manifest(text))));
        crates
    }

    fn check(table: &str, crates: &BTreeMap<String, Crate>, expected: &[&str]) {
        assert_eq!(violations(&parse(table).unwrap(), crates), expected);
    }

    #[test]
    fn a_workspace_that_keeps_its_table_passes() {
        check(TABLE, &workspace(&[]), &[]);
    }

    #[test]
    fn dependencies_that_the_row_does_not_allow_are_found() {
        let sideways = workspace(&[("port-config", "[dependencies]\nport-content.workspace = true")]);
        check(
            TABLE,
            &sideways,
            &["`port-config` depends on `port-content`; its row of ARCHITECTURE.md allows: port-model"],
        );
        let upward = workspace(&[(
            "port-model",
            "[target.'cfg(unix)'.dependencies]\nx = \"1\"\n[build-dependencies]\nstore = { package = \"port-store\" }",
        )]);
        check(
            TABLE,
            &upward,
            &["`port-model` depends on `port-store`; its row of ARCHITECTURE.md allows: nothing"],
        );
        let tests = workspace(&[("port-config", "[dev-dependencies]\nport-store.workspace = true")]);
        check(
            TABLE,
            &tests,
            &[
                "the tests of `port-config` depend on `port-store`, which is neither of level `dev` nor in its row of ARCHITECTURE.md",
            ],
        );
        let product = workspace(&[("port-content", "[dependencies]\nport-testkit.workspace = true")]);
        check(
            TABLE,
            &product,
            &["`port-content` depends on `port-testkit`; its row of ARCHITECTURE.md allows: port-model"],
        );
    }

    #[test]
    fn the_table_and_the_workspace_name_the_same_crates() {
        check(
            TABLE,
            &workspace(&[("port-new", "")]),
            &["`port-new` is missing from the layer table of ARCHITECTURE.md"],
        );
        let with_ghost = format!("{TABLE}| 3 | `port-ghost` | `port-store` |\n");
        check(
            &with_ghost,
            &workspace(&[]),
            &["ARCHITECTURE.md lists `port-ghost`, which is no crate of the workspace"],
        );
    }

    #[test]
    fn arrows_of_the_table_point_down() {
        let findings =
            |from: &str, to: &str| violations(&parse(&TABLE.replace(from, to)).unwrap(), &workspace(&[]));
        let row = "| 1 | `port-content` | `port-model` |";
        assert_eq!(
            findings(row, "| 1 | `port-content` | `port-model`, `port-config` |"),
            [
                "ARCHITECTURE.md: the arrow from `port-content` (level 1) to `port-config` (level 1) points sideways",
            ]
        );
        assert_eq!(
            findings(row, "| 1 | `port-content` | `port-model`, `port-store` |"),
            [
                "ARCHITECTURE.md: the arrow from `port-content` (level 1) to `port-store` (level 2) points upward",
            ]
        );
        assert_eq!(
            findings(row, "| 1 | `port-content` | `port-model`, `port-testkit` |"),
            [
                "ARCHITECTURE.md: the arrow from `port-content` (level 1) to `port-testkit` (level dev) points out of the product",
            ]
        );
        assert_eq!(
            findings(row, "| 1 | `port-content` | `port-model`, `port-x` |"),
            ["ARCHITECTURE.md: `port-content` may use `port-x`, which has no row",]
        );
    }

    #[test]
    fn rows_that_make_no_sense_are_findings() {
        let findings = |row: &str| parse(&format!("{TABLE}{row}\n")).err().unwrap().findings().to_vec();
        assert_eq!(
            findings("| high | `port-x` | nothing |"),
            ["ARCHITECTURE.md:9: level of `port-x`: expected a number, `dev` or `tool`, found `high`",]
        );
        assert_eq!(
            findings("| 0 | `port-model` | nothing |"),
            ["ARCHITECTURE.md:9: `port-model` has a second row"]
        );
    }

    #[test]
    fn pure_crates_do_no_io() {
        let mut crates = workspace(&[("port-config", "[dependencies]\ntokio.workspace = true")]);
        crates.get_mut("port-config").unwrap().sources.insert(
            "src/lib.rs".to_owned(),
            "//! std::fs is not used here.\nuse std::{fmt, net::{SocketAddr, TcpStream}};\nfn f() { std::fs::read(\"std::process\") }\n".to_owned(),
        );
        check(
            TABLE,
            &crates,
            &[
                "`port-config` does no I/O, yet depends on `tokio`",
                "`port-config` does no I/O, yet src/lib.rs names `std::net::TcpStream`",
                "`port-config` does no I/O, yet src/lib.rs names `std::fs::read`",
            ],
        );
    }
}
