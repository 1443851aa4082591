//! Numbers of one to ten bytes (LEB128: seven bits a byte, low bits first), read with bounds.
//!
//! Invariant: a number has one encoding. A longer one than needed is refused, so that equal content is equal bytes.

use crate::PackedError;
use crate::sha256::Sha256;

pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Signed to unsigned, small differences to small numbers.
pub(crate) fn zigzag(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// Reads a body from front to end.
pub(crate) struct Reader<'a> {
    document: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(document: &'static str, bytes: &'a [u8]) -> Self {
        Self { document, rest: bytes }
    }

    pub(crate) fn error(&self, finding: impl Into<String>) -> PackedError {
        PackedError::Malformed { document: self.document, finding: finding.into() }
    }

    /// How many bytes are left: no list can have more entries than that.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// What is left, for what is not made of numbers.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn number(&mut self, field: &str) -> Result<u64, PackedError> {
        let mut number = 0_u64;
        for place in 0..10 {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return Err(self.error(format!("{field}: expected a number, found the end")));
            };
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                break;
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                if byte == 0 && place > 0 {
                    return Err(
                        self.error(format!("{field}: expected the shortest form, found a longer one"))
                    );
                }
                return Ok(number);
            }
        }
        Err(self.error(format!("{field}: expected a number of 64 bits, found a larger one")))
    }

    /// A number within a range.
    pub(crate) fn within(
        &mut self,
        field: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, PackedError> {
        let number = self.number(field)?;
        if range.contains(&number) {
            return Ok(number);
        }
        let (low, high) = range.into_inner();
        Err(self.error(format!("{field}: expected {low} to {high}, found {number}")))
    }

    /// A number within a range that fits 32 bits.
    pub(crate) fn within32(
        &mut self,
        field: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, PackedError> {
        let (low, high) = range.into_inner();
        let number = self.within(field, u64::from(low)..=u64::from(high))?;
        u32::try_from(number).map_err(|_| self.error(format!("{field}: {number} is too large")))
    }

    pub(crate) fn sha256(&mut self, field: &str) -> Result<Sha256, PackedError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.error(format!("{field}: expected 32 bytes, found {}", self.rest.len())));
        };
        self.rest = rest;
        Ok(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(number: u64, signed: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            let mut reader = Reader::new("map", &bytes);
            prop_assert_eq!(reader.number("n").unwrap(), number);
            prop_assert!(reader.is_empty());
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let text = |bytes: &[u8]| Reader::new("map", bytes).number("size").unwrap_err().to_string();
        for (bytes, expected) in [
            (&[][..], "the map is not valid: size: expected a number, found the end"),
            (&[0x80], "the map is not valid: size: expected a number, found the end"),
            (&[0x80, 0], "the map is not valid: size: expected the shortest form, found a longer one"),
            (&[0xff; 11], "the map is not valid: size: expected a number of 64 bits, found a larger one"),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
                "the map is not valid: size: expected a number of 64 bits, found a larger one",
            ),
        ] {
            assert_eq!(text(bytes), expected);
        }
        assert_eq!(zigzag(-1), 1);
        assert_eq!(zigzag(1), 2);
    }
}
