//! Public keys: ECDSA on P-256 with SHA-256, and Ed25519, read from and written to PEM (`PUBLIC KEY`, RFC 5480 and RFC 8410).
//!
//! Invariant: a key is named by the digest of its DER form, so that the same key is the same key under every name. Its kind says how
//! signatures are checked; a signature cannot.

use std::fmt;

use ed25519_dalek::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use p256::ecdsa::signature::Verifier as _;
use port_model::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::KeyError;
use crate::{base64, pem};

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// ECDSA on the curve P-256 over SHA-256; what cosign makes.
    P256,
    /// Ed25519, pure (not the pre-hashed form).
    Ed25519,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::P256, Self::Ed25519];

    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    form: Form,
    der: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
enum Form {
    P256(p256::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Reads the PEM text of a key.
    ///
    /// # Errors
    /// [`KeyError`] where it is none, or one of a kind that Port does not use.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = pem::decode(text, &["PUBLIC KEY"])?.1;
        Self::from_der(&der)
    }

    /// Reads the DER form (`SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// As [`Self::from_pem`].
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(der) {
            return Ok(Self::p256(key));
        }
        let key = ed25519_dalek::VerifyingKey::from_public_key_der(der).map_err(|_| KeyError::UnknownKind)?;
        // Every message has a signature that such a key takes (RUSTSEC-2022-0093's neighbourhood, RFC 8032 section 8.9).
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(Self::ed25519(key))
    }

    /// An Ed25519 key from its 32 bytes, as some publish it.
    ///
    /// # Errors
    /// As [`Self::from_pem`].
    pub fn from_ed25519(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        // RFC 8410: SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING of 32 bytes }.
        const HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        Self::from_der(&[&HEAD[..], &bytes[..]].concat())
    }

    pub(crate) fn p256(key: p256::ecdsa::VerifyingKey) -> Self {
        // A point that was checked always has a DER form.
        let der = key.to_public_key_der().map(|document| document.as_bytes().to_vec()).unwrap_or_default();
        Self { form: Form::P256(key), der }
    }

    pub(crate) fn ed25519(key: ed25519_dalek::VerifyingKey) -> Self {
        let der = key.to_public_key_der().map(|document| document.as_bytes().to_vec()).unwrap_or_default();
        Self { form: Form::Ed25519(key), der }
    }

    /// How it signs.
    pub fn kind(&self) -> KeyKind {
        match self.form {
            Form::P256(_) => KeyKind::P256,
            Form::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// Its name: SHA-256 of its DER form, the same for the same key wherever it lies.
    pub fn fingerprint(&self) -> Digest {
        Digest::sha256(&Sha256::digest(&self.der).into())
    }

    /// What bundles call it: base64 of the same SHA-256.
    pub fn hint(&self) -> String {
        base64::encode(&Sha256::digest(&self.der))
    }

    /// Its PEM text.
    pub fn to_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.der)
    }

    /// Whether `signature` is this key's over `message`.
    ///
    /// ECDSA signatures are strict DER with both numbers in range; either of the two `s` is taken, since other signers write both,
    /// and no count depends on the signature's bytes. Ed25519 is checked strictly: canonical `s`, no point of small order.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.form {
            Form::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Form::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

impl PublicKey {
    /// Whether it is this key's in the pre-hashed form (Ed25519ph). That is said and not taken: of one key, one form counts.
    pub(crate) fn has_signed_prehashed(&self, message: &[u8], signature: &[u8]) -> bool {
        let Form::Ed25519(key) = &self.form else { return false };
        ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| {
            let hash = Sha512::new_with_prefix(message);
            key.verify_prehashed_strict(hash, None, &signature).is_ok()
        })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.kind(), self.fingerprint())
    }
}

#[cfg(test)]
mod tests;
