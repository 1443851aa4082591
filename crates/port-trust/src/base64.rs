//! Base64 as signatures use it: the standard alphabet with padding, in its one canonical form.
//!
//! Invariant: a text that decodes is the text that `encode` gives. Spaces, line ends, the alphabet of URLs and left-over bits are refused,
//! so that two texts are never one signature.

use base64ct::{Base64, Encoding as _};

/// The text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// The bytes of `text`, or `None` where it is not their one text.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok().filter(|bytes| encode(bytes) == text)
}

/// A field of a document that holds bytes.
pub(crate) mod field {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::decode(&text).ok_or_else(|| D::Error::custom("expected canonical base64 with padding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_21_bytes_have_one_text() {
        assert_eq!(encode(b"Port!"), "UG9ydCE=");
        assert_eq!(decode("UG9ydCE="), Some(b"Port!".to_vec()));
        for other in
            ["UG9ydCE", "UG9ydCF=", "UG9y\ndCE=", " UG9ydCE=", "UG9ydCE= ", "UG9ydCE==", "_-==", "-_8="]
        {
            assert_eq!(decode(other), None, "{other:?}");
        }
    }
}
