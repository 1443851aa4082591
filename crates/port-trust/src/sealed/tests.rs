//! Keys at rest: cosign's, ours, and damaged ones.

use super::*;
use crate::key::KeyKind;

const COSIGN: &str = include_str!("../../tests/golden/cosign/cosign.key");
const COSIGN_PUBLIC: &str = include_str!("../../tests/golden/cosign/cosign.pub");

fn entropy() -> SealEntropy {
    SealEntropy { salt: [7; 32], nonce: [9; 24] }
}

#[test]
fn a_key_of_cosign_opens() {
    let key = open(COSIGN, b"secret").unwrap();
    assert_eq!(key.public(), crate::PublicKey::from_pem(COSIGN_PUBLIC).unwrap());
    assert_eq!(key.public().kind(), KeyKind::P256);
    assert_eq!(key.public().to_pem(), COSIGN_PUBLIC);
}

#[test]
fn what_is_sealed_opens_with_its_passphrase_alone() {
    for kind in KeyKind::ALL {
        let key = SecretKey::from_entropy(kind, &[3; 32]).unwrap();
        let text = seal(&key, b"a phrase", &entropy()).unwrap();
        assert_eq!(text, seal(&key, b"a phrase", &entropy()).unwrap());
        check(&text).unwrap();
        assert_eq!(open(&text, b"a phrase").unwrap().public(), key.public());
        assert_eq!(open(&text, b"another").err(), Some(KeyError::WrongPassphrase));
    }
}

#[test]
fn damage_and_costly_numbers_are_refused() {
    let (_, json) = pem::decode(COSIGN, LABELS).unwrap();
    let json = String::from_utf8(json.to_vec()).unwrap();
    let armour = |json: &str| pem::encode(LABELS[0], json.as_bytes());
    for (from, to, expected) in [
        ("65536", "1073741824", "other numbers"),
        (r#""r":8"#, r#""r":4096"#, "other numbers"),
        (r#""p":1"#, r#""p":64"#, "other numbers"),
        ("scrypt", "argon2", "found others"),
        ("nacl/secretbox", "none", "found others"),
        (r#""kdf""#, r#""extra":1,"kdf""#, "unknown field"),
        (r#""nonce":"k"#, r#""nonce":"!"#, "base64"),
    ] {
        let error = open(&armour(&json.replacen(from, to, 1)), b"secret").err().unwrap().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
    let wrong_key = open(COSIGN_PUBLIC, b"secret").err().unwrap().to_string();
    assert!(wrong_key.contains("wrong kind of key file"), "{wrong_key}");
    assert!(open("", b"").err().unwrap().to_string().contains("expected a PEM block"));
    assert!(open(&"x".repeat(20_000), b"").err().unwrap().to_string().contains("at most"));
}
