//! Any supported kernel file in, the component file that Port stores out, with all that is known of it.
//!
//! A kernel that already has the stored format passes through byte for byte, so the digest of a pinned source
//! is the digest of what is built from it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use port_content::fs;
use port_model::{Architecture, ComponentFormat, Digest};

use crate::bytes::read_up_to;
use crate::bzimage::BzImage;
use crate::config::KernelConfig;
use crate::decompress::{Compression, Size, unpack_payload, unpack_stream};
use crate::elf::ElfFacts;
use crate::error::KernelError;
use crate::facts::is_release;
use crate::format::{self, KernelFormat};
use crate::image::Zboot;
use crate::inspect::Inspector;

/// The longest compressed payload that is read into memory, in bytes. Real ones have 7 to 20 MB.
const LONGEST_PAYLOAD: u64 = 256 * 1024 * 1024;

/// What a prepared kernel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What the source was.
    pub source_format: KernelFormat,
    /// How the kernel was compressed in the source.
    pub compression: Compression,
    /// What was written.
    pub format: ComponentFormat,
    /// Its size, in bytes.
    pub size: u64,
    /// Its digest.
    pub digest: Digest,
    /// The release as `uname -r` prints it, if the kernel says so.
    pub release: Option<String>,
    /// The banner line, if the kernel has one.
    pub banner: Option<String>,
    /// The build configuration, if the kernel holds it.
    pub config: Option<KernelConfig>,
    /// The facts of the ELF file; `None` for an Image.
    pub elf: Option<ElfFacts>,
}

/// Turns the kernel file `source` into the file that Port stores for `architecture`.
///
/// After an error, `out` may hold part of a kernel: write to a file that becomes visible only on success.
pub fn prepare(
    source: &Path,
    architecture: Architecture,
    out: &mut impl Write,
) -> Result<Prepared, KernelError> {
    let (file, _): (File, _) = fs::open_regular(source)?;
    prepare_stream(file, &format!("`{}`", source.display()), architecture, out)
}

/// As [`prepare`], from a stream; `subject` names it in errors.
pub fn prepare_stream(
    mut reader: impl Read,
    subject: &str,
    architecture: Architecture,
    out: &mut impl Write,
) -> Result<Prepared, KernelError> {
    let head =
        read_up_to(&mut reader, format::HEAD as u64).map_err(|source| KernelError::read(subject, source))?;
    let source_format = format::detect(&head, subject)?;
    check_architecture(source_format, architecture, &head, subject)?;
    let mut inspector = Inspector::new(out);
    let (compression, release) = unpack(source_format, &head, reader, subject, &mut inspector)?;
    let inspected = inspector.finish(architecture, subject)?;
    let banner = inspected.findings.banner;
    Ok(Prepared {
        source_format,
        compression,
        format: KernelFormat::stored(architecture),
        size: inspected.size,
        digest: inspected.digest,
        release: banner.as_ref().map(|banner| banner.release.clone()).or(release),
        banner: banner.map(|banner| banner.text),
        config: inspected.findings.config,
        elf: inspected.elf,
    })
}

/// Writes the kernel inside a file of this format to `out`; says how it was compressed, and which release the
/// file's own header names.
fn unpack(
    format: KernelFormat,
    head: &[u8],
    rest: impl Read,
    subject: &str,
    out: &mut dyn Write,
) -> Result<(Compression, Option<String>), KernelError> {
    let mut whole = head.chain(rest);
    match format {
        KernelFormat::Vmlinux | KernelFormat::Image => pass(Compression::None, &mut whole, subject, out),
        KernelFormat::ImageGz => pass(Compression::Gzip, &mut whole, subject, out),
        KernelFormat::BzImage => {
            let header = BzImage::parse(head, subject)?;
            let payload = read_payload(&mut whole, header.payload_offset, header.payload_length, subject)?;
            let release = header.release().filter(|release| is_release(release)).map(str::to_owned);
            Ok((unpack_payload(&payload, subject, out)?, release))
        }
        KernelFormat::Zboot => {
            let header = Zboot::parse(head, subject)?;
            let payload = read_payload(&mut whole, header.offset, header.length, subject)?;
            pass(header.compression, &mut payload.as_slice(), subject, out)
        }
    }
}

/// Refuses a kernel of another architecture before anything is written.
fn check_architecture(
    format: KernelFormat,
    expected: Architecture,
    head: &[u8],
    subject: &str,
) -> Result<(), KernelError> {
    let Some(found) = format.architecture() else {
        let head = head.get(..crate::elf::HEAD).unwrap_or(head);
        crate::elf::Outline::parse(head, subject)?.check_architecture(expected, subject)?;
        return match expected {
            Architecture::X86_64 => Ok(()),
            Architecture::Aarch64 => Err(KernelError::NotExpected {
                subject: subject.to_owned(),
                expected: "an arm64 Image, which is what aarch64 guests boot from",
                found: "an ELF file for aarch64".to_owned(),
            }),
        };
    };
    if found == expected {
        return Ok(());
    }
    let found = format!("an {found} {format}");
    Err(KernelError::Architecture { subject: subject.to_owned(), expected, found })
}

fn pass(
    compression: Compression,
    reader: &mut impl Read,
    subject: &str,
    out: &mut dyn Write,
) -> Result<(Compression, Option<String>), KernelError> {
    unpack_stream(compression, reader, subject, Size::Unknown, out)?;
    Ok((compression, None))
}

/// Reads `length` bytes at `offset` of the stream.
fn read_payload(
    reader: &mut impl Read,
    offset: u64,
    length: u64,
    subject: &str,
) -> Result<Vec<u8>, KernelError> {
    if length > LONGEST_PAYLOAD {
        return Err(KernelError::TooLarge { subject: subject.to_owned(), limit: LONGEST_PAYLOAD });
    }
    let truncated = |found| KernelError::Truncated {
        subject: subject.to_owned(),
        part: "the compressed kernel".to_owned(),
        expected: offset.saturating_add(length),
        found,
    };
    let failed = |source| KernelError::read(subject, source);
    let skipped = std::io::copy(&mut reader.take(offset), &mut std::io::sink()).map_err(failed)?;
    if skipped < offset {
        return Err(truncated(skipped));
    }
    let payload = read_up_to(reader, length).map_err(failed)?;
    match payload.len() as u64 {
        found if found < length => Err(truncated(offset + found)),
        _ => Ok(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn run(bytes: &[u8], architecture: Architecture) -> Result<(Prepared, Vec<u8>), String> {
        let mut out = Vec::new();
        let prepared =
            prepare_stream(bytes, "k", architecture, &mut out).map_err(|error| error.to_string())?;
        Ok((prepared, out))
    }

    #[test]
    fn every_bzimage_becomes_the_vmlinux_inside() {
        let kernel = samples::elf(62, &samples::code());
        for (compression, payload) in samples::payloads(&kernel) {
            let (prepared, out) = run(&samples::bzimage(&payload), Architecture::X86_64).unwrap();
            assert!(out == kernel, "{compression}");
            assert_eq!(prepared.compression, compression);
            assert_eq!(prepared.source_format, KernelFormat::BzImage);
            assert_eq!(prepared.format, ComponentFormat::Vmlinux);
            assert_eq!(prepared.release.as_deref(), Some("6.1.0-sample"));
            assert_eq!(prepared.elf.unwrap().pvh_entry, Some(0x0100_0400));
            assert_eq!(prepared.size, kernel.len() as u64);
        }
    }

    #[test]
    fn pu_35_p_70_a_kernel_in_its_stored_format_keeps_every_byte() {
        let elf = samples::elf(62, b"Linux version 6.1.155 (root@ci) #1 SMP\n\0");
        let image = samples::arm64_image(b"Linux version 6.1.155 (root@ci) #1 SMP\n\0");
        for (bytes, architecture) in [(elf, Architecture::X86_64), (image, Architecture::Aarch64)] {
            let (prepared, out) = run(&bytes, architecture).unwrap();
            assert!(out == bytes);
            assert_eq!(prepared.digest, port_content::hashing::digest_of(&bytes));
            assert_eq!(prepared.release.as_deref(), Some("6.1.155"));
            assert_eq!(prepared.banner.as_deref(), Some("Linux version 6.1.155 (root@ci) #1 SMP"));
        }
    }

    #[test]
    fn p_70_an_empty_or_cut_kernel_is_refused() {
        let kernel = samples::elf(62, &samples::code());
        let file = samples::bzimage(&samples::payloads(&kernel).remove(1).1);
        assert!(run(&[], Architecture::X86_64).unwrap_err().ends_with("found an empty file"));
        assert_eq!(
            run(&file[..file.len() - 9], Architecture::X86_64).unwrap_err(),
            format!(
                "k is truncated: expected the compressed kernel to end at byte {}, found the end of the file at byte {}",
                file.len(),
                file.len() - 9
            )
        );
        let error = run(&kernel[..kernel.len() - 1], Architecture::X86_64).unwrap_err();
        assert!(error.contains("expected the section headers to end at byte"), "{error}");
    }

    #[test]
    fn arm64_images_come_out_of_gzip_and_zboot() {
        let image = samples::arm64_image(&samples::code());
        let zboot = samples::zboot("gzip", &samples::gzip(&image));
        for (bytes, format) in [(samples::gzip(&image), KernelFormat::ImageGz), (zboot, KernelFormat::Zboot)]
        {
            let (prepared, out) = run(&bytes, Architecture::Aarch64).unwrap();
            assert!(out == image);
            assert_eq!((prepared.source_format, prepared.format), (format, ComponentFormat::Image));
            assert_eq!(prepared.elf, None);
        }
    }

    #[test]
    fn p_66_the_other_architecture_is_refused() {
        let table: [(Vec<u8>, Architecture, &str); 4] = [
            (samples::arm64_image(b""), Architecture::X86_64, "expected x86_64, found an aarch64 Image"),
            (samples::bzimage(b"x"), Architecture::Aarch64, "expected aarch64, found an x86_64 bzImage"),
            (samples::elf(62, b""), Architecture::Aarch64, "expected aarch64, found x86_64"),
            (samples::elf(183, b""), Architecture::Aarch64, "found an ELF file for aarch64"),
        ];
        for (bytes, architecture, words) in table {
            let error = run(&bytes, architecture).unwrap_err();
            assert!(error.ends_with(words), "{error}");
        }
    }

    #[test]
    fn a_payload_that_is_no_kernel_is_refused() {
        let error = run(&samples::bzimage(&samples::gzip(b"no kernel")), Architecture::X86_64).unwrap_err();
        assert!(error.starts_with("k is truncated: expected the ELF header"), "{error}");
    }
}
