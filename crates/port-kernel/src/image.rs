//! arm64 boot images: the 64-byte header, how long the file must be, and zboot images that wrap one.
//!
//! Off-spec: the header's `image_size` counts memory that is not in the file, so it cannot tell a cut file.
//! The section table of the EFI stub can, where the kernel has one (all distributions' and CI kernels do).

use crate::bytes::{slice, text, u16_at, u32_at, u64_at};
use crate::decompress::Compression;
use crate::error::KernelError;

/// How many first bytes hold the header and the section table.
pub(crate) const HEAD: usize = 4096;

/// What an arm64 Image says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// How much memory the kernel takes, in bytes; 0 for kernels before 3.17, which do not say.
    pub memory_size: u64,
    /// Where in the file its last section ends, if it has a section table.
    pub(crate) end: Option<u64>,
}

impl ImageFacts {
    /// Reads the header. `head` is the first bytes of the file, 4096 where there are as many.
    pub fn parse(head: &[u8], subject: &str) -> Result<Self, KernelError> {
        if slice(head, 56, 4) != Some(b"ARM\x64") {
            return Err(KernelError::NotExpected {
                subject: subject.to_owned(),
                expected: "an arm64 Image",
                found: crate::format::describe(head),
            });
        }
        if u64_at(head, 24).unwrap_or(0) & 1 == 1 {
            return Err(KernelError::malformed(subject, "a little-endian arm64 Image", "a big-endian one"));
        }
        Ok(Self { memory_size: u64_at(head, 16).unwrap_or(0), end: end_of_sections(head) })
    }

    /// Refuses a file that ends before its last section does.
    pub fn check_size(&self, size: u64, subject: &str) -> Result<(), KernelError> {
        match self.end.filter(|end| *end > size) {
            None => Ok(()),
            Some(end) => Err(KernelError::Truncated {
                subject: subject.to_owned(),
                part: "the last section".to_owned(),
                expected: end,
                found: size,
            }),
        }
    }
}

/// The end of the last section by the PE header of the EFI stub; `None` without a stub.
fn end_of_sections(head: &[u8]) -> Option<u64> {
    let header = usize::try_from(u32_at(head, 60)?).ok()?;
    if !head.starts_with(b"MZ") || slice(head, header, 4)? != b"PE\0\0" {
        return None;
    }
    let count = usize::from(u16_at(head, header.checked_add(6)?)?);
    let optional_header = usize::from(u16_at(head, header.checked_add(20)?)?);
    let table = head.get(header.checked_add(24)?.checked_add(optional_header)?..)?;
    let end = |section: &[u8]| Some(u64::from(u32_at(section, 20)?) + u64::from(u32_at(section, 16)?));
    table.chunks_exact(40).take(count).filter_map(end).max()
}

/// Where the payload of a zboot image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zboot {
    /// Start of the payload, in bytes.
    pub(crate) offset: u64,
    /// Length of the payload, in bytes.
    pub(crate) length: u64,
    /// How it is compressed.
    pub(crate) compression: Compression,
}

impl Zboot {
    /// Reads the header: `MZ`, `zimg` at 4, offset at 8, length at 12, name of the compression at 24.
    pub(crate) fn parse(head: &[u8], subject: &str) -> Result<Self, KernelError> {
        let (Some(offset), Some(length)) = (u32_at(head, 8), u32_at(head, 12)) else {
            return Err(KernelError::malformed(
                subject,
                "a zboot header of 56 bytes",
                format!("{} bytes", head.len()),
            ));
        };
        let name = head.get(24..).and_then(|field| text(field, 32, |byte| byte == 0)).unwrap_or("no name");
        let compression = match name {
            "gzip" => Compression::Gzip,
            "lz4" => Compression::Lz4,
            "xzkern" | "xz" => Compression::Xz,
            "zstd" | "zstd22" => Compression::Zstd,
            other => {
                let found = format!("the compression `{other}`");
                return Err(KernelError::malformed(
                    subject,
                    "gzip, lz4, xz or zstd in the zboot header",
                    found,
                ));
            }
        };
        Ok(Self { offset: u64::from(offset), length: u64::from(length), compression })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_cut_image_is_refused_with_numbers() {
        let image = samples::arm64_image(&[1; 3000]);
        let facts = ImageFacts::parse(&image, "k").unwrap();
        assert_eq!(facts.memory_size, 0x0100_0000);
        facts.check_size(image.len() as u64, "k").unwrap();
        assert_eq!(
            facts.check_size(1000, "k").unwrap_err().to_string(),
            format!(
                "k is truncated: expected the last section to end at byte {}, found the end of the file at byte 1000",
                image.len()
            )
        );
    }

    #[test]
    fn an_unknown_zboot_compression_is_named() {
        let mut head = b"MZ\0\0zimg\x40\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0lzma\0".to_vec();
        head.resize(64, 0);
        let error = Zboot::parse(&head, "k").unwrap_err().to_string();
        assert_eq!(
            error,
            "k is malformed: expected gzip, lz4, xz or zstd in the zboot header, found the compression `lzma`"
        );
    }
}
