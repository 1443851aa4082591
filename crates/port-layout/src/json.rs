//! The one gate that foreign JSON passes: bounded, well formed, and no key twice in one object.
//!
//! Two keys of one name are read differently by different tools, so what one of them verified is not what
//! the other uses; such a document is refused whole. This module knows no document type.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The largest document that is read, in bytes: what registries accept as a manifest.
pub const LARGEST_DOCUMENT: usize = 4 * 1024 * 1024;

/// Bytes that are not the document they should be.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// More bytes than any document of this kind needs.
    #[error("the {document} has {found} bytes: at most {LARGEST_DOCUMENT} are read")]
    TooLarge {
        /// Which document.
        document: &'static str,
        /// Its size in bytes.
        found: usize,
    },
    /// Not JSON, or of another shape, or with a key twice.
    #[error("the {document} is not one: expected {expected}")]
    Malformed {
        /// Which document.
        document: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What the JSON reader says.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads `bytes` as a `T`, after the gate.
///
/// # Errors
/// [`JsonError`] where the bytes are too many, no JSON, ambiguous, or of another shape.
pub fn read<T: DeserializeOwned>(
    bytes: &[u8],
    document: &'static str,
    expected: &'static str,
) -> Result<T, JsonError> {
    if bytes.len() > LARGEST_DOCUMENT {
        return Err(JsonError::TooLarge { document, found: bytes.len() });
    }
    let malformed = |source| JsonError::Malformed { document, expected, source };
    serde_json::from_slice::<Unambiguous>(bytes).map_err(malformed)?;
    serde_json::from_slice(bytes).map_err(malformed)
}

/// A JSON object as it was written: fields in their order, values to the byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawObject {
    fields: Vec<(String, Box<RawValue>)>,
}

impl RawObject {
    /// The keys, in their order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(key, _)| key.as_str())
    }

    /// The value of a field as a `T`; none where it is absent or `null`.
    pub(crate) fn field<T: DeserializeOwned>(
        &self,
        name: &str,
        document: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, JsonError> {
        match self.fields.iter().find(|(key, _)| key == name) {
            None => Ok(None),
            Some((_, value)) => serde_json::from_str(value.get()).map_err(|source| JsonError::Malformed {
                document,
                expected,
                source,
            }),
        }
    }

    /// Sets a field: where it stands, or at the end.
    pub(crate) fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.fields.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawFields)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.fields.iter().map(|(key, value)| (key, value)))
    }
}

struct RawFields;

impl<'de> Visitor<'de> for RawFields {
    type Value = RawObject;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(RawObject { fields })
    }
}

/// Any JSON value in which no object has a key twice. Nothing is kept.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unambiguous;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON without a key twice in one object")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while items.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unambiguous, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(de::Error::custom(format!("the key `{key}` stands twice in one object")));
            }
            seen.insert(key);
            fields.next_value::<Unambiguous>()?;
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_key_twice_is_refused_at_any_depth() {
        let check = |text: &str| read::<Value>(text.as_bytes(), "manifest", "an OCI image manifest");
        for text in [r#"{"a":1,"a":1}"#, r#"[{"x":{"b":1,"c":2,"b":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
            let JsonError::Malformed { source, .. } = check(text).unwrap_err() else { panic!("{text}") };
            assert!(source.to_string().contains("stands twice"), "{source}");
        }
        for text in [r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#, "null", "[1.5,-3,true,\"x\"]"] {
            assert!(check(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let long = vec![b' '; LARGEST_DOCUMENT + 1];
        let error = read::<Value>(&long, "index", "an OCI image index").unwrap_err().to_string();
        assert_eq!(error, "the index has 4194305 bytes: at most 4194304 are read");
        let deep = "[".repeat(100_000);
        assert!(read::<Value>(deep.as_bytes(), "index", "an OCI image index").is_err());
    }
}
