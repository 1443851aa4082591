//! Private keys. Who makes one brings the randomness; signing needs none (RFC 6979, RFC 8032).
//!
//! Invariant: no `Debug`, no `Display`, no PEM in the clear: a secret leaves this type sealed, or not at all.

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::key::{KeyKind, PublicKey};

/// A private key.
pub struct SecretKey(Form);

enum Form {
    P256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl SecretKey {
    /// The key that 32 random bytes make. About one in 2^32 of them makes no P-256 key.
    ///
    /// # Errors
    /// [`KeyError::Entropy`] then; take others.
    pub fn from_entropy(kind: KeyKind, entropy: &[u8; 32]) -> Result<Self, KeyError> {
        Ok(Self(match kind {
            KeyKind::P256 => {
                let key = p256::ecdsa::SigningKey::from_slice(entropy).map_err(|_| KeyError::Entropy)?;
                Form::P256(Box::new(key))
            }
            KeyKind::Ed25519 => Form::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(entropy))),
        }))
    }

    /// Reads the DER form (PKCS#8).
    ///
    /// # Errors
    /// [`KeyError::UnknownKind`] where it is none, or one of a kind that Port does not use.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_der(der) {
            return Ok(Self(Form::P256(Box::new(key))));
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(|_| KeyError::UnknownKind)?;
        Ok(Self(Form::Ed25519(Box::new(key))))
    }

    pub(crate) fn to_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.0 {
            Form::P256(key) => p256::SecretKey::from(key.as_ref()).to_pkcs8_der(),
            // Go reads the first version of PKCS#8, which has no place for the public key.
            Form::Ed25519(key) => {
                ed25519_dalek::pkcs8::KeypairBytes { secret_key: key.to_bytes(), public_key: None }
                    .to_pkcs8_der()
            }
        };
        document.map(|document| document.to_bytes()).map_err(|_| KeyError::UnknownKind)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Form::P256(key) => PublicKey::p256(*key.verifying_key()),
            Form::Ed25519(key) => PublicKey::ed25519(key.verifying_key()),
        }
    }

    /// Its signature over `message`, the same every time: DER for P-256, 64 bytes for Ed25519.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Form::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
            Form::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
        }
    }
}
