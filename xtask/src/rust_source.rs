//! Rust files as the checks see them: which part is the product's, which functions there are, which paths are named.
//!
//! This is a look at text, not a parser: comments and literals are blanked so that braces and words mean what they
//! seem to. It relies on rustfmt having run (`#[cfg(test)]` of a test module stands at column 0).

/// A function and its extent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of `fn`, counted from 1.
    pub(crate) line_number: usize,
    /// Lines from `fn` to the closing brace.
    pub(crate) length: usize,
}

/// The text up to the test module: what the product is built from.
pub(crate) fn product_part(text: &str) -> &str {
    let mut offset = 0;
    let mut start_of_attributes = None;
    for line in text.split_inclusive('\n') {
        let opens_tests = line.starts_with("mod ") && line.trim_end().ends_with('{');
        match start_of_attributes {
            Some(start) if opens_tests => return text.get(..start).unwrap_or(text),
            Some(_) if line.starts_with("#[") => {}
            _ => start_of_attributes = line.starts_with("#[cfg(test)]").then_some(offset),
        }
        offset += line.len();
    }
    text
}

/// The text with comments, strings and character literals as blanks; every line stays where it was.
pub(crate) fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = opaque_length(rest, out.chars().next_back());
        let taken = if length == 0 { character.len_utf8() } else { length };
        let (head, tail) = rest.split_at(taken.min(rest.len()));
        if length == 0 {
            out.push_str(head);
        } else {
            out.extend(head.chars().map(|inside| if inside == '\n' { '\n' } else { ' ' }));
        }
        rest = tail;
    }
    out
}

/// How many bytes at the start of `text` are one comment or literal; 0 for code.
fn opaque_length(text: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(is_word);
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_length(text);
    }
    if let Some(inner) = text.strip_prefix('"') {
        return 1 + quoted_length(inner, '"');
    }
    if let Some(inner) = text.strip_prefix('\'') {
        return character_length(inner).map_or(0, |length| 1 + length);
    }
    if !in_word {
        return raw_string_length(text);
    }
    0
}

fn block_comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut position = 0;
    while let Some(rest) = text.get(position..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            position += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            position += 2;
            if depth == 0 {
                return position;
            }
        } else {
            position += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Up to and with the closing `quote`, after the opening one.
fn quoted_length(inner: &str, quote: char) -> usize {
    let mut characters = inner.char_indices();
    while let Some((index, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return index + 1;
        }
    }
    inner.len()
}

/// A character literal after its opening quote; None for a lifetime or a label.
fn character_length(inner: &str) -> Option<usize> {
    let mut characters = inner.chars();
    let first = characters.next()?;
    if first == '\\' || characters.next() == Some('\'') { Some(quoted_length(inner, '\'')) } else { None }
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`.
fn raw_string_length(text: &str) -> usize {
    let after =
        text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'));
    let Some(after) = after else { return 0 };
    let hashes = after.len() - after.trim_start_matches('#').len();
    let Some(body) = after.get(hashes..).and_then(|body| body.strip_prefix('"')) else { return 0 };
    let close = format!("\"{}", "#".repeat(hashes));
    let opening = text.len() - body.len();
    body.find(&close).map_or(text.len(), |end| opening + end + close.len())
}

/// Every function with a body, in order. `blanked` must come from [`blanked`].
pub(crate) fn functions(blanked: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    for (start, _) in blanked.match_indices("fn ") {
        let stands_alone =
            !blanked.get(..start).and_then(|head| head.chars().next_back()).is_some_and(is_word);
        let tail = blanked.get(start..).unwrap_or_default();
        let name: String = tail.chars().skip(3).take_while(|&character| is_word(character)).collect();
        // `fn (` is a function pointer's type with a blank: no name, no body.
        if !stands_alone || name.is_empty() {
            continue;
        }
        if let Some(body) = body(tail) {
            functions.push(Function {
                name,
                line_number: blanked.get(..start).unwrap_or_default().matches('\n').count() + 1,
                length: body.matches('\n').count() + 1,
            });
        }
    }
    functions
}

/// From `fn` to its closing brace; None for a declaration.
fn body(tail: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (index, character) in tail.char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return tail.get(..=index);
                }
            }
            _ => {}
        }
    }
    None
}

/// Every path that starts with `first`, with groups (`a::{b, c::d}`) written out. `blanked` must come from [`blanked`].
pub(crate) fn paths(blanked: &str, first: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (start, _) in blanked.match_indices(first) {
        let before = blanked.get(..start).and_then(|head| head.chars().next_back());
        if before.is_some_and(|character| is_word(character) || character == ':') {
            continue;
        }
        let tail = blanked.get(start + first.len()..).unwrap_or_default();
        if tail.chars().next().is_some_and(is_word) {
            continue;
        }
        follow(first, tail, &mut paths);
    }
    paths
}

/// Reads what follows `prefix`: `::word…`, `::{group}` or the path's end. Returns what is left.
fn follow<'t>(prefix: &str, tail: &'t str, paths: &mut Vec<String>) -> &'t str {
    let Some(after) = tail.trim_start().strip_prefix("::") else {
        paths.push(prefix.to_owned());
        return tail;
    };
    let after = after.trim_start();
    let Some(mut group) = after.strip_prefix('{') else {
        let (word, rest) = word(after);
        return if word.is_empty() {
            paths.push(prefix.to_owned());
            rest
        } else {
            follow(&format!("{prefix}::{word}"), rest, paths)
        };
    };
    loop {
        group = group.trim_start_matches(|character: char| character.is_whitespace() || character == ',');
        let (word, rest) = word(group);
        if word.is_empty() {
            return group.strip_prefix('}').unwrap_or(group);
        }
        let left = follow(&format!("{prefix}::{word}"), rest, paths);
        // ` as name` changes nothing about what is imported.
        group = left.get(left.find([',', '}']).unwrap_or(left.len())..).unwrap_or_default();
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|character| !is_word(character) && character != '*').unwrap_or(text.len());
    text.split_at(end)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_ends_where_the_test_module_begins() {
        let text = "//! Doc.\n#[cfg(test)]\nuse a;\nfn f() {}\n\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n    fn g() {}\n}\n";
        assert_eq!(product_part(text), "//! Doc.\n#[cfg(test)]\nuse a;\nfn f() {}\n\n");
        assert_eq!(product_part("fn f() {}\n"), "fn f() {}\n");
    }

    #[test]
    fn comments_and_literals_are_blank_and_lines_stay() {
        let check = |text: &str, expected: &str| {
            assert_eq!(blanked(text), expected, "{text}");
            assert_eq!(text.matches('\n').count(), blanked(text).matches('\n').count());
        };
        check("a // b {\nc", "a       \nc");
        check("a /* x /* y */ } */ b", "a                   b");
        check(r#"f("}\"{")"#, "f(      )");
        check("f(r#\"a\"}\"#)", "f(        )");
        check("&'a str '{' '\\'' 'outer: loop", "&'a str          'outer: loop");
        check("var\"x\"", "var   ");
    }

    #[test]
    fn functions_have_their_length() {
        let text = "impl A {\n    pub fn one(x: [u8; 2]) -> B {\n        c\n    }\n    fn declared(&self);\n}\nconst fn two() {}\n";
        let found: Vec<_> = functions(text).into_iter().map(|f| (f.name, f.line_number, f.length)).collect();
        assert_eq!(found, [("one".to_owned(), 2, 3), ("two".to_owned(), 7, 1)]);
    }

    #[test]
    fn groups_of_paths_are_written_out() {
        let check = |text: &str, expected: &[&str]| assert_eq!(paths(text, "std"), expected, "{text}");
        check("use std::fs;", &["std::fs"]);
        check(
            "use std::{fmt, net::{IpAddr, TcpStream as T}, fs as f};",
            &["std::fmt", "std::net::IpAddr", "std::net::TcpStream", "std::fs"],
        );
        check("let x = std::fs::read(p); my::std::fs; stdx::a", &["std::fs::read"]);
        check("use std::io::*;", &["std::io::*"]);
        check("use std::{\n    self,\n};", &["std::self"]);
    }
}
