//! From text to a format's own value: bounds, syntax, then the format's reader. What the keys mean is not known here.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::DeTable;

use crate::error::{DocumentError, Finding, Severity};
use crate::findings::{Findings, LONGEST_TEXT, Place, UnknownKeys, printable};
use crate::json;
use crate::node::Table;

/// Largest text that is looked at, in bytes: what is read here is written by hand.
pub const LARGEST_TEXT: usize = 1024 * 1024;

/// What a document may be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// TOML alone.
    Toml,
    /// JSON where it begins with `{`, which no TOML does, else TOML.
    TomlOrJson,
}

/// What came out of a document.
#[derive(Debug)]
pub struct Reading<T> {
    /// What its reader made of it; there may be errors all the same.
    pub value: Option<T>,
    /// What was found, in the order of the document.
    pub findings: Vec<Finding>,
    /// Where what may be a secret stands: no snippet of this text shows it.
    pub secrets: Vec<Range<usize>>,
}

impl<T> Reading<T> {
    fn new(text: &str, findings: Findings, value: Option<T>) -> Self {
        let (findings, secrets) = findings.conclude(text, value.is_some());
        Self { value, findings, secrets }
    }

    /// The value, unless there is an error.
    ///
    /// # Errors
    /// There is at least one; `file` is how messages name the document.
    pub fn conclude(self, file: &str) -> Result<T, DocumentError> {
        let wrong = self.findings.iter().any(|finding| finding.severity == Severity::Error);
        match self.value {
            Some(value) if !wrong => Ok(value),
            _ => Err(DocumentError { file: printable(file, LONGEST_TEXT), findings: self.findings }),
        }
    }
}

/// Reads a document.
pub fn read<T>(
    text: &str,
    syntax: Syntax,
    unknown_keys: UnknownKeys,
    reader: impl FnOnce(&Findings, Table<'_>) -> Option<T>,
) -> Reading<T> {
    let findings = Findings::new(unknown_keys);
    if text.len() > LARGEST_TEXT {
        let message = format!("expected at most {LARGEST_TEXT} bytes, found {}", text.len());
        findings.add(&at(0), message);
        return Reading::new("", findings, None);
    }
    let value = match parse(text, syntax, &findings) {
        Some(root) => reader(&findings, Table::root(&findings, &root)),
        None => None,
    };
    Reading::new(text, findings, value)
}

/// The same for bytes, which must be UTF-8.
pub fn read_bytes<T>(
    bytes: &[u8],
    syntax: Syntax,
    unknown_keys: UnknownKeys,
    reader: impl FnOnce(&Findings, Table<'_>) -> Option<T>,
) -> Reading<T> {
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text, syntax, unknown_keys, reader),
        Err(error) => {
            let findings = Findings::new(unknown_keys);
            findings.add(&at(error.valid_up_to()), "not UTF-8");
            // What is sound before the bad byte stays where it is, so the place is right in the mended text too.
            let shown = bytes.get(..bytes.len().min(LARGEST_TEXT)).unwrap_or_default();
            let text: Cow<'_, str> = String::from_utf8_lossy(shown);
            Reading::new(&text, findings, None)
        }
    }
}

fn parse<'d>(text: &'d str, syntax: Syntax, findings: &Findings) -> Option<DeTable<'d>> {
    if syntax == Syntax::TomlOrJson && text.trim_start().starts_with('{') {
        return json::parse(text)
            .map_err(|error| findings.add(&at(error.offset), format!("not JSON: {}", error.message)))
            .ok();
    }
    DeTable::parse(text)
        .map(toml::Spanned::into_inner)
        .map_err(|error| toml_error(findings, text, &error))
        .ok()
}

fn toml_error(findings: &Findings, text: &str, error: &toml::de::Error) {
    let place = Place { key: String::new(), span: error.span().unwrap_or(0..0) };
    let message = format!("not TOML: {}", error.message());
    let line = text.get(..place.span.start).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
    let rest = text.get(place.span.start..).unwrap_or_default();
    if ["<<<<<<<", "=======", ">>>>>>>"]
        .iter()
        .any(|marker| line.starts_with(marker) || rest.starts_with(marker))
    {
        findings.add_with_hint(&place, message, "this is the mark of a merge conflict: take one side of it");
    } else {
        findings.add(&place, message);
    }
}

fn at(offset: usize) -> Place {
    Place { key: String::new(), span: offset..offset }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &[u8], unknown_keys: UnknownKeys) -> Reading<String> {
        read_bytes(text, Syntax::TomlOrJson, unknown_keys, |_, root| {
            let name = root.required("name").and_then(|node| node.text().map(str::to_owned));
            root.finish();
            name
        })
    }

    #[test]
    fn toml_and_json_read_alike() {
        for text in ["name = \"a\"", " {\"name\": \"a\"}"] {
            assert_eq!(names(text.as_bytes(), UnknownKeys::Refused).conclude("f").unwrap(), "a");
        }
        let wrong = names(b"{\"name\":\n 1}", UnknownKeys::Refused).conclude("f").unwrap_err();
        assert_eq!((wrong.findings[0].line, wrong.findings[0].column), (2, 2));
        assert_eq!(wrong.findings[0].message, "expected a string, found an integer");
    }

    #[test]
    fn an_unknown_key_is_an_error_or_a_warning() {
        let text = b"name = \"a\"\nnmae = 1\ncolour = 2";
        let refused = names(text, UnknownKeys::Refused);
        assert!(refused.conclude("f").is_err());
        let noted = names(text, UnknownKeys::Noted);
        let severities: Vec<_> = noted.findings.iter().map(|finding| finding.severity).collect();
        assert_eq!(severities, [Severity::Warning, Severity::Warning]);
        assert_eq!(noted.findings[0].message, "unknown key (did you mean `name`?)");
        assert_eq!(noted.conclude("f").unwrap(), "a");
    }

    #[test]
    fn what_is_not_text_is_found_where_it_is() {
        let reading = names(b"name = \"a\"\nx\xff = 1", UnknownKeys::Refused);
        assert_eq!((reading.findings[0].line, reading.findings[0].column), (2, 2));
        assert!(reading.conclude("f").unwrap_err().to_string().contains("not UTF-8"));
        let large = names(&vec![b' '; LARGEST_TEXT + 1], UnknownKeys::Refused);
        assert!(large.findings[0].message.contains("1048577"));
    }
}
