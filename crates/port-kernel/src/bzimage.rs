//! The header of a bzImage: where its payload is and which release it says it is.
//!
//! Fields by the x86 boot protocol; the payload fields exist since protocol 2.08 (Linux 2.6.26).
//! The payload itself is unpacked in `decompress`.

use crate::bytes::{slice, text, u8_at, u16_at, u32_at};
use crate::error::KernelError;

/// The first protocol with payload fields.
const FIRST_PROTOCOL: u16 = 0x0208;
/// A sector of the setup code, in bytes.
const SECTOR: u64 = 512;
/// The longest version text that is taken, in bytes.
const LONGEST_VERSION: usize = 512;

/// What a bzImage's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BzImage {
    /// The boot protocol, as 0x020f for 2.15.
    pub protocol: u16,
    /// Where the payload starts, in bytes from the start of the file.
    pub payload_offset: u64,
    /// How long the payload is, in bytes, with the recorded size at its end.
    pub payload_length: u64,
    /// The version text: release, builder, build number.
    pub version: Option<String>,
}

impl BzImage {
    /// Reads the header. `head` is the first [`crate::format::HEAD`] bytes, or the whole file.
    pub fn parse(head: &[u8], subject: &str) -> Result<Self, KernelError> {
        if slice(head, 0x202, 4) != Some(b"HdrS") {
            let expected = "a bzImage header (`HdrS` at byte 514)";
            return Err(KernelError::malformed(subject, expected, crate::format::describe(head)));
        }
        let protocol = u16_at(head, 0x206).unwrap_or(0);
        if protocol < FIRST_PROTOCOL {
            let found = format!("{}.{:02}", protocol >> 8, protocol & 0xff);
            return Err(KernelError::malformed(subject, "boot protocol 2.08 or later", found));
        }
        let (Some(offset), Some(length)) = (u32_at(head, 0x248), u32_at(head, 0x24c)) else {
            return Err(KernelError::Truncated {
                subject: subject.to_owned(),
                part: "the setup header".to_owned(),
                expected: 0x250,
                found: head.len() as u64,
            });
        };
        if length < 8 {
            return Err(KernelError::malformed(subject, "a payload", format!("one of {length} bytes")));
        }
        // The protocol reads 0 as 4, for kernels from before the field.
        let sectors = match u8_at(head, 0x1f1).unwrap_or(0) {
            0 => 4,
            sectors => u64::from(sectors),
        };
        Ok(Self {
            protocol,
            payload_offset: (sectors + 1) * SECTOR + u64::from(offset),
            payload_length: u64::from(length),
            version: version(head),
        })
    }

    /// The release as `uname -r` prints it: the first word of the version text.
    pub fn release(&self) -> Option<&str> {
        self.version.as_deref().and_then(|version| version.split(' ').next())
    }
}

fn version(head: &[u8]) -> Option<String> {
    let pointer = usize::from(u16_at(head, 0x20e).filter(|pointer| *pointer != 0)?);
    let start = pointer.checked_add(0x200)?;
    text(head.get(start..)?, LONGEST_VERSION, |byte| byte == 0).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_header_leads_to_payload_and_release() {
        let file = samples::bzimage(b"the payload");
        let header = BzImage::parse(&file, "k").unwrap();
        let start = usize::try_from(header.payload_offset).unwrap();
        assert_eq!(&file[start..start + 11], b"the payload");
        assert_eq!((header.payload_length, header.protocol), (11, 0x020f));
        assert_eq!(header.release(), Some("6.1.0-sample"));
    }

    #[test]
    fn an_old_protocol_or_empty_payload_is_refused() {
        let mut file = samples::bzimage(b"the payload");
        file[0x206] = 0x07;
        let error = BzImage::parse(&file, "k").unwrap_err().to_string();
        assert_eq!(error, "k is malformed: expected boot protocol 2.08 or later, found 2.07");
        let error = BzImage::parse(&samples::bzimage(b""), "k").unwrap_err().to_string();
        assert_eq!(error, "k is malformed: expected a payload, found one of 0 bytes");
        assert!(BzImage::parse(&file[..0x210], "k").is_err());
    }
}
