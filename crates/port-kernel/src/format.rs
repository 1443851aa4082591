//! What a file is, told from its first bytes. Not whether it is whole: `elf`, `bzimage` and `image` check that.

use std::fmt;
use std::io::Read as _;

use port_model::{Architecture, ComponentFormat};

use crate::bytes::{slice, u32_at};
use crate::error::KernelError;

/// How many bytes [`detect`] wants to see. Fewer are fine where the file is smaller.
pub const HEAD: usize = 136 * 1024;
/// What is expected where a kernel is asked for.
const EXPECTED: &str = "an x86_64 vmlinux or bzImage, or an arm64 Image, Image.gz or zboot image";

/// Where the arm64 boot protocol puts `ARM\x64`.
const ARM64_MAGIC: usize = 56;

/// The kernel files that Port takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelFormat {
    /// An uncompressed 64-bit ELF kernel.
    Vmlinux,
    /// A self-extracting x86 kernel.
    BzImage,
    /// An arm64 boot image.
    Image,
    /// An arm64 boot image, compressed with gzip.
    ImageGz,
    /// An EFI program that holds a compressed arm64 boot image.
    Zboot,
}

impl KernelFormat {
    /// The name as people say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vmlinux => "vmlinux",
            Self::BzImage => "bzImage",
            Self::Image => "Image",
            Self::ImageGz => "Image.gz",
            Self::Zboot => "zboot image",
        }
    }

    /// The architecture that the format belongs to; `None` for ELF, which says it itself.
    pub fn architecture(self) -> Option<Architecture> {
        match self {
            Self::Vmlinux => None,
            Self::BzImage => Some(Architecture::X86_64),
            Self::Image | Self::ImageGz | Self::Zboot => Some(Architecture::Aarch64),
        }
    }

    /// The format in which Port stores a kernel of this architecture: the one that every substrate loads.
    pub fn stored(architecture: Architecture) -> ComponentFormat {
        match architecture {
            Architecture::X86_64 => ComponentFormat::Vmlinux,
            Architecture::Aarch64 => ComponentFormat::Image,
        }
    }
}

impl fmt::Display for KernelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The kernel format of a file that starts with `head`, or what the file is instead.
pub fn detect(head: &[u8], subject: &str) -> Result<KernelFormat, KernelError> {
    let refuse = |found: String| {
        Err(KernelError::NotExpected { subject: subject.to_owned(), expected: EXPECTED, found })
    };
    if head.starts_with(b"\x7fELF") {
        return match head.get(4) {
            Some(2) => Ok(KernelFormat::Vmlinux),
            Some(1) => refuse("a 32-bit ELF file".to_owned()),
            Some(_) => refuse("an ELF file of unknown class".to_owned()),
            None => refuse("a truncated ELF file of 4 bytes".to_owned()),
        };
    }
    if slice(head, 0x202, 4) == Some(b"HdrS") {
        return Ok(KernelFormat::BzImage);
    }
    if is_arm64_image(head) {
        return Ok(KernelFormat::Image);
    }
    if head.starts_with(b"MZ") && slice(head, 4, 4) == Some(b"zimg") {
        return Ok(KernelFormat::Zboot);
    }
    if head.starts_with(b"\x1f\x8b") {
        let inner = first_of_gzip(head);
        return match is_arm64_image(&inner) {
            true => Ok(KernelFormat::ImageGz),
            false if inner.is_empty() => refuse("a damaged gzip file".to_owned()),
            false => refuse(format!("a gzip file that holds {}", describe(&inner))),
        };
    }
    refuse(describe(head))
}

fn is_arm64_image(head: &[u8]) -> bool {
    slice(head, ARM64_MAGIC, 4) == Some(b"ARM\x64")
}

/// The first bytes inside a gzip file: enough to see a magic number, not enough to be a bomb.
fn first_of_gzip(head: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    // The head is cut somewhere, so an error after some bytes is expected and says nothing.
    let _ = flate2::read::GzDecoder::new(head).take(2048).read_to_end(&mut inner);
    inner
}

/// Magic numbers of files that people take for kernels: where, what, in words.
const MAGICS: &[(usize, &[u8], &str)] = &[
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\xfd7zXZ\0", "an XZ file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"\x02\x21\x4c\x18", "an LZ4 file"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\x7fELF", "an ELF file"),
    (0, b"!<arch>\ndebian", "a Debian package"),
    (0, b"!<arch>\n", "an ar archive"),
    (0, b"070701", "a cpio archive"),
    (0, b"hsqs", "a squashfs image"),
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"MZ", "an EFI or DOS program"),
    (0, b"QFI\xfb", "a qcow2 disk image"),
    (0, b"<?xml", "an XML document"),
    (257, b"ustar", "a tar archive"),
    (1080, b"\x53\xef", "an ext4 image"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS image"),
];

/// In words, what a file is that starts with `head`.
pub fn describe(head: &[u8]) -> String {
    if head.is_empty() {
        return "an empty file".to_owned();
    }
    if let Some((_, _, words)) =
        MAGICS.iter().find(|(offset, magic, _)| slice(head, *offset, magic.len()) == Some(*magic))
    {
        return (*words).to_owned();
    }
    let start = head.get(..head.len().min(256)).unwrap_or_default();
    let lower = String::from_utf8_lossy(start).trim_start().to_ascii_lowercase();
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return "an HTML page".to_owned();
    }
    if start.iter().all(|byte| *byte == 0) {
        return "a file that starts with zeros".to_owned();
    }
    if start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return "a text file".to_owned();
    }
    match u32_at(head, 0) {
        Some(magic) => format!("a file that starts with {:08x}", magic.swap_bytes()),
        None => format!("a file of {} bytes", head.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn knows_the_kernel_formats() {
        let image = samples::arm64_image(b"");
        let table: [(&[u8], KernelFormat); 5] = [
            (&samples::elf(62, b""), KernelFormat::Vmlinux),
            (&samples::bzimage(b"payload"), KernelFormat::BzImage),
            (&image, KernelFormat::Image),
            (&samples::gzip(&image), KernelFormat::ImageGz),
            (b"MZ\0\0zimg\0\0\0\0", KernelFormat::Zboot),
        ];
        for (head, expected) in table {
            assert_eq!(detect(head, "`k`").unwrap(), expected);
        }
    }

    #[test]
    fn says_what_else_it_found() {
        let table: [(&[u8], &str); 10] = [
            (b"", "an empty file"),
            (b"\x7fELF", "a truncated ELF file of 4 bytes"),
            (b"\x7fELF\x01", "a 32-bit ELF file"),
            (b"\n <!DOCTYPE html><html>", "an HTML page"),
            (b"<?xml version='1.0'?><Error><Code>NoSuchKey", "an XML document"),
            (&samples::gzip(b"070701"), "a gzip file that holds a cpio archive"),
            (b"\x1f\x8b\xff\xff", "a damaged gzip file"),
            (b"!<arch>\ndebian-binary", "a Debian package"),
            (b"404: Not Found\n", "a text file"),
            (b"\x01\x02\x03\xfe\x05", "a file that starts with 010203fe"),
        ];
        for (head, found) in table {
            let error = detect(head, "`k`").unwrap_err().to_string();
            assert_eq!(error, format!("`k` is not usable: expected {EXPECTED}, found {found}"));
        }
    }
}
