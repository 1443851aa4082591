//! stdout and stderr: data on the one, talk on the other. Nothing else in Port prints.

use std::io::Write as _;

use anstream::eprintln;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::args::Format;
use crate::error::{CommandError, Exit};

/// How to speak.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// Text or JSON on stdout.
    pub format: Format,
    /// Whether notes are kept back.
    pub quiet: bool,
}

impl Ui {
    /// Prints a report: `text` for people, `value` for machines; neither can drive a terminal.
    ///
    /// # Errors
    /// Standard output takes no more. A reader that has gone is none: it saw what it wanted.
    pub fn report<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<(), CommandError> {
        let said = match self.format {
            Format::Text => printable(&text()),
            Format::Json => printable_json(&serde_json::to_string_pretty(value).unwrap_or_default()),
        };
        self.data(&said)
    }

    /// Prints data that is the same in every format.
    ///
    /// # Errors
    /// Standard output takes no more. A reader that has gone is none: it saw what it wanted.
    pub fn data(self, said: &str) -> Result<(), CommandError> {
        if said.is_empty() {
            return Ok(());
        }
        let mut stdout = anstream::stdout().lock();
        match writeln!(stdout, "{}", said.trim_end()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => {
                let message = format!("the report cannot be written to standard output: {error}");
                Err(CommandError::new(Exit::Failed, message))
            }
            Ok(()) => Ok(()),
        }
    }

    /// Writes bytes to stdout as they are.
    pub fn raw_stdout(self, bytes: &[u8]) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// Writes bytes to stderr as they are.
    pub fn raw_stderr(self, bytes: &[u8]) -> std::io::Result<()> {
        std::io::stderr().lock().write_all(bytes)
    }

    /// Says something that is no error.
    pub fn note(self, message: &str) {
        if self.quiet {
            return;
        }
        // Libraries have notes only; one that somebody should act on says so in its first word.
        match message.strip_prefix("warning: ") {
            Some(message) => eprintln!("{} {}", "warning:".yellow().bold(), printable(message)),
            None => eprintln!("{} {}", "note:".cyan().bold(), printable(message)),
        }
    }

    /// Says what went wrong, and what may help.
    pub fn error(self, message: &str, causes: &[String], hints: &[String]) {
        eprintln!("{} {}", "error:".red().bold(), printable(message));
        for cause in causes {
            eprintln!("  {} {}", "caused by:".dimmed(), printable(cause).replace('\n', "\n  "));
        }
        for (index, hint) in hints.iter().enumerate() {
            let gap = if index == 0 { "\n" } else { "" };
            eprintln!("{gap}{} {}", "hint:".green().bold(), printable(hint));
        }
    }

    /// The same for machines: one JSON object on stderr.
    pub fn error_json<T: Serialize>(self, value: &T) {
        eprintln!("{}", serde_json::to_string(value).unwrap_or_default());
    }
}

/// The text without what could drive a terminal: names and answers from outside are in it.
fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// The same of JSON: what its writer leaves as it is, the upper control characters, stands in its strings alone.
fn printable_json(text: &str) -> String {
    let escape = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// One line of text, whatever was in it.
pub fn one_line(text: &str) -> String {
    printable(&text.replace('\n', "\\n").replace('\t', "\\t"))
}

/// A size for people: binary multiples, one decimal.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A number and its noun.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Columns padded to their widest cell; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(|row| line(row) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_drives_no_terminal() {
        let hostile = "a\u{1b}[2J\u{9b}31m\r\u{7}b\nc\td";
        assert_eq!(printable(hostile), "a\\u{1b}[2J\\u{9b}31m\\r\\u{7}b\nc\td");
        assert_eq!(one_line(hostile), "a\\u{1b}[2J\\u{9b}31m\\r\\u{7}b\\nc\\td");
        let json = printable_json(&serde_json::to_string_pretty(&[hostile]).unwrap());
        assert!(!json.chars().any(|c| c.is_control() && c != '\n'), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [hostile]);
    }

    #[test]
    fn sizes_and_tables_read_well() {
        assert_eq!(
            (size(0), size(1023), size(1024), size(5 << 30)),
            ("0 B".into(), "1023 B".into(), "1.0 KiB".into(), "5.0 GiB".into())
        );
        let rows = [["NAME", "STATE"], ["demo-kernel", "local"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "NAME         STATE\ndemo-kernel  local\n");
    }
}
