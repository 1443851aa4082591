//! CRC-32C as ext4 uses it: seeded, not inverted at the end.

use super::Checksums;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            // The Castagnoli polynomial, bits reversed.
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// Continues `crc` over `bytes`.
pub(super) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| (crc >> 8) ^ TABLE[usize::from((crc as u8) ^ byte)])
}

/// The seed that all metadata checksums of one image begin with; `None` where the image has no checksums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(Option<u32>);

impl Seed {
    pub(super) fn new(checksums: Checksums, uuid: &[u8; 16]) -> Self {
        match checksums {
            Checksums::None => Self(None),
            Checksums::Crc32c => Self(Some(crc32c(!0, uuid))),
        }
    }

    pub(super) fn is_used(self) -> bool {
        self.0.is_some()
    }

    /// The seed for what belongs to one inode (all have generation 0).
    pub(super) fn of_inode(self, number: u32) -> Self {
        Self(self.0.map(|seed| crc32c(crc32c(seed, &number.to_le_bytes()), &[0; 4])))
    }

    /// The checksum of the concatenated parts, where there are checksums.
    pub(super) fn checksum(self, parts: &[&[u8]]) -> Option<u32> {
        self.0.map(|seed| parts.iter().fold(seed, |crc, part| crc32c(crc, part)))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_crc_32c() {
        assert_eq!(!super::crc32c(!0, b"123456789"), 0xe306_9283);
    }
}
