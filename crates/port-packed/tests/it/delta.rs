//! Deltas: arbitrary pairs round-trip, damage and wrong parents are found.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use proptest::prelude::*;

use crate::support::*;
use port_content::hashing::digest_of;
use port_model::Digest;
use port_packed::delta::{self, Known, Options};
use port_packed::{Control, PackedError};

fn small(threads: usize) -> Options {
    Options { level: 1, frame_blocks: 4, reference_blocks: 16, threads, ..Options::default() }
}

fn encode(old: &[u8], new: &[u8], options: &Options) -> Vec<u8> {
    let (old_file, new_file) = (image(old), image(new));
    let (old_digest, new_digest) = (digest_of(old), digest_of(new));
    let mut blob = Vec::new();
    let made = delta::encode(
        Known { file: &old_file, digest: &old_digest },
        Known { file: &new_file, digest: &new_digest },
        &tempfile::tempfile().unwrap(),
        &mut blob,
        options,
        &Control::default(),
    );
    let made = made.unwrap().unwrap();
    assert_eq!((made.size, made.digest), (blob.len() as u64, digest_of(&blob)));
    blob
}

fn apply(blob: &[u8], old: &File, digest: &Digest) -> Result<File, PackedError> {
    let target = tempfile::tempfile().unwrap();
    delta::apply(&scratch(blob), Known { file: old, digest }, &target, 2, &Control::default())?;
    Ok(target)
}

/// `seeds` with some bytes of some blocks changed, which packs cannot use and deltas can.
fn touched(bytes: &mut [u8], places: &[(u16, u8)]) {
    for &(place, value) in places {
        if let Some(byte) = bytes.get_mut(usize::from(place) * 7) {
            *byte ^= value;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_delta_round_trips(
        (seeds, tail) in any_image(),
        edits in proptest::collection::vec((any::<u8>(), any::<u16>(), 0..2000_u16), 0..12),
        touches in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..20),
        other_tail in 0..BLOCK,
    ) {
        let (old, mut new) = (bytes_of(&seeds, tail), bytes_of(&edited(&seeds, &edits), other_tail));
        touched(&mut new, &touches);
        let blob = encode(&old, &new, &small(1));
        prop_assert_eq!(&blob, &encode(&old, &new, &small(5)), "threads change nothing");
        let made = apply(&blob, &image(&old), &digest_of(&old)).unwrap();
        prop_assert_eq!(content(&made), new);
    }

    #[test]
    fn a_flipped_byte_of_the_delta_is_found(place in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let (old, new) = pair();
        let mut blob = encode(&old, &new, &small(2));
        let place = place.index(blob.len());
        blob[place] ^= 1 << bit;
        prop_assert!(apply(&blob, &image(&old), &digest_of(&old)).is_err(), "byte {}", place);
    }

    #[test]
    fn a_flipped_byte_of_the_parent_is_found(place in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let (old, new) = pair();
        let blob = encode(&old, &new, &small(2));
        let mut damaged = old.clone();
        let place = place.index(damaged.len());
        damaged[place] ^= 1 << bit;
        match apply(&blob, &image(&damaged), &digest_of(&old)) {
            // The delta may need nothing of that byte; then the image is right all the same.
            Ok(made) => prop_assert!(content(&made) == new),
            Err(error) => prop_assert!(
                matches!(error, PackedError::WrongImage { .. } | PackedError::Frame { .. }),
                "{:?}", error
            ),
        }
    }
}

fn pair() -> (Vec<u8>, Vec<u8>) {
    let seeds: Vec<u16> = (1000..1040).collect();
    let old = bytes_of(&seeds, 0);
    let mut new = bytes_of(&edited(&seeds, &[(1, 7, 1999), (1, 20, 0), (0, 30, 1998)]), 77);
    touched(&mut new, &[(100, 3), (9000, 5), (9001, 5), (20_000, 8)]);
    (old, new)
}

#[test]
fn a_small_change_costs_little() {
    let (old, new) = pair();
    let blob = encode(&old, &new, &small(1));
    // Two blocks are new and do not compress; four others differ from the parent's in a byte.
    assert!(blob.len() < 2 * BLOCK + 1500, "{}", blob.len());
}

#[test]
fn another_parent_is_refused_before_anything_is_read() {
    let (old, new) = pair();
    let blob = encode(&old, &new, &small(2));
    for (bytes, digest) in [(&new, digest_of(&new)), (&new, digest_of(&old)), (&old, digest_of(&new))] {
        let error = apply(&blob, &image(bytes), &digest).unwrap_err();
        assert!(matches!(error, PackedError::OtherImage { role: "parent", .. }), "{error:?}");
    }
}

#[test]
fn truncated_and_longer_deltas_are_refused() {
    let (old, new) = pair();
    let blob = encode(&old, &new, &small(2));
    let digest = digest_of(&old);
    for length in (0..blob.len()).step_by(97).chain([blob.len() - 1]) {
        assert!(apply(&blob[..length], &image(&old), &digest).is_err(), "{length} bytes");
    }
    let error = apply(&[&blob[..], b"x"].concat(), &image(&old), &digest).unwrap_err();
    assert!(error.to_string().contains(&format!("expected {} bytes", blob.len())), "{error}");
}

#[test]
fn a_delta_that_is_not_worth_it_is_not_written() {
    let (old, new) = pair();
    let (old_file, new_file) = (image(&old), image(&new));
    let (old_digest, new_digest) = (digest_of(&old), digest_of(&new));
    let mut blob = Vec::new();
    let made = delta::encode(
        Known { file: &old_file, digest: &old_digest },
        Known { file: &new_file, digest: &new_digest },
        &tempfile::tempfile().unwrap(),
        &mut blob,
        &Options { limit: 5000, ..small(2) },
        &Control::default(),
    );
    assert_eq!((made.unwrap(), blob.len()), (None, 0));
}

#[test]
fn a_parent_that_ends_within_a_block_is_copied_from() {
    let old = bytes_of(&[1000, 1001], 1000);
    let mut new = bytes_of(&[1000, 1001], 1000);
    new.resize(5 * BLOCK, 0);
    let blob = encode(&old, &new, &small(1));
    let file = image(&old);
    // What stands behind the end of the image in its file must not matter.
    assert_eq!(content(&apply(&blob, &file, &digest_of(&old)).unwrap()), new);
    file.write_all_at(b"x", old.len() as u64).unwrap();
    assert!(apply(&blob, &file, &digest_of(&old)).is_err());
}

#[test]
fn a_new_block_behind_the_parents_last_one_is_taken_from_the_delta() {
    // The addresses of both are neighbours, so they are one segment.
    let (old, new) = (bytes_of(&[1000, 1001, 1002], 0), bytes_of(&[1002, 1500, 1501, 1000], 0));
    let blob = encode(&old, &new, &small(1));
    assert_eq!(content(&apply(&blob, &image(&old), &digest_of(&old)).unwrap()), new);
}

#[test]
fn the_limit_counts_the_index_too() {
    let (old, new) = pair();
    let size = encode(&old, &new, &small(2)).len() as u64;
    let (old_file, new_file) = (image(&old), image(&new));
    let (old_digest, new_digest) = (digest_of(&old), digest_of(&new));
    for (limit, made) in [(size, true), (size - 1, false)] {
        let mut blob = Vec::new();
        let found = delta::encode(
            Known { file: &old_file, digest: &old_digest },
            Known { file: &new_file, digest: &new_digest },
            &tempfile::tempfile().unwrap(),
            &mut blob,
            &Options { limit, ..small(2) },
            &Control::default(),
        );
        assert_eq!((found.unwrap().is_some(), !blob.is_empty()), (made, made), "at most {limit} bytes");
    }
}
