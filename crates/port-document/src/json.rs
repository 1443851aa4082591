//! JSON with places: the same spanned tree that TOML parses to, so that one reader serves both.
//!
//! RFC 8259 with its freedoms closed: no key twice, bounded depth, nothing after the value. A `null` says nothing, so
//! its key is as if it were not there. Numbers keep their text; whether one fits is for the reader to say.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

/// Deepest nesting: manifests have four levels.
const DEEPEST: usize = 64;

/// Why a text is not JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// Where, in bytes.
    pub(crate) offset: usize,
    /// What was expected.
    pub(crate) message: String,
}

/// Parses an object.
pub(crate) fn parse(text: &str) -> Result<DeTable<'_>, JsonError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.space();
    let table = parser.object()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.wrong("expected nothing after the object"));
    }
    Ok(table)
}

struct Parser<'d> {
    text: &'d str,
    at: usize,
    depth: usize,
}

impl<'d> Parser<'d> {
    fn rest(&self) -> &'d str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, message: impl Into<String>) -> JsonError {
        JsonError { offset: self.at, message: message.into() }
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    /// Whether `token` stands here; then it is behind us.
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn deeper(&mut self) -> Result<(), JsonError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong(format!("expected at most {DEEPEST} levels of nesting")));
        }
        Ok(())
    }

    fn object(&mut self) -> Result<DeTable<'d>, JsonError> {
        self.deeper()?;
        let mut table = DeTable::new();
        let mut empty = Vec::new();
        if !self.take("{") {
            return Err(self.wrong("expected `{`"));
        }
        self.space();
        while !self.take("}") {
            let start = self.at;
            let key = self.string()?;
            let key = Spanned::new(start..self.at, key);
            if table.contains_key(key.get_ref().as_ref()) || empty.contains(key.get_ref()) {
                let message = format!("the key `{}` stands here twice", key.get_ref());
                return Err(JsonError { offset: start, message });
            }
            self.space();
            if !self.take(":") {
                return Err(self.wrong("expected `:`"));
            }
            match self.value()? {
                Some(value) => drop(table.insert(key, value)),
                None => empty.push(key.into_inner()),
            }
            self.separator('}')?;
        }
        self.depth -= 1;
        Ok(table)
    }

    fn array(&mut self) -> Result<DeArray<'d>, JsonError> {
        self.deeper()?;
        let mut array = DeArray::new();
        self.take("[");
        self.space();
        while !self.take("]") {
            let start = self.at;
            match self.value()? {
                Some(value) => array.push(value),
                None => {
                    return Err(JsonError { offset: start, message: "expected no `null` in a list".into() });
                }
            }
            self.separator(']')?;
        }
        self.depth -= 1;
        Ok(array)
    }

    /// A comma with something behind it, or the end.
    fn separator(&mut self, end: char) -> Result<(), JsonError> {
        self.space();
        if self.take(",") {
            self.space();
            if self.rest().starts_with(end) {
                return Err(self.wrong("expected another entry after the comma"));
            }
            return Ok(());
        }
        if self.rest().starts_with(end) {
            Ok(())
        } else {
            Err(self.wrong(format!("expected `,` or `{end}`")))
        }
    }

    /// A value with its place; none for `null`.
    fn value(&mut self) -> Result<Option<Spanned<DeValue<'d>>>, JsonError> {
        self.space();
        let start = self.at;
        let value = match self.rest().chars().next() {
            Some('{') => DeValue::Table(self.object()?),
            Some('[') => DeValue::Array(self.array()?),
            Some('"') => DeValue::String(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            _ if self.take("true") => DeValue::Boolean(true),
            _ if self.take("false") => DeValue::Boolean(false),
            _ if self.take("null") => return Ok(None),
            Some(c) => return Err(self.wrong(format!("expected a value, found {c:?}"))),
            None => return Err(self.wrong("expected a value, found the end")),
        };
        Ok(Some(Spanned::new(start..self.at, value)))
    }

    /// A number; TOML reads the same texts, and a few more that are refused here.
    fn number(&mut self) -> Result<DeValue<'d>, JsonError> {
        let start = self.at;
        let rest = self.rest();
        let length = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.' | '_'))
            .unwrap_or(rest.len());
        let text = rest.get(..length).unwrap_or_default();
        let foreign = |c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
        let wrong = || JsonError { offset: start, message: format!("expected a number, found `{text}`") };
        if text.contains(foreign) {
            return Err(wrong());
        }
        let value = DeValue::parse(text).map_err(|_| wrong())?.into_inner();
        if !matches!(value, DeValue::Integer(_) | DeValue::Float(_)) {
            return Err(wrong());
        }
        self.at += length;
        Ok(value)
    }

    fn string(&mut self) -> Result<DeString<'d>, JsonError> {
        if !self.take("\"") {
            return Err(self.wrong("expected a string"));
        }
        let start = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            let rest = self.rest();
            let plain = rest.find(|c: char| matches!(c, '"' | '\\') || c < ' ').unwrap_or(rest.len());
            let text = rest.get(..plain).unwrap_or_default();
            self.at += plain;
            if let Some(unescaped) = &mut unescaped {
                unescaped.push_str(text);
            }
            if self.take("\"") {
                let whole = self.text.get(start..self.at - 1).unwrap_or_default();
                return Ok(unescaped.map_or(Cow::Borrowed(whole), Cow::Owned));
            }
            if !self.take("\\") {
                return Err(self.wrong("expected the string to end, or a control character to be escaped"));
            }
            let escaped = self.escape()?;
            unescaped.get_or_insert_with(|| text.to_owned()).push(escaped);
        }
    }

    /// What stands after a backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(c) = self.rest().chars().next() else {
            return Err(self.wrong("expected the string to end"));
        };
        self.at += c.len_utf8();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(),
            _ => return Err(JsonError { offset: self.at - c.len_utf8(), message: "unknown escape".into() }),
        })
    }

    /// The four digits after `\u`, and the second half of a pair where one is needed.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        let wrong =
            || JsonError { offset: start, message: "expected four hexadecimal digits of a character".into() };
        let first = self.hexadecimal().ok_or_else(wrong)?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or_else(wrong);
        }
        if !self.take("\\u") {
            return Err(wrong());
        }
        let second =
            self.hexadecimal().filter(|second| (0xdc00..0xe000).contains(second)).ok_or_else(wrong)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(wrong)
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_at(text: &str) -> String {
        let table = parse(text).unwrap();
        match table.get("a").unwrap().get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn strings_are_unescaped_and_spans_are_those_of_the_text() {
        assert_eq!(
            text_at(r#"{"a": "x\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00y"}"#),
            "x\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600}y"
        );
        assert_eq!(text_at(r#"{"a":"ab\n"}"#), "ab\n");
        let table = parse("{ \"a\" : [ 1 , true, {\"b\": -2.5e3} ] }").unwrap();
        assert_eq!(table.get("a").unwrap().span(), 8..35);
    }

    #[test]
    fn null_says_nothing() {
        let table = parse(r#"{"a": null, "b": false}"#).unwrap();
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_found_where_it_is() {
        let deep = format!("{{\"a\":{}", "[".repeat(1000));
        for (text, offset, part) in [
            ("{", 1, "a string"),
            ("{\"a\"}", 4, "`:`"),
            ("{\"a\":}", 5, "a value"),
            ("{\"a\":1,}", 7, "another entry"),
            ("{\"a\":1 \"b\":2}", 7, "`,` or `}`"),
            ("{\"a\":1}x", 7, "nothing after"),
            ("{\"a\":1,\"a\":2}", 7, "twice"),
            ("{\"a\":null,\"a\":2}", 10, "twice"),
            ("{\"a\":[null]}", 6, "null"),
            ("{\"a\":0x10}", 5, "a number"),
            ("{\"a\":1_0}", 5, "a number"),
            ("{\"a\":01}", 5, "a number"),
            ("{\"a\":1979-05-27}", 5, "a number"),
            ("{\"a\":\"\n\"}", 6, "control character"),
            ("{\"a\":\"\\x\"}", 7, "unknown escape"),
            ("{\"a\":\"\\ud800x\"}", 8, "hexadecimal"),
            ("{\"a\":\"\\u12é4\"}", 8, "hexadecimal"),
            (deep.as_str(), 68, "levels"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.offset, offset, "{text}: {}", error.message);
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
    }
}
