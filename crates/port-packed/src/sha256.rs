//! SHA-256 as 32 bytes, as the binary formats hold it; digests with an algorithm are for people and documents.

use port_model::Digest;
use port_model::digest::Algorithm;
use sha2::Digest as _;

/// 32 bytes of SHA-256.
pub(crate) type Sha256 = [u8; 32];

pub(crate) fn of(bytes: &[u8]) -> Sha256 {
    sha2::Sha256::digest(bytes).into()
}

/// The bytes of a digest; `None` where it is of another algorithm.
pub(crate) fn bytes_of(digest: &Digest) -> Option<Sha256> {
    if digest.algorithm() != Algorithm::Sha256 {
        return None;
    }
    let mut bytes = [0; 32];
    let hex = digest.hex().as_bytes();
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let text = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(text, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_digest_agree() {
        let digest = port_content::hashing::digest_of(b"abc");
        assert_eq!(bytes_of(&digest), Some(of(b"abc")));
        assert_eq!(Digest::sha256(&of(b"abc")), digest);
        assert_eq!(bytes_of(&Digest::sha512(&[7; 64])), None);
    }
}
