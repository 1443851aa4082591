//! The PEM armour of keys (RFC 7468).

use zeroize::Zeroizing;

use crate::error::KeyError;

/// The largest text of a key that is looked at.
pub const LARGEST_KEY: usize = 16 * 1024;

/// The label and the bytes of the one block in `text`.
pub(crate) fn decode(
    text: &str,
    expected: &'static [&'static str],
) -> Result<(String, Zeroizing<Vec<u8>>), KeyError> {
    if text.len() > LARGEST_KEY {
        return Err(KeyError::TooLarge { bytes: text.len(), limit: LARGEST_KEY });
    }
    let (label, bytes) = pem_rfc7468::decode_vec(text.trim_ascii().as_bytes())
        .map_err(|error| KeyError::NotPem { expected, reason: error.to_string() })?;
    let bytes = Zeroizing::new(bytes);
    if !expected.contains(&label) {
        return Err(KeyError::Label { expected, found: label.chars().take(64).collect() });
    }
    Ok((label.to_owned(), bytes))
}

/// The text of a block, with lines of 64 characters.
pub(crate) fn encode(label: &str, bytes: &[u8]) -> String {
    // Fails for a label that is none: ours are constants.
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, bytes).unwrap_or_default()
}
