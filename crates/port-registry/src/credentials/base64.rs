//! Base64 as credential files use it: read with or without padding, written with.
//!
//! Not the strict form of the guest protocol: docker and podman read what other tools left unpadded, so a
//! reader that refuses it would call a working file broken. Errors say nothing about the text.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The padded text of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - group.len()));
        for index in 0..4 {
            let digit = (word >> (18 - 6 * index)) as usize & 63;
            let character = if index <= group.len() { ALPHABET.get(digit) } else { None };
            text.push(char::from(*character.unwrap_or(&b'=')));
        }
    }
    text
}

/// The bytes of `text`, or `None` where it is no base64.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.as_bytes().chunks(4) {
        let word = group.iter().try_fold(0_u32, |word, byte| Some(word << 6 | value(*byte)?))?;
        let word = word << (6 * (4 - group.len()));
        bytes.extend(word.to_be_bytes().into_iter().skip(1).take(group.len() - 1));
    }
    Some(bytes)
}

fn value(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10, and the digits that it does not reach.
    #[test]
    fn every_length_goes_both_ways() {
        let cases: [(&[u8], &str); 8] = [
            (b"", ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (b"\xff\xef\xbe\xfb", "/++++w=="),
        ];
        for (bytes, text) in cases {
            assert_eq!((encode(bytes).as_str(), decode(text).as_deref()), (text, Some(bytes)));
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(bytes), "{text}");
        }
        for bad in ["A", "AAAAA", "A===", "A\nAA", "Zm9v!", "=Zg=", "Zm-_"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
