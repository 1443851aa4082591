//! The compressions of kernels, modules and packages behind one reader each, bounded in memory.
//!
//! NOTE: LZMA, bzip2 and LZO kernels are refused by name; no distribution kernel of the last years uses them.

use std::fmt;
use std::io::{self, Read, Write};

use crate::bytes::{CopyError, copy, u32_at};
use crate::error::KernelError;
use crate::{LARGEST_KERNEL, lz4};

/// The memory that an XZ stream may ask for, in KiB. `xz -9` takes 65 MiB to unpack.
const XZ_MEMORY: u32 = 128 * 1024;
/// The window that a zstd stream may ask for, as a power of two. `zstd --ultra -22` takes 128 MiB.
const ZSTD_WINDOW: u32 = 27;

/// How data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// LZ4 in the legacy frame format.
    Lz4,
    /// XZ, with or without a filter for machine code.
    Xz,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The name as people say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Lz4 => "LZ4",
            Self::Xz => "XZ",
            Self::Zstd => "zstd",
        }
    }

    /// How a kernel's payload is compressed, by its first bytes.
    fn of_payload(payload: &[u8], subject: &str) -> Result<Self, KernelError> {
        let refuse = |found: String| {
            Err(KernelError::malformed(subject, "a payload in gzip, LZ4, XZ, zstd or an ELF file", found))
        };
        match payload {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x02, 0x21, 0x4c, 0x18, ..] => Ok(Self::Lz4),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            [0x7f, b'E', b'L', b'F', ..] => Ok(Self::None),
            [0x5d, 0, 0, ..] => refuse("LZMA data".to_owned()),
            [0x89, b'L', b'Z', b'O', ..] => refuse("LZO data".to_owned()),
            [b'B', b'Z', b'h', ..] => refuse("bzip2 data".to_owned()),
            _ => refuse(format!("{:02x?}", payload.get(..4).unwrap_or(payload))),
        }
    }

    /// A reader of what is compressed in `input`.
    pub(crate) fn reader<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let input = io::BufReader::with_capacity(64 * 1024, input);
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(input)),
            Self::Lz4 => Box::new(lz4::LegacyReader::new(input)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                Box::new(decoder)
            }
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Unpacks the payload of a bzImage into `out`, and says how it was compressed.
///
/// The last four bytes are the unpacked size: gzip's own trailer, or what the kernel build appends to the
/// other formats. It bounds what is written and must be met exactly.
pub(crate) fn unpack_payload(
    payload: &[u8],
    subject: &str,
    out: &mut dyn Write,
) -> Result<Compression, KernelError> {
    let compression = Compression::of_payload(payload, subject)?;
    let (body, trailer) = payload.split_at_checked(payload.len().saturating_sub(4)).unwrap_or((payload, &[]));
    let recorded = u64::from(u32_at(trailer, 0).unwrap_or(0));
    let (body, expected) = match compression {
        // An uncompressed payload may lack the appended size.
        Compression::None if recorded == body.len() as u64 => (body, recorded),
        Compression::None => (payload, payload.len() as u64),
        Compression::Gzip => (payload, recorded),
        _ => (body, recorded),
    };
    let size = Size::Recorded(expected);
    unpack_stream(compression, body, subject, size, out)?;
    Ok(compression)
}

/// What is known of an unpacked size beforehand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Size {
    /// Exactly this, in bytes.
    Recorded(u64),
    /// Nothing, beyond that it is a kernel.
    Unknown,
}

/// Unpacks `input` into `out` within the limits of `size`.
pub(crate) fn unpack_stream(
    compression: Compression,
    input: impl Read,
    subject: &str,
    size: Size,
    out: &mut dyn Write,
) -> Result<(), KernelError> {
    let subject_of = || subject.to_owned();
    let unpack = |source| KernelError::Unpack { compression, subject: subject_of(), source };
    let too_large = || KernelError::TooLarge { subject: subject_of(), limit: LARGEST_KERNEL };
    let limit = match size {
        Size::Recorded(expected) if expected > LARGEST_KERNEL => return Err(too_large()),
        Size::Recorded(expected) => expected,
        Size::Unknown => LARGEST_KERNEL,
    };
    let mut reader = compression.reader(input).map_err(unpack)?;
    let found = match (copy(&mut *reader, out, limit), size) {
        (Ok(found), Size::Recorded(expected)) if found != expected => found.to_string(),
        (Ok(_), _) => return Ok(()),
        (Err(CopyError::Read(source)), _) if compression == Compression::None => {
            return Err(KernelError::read(subject, source));
        }
        (Err(CopyError::Read(source)), _) => return Err(unpack(source)),
        (Err(CopyError::Write(source)), _) => {
            return Err(KernelError::Write { subject: subject_of(), source });
        }
        (Err(CopyError::Limit), Size::Unknown) => return Err(too_large()),
        (Err(CopyError::Limit), Size::Recorded(_)) => "more".to_owned(),
    };
    Err(KernelError::Size { subject: subject_of(), expected: limit, found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn unpack(payload: &[u8]) -> Result<(Compression, Vec<u8>), String> {
        let mut out = Vec::new();
        let compression = unpack_payload(payload, "k", &mut out).map_err(|error| error.to_string())?;
        Ok((compression, out))
    }

    #[test]
    fn every_compression_unpacks_to_the_same_bytes() {
        let kernel = samples::elf(62, &samples::code());
        for (compression, payload) in samples::payloads(&kernel) {
            let (found, out) = unpack(&payload).unwrap();
            assert_eq!(found, compression);
            assert!(out == kernel, "{compression}");
        }
    }

    #[test]
    fn the_recorded_size_bounds_and_must_be_met() {
        let kernel = samples::elf(62, &samples::code());
        for (compression, mut payload) in samples::payloads(&kernel) {
            if matches!(compression, Compression::None | Compression::Gzip) {
                continue; // Without a size of their own, and with one that the decoder checks itself.
            }
            for (wrong, words) in [(1_u32, "more"), (kernel.len() as u32 + 1, "")] {
                let at = payload.len() - 4;
                payload[at..].copy_from_slice(&wrong.to_le_bytes());
                let error = unpack(&payload).unwrap_err();
                let expected =
                    format!("k does not unpack to its recorded size: expected {wrong} bytes, found {words}");
                assert!(error.starts_with(&expected), "{compression}: {error}");
            }
            let at = payload.len() - 4;
            payload[at..].fill(0xff);
            assert_eq!(
                unpack(&payload).unwrap_err(),
                "k is too large: expected at most 1073741824 bytes, found more"
            );
        }
    }

    #[test]
    fn damaged_data_is_refused() {
        let kernel = samples::elf(62, &samples::code());
        for (compression, mut payload) in samples::payloads(&kernel) {
            if compression == Compression::None {
                continue;
            }
            let middle = payload.len() / 2;
            payload.drain(middle..middle + 8);
            assert!(unpack(&payload).is_err(), "{compression}");
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (payload, found) in
            [(&b"\x5d\0\0\x80rest"[..], "LZMA data"), (b"\x89LZO\0", "LZO data"), (b"BZh9", "bzip2 data")]
        {
            assert!(unpack(payload).unwrap_err().ends_with(&format!("found {found}")));
        }
    }

    #[test]
    fn an_xz_stream_cannot_ask_for_gigabytes() {
        let mut options = lzma_rust2::XzOptions::with_preset(1);
        options.lzma_options.dict_size = 512 * 1024 * 1024;
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(b"small").unwrap();
        let packed = writer.finish().unwrap();
        let mut out = Vec::new();
        assert!(Compression::Xz.reader(packed.as_slice()).unwrap().read_to_end(&mut out).is_err());
    }
}
