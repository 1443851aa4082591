//! JSON as Go's `encoding/json` writes it: compact, and with `<`, `>`, `&` and the two line separators of
//! JavaScript escaped.
//!
//! KraftKit decodes and encodes documents again and names them by the result's digest, so only this form
//! keeps its digest there (acceptance Ku-15). Field order and omitted empties are the types' business.

use serde::Serialize;

/// The document's bytes as Go's encoder would write them.
pub fn to_bytes<T: Serialize>(document: &T) -> Vec<u8> {
    let plain = crate::oci::to_bytes(document);
    let mut escaped = Vec::with_capacity(plain.len());
    let mut rest = plain.as_slice();
    // In compact JSON these characters occur inside strings only, so a scan of the bytes is enough.
    while let Some((&byte, after)) = rest.split_first() {
        let (written, after): (&[u8], &[u8]) = match byte {
            b'<' => (b"\\u003c", after),
            b'>' => (b"\\u003e", after),
            b'&' => (b"\\u0026", after),
            0xe2 if after.starts_with(&[0x80, 0xa8]) => (b"\\u2028", after.get(2..).unwrap_or_default()),
            0xe2 if after.starts_with(&[0x80, 0xa9]) => (b"\\u2029", after.get(2..).unwrap_or_default()),
            _ => (rest.get(..1).unwrap_or_default(), after),
        };
        escaped.extend_from_slice(written);
        rest = after;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ku_15_strings_are_escaped_as_go_does() {
        let check = |text: &str, expected: &str| {
            assert_eq!(String::from_utf8(to_bytes(&text)).unwrap(), format!("\"{expected}\""));
        };
        check("a<b>c&d", "a\\u003cb\\u003ec\\u0026d");
        check("x\u{2028}y\u{2029}z", "x\\u2028y\\u2029z");
        check("\u{2027}\u{202a}é", "\u{2027}\u{202a}é");
        check("\"\\\n\t\u{1}\u{7f}", "\\\"\\\\\\n\\t\\u0001\u{7f}");
    }

    proptest::proptest! {
        #[test]
        fn the_content_stays(text: String) {
            let bytes = to_bytes(&text);
            proptest::prop_assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
            let special = |b: &u8| matches!(b, b'<' | b'>' | b'&');
            proptest::prop_assert!(!bytes.iter().any(special));
        }
    }
}
