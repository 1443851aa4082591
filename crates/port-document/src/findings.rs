//! Findings while they are gathered, by byte range; and how a range becomes line, column and snippet.
//!
//! The text comes from outside and its pieces end on a terminal: everything that leaves here is bounded
//! and holds no control characters.

use std::cell::RefCell;
use std::ops::Range;

use crate::error::{Finding, Severity};

/// Longest snippet, in characters.
const LONGEST_SNIPPET: usize = 120;
/// Longest message, key or hint, in characters.
pub(crate) const LONGEST_TEXT: usize = 400;
/// Most findings kept of one file.
const MOST_KEPT: usize = 1000;

/// Where something stands in the file.
#[derive(Debug, Clone)]
pub struct Place {
    /// The dotted key path.
    pub key: String,
    /// The byte range.
    pub span: Range<usize>,
}

impl Place {
    /// The place of a key below this one.
    pub fn below(&self, key: &str, span: Range<usize>) -> Self {
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let key = if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
        let key = if self.key.is_empty() { key } else { format!("{}.{key}", self.key) };
        Self { key, span }
    }

    /// The place of an array's item.
    pub fn item(&self, index: usize, span: Range<usize>) -> Self {
        Self { key: format!("{}[{index}]", self.key), span }
    }
}

/// A finding before its place became a line and a column.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// What was expected and what was found.
    pub message: String,
    /// What to do about it, if there is more to say.
    pub hint: Option<String>,
}

/// What a key means that no reader asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownKeys {
    /// The document cannot be used.
    #[default]
    Refused,
    /// It is pointed out.
    Noted,
}

/// Everything found so far. Shared by all readers of one document, so it takes `&self`.
#[derive(Default)]
pub struct Findings {
    gathered: RefCell<Vec<Gathered>>,
    secrets: RefCell<Vec<Range<usize>>>,
    unknown_keys: UnknownKeys,
}

impl Findings {
    /// Nothing found yet.
    pub fn new(unknown_keys: UnknownKeys) -> Self {
        Self { unknown_keys, ..Self::default() }
    }

    /// Something is wrong at `place`.
    pub fn add(&self, place: &Place, message: impl Into<String>) {
        self.push(Severity::Error, place, message.into(), None);
    }

    /// Something is wrong at `place`, and there is more to say about it.
    pub fn add_with_hint(&self, place: &Place, message: impl Into<String>, hint: impl Into<String>) {
        self.push(Severity::Error, place, message.into(), Some(hint.into()));
    }

    /// The key at `place` is known to nobody.
    pub(crate) fn add_unknown_key(&self, place: &Place, message: String, hint: Option<String>) {
        let severity = match self.unknown_keys {
            UnknownKeys::Refused => Severity::Error,
            UnknownKeys::Noted => Severity::Warning,
        };
        self.push(severity, place, message, hint);
    }

    /// What may be a secret stands in `span`: no snippet shows it, since messages end in logs.
    pub fn hide(&self, span: Range<usize>) {
        self.secrets.borrow_mut().push(span);
    }

    /// Whether no more findings are kept: looking for suggestions is in vain then.
    pub fn are_full(&self) -> bool {
        self.gathered.borrow().len() >= MOST_KEPT
    }

    fn push(&self, severity: Severity, place: &Place, message: String, hint: Option<String>) {
        if !self.are_full() {
            self.gathered.borrow_mut().push(Gathered { severity, place: place.clone(), message, hint });
        }
    }

    /// Everything that was found, in the order of the document, and where secrets may stand; `complete` says that its reader got a value.
    ///
    /// Readers give up only after they said why; a document without a value has an error all the same.
    pub(crate) fn conclude(self, text: &str, complete: bool) -> (Vec<Finding>, Vec<Range<usize>>) {
        let mut gathered = self.gathered.into_inner();
        if !complete && gathered.iter().all(|finding| finding.severity == Severity::Warning) {
            gathered.push(Gathered {
                severity: Severity::Error,
                place: Place { key: String::new(), span: 0..0 },
                message: "cannot be read, and Port does not know why: this is a bug in Port".to_owned(),
                hint: None,
            });
        }
        // Stable: findings of one place stay in the order in which they were made.
        gathered.sort_by_key(|finding| finding.place.span.start);
        // A line may be shown for another finding than the one that makes part of it a secret.
        let secrets = self.secrets.into_inner();
        (gathered.into_iter().map(|gathered| locate(text, gathered, &secrets)).collect(), secrets)
    }
}

/// The finding with its line and column in `text`; what stands in `secrets` is masked.
pub fn locate(text: &str, gathered: Gathered, secrets: &[Range<usize>]) -> Finding {
    let start = boundary(text, gathered.place.span.start);
    let end = boundary(text, gathered.place.span.end.max(start));
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    // A place between the two characters of a line's end is the end of that line.
    let column = text.get(line_start..start).unwrap_or_default().chars().count().min(line.chars().count());
    // A value over several lines is marked on its first.
    let marked = text.get(start..end).and_then(|marked| marked.lines().next()).unwrap_or_default();
    let marked = marked.trim_end().chars().count().max(1);
    let (snippet, mark_start, mark_length) = clip(line, column, marked, |offset| {
        secrets.iter().any(|secret| secret.contains(&(line_start + offset)))
    });
    Finding {
        severity: gathered.severity,
        line: before.matches('\n').count() + 1,
        column: column + 1,
        key: printable(&gathered.place.key, LONGEST_TEXT),
        message: printable(&gathered.message, LONGEST_TEXT),
        snippet,
        mark_start,
        mark_length,
        hint: gathered.hint.map(|hint| printable(&hint, LONGEST_TEXT)),
    }
}

/// The character boundary at or before `offset`.
fn boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The part of `line` around its mark; what `is_secret` by its offset is masked.
fn clip(
    line: &str,
    start: usize,
    length: usize,
    is_secret: impl Fn(usize) -> bool,
) -> (String, usize, usize) {
    let skipped =
        if start + length > LONGEST_SNIPPET { start.saturating_sub(LONGEST_SNIPPET / 3) } else { 0 };
    let mut rest = line.char_indices().skip(skipped);
    let shown = rest.by_ref().take(LONGEST_SNIPPET).map(|(offset, c)| match c {
        _ if is_secret(offset) => '*',
        '\t' => ' ',
        _ if is_safe(c) => c,
        _ => '\u{fffd}',
    });
    let mut snippet: String = shown.collect();
    let mut start = start - skipped;
    if rest.next().is_some() {
        snippet.push('…');
    }
    if skipped > 0 {
        snippet.insert(0, '…');
        start += 1;
    }
    (snippet, start, length.min(LONGEST_SNIPPET + 1 - start.min(LONGEST_SNIPPET)))
}

/// Control characters and those that turn the direction of text could make a message lie.
fn is_safe(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(crate) fn printable(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index >= longest {
            out.push('…');
            break;
        }
        if is_safe(c) { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, span: Range<usize>, secret: bool) -> Finding {
        let place = Place { key: "a".to_owned(), span };
        let secrets = if secret { vec![place.span.clone()] } else { Vec::new() };
        locate(
            text,
            Gathered { severity: Severity::Error, place, message: "m".to_owned(), hint: None },
            &secrets,
        )
    }

    #[test]
    fn columns_count_characters_and_marks_stay_on_their_line() {
        let found = one("x = 1\ny = \"ä\" # é\nz", 6..30, false);
        assert_eq!((found.line, found.column, found.mark_length), (2, 1, 11));
        let found = one("é = 1", 5..6, false);
        assert_eq!((found.line, found.column, found.snippet.as_str()), (1, 5, "é = 1"));
        let end = one("a\n", 2..2, false);
        assert_eq!((end.line, end.column, end.mark_start, end.mark_length), (2, 1, 0, 1));
    }

    #[test]
    fn a_line_ends_before_its_carriage_return() {
        let found = one("abc\r\nd", 4..5, false);
        assert_eq!((found.line, found.column, found.mark_start), (1, 4, 3));
    }

    #[test]
    fn a_long_line_is_clipped_around_its_mark() {
        let text = format!("a = [{}, 7]", "1,".repeat(500));
        let found = one(&text, text.len() - 2..text.len() - 1, false);
        assert_eq!(found.snippet.chars().nth(found.mark_start), Some('7'));
        assert!(found.snippet.chars().count() <= LONGEST_SNIPPET + 2);
        assert!(found.snippet.starts_with('…'));
        let all = one(&text, 4..text.len(), false);
        assert!(all.mark_start + all.mark_length <= LONGEST_SNIPPET + 2, "{all:?}");
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let found = one("a = \"hunter2\" # x", 4..13, true);
        assert_eq!(
            (found.snippet.as_str(), found.mark_start, found.mark_length),
            ("a = ********* # x", 4, 9)
        );
    }

    #[test]
    fn nothing_can_steer_the_terminal() {
        let found = one("a = '\u{202e}\t\u{7f}'", 4..5, false);
        assert_eq!(found.snippet, "a = '\u{fffd} \u{fffd}'");
        assert_eq!(printable("\u{1b}[2J\n", 99), "\\u{1b}[2J\\n");
    }
}
