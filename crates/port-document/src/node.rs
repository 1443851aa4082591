//! Reading a spanned TOML document: typed access that reports instead of failing, and knows its place.
//!
//! The invariant of every method that gives an `Option`: `None` means that a finding was made (or, for
//! [`Table::optional`], that the key is absent). So a reader asks for everything first and gives up after.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use port_model::{UnknownWord, suggest};
use toml::de::{DeTable, DeValue};

use crate::findings::{Findings, Place};

/// A table, and which keys were asked for: the others are unknown.
pub struct Table<'d> {
    findings: &'d Findings,
    entries: &'d DeTable<'d>,
    /// Where it stands.
    pub place: Place,
    asked: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<&'static str>>,
    elsewhere: RefCell<Vec<(&'static str, &'static str)>>,
}

/// A value and its place.
pub struct Node<'d> {
    findings: &'d Findings,
    value: &'d DeValue<'d>,
    /// Where it stands.
    pub place: Place,
}

impl<'d> Table<'d> {
    /// The document itself.
    pub fn root(findings: &'d Findings, entries: &'d DeTable<'d>) -> Self {
        let place = Place { key: String::new(), span: 0..0 };
        Self::new(findings, entries, place)
    }

    fn new(findings: &'d Findings, entries: &'d DeTable<'d>, place: Place) -> Self {
        let (asked, missing, elsewhere) = Default::default();
        Self { findings, entries, place, asked, missing, elsewhere }
    }

    /// The value of `key`, if it is there.
    pub fn optional(&self, key: &'static str) -> Option<Node<'d>> {
        self.asked.borrow_mut().push(key);
        let value = self.entries.get(key)?;
        let place = self.place.below(key, value.span());
        Some(Node { findings: self.findings, value: value.get_ref(), place })
    }

    /// The value of `key`, which must be there; [`Table::finish`] reports it otherwise.
    pub fn required(&self, key: &'static str) -> Option<Node<'d>> {
        let node = self.optional(key);
        if node.is_none() {
            self.missing.borrow_mut().push(key);
        }
        node
    }

    /// The value of `key`, without which the other keys say nothing: a tag or a version.
    pub fn decisive(&self, key: &'static str) -> Option<Node<'d>> {
        let node = self.optional(key);
        if node.is_none() {
            self.report_missing(key);
        }
        node
    }

    fn report_missing(&self, key: &str) {
        self.findings.add(&self.place, format!("the key `{key}` is missing"));
    }

    /// What `read` makes of `key`; `Some(None)` where it is absent.
    pub fn maybe<T>(&self, key: &'static str, read: impl FnOnce(Node<'d>) -> Option<T>) -> Option<Option<T>> {
        match self.optional(key) {
            None => Some(None),
            Some(node) => read(node).map(Some),
        }
    }

    /// Remembers that `keys` are unknown here and known elsewhere; `hint` says where, should one be written. That is an
    /// error wherever unknown keys are none: the key says something, and nobody would hear it.
    pub fn elsewhere(&self, keys: &[&'static str], hint: &'static str) {
        self.elsewhere.borrow_mut().extend(keys.iter().map(|key| (*key, hint)));
    }

    /// Every entry of a table whose keys are names; each name's place is its key's.
    pub fn named(&self) -> impl Iterator<Item = (&'d str, Place, Node<'d>)> {
        self.entries.iter().map(|(key, value)| {
            let name = key.get_ref().as_ref();
            let place = self.place.below(name, value.span());
            let node = Node { findings: self.findings, value: value.get_ref(), place };
            (name, self.place.below(name, key.span()), node)
        })
    }

    /// Reports the keys that nobody asked for, and those that were asked for in vain.
    pub fn finish(&self) {
        let asked = self.asked.borrow();
        let mut missing = self.missing.borrow_mut();
        for (key, value) in self.entries.iter().filter(|(key, _)| !asked.contains(&key.get_ref().as_ref())) {
            let place = self.place.below(key.get_ref(), key.span());
            if ["password", "secret", "token"].iter().any(|word| key.get_ref().to_lowercase().contains(word))
            {
                self.findings.hide(value.span());
            }
            if self.findings.are_full() {
                continue;
            }
            let elsewhere = self.elsewhere.borrow();
            if let Some((_, hint)) = elsewhere.iter().find(|(known, _)| *known == key.get_ref()) {
                self.findings.add_with_hint(&place, "unknown key", *hint);
                continue;
            }
            let (message, hint) = about_unknown(key.get_ref(), &asked, &mut missing);
            self.findings.add_unknown_key(&place, message, hint);
        }
        missing.iter().for_each(|key| self.report_missing(key));
    }
}

/// What to say of a key that nobody asked for.
fn about_unknown(
    key: &str,
    asked: &[&'static str],
    missing: &mut Vec<&'static str>,
) -> (String, Option<String>) {
    if let Some(nearest) = suggest::nearest(key, asked) {
        // One slip is one finding: the key is not also missing.
        missing.retain(|key| *key != nearest);
        return (format!("unknown key{}", suggest::did_you_mean(key, asked)), None);
    }
    let mut known = asked.to_vec();
    known.sort_unstable();
    known.dedup();
    ("unknown key".to_owned(), Some(format!("known here: {}", known.join(", "))))
}

impl<'d> Node<'d> {
    /// Reports that something is wrong here.
    pub fn wrong<T>(&self, message: impl Into<String>) -> Option<T> {
        self.findings.add(&self.place, message);
        None
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.wrong(format!("expected {expected}, found {found}"))
    }

    /// A table.
    pub fn table(self) -> Option<Table<'d>> {
        match self.value {
            DeValue::Table(entries) => Some(Table::new(self.findings, entries, self.place)),
            _ => self.wrong_type("a table"),
        }
    }

    /// Whether this is a table; reports nothing.
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    /// Whether this is a table with a non-empty array at `key`; reports nothing.
    pub fn has_items(&self, key: &str) -> bool {
        match self.value {
            DeValue::Table(entries) => entries
                .get(key)
                .and_then(|value| value.get_ref().as_array())
                .is_some_and(|items| !items.is_empty()),
            _ => false,
        }
    }

    /// An array's items.
    pub fn items(self) -> Option<Vec<Node<'d>>> {
        let DeValue::Array(items) = self.value else { return self.wrong_type("an array") };
        let node = |(index, item): (usize, &'d toml::Spanned<DeValue<'d>>)| Node {
            findings: self.findings,
            value: item.get_ref(),
            place: self.place.item(index, item.span()),
        };
        Some(items.iter().enumerate().map(node).collect())
    }

    /// What `read` makes of every item; `None` only after all were read.
    pub fn each<T>(self, read: impl FnMut(Node<'d>) -> Option<T>) -> Option<Vec<T>> {
        let read: Vec<Option<T>> = self.items()?.into_iter().map(read).collect();
        read.into_iter().collect()
    }

    /// A boolean.
    pub fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("`true` or `false`"),
        }
    }

    /// An integer in `range`.
    pub fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(integer) = self.value else { return self.wrong_type("an integer") };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) if range.contains(&value) => Some(value),
            _ => self.wrong(format!(
                "expected an integer from {} to {}, found {integer}",
                range.start(),
                range.end()
            )),
        }
    }

    /// Any integer that fits 64 bits; what it may be is checked later.
    pub fn signed(&self) -> Option<i64> {
        let DeValue::Integer(integer) = self.value else { return self.wrong_type("an integer") };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(value) => Some(value),
            Err(_) => self.wrong(format!("expected an integer of at most 64 bits, found {integer}")),
        }
    }

    /// An integer in `range` that fits 32 bits by that range.
    pub fn integer32(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.integer(u64::from(*range.start())..=u64::from(*range.end()))?;
        u32::try_from(value).ok()
    }

    /// A string, maybe empty.
    pub fn string(&self) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.wrong_type("a string"),
        }
    }

    /// A string with something in it and without control characters.
    pub fn text(&self) -> Option<&'d str> {
        let text = self.string()?;
        if text.trim().is_empty() {
            return self.wrong("must not be empty");
        }
        match text.chars().find(|c| c.is_control()) {
            Some(c) => self.wrong(format!("must not hold the control character {c:?}")),
            None => Some(text),
        }
    }

    /// A path, as written.
    pub fn path(&self) -> Option<PathBuf> {
        self.text().map(PathBuf::from)
    }

    /// What the string parses to.
    pub fn parsed<T: FromStr<Err: Display>>(&self) -> Option<T> {
        self.string()?.parse().or_else(|error: T::Err| self.wrong(error.to_string()).ok_or(())).ok()
    }

    /// A text that obeys `rule`; what the rule says of another one completes "expected …".
    pub fn obeying(&self, rule: impl FnOnce(&str) -> Result<(), String>) -> Option<String> {
        let text = self.text()?;
        match rule(text) {
            Ok(()) => Some(text.to_owned()),
            Err(reason) => self.wrong(reason),
        }
    }

    /// One of `words`.
    pub fn word(&self, what: &'static str, words: &'static [&'static str]) -> Option<&'static str> {
        let found = self.string()?;
        words.iter().find(|word| **word == found).copied().or_else(|| {
            self.wrong(UnknownWord { what, found: found.to_owned(), expected: words }.to_string())
        })
    }

    /// A table as it is, detached from the document.
    pub fn detached_table(&self) -> Option<toml::Table> {
        use serde::Deserialize as _;
        if !self.value.is_table() {
            return self.wrong_type("a table");
        }
        let spanned = toml::Spanned::new(self.place.span.clone(), self.value.clone());
        toml::Table::deserialize(toml::de::ValueDeserializer::from(spanned))
            .or_else(|_| self.wrong("holds a number that is out of TOML's range").ok_or(()))
            .ok()
    }

    /// The findings, for a reader that reports at another place.
    pub fn findings(&self) -> &'d Findings {
        self.findings
    }
}
