//! A JSON object whose members keep their order and the very bytes of their values.
//!
//! A login changes one entry of a file that belongs to other programs; what Port does not know has to come
//! out as it went in. So values stay text until one is asked for. This is no general JSON type. Invariant:
//! its errors are positions and kinds, never text of the file (serde's messages quote values).

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in the order of the file. Not `Debug`: values may be secrets.
#[derive(Default)]
pub(super) struct Object(Vec<(String, Box<RawValue>)>);

/// Where a text stops being one JSON object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Object {
    /// Reads one object and nothing after it.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        serde_json::from_str(text).map_err(|error| Malformed { line: error.line(), column: error.column() })
    }

    /// The value of the last member of this name, which is the one that JSON readers take.
    pub(super) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().rev().find(|(member, _)| member == name).map(|(_, value)| &**value)
    }

    /// All names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// Whether there is no member.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts `value` where the first member of this name stood, or at the end.
    pub(super) fn set(&mut self, name: &str, value: Box<RawValue>) {
        let at = self.0.iter().position(|(member, _)| member == name).unwrap_or(self.0.len());
        self.remove(name);
        self.0.insert(at.min(self.0.len()), (name.to_owned(), value));
    }

    /// Removes every member of this name; whether there was one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(member, _)| member != name);
        self.0.len() < before
    }

    /// The object as text, its members `depth` tabs deep plus one, as docker indents.
    pub(super) fn to_text(&self, depth: usize) -> Result<String, serde_json::Error> {
        if self.is_empty() {
            return Ok("{}".to_owned());
        }
        let mut text = String::from("{");
        for (index, (name, value)) in self.0.iter().enumerate() {
            text.push_str(if index == 0 { "\n" } else { ",\n" });
            text.extend(std::iter::repeat_n('\t', depth + 1));
            text.push_str(&serde_json::to_string(name)?);
            text.push_str(": ");
            text.push_str(value.get());
        }
        text.push('\n');
        text.extend(std::iter::repeat_n('\t', depth));
        text.push('}');
        Ok(text)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// What a value is, in words, without showing it.
pub(super) fn kind_of(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn what_is_not_touched_keeps_its_bytes_and_its_place() {
        let text = "{\n\t\"z\": 1.0e+2,\n\t\"auths\": {},\n\t\"a\": {\n\t\t\"x\":   [ 1,2 ]\n\t}\n}";
        let mut object = Object::parse(text).unwrap();
        assert_eq!(object.to_text(0).unwrap(), text);
        object.set("auths", raw("7"));
        object.set("new", raw("[]"));
        let expected =
            "{\n\t\"z\": 1.0e+2,\n\t\"auths\": 7,\n\t\"a\": {\n\t\t\"x\":   [ 1,2 ]\n\t},\n\t\"new\": []\n}";
        assert_eq!(object.to_text(0).unwrap(), expected);
        assert!(object.remove("z") && !object.remove("z"));
    }

    #[test]
    fn of_two_members_of_one_name_the_last_counts_and_none_is_left_behind() {
        let mut object = Object::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(object.get("a").unwrap().get(), "3");
        object.set("a", raw("4"));
        assert_eq!(object.to_text(0).unwrap(), "{\n\t\"a\": 4,\n\t\"b\": 2\n}");
        object.remove("a");
        assert!(object.get("a").is_none());
    }

    #[test]
    fn depth_is_no_danger_and_what_is_no_object_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(kind_of(Object::parse(&deep).unwrap().get("a").unwrap()), "a list");
        for bad in ["", "[]", "null", "\"hunter2\"", "{", "{\"a\":}", "{} {}", "{\"a\":1,}"] {
            assert!(Object::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Object::parse("{\n \"a\": x}").err(), Some(Malformed { line: 2, column: 7 }));
    }
}
