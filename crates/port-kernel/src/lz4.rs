//! LZ4's legacy frame, in which kernels are packed: a magic number, then blocks of up to 8 MiB, each with its
//! compressed length before it. Not the modern frame format, which no kernel build writes.

use std::io::{self, Read};

use lz4_flex::block::decompress_into;

/// The magic number, as it stands in the file.
pub(crate) const MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// What a block unpacks to, at most, in bytes.
const BLOCK: usize = 8 * 1024 * 1024;
/// What a block of that size packs to, at most: LZ4's bound for data that does not compress.
const PACKED: usize = BLOCK + BLOCK / 255 + 16;

/// A reader of what was packed.
#[derive(Debug)]
pub(crate) struct LegacyReader<R> {
    inner: R,
    started: bool,
    block: Vec<u8>,
    position: usize,
}

impl<R: Read> LegacyReader<R> {
    /// Unpacks `inner`, which starts with [`MAGIC`] and ends with its last block.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, started: false, block: Vec::new(), position: 0 }
    }

    /// Four bytes, or `None` at the end.
    fn number(&mut self) -> io::Result<Option<[u8; 4]>> {
        let mut bytes = Vec::with_capacity(4);
        (&mut self.inner).take(4).read_to_end(&mut bytes)?;
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(number) => Ok(Some(number)),
            Err(_) if bytes.is_empty() => Ok(None),
            Err(_) => Err(invalid(format!(
                "an LZ4 block length of 4 bytes was expected, {} were there",
                bytes.len()
            ))),
        }
    }

    /// Unpacks the next block; `false` at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let Some(mut number) = self.number()? else { return Ok(false) };
        // Frames may follow each other, so the magic number may come again.
        while number == MAGIC {
            self.started = true;
            let Some(next) = self.number()? else { return Ok(false) };
            number = next;
        }
        if !self.started {
            return Err(invalid(format!(
                "the LZ4 magic number {MAGIC:02x?} was expected, {number:02x?} was there"
            )));
        }
        let length = u32::from_le_bytes(number) as usize;
        if length > PACKED {
            return Err(invalid(format!(
                "an LZ4 block of at most {PACKED} bytes was expected, one of {length} was there"
            )));
        }
        let packed = crate::bytes::read_up_to(&mut self.inner, length as u64)?;
        if packed.len() < length {
            return Err(invalid(format!(
                "an LZ4 block of {length} bytes was expected, {} were there",
                packed.len()
            )));
        }
        self.block.resize(BLOCK, 0);
        let unpacked =
            decompress_into(&packed, &mut self.block).map_err(|error| invalid(error.to_string()))?;
        self.block.truncate(unpacked);
        self.position = 0;
        Ok(true)
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl<R: Read> Read for LegacyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position >= self.block.len() {
            if buffer.is_empty() || !self.next_block()? {
                return Ok(0);
            }
        }
        let count = self.block.get(self.position..).unwrap_or_default().read(buffer)?;
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        LegacyReader::new(packed).read_to_end(&mut out).map_err(|error| error.to_string())?;
        Ok(out)
    }

    #[test]
    fn blocks_and_frames_follow_each_other() {
        let data: Vec<u8> = (0..BLOCK + 1000).map(|index| (index / 7) as u8).collect();
        let packed = samples::lz4(&data);
        assert!(unpack(&packed).unwrap() == data);
        assert!(unpack(&[packed.as_slice(), &samples::lz4(b"more")].concat()).unwrap().ends_with(b"more"));
    }

    #[test]
    fn damage_is_said() {
        let packed = samples::lz4(b"some text, some text, some text, some text");
        assert!(unpack(b"\x04\x22\x4d\x18").unwrap_err().starts_with("the LZ4 magic number"));
        assert!(unpack(&packed[..packed.len() - 1]).unwrap_err().starts_with("an LZ4 block of"));
        assert!(unpack(&packed[..6]).unwrap_err().starts_with("an LZ4 block length"));
        assert!(
            unpack(&[&MAGIC[..], &[0xff; 4]].concat()).unwrap_err().contains("one of 4294967295 was there")
        );
        assert_eq!(unpack(b"").unwrap(), b"");
    }
}
