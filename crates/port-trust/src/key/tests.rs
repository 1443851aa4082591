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

/// A signature whose `R` is the neutral element, made with the secret key for this message: `S = k·a`. The equation of RFC 8032 holds,
/// so that a check that is not strict takes it; who can make one for a key can make any number, and no two checkers agree on them.
#[test]
fn x_21_an_ed25519_signature_of_small_order_is_refused() {
    let public = secret(KeyKind::Ed25519).public();
    let mut signature = [0; 64];
    signature[0] = 1;
    signature[32..].copy_from_slice(&[
        0x46, 0x63, 0xdf, 0xe4, 0x6a, 0xd6, 0x18, 0x52, 0x3f, 0xf4, 0x7a, 0x17, 0x03, 0x12, 0xfc, 0x53, 0xe4,
        0x9d, 0x16, 0xb3, 0x10, 0x7a, 0x01, 0xbb, 0xc3, 0x8f, 0x59, 0x98, 0x30, 0xd0, 0xfa, 0x0d,
    ]);
    let Form::Ed25519(key) = &public.form else { panic!("another kind") };
    let taken = key.verify(b"m", &ed25519_dalek::Signature::from_slice(&signature).unwrap());
    assert!(taken.is_ok(), "the vector is wrong: its equation holds");
    assert!(!public.has_signed(b"m", &signature));
    // The other points of small order, and their other spellings, as `R`.
    let last = |mut bytes: [u8; 32], byte: u8| {
        bytes[31] = byte;
        bytes
    };
    let (mut zero, mut one, mut minus) = ([0; 32], [0; 32], [0xff; 32]);
    (one[0], minus[0]) = (1, 0xec);
    let (mut zero_again, mut one_again) = ([0xff; 32], [0xff; 32]);
    (zero_again[0], one_again[0]) = (0xed, 0xee);
    zero[31] = 0x80;
    let points = [
        zero,
        last(zero, 0),
        last(one, 0x80),
        last(minus, 0x7f),
        last(zero_again, 0x7f),
        last(one_again, 0x7f),
    ];
    for point in points {
        signature[..32].copy_from_slice(&point);
        assert!(!public.has_signed(b"m", &signature), "{point:x?}");
    }
}
