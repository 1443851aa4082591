//! One zstd frame: plain blocks to stored bytes and back.
//!
//! A decoder never trusts what a frame says of itself: its length and its content's length are known beforehand,
//! and a frame that claims or yields anything else is refused before or while it is decoded, within the caller's buffer.

use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, ResetDirective};

use crate::PackedError;

/// RFC 8878, "Zstandard_frame". Older magic numbers would lead to decoders that nobody tends any more.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The frame and all of its reference lie within the window: 2^23 bytes hold 4 MiB of each.
const REFERENCE_WINDOW: u32 = 23;

/// The longest that a frame of this many plain bytes may be.
pub(crate) fn bound(plain: usize) -> usize {
    zstd_safe::compress_bound(plain)
}

/// Compresses frames of one level; one for each thread.
pub(crate) struct Encoder {
    compressor: Compressor<'static>,
}

impl Encoder {
    pub(crate) fn new(level: i32) -> Result<Self, PackedError> {
        let compressor = Compressor::new(level).map_err(|error| PackedError::Compress(error.to_string()))?;
        Ok(Self { compressor })
    }

    pub(crate) fn encode(&mut self, plain: &[u8]) -> Result<Vec<u8>, PackedError> {
        let mut stored = Vec::new();
        self.encode_into(plain, &mut stored)?;
        Ok(stored)
    }

    /// Replaces what is in `stored`.
    pub(crate) fn encode_into(&mut self, plain: &[u8], stored: &mut Vec<u8>) -> Result<(), PackedError> {
        stored.clear();
        stored.reserve(bound(plain.len()));
        let compressed = self.compressor.compress_to_buffer(plain, stored);
        compressed.map(|_| ()).map_err(|error| PackedError::Compress(error.to_string()))
    }
}

/// Compresses `plain` as if `reference` stood before it.
pub(crate) fn encode_with_reference(
    plain: &[u8],
    reference: &[u8],
    level: i32,
) -> Result<Vec<u8>, PackedError> {
    let refused = |code| PackedError::Compress(zstd_safe::get_error_name(code).to_owned());
    let mut context = CCtx::try_create().ok_or(PackedError::Compress("out of memory".to_owned()))?;
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(refused)?;
    let window = window_log(plain.len() + reference.len());
    context.set_parameter(CParameter::WindowLog(window)).map_err(refused)?;
    context.ref_prefix(reference).map_err(refused)?;
    let mut stored = Vec::with_capacity(bound(plain.len()));
    context.compress2(&mut stored, plain).map_err(refused)?;
    Ok(stored)
}

fn window_log(bytes: usize) -> u32 {
    bytes.max(1).next_power_of_two().trailing_zeros().clamp(17, REFERENCE_WINDOW)
}

/// Decodes frames; one for each thread.
pub(crate) struct Decoder {
    context: DCtx<'static>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { context: DCtx::create() }
    }

    /// Fills `plain` from `stored`, which must be one frame of exactly this content length.
    pub(crate) fn decode(&mut self, stored: &[u8], plain: &mut [u8]) -> Result<(), String> {
        check(stored, plain.len())?;
        let expected = plain.len();
        let result = self.context.decompress(plain, stored);
        // Whatever a failed frame left behind must not reach the next one.
        let _ = self.context.reset(ResetDirective::SessionOnly);
        filled(result, expected)
    }
}

/// As [`Decoder::decode`], for a frame made with [`encode_with_reference`].
pub(crate) fn decode_with_reference(stored: &[u8], reference: &[u8], plain: &mut [u8]) -> Result<(), String> {
    check(stored, plain.len())?;
    let mut context = DCtx::try_create().ok_or("out of memory")?;
    context.ref_prefix(reference).map_err(name)?;
    let expected = plain.len();
    filled(context.decompress(plain, stored), expected)
}

fn filled(result: Result<usize, usize>, expected: usize) -> Result<(), String> {
    match result {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(format!("expected {expected} plain bytes, found {found}")),
        Err(code) => Err(name(code)),
    }
}

fn name(code: usize) -> String {
    format!("zstd: {}", zstd_safe::get_error_name(code))
}

/// What the frame's header says, before anything is decoded.
fn check(stored: &[u8], plain: usize) -> Result<(), String> {
    if !stored.starts_with(&MAGIC) {
        return Err("expected a zstd frame, found something else".to_owned());
    }
    match zstd_safe::get_frame_content_size(stored) {
        Ok(Some(size)) if size == plain as u64 => {}
        Ok(Some(size)) => return Err(format!("expected {plain} plain bytes, the frame claims {size}")),
        Ok(None) => {
            return Err("expected a frame that says its plain length, found one that does not".to_owned());
        }
        Err(_) => return Err("expected a frame header, found a broken one".to_owned()),
    }
    match zstd_safe::find_frame_compressed_size(stored) {
        Ok(length) if length == stored.len() => Ok(()),
        Ok(length) => Err(format!("expected a frame of {} bytes, found one of {length}", stored.len())),
        Err(code) => Err(name(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(stored: &[u8], plain: usize) -> Result<Vec<u8>, String> {
        let mut buffer = vec![0; plain];
        Decoder::new().decode(stored, &mut buffer).map(|()| buffer)
    }

    #[test]
    fn a_frame_round_trips_with_and_without_a_reference() {
        let plain: Vec<u8> =
            (0..20_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut encoder = Encoder::new(3).unwrap();
        let stored = encoder.encode(&plain).unwrap();
        assert_eq!(decode(&stored, plain.len()).unwrap(), plain);
        let mut changed = plain.clone();
        changed[40_000] ^= 1;
        let small = encode_with_reference(&changed, &plain, 3).unwrap();
        assert!(small.len() * 100 < stored.len(), "{} of {}", small.len(), stored.len());
        let mut out = vec![0; plain.len()];
        decode_with_reference(&small, &plain, &mut out).unwrap();
        assert_eq!(out, changed);
        // Without the right reference the outcome is an error or other bytes, never a read outside.
        let mut out = vec![0; plain.len()];
        assert!(decode_with_reference(&small, &plain[..100], &mut out).is_err() || out != changed);
    }

    #[test]
    fn frames_that_lie_are_refused() {
        let plain = vec![7; 8192];
        let good = Encoder::new(3).unwrap().encode(&plain).unwrap();
        assert!(decode(&good, 8192).is_ok());
        assert!(decode(&good, 4096).unwrap_err().contains("claims 8192"));
        assert!(decode(&good, 12_288).unwrap_err().contains("claims 8192"));
        let two = [good.clone(), good.clone()].concat();
        assert!(decode(&two, 8192).unwrap_err().contains("found one of"), "a second frame behind the first");
        assert!(decode(&good[..good.len() - 1], 8192).is_err());
        assert!(decode(b"", 8192).unwrap_err().contains("something else"));
        // zstd 0.1's magic number.
        assert!(decode(&[0x1e, 0xb5, 0x2f, 0xfd, 0, 0, 0], 8192).unwrap_err().contains("something else"));
        // A skippable frame has no content.
        assert!(decode(&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], 8192).is_err());
        // One that says 4096 and goes on: two bytes of length, of which 256 are implied.
        let mut bomb = good.clone();
        assert_eq!(bomb[5..7], 7936_u16.to_le_bytes(), "RFC 8878, 3.1.1.1.4");
        bomb[5..7].copy_from_slice(&3840_u16.to_le_bytes());
        assert!(decode(&bomb, 4096).unwrap_err().starts_with("zstd: "));
        // A stream that does not say its length.
        let silent = zstd::stream::encode_all(&plain[..], 3).unwrap();
        assert!(decode(&silent, 8192).is_err());
    }
}
