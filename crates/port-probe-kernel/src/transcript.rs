//! What the kernel said, read again by the host: one fact a line, between two marks.
//!
//! A VMM and its firmware may write before, between and after: lines that are not the probe's are passed over.

use core::fmt;

/// The first line: the number is the format's version.
pub const BEGIN: &str = "PORT-PROBE 1";
/// The last line: the kernel is through, and ends the machine.
pub const END: &str = "PORT-PROBE END";

/// What the guest saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcript<'a> {
    /// The hypervisor's signature.
    pub hypervisor: &'a str,
    /// `pvh` or `linux`.
    pub protocol: &'a str,
    /// The command line.
    pub cmdline: &'a str,
    /// Usable memory, in bytes.
    pub memory: u64,
    /// The initrd.
    pub initrd: Option<Initrd>,
}

/// An initrd as the guest saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Initrd {
    /// Its size.
    pub bytes: u64,
    /// The checksum of its beginning ([`crate::checksum::of`]).
    pub crc32: u32,
}

/// A transcript that says less than it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscriptError<'a> {
    /// The first mark is not there.
    NotBegun,
    /// The last mark is not there.
    NotEnded,
    /// A line is missing or cannot be read.
    Missing(&'static str),
    /// The kernel says that something is wrong.
    Wrong(&'a str),
}

impl fmt::Display for TranscriptError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBegun => write!(f, "the probe kernel said nothing: expected a line `{BEGIN}`"),
            Self::NotEnded => write!(f, "the probe kernel did not get through: expected a line `{END}`"),
            Self::Missing(what) => write!(f, "the probe kernel said nothing that can be read of its {what}"),
            Self::Wrong(what) => write!(f, "the probe kernel was started wrongly: {what}"),
        }
    }
}

impl core::error::Error for TranscriptError<'_> {}

/// Whether the text holds this line, whole.
pub fn has_line(text: &str, line: &str) -> bool {
    // The last piece has no end yet.
    text.split_inclusive('\n').any(|found| found.ends_with('\n') && found.trim_end() == line)
}

impl<'a> Transcript<'a> {
    /// Reads what a serial line gave.
    ///
    /// # Errors
    /// [`TranscriptError`], with the first thing that is missing.
    pub fn parse(text: &'a str) -> Result<Self, TranscriptError<'a>> {
        if !has_line(text, BEGIN) {
            return Err(TranscriptError::NotBegun);
        }
        let line = |key: &'static str| {
            let mut lines =
                text.lines().filter_map(|line| line.trim_end_matches('\r').strip_prefix("probe: "));
            let found = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            found.ok_or(TranscriptError::Missing(key))
        };
        if let Ok(what) = line("wrong:") {
            return Err(TranscriptError::Wrong(what));
        }
        if !has_line(text, END) {
            return Err(TranscriptError::NotEnded);
        }
        let memory = line("memory")?.strip_prefix("bytes ").and_then(|bytes| bytes.parse().ok());
        let initrd = match line("initrd")? {
            "none" => None,
            found => Some(Initrd::parse(found).ok_or(TranscriptError::Missing("initrd"))?),
        };
        Ok(Self {
            hypervisor: line("hypervisor")?,
            protocol: line("protocol")?.split(' ').next().unwrap_or_default(),
            cmdline: line("cmdline")?,
            memory: memory.ok_or(TranscriptError::Missing("memory"))?,
            initrd,
        })
    }
}

impl Initrd {
    /// `at ADDRESS bytes SIZE crc32 SUM`.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ').skip(2);
        let mut value = |key: &str| (words.next() == Some(key)).then(|| words.next()).flatten();
        let bytes = value("bytes")?.parse().ok()?;
        Some(Self { bytes, crc32: u32::from_str_radix(value("crc32")?, 16).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    const WHOLE: &str = "SeaBIOS\r\nPORT-PROBE 1\r\nprobe: hypervisor TCGTCGTCGTCG\r\nprobe: protocol pvh at 0x6000\r\n\
        probe: cmdline a=b c\r\n[noise]\r\nprobe: memory bytes 4096\r\nprobe: initrd at 0x1000 bytes 9 crc32 cbf43926\r\n\
        PORT-PROBE END\r\n";

    #[test]
    fn facts_are_found_between_the_words_of_others() {
        let found = Transcript::parse(WHOLE).unwrap();
        let expected = Transcript {
            hypervisor: "TCGTCGTCGTCG",
            protocol: "pvh",
            cmdline: "a=b c",
            memory: 4096,
            initrd: Some(Initrd { bytes: 9, crc32: 0xcbf4_3926 }),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_cut_off_or_missing_is_named() {
        let cases = [
            ("", "said nothing"),
            ("PORT-PROBE 1", "said nothing"),
            (WHOLE.strip_suffix("\r\n").unwrap(), "did not get through"),
            (&WHOLE.replace("probe: memory bytes 4096", ""), "of its memory"),
            (&WHOLE.replace("crc32", "crc"), "of its initrd"),
            (&WHOLE.replace("[noise]", "probe: wrong: no map"), "started wrongly: no map"),
        ];
        for (text, expected) in cases {
            let error = Transcript::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
