//! An image that is published as it is, put together by its block index from what else is at hand.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use port_content::hashing::digest_of;
use port_packed::block_index::{BlockIndex, Copied, Sharing};
use port_packed::{Control, PackedError};
use proptest::prelude::*;

use crate::support::*;

fn index(file: &File) -> BlockIndex {
    BlockIndex::of(file, None, 2, &Control::default()).unwrap().unwrap()
}

fn sharing(wanted: &File, seeds: &[&File]) -> Sharing {
    let mut sharing = Sharing::new(index(wanted));
    for (number, seed) in seeds.iter().enumerate() {
        sharing.add_file(number, seed, 2, &Control::default()).unwrap();
    }
    sharing
}

fn assemble(sharing: &Sharing, seeds: &[&File], image: &File) -> Result<(File, Copied), PackedError> {
    let target = tempfile::tempfile().unwrap();
    let mut told = Copied::default();
    sharing.assemble(seeds, image, &target, &mut |copied| {
        told.found += copied.found;
        told.moved += copied.moved;
    })?;
    Ok((target, told))
}

/// The blocks of `new` that are in none of `old`, and garbage in place of all others.
fn only_missing(new: &[u8], old: &[&[u8]]) -> File {
    let mut bytes = new.to_vec();
    for block in bytes.chunks_mut(BLOCK) {
        let padded = |block: &[u8]| [block, &vec![0; BLOCK - block.len()]].concat();
        let wanted = padded(block);
        if old.iter().any(|old| old.chunks(BLOCK).any(|other| padded(other) == wanted)) {
            block.fill(0xee);
        }
    }
    scratch(&bytes)
}

fn edits() -> impl Strategy<Value = Vec<(u8, u16, u16)>> {
    proptest::collection::vec((any::<u8>(), any::<u16>(), 0..2000_u16), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_missing_blocks_are_taken_from_the_image(
        (seeds, tail) in any_image(), edits in edits(), other_tail in 0..BLOCK, more in any_image()
    ) {
        let (old, new) = (bytes_of(&seeds, tail), bytes_of(&edited(&seeds, &edits), other_tail));
        let third = bytes_of(&more.0, more.1);
        let (old_file, third_file, new_file) = (image(&old), image(&third), image(&new));
        let seeds = [&old_file, &third_file];
        let sharing = sharing(&new_file, &seeds);
        let (target, told) = assemble(&sharing, &seeds, &only_missing(&new, &[&old, &third])).unwrap();
        prop_assert!(content(&target) == new);
        prop_assert!(data_bytes(&target) <= data_bytes(&new_file), "holes stay holes");
        prop_assert!(sharing.found() <= sharing.wanted().data());
        // A short last block of a seed ends where the seed does; the zeros behind it need no copy.
        prop_assert_eq!(told.moved, sharing.wanted().data() - sharing.found());
        prop_assert!(told.found <= sharing.found() && told.found + 2 * BLOCK as u64 >= sharing.found());
        // A seed whose index is known gives the same without being read.
        let mut by_index = Sharing::new(index(&new_file));
        by_index.add_index(0, &index(&old_file));
        by_index.add_index(1, &index(&third_file));
        prop_assert_eq!(by_index.found(), sharing.found());
    }

    #[test]
    fn an_index_does_not_depend_on_holes_or_threads((seeds, tail) in any_image()) {
        let bytes = bytes_of(&seeds, tail);
        let expected = index(&image(&bytes)).encode().unwrap();
        prop_assert_eq!(&index(&scratch(&bytes)).encode().unwrap(), &expected);
        let (file, digest) = (image(&bytes), digest_of(&bytes));
        let one = BlockIndex::of(&file, Some(&digest), 1, &Control::default()).unwrap().unwrap();
        prop_assert_eq!(one.encode().unwrap(), expected.clone());
        prop_assert_eq!(BlockIndex::decode(&expected).unwrap(), one);
    }
}

#[test]
fn what_did_not_move_is_preferred_and_repeated_blocks_cost_nothing() {
    // One block repeated 20,000 times: a walk through all of them for each would not end in this test's time.
    let bytes: Vec<u8> = [vec![9; BLOCK * 20_000], block(1000)].concat();
    let file = image(&bytes);
    let sharing = sharing(&file, &[&file]);
    assert!(sharing.has_percent(100));
    let (target, _) = assemble(&sharing, &[&file], &scratch(&vec![0; bytes.len()])).unwrap();
    assert!(content(&target) == bytes);
}

#[test]
fn a_seed_that_changed_and_an_image_that_is_another_are_found() {
    let (old, new) = (bytes_of(&[1000, 1001, 1002], 0), bytes_of(&[1000, 1005, 1002], 7));
    let (seed, published) = (scratch(&old), scratch(&new));
    let sharing = sharing(&published, &[&seed]);
    assert!(sharing.has_percent(33) && !sharing.has_percent(34), "a cut block is another");
    assert_eq!(sharing.found(), BLOCK as u64);
    assert!(assemble(&sharing, &[&seed], &published).is_ok());
    let wrong = |result: Result<_, _>| matches!(result, Err(PackedError::WrongImage { .. }));
    published.write_all_at(b"x", BLOCK as u64 + 5).unwrap();
    assert!(wrong(assemble(&sharing, &[&seed], &published)));
    published.write_all_at(&new, 0).unwrap();
    seed.write_all_at(b"x", 5).unwrap();
    assert!(wrong(assemble(&sharing, &[&seed], &published)));
    seed.set_len(0).unwrap();
    assert!(wrong(assemble(&sharing, &[&seed], &published)));
    assert!(matches!(assemble(&sharing, &[], &published), Err(PackedError::NotPlanned { .. })));
    let error = sharing.assemble(&[&seed], &published, &published, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PackedError::NotEmpty { .. }), "{error}");
}
