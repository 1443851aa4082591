//! Markdown tables as data: documents that people read are the source of what the checks compare with.
//! Only the plain form (`| a | b |`, a header, a rule line) is understood; a `|` inside a cell is written `\|`.

use crate::failure::{Failure, Outcome};

/// A row of a table and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Counted from 1.
    pub(crate) line_number: usize,
    pub(crate) cells: Vec<String>,
}

/// The rows of every table whose first header cells are `header`; a document may cut a long table into several.
pub(crate) fn rows(document: &str, text: &str, header: &[&str]) -> Outcome<Vec<Row>> {
    let mut found = false;
    let mut inside = false;
    let mut rows = Vec::new();
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(cells) = cells(line) else {
            inside = false;
            continue;
        };
        if !inside {
            inside = cells.len() >= header.len()
                && cells.iter().zip(header).all(|(cell, word)| cell.eq_ignore_ascii_case(word));
            found |= inside;
            continue;
        }
        if cells.iter().all(|cell| cell.starts_with("--") || cell.starts_with(":-")) {
            continue;
        }
        if cells.len() < header.len() {
            findings.push(format!(
                "{document}:{}: expected {} cells ({}), found {}",
                index + 1,
                header.len(),
                header.join(", "),
                cells.len()
            ));
            continue;
        }
        rows.push(Row { line_number: index + 1, cells });
    }
    if !found {
        findings.push(format!(
            "{document}: expected a table that begins `| {} |`, found none",
            header.join(" | ")
        ));
    }
    Failure::from_findings(findings).map(|()| rows)
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let mut cells = vec![String::new()];
    let mut characters = inner.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.peek() == Some(&'|') => {
                characters.next();
                push(&mut cells, '|');
            }
            '|' => cells.push(String::new()),
            other => push(&mut cells, other),
        }
    }
    Some(cells.iter().map(|cell| cell.trim().to_owned()).collect())
}

fn push(cells: &mut [String], character: char) {
    if let Some(cell) = cells.last_mut() {
        cell.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_named_tables_only() {
        let text = "\
# Title
| other | table |
| --- | --- |
| x | y |

| line | behaviour |
| --- | :-- |
| P-1 | a \\| b |

text
| Line | Behaviour | more |
| --- | --- | --- |
| P-2 | c | d |
";
        let rows = rows("d.md", text, &["line", "behaviour"]).unwrap();
        let cells: Vec<_> = rows.iter().map(|row| row.cells.join("/")).collect();
        assert_eq!(cells, ["P-1/a | b", "P-2/c/d"]);
        assert_eq!(rows.first().map(|row| row.line_number), Some(8));
    }

    #[test]
    fn a_missing_table_and_a_short_row_are_findings() {
        let missing = rows("d.md", "| a | b |\n", &["line", "behaviour"]).unwrap_err();
        assert_eq!(
            missing.findings(),
            ["d.md: expected a table that begins `| line | behaviour |`, found none"]
        );
        let short = rows("d.md", "| line | behaviour |\n| --- | --- |\n| P-1 |\n", &["line", "behaviour"]);
        assert_eq!(short.unwrap_err().findings(), ["d.md:3: expected 2 cells (line, behaviour), found 1"]);
    }
}
