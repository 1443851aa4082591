//! What is written inside a kernel: its banner ("Linux version …") and its build configuration, if it was
//! built with `IKCONFIG`. Found in one pass over the bytes, with a few megabytes of memory.

use std::io::Read as _;
use std::path::Path;

use port_content::fs;

use crate::LARGEST_KERNEL;
use crate::bytes::{CopyError, copy, text};
use crate::config::{self, KernelConfig};
use crate::error::KernelError;
use crate::scan::Scanner;

/// What every Linux kernel's banner starts with.
pub(crate) const BANNER: &[u8] = b"Linux version ";
/// The longest banner that is taken, in bytes. Real ones have 200.
pub(crate) const LONGEST_BANNER: usize = 1024;
/// The longest release: `uname` has room for 64 bytes and a NUL.
const LONGEST_RELEASE: usize = 64;
/// What stands before the compressed configuration; the gzip magic makes it unmistakable.
pub(crate) const CONFIG_START: &[u8] = b"IKCFG_ST\x1f\x8b\x08";
/// What stands after it.
const CONFIG_END: &[u8] = b"IKCFG_ED";

/// A kernel's banner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Banner {
    /// The release as `uname -r` prints it.
    pub release: String,
    /// The whole line.
    pub text: String,
}

impl Banner {
    /// Reads a banner at the start of `bytes`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let line = text(bytes, LONGEST_BANNER, |byte| byte == b'\n' || byte == 0)?;
        let release = line.strip_prefix("Linux version ")?.split(' ').next()?;
        if !is_release(release) {
            return None;
        }
        Some(Self { release: release.to_owned(), text: line.to_owned() })
    }

    /// Whether the version is whole: `#1 SMP`, not `# SMP`.
    pub(crate) fn has_build_number(&self) -> bool {
        self.text.split(" #").skip(1).any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    }
}

/// Whether a text can be a kernel release, and so a directory name under `lib/modules`.
pub(crate) fn is_release(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '~');
    text.len() <= LONGEST_RELEASE && text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(plain)
}

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The banner, if the kernel has one.
    pub banner: Option<Banner>,
    /// The build configuration, if the kernel holds it.
    pub config: Option<KernelConfig>,
}

/// Scans an uncompressed kernel file (a vmlinux or an Image).
pub fn scan(path: &Path) -> Result<Findings, KernelError> {
    let subject = format!("`{}`", path.display());
    let (mut file, _) = fs::open_regular(path)?;
    let mut scanner = Scanner::default();
    match copy(&mut file, &mut scanner, LARGEST_KERNEL) {
        Ok(_) => Ok(scanner.finish()),
        Err(CopyError::Read(source) | CopyError::Write(source)) => Err(KernelError::read(&subject, source)),
        Err(CopyError::Limit) => Err(KernelError::TooLarge { subject, limit: LARGEST_KERNEL }),
    }
}

/// The configuration in bytes that start with [`CONFIG_START`]; `None` where it has no end or is damaged.
pub(crate) fn embedded_config(bytes: &[u8]) -> Option<KernelConfig> {
    let packed = bytes.get(8..8 + memchr::memmem::find(bytes.get(8..)?, CONFIG_END)?)?;
    let mut text = Vec::new();
    let read = flate2::read::GzDecoder::new(packed).take(config::LONGEST + 1).read_to_end(&mut text);
    if read.is_err() || text.len() as u64 > config::LONGEST {
        return None;
    }
    let config = KernelConfig::parse(std::str::from_utf8(&text).ok()?);
    (!config.is_empty()).then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_needs_a_release_and_an_end() {
        let banner = Banner::parse(b"Linux version 6.1.155+ (root@ci) (gcc 12) #1 SMP\n\0rest").unwrap();
        assert_eq!(banner.release, "6.1.155+");
        assert_eq!(banner.text, "Linux version 6.1.155+ (root@ci) (gcc 12) #1 SMP");
        for wrong in [
            &b"Linux version %s (%s)\n\0"[..],
            b"Linux version 6.1",
            b"Linux version 6/../1 x\n",
            b"Linux version 6\x01.1 x\n",
            b"Linux versiom 6.1 x\n",
            b"",
        ] {
            assert_eq!(Banner::parse(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
        let long = format!("Linux version 6.{} x\n", "1".repeat(80));
        assert_eq!(Banner::parse(long.as_bytes()), None);
    }
}
