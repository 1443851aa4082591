//! Base64 (RFC 4648 section 4): the standard alphabet, padded, no line breaks.
//!
//! Strict on purpose: every byte sequence has exactly one text, so a frame that was rewritten on its way is
//! refused and not silently read as something near it. Not for secrets: nothing here is constant-time.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const INVALID: u8 = 0xff;
const VALUES: [u8; 256] = values();

/// Text that is not Base64 as this protocol wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// The length is not a multiple of four.
    #[error("expected base64 with a length that is a multiple of 4, found {found} characters")]
    Length {
        /// The number of bytes found.
        found: usize,
    },
    /// A character outside of the alphabet, or padding before the end.
    #[error("expected a base64 character at offset {offset}, found byte 0x{found:02x}")]
    Character {
        /// Where.
        offset: usize,
        /// What stands there.
        found: u8,
    },
    /// The bits behind the last byte are not zero.
    #[error("expected canonical base64, found stray bits in the last group")]
    StrayBits,
}

const fn values() -> [u8; 256] {
    let mut table = [INVALID; 256];
    let mut index = 0;
    while index < ALPHABET.len() {
        table[ALPHABET[index] as usize] = index as u8;
        index += 1;
    }
    table
}

/// The Base64 text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    let digit = |word: u32, shift: u32| char::from(ALPHABET[(word >> shift) as usize & 63]);
    let mut groups = bytes.chunks_exact(3);
    for group in &mut groups {
        let word = group.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        text.extend([digit(word, 18), digit(word, 12), digit(word, 6), digit(word, 0)]);
    }
    match *groups.remainder() {
        [first] => {
            let word = u32::from(first) << 16;
            text.extend([digit(word, 18), digit(word, 12), '=', '=']);
        }
        [first, second] => {
            let word = u32::from(first) << 16 | u32::from(second) << 8;
            text.extend([digit(word, 18), digit(word, 12), digit(word, 6), '=']);
        }
        _ => {}
    }
    text
}

/// The bytes of `text`, or what is wrong with it.
pub fn decode(text: &str) -> Result<Vec<u8>, Base64Error> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return Err(Base64Error::Length { found: text.len() });
    }
    let digits = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for (group_index, group) in digits.chunks(4).enumerate() {
        let mut word = 0;
        for (index, byte) in group.iter().enumerate() {
            let value = VALUES[usize::from(*byte)];
            if value == INVALID {
                return Err(Base64Error::Character { offset: group_index * 4 + index, found: *byte });
            }
            word |= u32::from(value) << (18 - 6 * index);
        }
        // A group of n digits carries n-1 bytes; the suffix rule above leaves two to four digits.
        let count = group.len().saturating_sub(1);
        let octets = word.to_be_bytes();
        bytes.extend(octets.iter().skip(1).take(count));
        if octets.iter().skip(1 + count).any(|octet| *octet != 0) {
            return Err(Base64Error::StrayBits);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for (text, expected) in [
            ("Zg", Base64Error::Length { found: 2 }),
            ("Zg=", Base64Error::Length { found: 3 }),
            ("====", Base64Error::Character { offset: 0, found: b'=' }),
            ("Z===", Base64Error::Character { offset: 1, found: b'=' }),
            ("Zg==Zg==", Base64Error::Character { offset: 2, found: b'=' }),
            ("Zm9-", Base64Error::Character { offset: 3, found: b'-' }),
            ("Zm\n9", Base64Error::Character { offset: 2, found: b'\n' }),
            ("Zh==", Base64Error::StrayBits),
            ("Zm9=", Base64Error::StrayBits),
        ] {
            assert_eq!(decode(text), Err(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_decodes_to_itself(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decode(&encode(&bytes)).unwrap(), bytes);
        }

        #[test]
        fn what_decodes_is_the_only_text_of_its_bytes(text in "[A-Za-z0-9+/=]{0,16}") {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
