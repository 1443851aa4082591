//! A private key at rest: PKCS#8 below a passphrase, in the form that cosign writes and reads (docs/formats/signature.md).
//!
//! scrypt makes a key of the passphrase, XSalsa20-Poly1305 (NaCl's secretbox) seals with it, and the numbers stand beside it in
//! JSON. Numbers that cost more than ours are refused: a file from outside must not take all memory.

use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::secret_key::SecretKey;
use crate::{base64, pem};

/// What the armour says; the second is what early cosign wrote.
const LABELS: &[&str] = &["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];
const KDF: &str = "scrypt";
const CIPHER: &str = "nacl/secretbox";
/// What is written: N = 2^16, r = 8, p = 1, which takes 64 MiB.
const LOG_COST: u8 = 16;
const BLOCK: u32 = 8;
const LANES: u32 = 1;
/// What is read: cosign's three strengths.
const LOG_COSTS: [u8; 3] = [15, 16, 17];
const TAG: usize = 16;

/// The randomness of one sealing.
pub struct SealEntropy {
    /// For scrypt.
    pub salt: [u8; 32],
    /// For the cipher.
    pub nonce: [u8; 24],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    #[serde(with = "base64::field")]
    ciphertext: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kdf {
    name: String,
    params: Params,
    #[serde(with = "base64::field")]
    salt: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(rename = "N")]
    cost: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cipher {
    name: String,
    #[serde(with = "base64::field")]
    nonce: Vec<u8>,
}

/// The PEM text of a sealed key.
///
/// # Errors
/// [`KeyError`] where the key has no DER form.
pub fn seal(key: &SecretKey, passphrase: &[u8], entropy: &SealEntropy) -> Result<String, KeyError> {
    let SealEntropy { salt, nonce } = entropy;
    let mut body = key.to_der()?;
    let box_key = derive(passphrase, salt, LOG_COST)?;
    let tag = crypt(&box_key, nonce, &mut body, Way::Seal).ok_or(KeyError::WrongPassphrase)?;
    let sealed = Sealed {
        kdf: Kdf {
            name: KDF.to_owned(),
            params: Params { cost: 1 << LOG_COST, r: BLOCK, p: LANES },
            salt: salt.to_vec(),
        },
        cipher: Cipher { name: CIPHER.to_owned(), nonce: nonce.to_vec() },
        ciphertext: [&tag[..], &body[..]].concat(),
    };
    let json = serde_json::to_vec(&sealed).map_err(|error| KeyError::Sealed { reason: error.to_string() })?;
    Ok(pem::encode(LABELS.first().copied().unwrap_or_default(), &json))
}

/// The key in a sealed PEM text.
///
/// # Errors
/// [`KeyError::WrongPassphrase`] where it does not open, [`KeyError`] of other kinds where it is no sealed key.
pub fn open(text: &str, passphrase: &[u8]) -> Result<SecretKey, KeyError> {
    let sealed = read(text)?;
    let log_cost = LOG_COSTS.into_iter().find(|log_cost| 1 << log_cost == sealed.kdf.params.cost);
    let wrong = |what: &str| KeyError::Sealed { reason: what.to_owned() };
    let log_cost = log_cost.filter(|_| sealed.kdf.params.r == BLOCK && sealed.kdf.params.p == LANES);
    let log_cost = log_cost.ok_or_else(|| {
        wrong("expected scrypt with N of 2^15, 2^16 or 2^17, r = 8 and p = 1, found other numbers")
    })?;
    let nonce: [u8; 24] =
        sealed.cipher.nonce.as_slice().try_into().map_err(|_| wrong("expected a nonce of 24 bytes"))?;
    let (tag, body) = sealed
        .ciphertext
        .split_at_checked(TAG)
        .ok_or_else(|| wrong("expected a ciphertext of at least 16 bytes"))?;
    let mut body = Zeroizing::new(body.to_vec());
    let box_key = derive(passphrase, &sealed.kdf.salt, log_cost)?;
    crypt(&box_key, &nonce, &mut body, Way::Open(tag)).ok_or(KeyError::WrongPassphrase)?;
    SecretKey::from_der(&body)
}

/// Whether a text is a sealed key, without opening it.
///
/// # Errors
/// [`KeyError`] where it is none.
pub fn check(text: &str) -> Result<(), KeyError> {
    read(text).map(|_| ())
}

fn read(text: &str) -> Result<Sealed, KeyError> {
    let (_, json) = pem::decode(text, LABELS)?;
    let sealed: Sealed =
        serde_json::from_slice(&json).map_err(|error| KeyError::Sealed { reason: error.to_string() })?;
    if sealed.kdf.name != KDF || sealed.cipher.name != CIPHER {
        return Err(KeyError::Sealed { reason: format!("expected `{KDF}` and `{CIPHER}`, found others") });
    }
    Ok(sealed)
}

fn derive(passphrase: &[u8], salt: &[u8], log_cost: u8) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut key = Zeroizing::new([0; 32]);
    let wrong = |reason: String| KeyError::Sealed { reason };
    let params = scrypt::Params::new(log_cost, BLOCK, LANES).map_err(|error| wrong(error.to_string()))?;
    scrypt::scrypt(passphrase, salt, &params, key.as_mut()).map_err(|error| wrong(error.to_string()))?;
    Ok(key)
}

enum Way<'a> {
    Seal,
    Open(&'a [u8]),
}

/// NaCl's secretbox: the first 32 bytes of the stream are the key of the tag, the rest covers the body. `None` where the tag is
/// another; the body is then as it was.
fn crypt(key: &[u8; 32], nonce: &[u8; 24], body: &mut [u8], way: Way<'_>) -> Option<[u8; TAG]> {
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    let mut tag_key = Zeroizing::new([0; 32]);
    stream.try_apply_keystream(tag_key.as_mut()).ok()?;
    let tag_of =
        |bytes: &[u8]| -> poly1305::Block { Poly1305::new((&*tag_key).into()).compute_unpadded(bytes) };
    if let Way::Open(expected) = way {
        let found: [u8; TAG] = tag_of(body).into();
        // Compared without a branch on the bytes.
        let differs = expected.iter().zip(&found).fold(0, |sum, (a, b)| sum | (a ^ b));
        if differs != 0 || expected.len() != TAG {
            return None;
        }
        stream.try_apply_keystream(body).ok()?;
        return Some(found);
    }
    stream.try_apply_keystream(body).ok()?;
    Some(tag_of(body).into())
}

#[cfg(test)]
mod tests;
