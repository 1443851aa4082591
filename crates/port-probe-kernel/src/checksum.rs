//! CRC-32 (IEEE 802.3, as in gzip), in the size of a kernel that may be interpreted instruction by instruction: a table of
//! 16 entries instead of 256, and no more of a file than [`MOST`].

/// How much of an initrd is summed: an interpreted guest manages under a million instructions a second.
pub const MOST: u64 = 64 * 1024;

/// The remainders of the sixteen values of half a byte.
const TABLE: [u32; 16] = table();

/// A checksum in the making.
#[derive(Debug, Clone, Copy)]
pub struct Checksum(u32);

impl Default for Checksum {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Checksum {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            self.half();
            self.half();
        }
    }

    fn half(&mut self) {
        let [index, ..] = self.0.to_le_bytes();
        let remainder = TABLE.get(usize::from(index & 15)).copied().unwrap_or(0);
        self.0 = (self.0 >> 4) ^ remainder;
    }

    /// The sum of all that was added.
    pub fn finish(self) -> u32 {
        !self.0
    }
}

/// The sum of the first [`MOST`] bytes.
pub fn of(bytes: &[u8]) -> u32 {
    let most = usize::try_from(MOST).unwrap_or(usize::MAX);
    let mut checksum = Checksum::default();
    checksum.update(bytes.get(..most).unwrap_or(bytes));
    checksum.finish()
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses an index out of range")]
const fn table() -> [u32; 16] {
    let mut table = [0; 16];
    let mut index = 0;
    while index < 16 {
        let mut remainder = index;
        let mut bit = 0;
        while bit < 4 {
            let is_odd = remainder & 1 == 1;
            remainder >>= 1;
            if is_odd {
                remainder ^= 0xedb8_8320;
            }
            bit += 1;
        }
        table[index as usize] = remainder;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_one_that_everybody_computes() {
        // The check value of the CRC catalogue.
        assert_eq!(of(b"123456789"), 0xcbf4_3926);
        assert_eq!(of(b""), 0);
    }

    #[test]
    fn only_the_beginning_is_summed() {
        let long = std::vec![7; 100_000];
        assert_eq!(of(&long), of(&long[..65_536]));
        assert_ne!(of(&long), of(&long[..65_535]));
    }
}
