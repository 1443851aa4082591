//! docs/cli.md is what `port --help` says, command by command, and the JSON schemas are what the program prints: written by
//! the program, so that they are never wrong. The table of an update's phases comes from the one that a test compares.

mod update_matrix;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

const DOCUMENT: &str = "docs/cli.md";
const PACKAGE: &str = "port-cli";

/// Other documents that the program prints: where each is kept, and the command for it.
const PRINTED: &[(&str, &[&str])] = &[
    ("docs/formats/control-plane.openapi.json", &["control-plane", "openapi"]),
    ("docs/formats/workload-manifest.schema.json", &["workload", "schema"]),
];

/// Deep enough for every noun and verb; a program whose help repeats itself must not send this round for ever.
const DEEPEST: usize = 4;

const HEADER: &str = "\
# Command line

Written by `cargo xtask generate` from `port --help`; changes belong in the program. The global options, listed with
`port` itself, go with every command.
";

/// What stands above the options that every command takes.
const GLOBAL_OPTIONS: &str = "Global options:";

pub(crate) fn run(mut arguments: lexopt::Parser) -> Outcome {
    use lexopt::prelude::*;

    let mut only_check = false;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("check") => only_check = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let documents = documents(&port("dev")?)?;
    if only_check {
        return compare_all(&documents);
    }
    for (document, text) in &documents {
        workspace::write_text(&workspace::root().join(document), text)?;
        println!("generate: wrote {document} ({} lines)", text.lines().count());
    }
    Ok(())
}

/// The check without arguments, for `ci`.
pub(crate) fn check() -> Outcome {
    compare_all(&documents(&port("dev")?)?)
}

/// Every generated document with what it should hold.
fn documents(port: &Path) -> Outcome<Vec<(&'static str, String)>> {
    let mut documents =
        vec![(update_matrix::DOCUMENT, update_matrix::document()?), (DOCUMENT, reference(port)?)];
    for (document, words) in PRINTED {
        documents.push((document, process::read(&mut plain(port, words))?));
    }
    Ok(documents)
}

fn compare_all(documents: &[(&'static str, String)]) -> Outcome {
    documents.iter().try_for_each(|(document, text)| compare(document, text))
}

/// Builds the product's binary in a profile ("dev", "release") and says where it is.
pub(crate) fn port(profile: &str) -> Outcome<PathBuf> {
    if !workspace::members()?.iter().any(|member| member.name == PACKAGE) {
        return Err(Failure::new(format!(
            "the workspace has no crate `{PACKAGE}`, so there is no `port` to run"
        )));
    }
    process::run(process::cargo().args([
        "build",
        "--quiet",
        "--package",
        PACKAGE,
        "--bin",
        "port",
        "--profile",
        profile,
    ]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(workspace::target_directory().join(folder).join("port"))
}

fn compare(document: &str, text: &str) -> Outcome {
    let path = workspace::root().join(document);
    let committed = if path.is_file() { workspace::read_text(&path)? } else { String::new() };
    if committed == text {
        println!("generate: {document} is what the program says");
        return Ok(());
    }
    let difference = committed.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = difference.unwrap_or_else(|| committed.lines().count().min(text.lines().count())) + 1;
    Err(Failure::new(format!(
        "{document}:{line} is not what the program says: expected `{}`, found `{}`; run `cargo xtask generate`",
        text.lines().nth(line - 1).unwrap_or_default(),
        committed.lines().nth(line - 1).unwrap_or_default()
    )))
}

fn reference(port: &Path) -> Outcome<String> {
    let mut text = HEADER.to_owned();
    section(&mut text, &mut |words| help(port, words), &[])?;
    Ok(text)
}

/// One command, then the commands below it.
fn section(
    text: &mut String,
    help: &mut dyn FnMut(&[String]) -> Outcome<String>,
    words: &[String],
) -> Outcome {
    let said = help(words)?;
    let title = std::iter::once("port").chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let body = if words.is_empty() { said.clone() } else { without_global_options(&said) };
    let body: Vec<_> = body.trim_end().lines().map(str::trim_end).collect();
    text.push_str(&format!("\n## `{title}`\n\n```text\n{}\n```\n", body.join("\n")));
    if words.len() >= DEEPEST {
        return Ok(());
    }
    for command in subcommands(&said) {
        let mut below = words.to_vec();
        below.push(command);
        section(text, help, &below)?;
    }
    Ok(())
}

/// The help text of a command below `port`, without what stands with `port` already.
fn without_global_options(help: &str) -> String {
    let mut inside = false;
    let own = help.lines().filter(|line| {
        if !line.is_empty() && !line.starts_with(' ') {
            inside = *line == GLOBAL_OPTIONS;
        }
        !inside
    });
    own.collect::<Vec<_>>().join("\n")
}

/// The same text on every machine: no terminal, a fixed width, no colour, nothing of the environment but PATH (help
/// shows the values of the variables that options are read from).
fn help(port: &Path, words: &[String]) -> Outcome<String> {
    process::read(plain(port, words).arg("--help"))
}

fn plain<S: AsRef<std::ffi::OsStr>>(port: &Path, words: &[S]) -> Command {
    let mut command = Command::new(port);
    command.args(words).env_clear();
    command.env("PATH", process::search_path()).env("COLUMNS", "100").env("NO_COLOR", "1");
    command
}

/// The names below `Commands:`: indented by two, where descriptions that go on are indented further.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    listed
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| line.starts_with(|character: char| character.is_ascii_alphabetic()))
        .filter_map(|line| line.split([' ', ',']).next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: &str = "\
Moves artifacts.

Usage: port <COMMAND>

Commands:
  artifacts  Build, validate,
             push
  run
          Boots a machine

  help       Print this message

Options:
  -q  Quiet
";

    #[test]
    fn the_commands_of_a_help_text() {
        assert_eq!(subcommands(TOP), ["artifacts", "run"]);
        assert_eq!(subcommands("Usage: port run\n\nOptions:\n  -h  Help\n"), Vec::<String>::new());
    }

    #[test]
    fn global_options_stand_once() {
        let help = "Does it\n\nOptions:\n  -a\n\nGlobal options:\n  -q\n\n          [default: x]\n\nExamples:\n  port\n";
        assert_eq!(without_global_options(help), "Does it\n\nOptions:\n  -a\n\nExamples:\n  port");
        assert_eq!(without_global_options("Options:\n  -a"), "Options:\n  -a");
    }

    #[test]
    fn every_command_has_its_section() {
        let mut text = String::new();
        let mut help = |words: &[String]| {
            Ok(match words {
                [] => TOP.to_owned(),
                [one] if one == "artifacts" => "Commands:\n  build  x  \n".to_owned(),
                other => format!("Usage: {}   \n\n", other.join(" ")),
            })
        };
        section(&mut text, &mut help, &[]).unwrap();
        let titles: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(
            titles,
            ["## `port`", "## `port artifacts`", "## `port artifacts build`", "## `port run`"]
        );
        assert!(text.ends_with("```text\nUsage: run\n```\n"), "{text}");
    }

    #[test]
    fn a_program_that_lists_itself_ends() {
        let mut text = String::new();
        section(&mut text, &mut |_| Ok("Commands:\n  again  x\n".to_owned()), &[]).unwrap();
        assert_eq!(text.matches("## ").count(), DEEPEST + 1);
    }
}
