//! `algorithm:hex`, the name of a blob (OCI image-spec, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A hash algorithm that the OCI image-spec registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the one that Port writes.
    Sha256,
    /// SHA-512, read where others wrote it.
    Sha512,
}

impl Algorithm {
    /// The registered name, `sha256` or `sha512`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hex digits a digest of this algorithm has.
    pub fn hex_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A digest: lower-case hex of exactly the algorithm's length, so safe as a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

/// A text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no `algorithm:` in front.
    #[error("`{0}` is not a digest: expected `sha256:` and 64 hex digits")]
    NoAlgorithm(String),
    /// The algorithm is not one that Port reads.
    #[error("`{0}` is not a digest algorithm that Port reads: expected `sha256` or `sha512`")]
    UnknownAlgorithm(String),
    /// The hex part has the wrong length or other characters.
    #[error("`{text}` is not a digest: expected {expected} lower-case hex digits, found `{found}`")]
    BadHex {
        /// The whole text.
        text: String,
        /// How many digits the algorithm asks for.
        expected: usize,
        /// The part after the colon.
        found: String,
    },
}

impl Digest {
    /// A SHA-256 digest from its 32 bytes.
    pub fn sha256(bytes: &[u8; 32]) -> Self {
        Self { algorithm: Algorithm::Sha256, hex: to_hex(bytes) }
    }

    /// A SHA-512 digest from its 64 bytes.
    pub fn sha512(bytes: &[u8; 64]) -> Self {
        Self { algorithm: Algorithm::Sha512, hex: to_hex(bytes) }
    }

    /// A SHA-256 digest from 64 hex digits of either case, as manifests and `sha256sum` write it.
    pub fn from_sha256_hex(hex: &str) -> Result<Self, DigestError> {
        format!("sha256:{}", hex.to_ascii_lowercase()).parse()
    }

    /// The algorithm in front of the colon.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hex digits behind the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The first 12 hex digits, for people.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or_else(|| DigestError::NoAlgorithm(text.to_owned()))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestError::UnknownAlgorithm(name.to_owned())),
        };
        let is_hex = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() != algorithm.hex_length() || !is_hex {
            return Err(DigestError::BadHex {
                text: text.to_owned(),
                expected: algorithm.hex_length(),
                found: hex.to_owned(),
            });
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_what_is_wrong() {
        let error = "sha256:abc".parse::<Digest>().unwrap_err().to_string();
        assert_eq!(error, "`sha256:abc` is not a digest: expected 64 lower-case hex digits, found `abc`");
        assert!("md5:00".parse::<Digest>().unwrap_err().to_string().contains("`md5`"));
        assert!("latest".parse::<Digest>().unwrap_err().to_string().contains("expected `sha256:`"));
    }

    #[test]
    fn upper_case_hex_is_folded_only_where_asked() {
        let upper = "A".repeat(64);
        assert!(format!("sha256:{upper}").parse::<Digest>().is_err());
        assert_eq!(Digest::from_sha256_hex(&upper).unwrap().hex(), "a".repeat(64));
    }

    proptest! {
        #[test]
        fn round_trips(bytes: [u8; 32]) {
            let digest = Digest::sha256(&bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        }

        #[test]
        fn never_panics(text in ".{0,100}") {
            let _ = text.parse::<Digest>();
        }
    }
}
