//! Keys by the vectors of their specifications, and the malformed ones by name.

use super::*;
use crate::secret_key::SecretKey;

fn secret(kind: KeyKind) -> SecretKey {
    SecretKey::from_entropy(kind, &[5; 32]).unwrap()
}

#[test]
fn keys_sign_and_check_and_have_one_name() {
    for kind in KeyKind::ALL {
        let key = secret(kind);
        let public = key.public();
        let signature = key.sign(b"message");
        assert_eq!(signature, key.sign(b"message"));
        assert!(public.has_signed(b"message", &signature));
        assert!(!public.has_signed(b"massage", &signature));
        let again = PublicKey::from_pem(&public.to_pem()).unwrap();
        assert_eq!((again.fingerprint(), again.hint()), (public.fingerprint(), public.hint()));
        assert_eq!(again.kind(), kind);
    }
    assert!(!secret(KeyKind::P256).public().has_signed(b"m", &secret(KeyKind::Ed25519).sign(b"m")));
}

/// RFC 8032, section 7.1, test 2.
#[test]
fn ed25519_is_that_of_the_rfc() {
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = SecretKey::from_entropy(KeyKind::Ed25519, seed.as_slice().try_into().unwrap()).unwrap();
    let expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                    085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    assert_eq!(key.sign(&[0x72]), hex(expected));
}

#[test]
fn x_21_malleable_and_degenerate_signatures_are_refused() {
    let public = secret(KeyKind::Ed25519).public();
    let good = secret(KeyKind::Ed25519).sign(b"m");
    // S + L, little endian: L is the order of the group.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut malleated = good.clone();
    let mut carry = 0u16;
    for (byte, add) in malleated[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert!(public.has_signed(b"m", &good) && !public.has_signed(b"m", &malleated));
    assert!(!public.has_signed(b"m", &[0; 64]) && !public.has_signed(b"m", &good[..63]));

    let public = secret(KeyKind::P256).public();
    let good = secret(KeyKind::P256).sign(b"m");
    assert!(public.has_signed(b"m", &good));
    let zeros = [0x30, 6, 2, 1, 0, 2, 1, 0];
    let trailing = [&good[..], &[0]].concat();
    // The sequence says one byte more than its numbers take.
    let mut long = trailing.clone();
    long[1] += 1;
    for bad in [&zeros[..], &trailing, &long, &[], &good[..good.len() - 1]] {
        assert!(!public.has_signed(b"m", bad), "{bad:?}");
    }
}

#[test]
fn what_is_no_key_of_ours_is_refused() {
    // The neutral element as a key: every message has a signature for it.
    let mut weak = secret(KeyKind::Ed25519).public().der;
    let at = weak.len() - 32;
    weak[at..].fill(0);
    weak[at] = 1;
    assert_eq!(PublicKey::from_der(&weak).unwrap_err(), KeyError::Weak);
    assert_eq!(PublicKey::from_der(b"\x30\x00").unwrap_err(), KeyError::UnknownKind);
    let text = secret(KeyKind::P256).public().to_pem();
    for (from, to) in [("PUBLIC", "PRIVATE"), ("-----BEGIN", "-----BEGINN"), ("MFkw", "MFkx")] {
        assert!(PublicKey::from_pem(&text.replace(from, to)).is_err(), "{to}");
    }
    assert!(PublicKey::from_pem(&format!("{text}{text}")).is_err());
}
