//! Arbitrary images and parents come back as they were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use crate::support::*;
use port_content::hashing::digest_of;
use port_packed::{Control, GENERATIONS, Image, Map, Options, PackedError, Parent, Source, Statistics, pack};

fn edits() -> impl Strategy<Value = Vec<(u8, u16, u16)>> {
    proptest::collection::vec((any::<u8>(), any::<u16>(), 0..2000_u16), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_image_round_trips_and_its_holes_stay((seeds, tail) in any_image()) {
        let bytes = bytes_of(&seeds, tail);
        let mut packs = Packs::default();
        let packed = pack_alone(&bytes, &mut packs);
        prop_assert_eq!(packed.map.image_digest(), &digest_of(&bytes));
        prop_assert_eq!(&Map::decode(&packed.map_bytes).unwrap(), &packed.map);
        prop_assert_eq!(packed.map.encode().unwrap(), packed.map_bytes.clone());
        let (found, file, plan) = assemble(&packed.map, &packs, Vec::new(), &|_| false).unwrap();
        prop_assert_eq!(found, bytes);
        prop_assert!(data_bytes(&file) <= plan.wanted);
        prop_assert_eq!(plan.wanted, packed.statistics.data * BLOCK as u64);
    }

    #[test]
    fn an_image_round_trips_against_a_parent((seeds, tail) in any_image(), edits in edits(), other_tail in 0..BLOCK) {
        let (old, new) = (bytes_of(&seeds, tail), bytes_of(&edited(&seeds, &edits), other_tail));
        let mut packs = Packs::default();
        let parent = pack_alone(&old, &mut packs);
        let old_file = image(&old);
        let packed = pack_against(&new, (&parent.map, &old_file), &options(2), &mut packs).unwrap();
        // From nothing, from the parent image, and with all packs here.
        let (found, _, _) = assemble(&packed.map, &packs, Vec::new(), &|_| false).unwrap();
        prop_assert_eq!(&found, &new);
        let (found, file, plan) =
            assemble(&packed.map, &packs, vec![local(&parent.map, &old_file)], &|_| false).unwrap();
        prop_assert_eq!(&found, &new);
        prop_assert!(data_bytes(&file) <= plan.wanted);
        if !packed.statistics.repacked {
            let new_packs: u64 = packed.new_packs.iter().map(port_packed::Pack::size).sum();
            prop_assert!(plan.fetch <= new_packs, "{} of {new_packs}", plan.fetch);
        }
        let (found, _, plan) = assemble(&packed.map, &packs, Vec::new(), &|_| true).unwrap();
        prop_assert_eq!(&found, &new);
        prop_assert_eq!((plan.fetch, plan.found), (0, plan.wanted));
    }

    #[test]
    fn threads_change_nothing((seeds, tail) in any_image(), edits in edits()) {
        let (old, new) = (bytes_of(&seeds, 0), bytes_of(&edited(&seeds, &edits), tail));
        let mut packs = Packs::default();
        let parent = pack_alone(&old, &mut packs);
        let old_file = image(&old);
        let blobs = |threads| {
            let mut packs = Packs::default();
            let packed = pack_against(&new, (&parent.map, &old_file), &options(threads), &mut packs).unwrap();
            (packed.map_bytes, packs.done)
        };
        let one = blobs(1);
        prop_assert_eq!(&one, &blobs(3));
        prop_assert_eq!(&one, &blobs(8));
    }
}

#[test]
fn only_new_blocks_are_packed() {
    let seeds: Vec<u16> = (1000..1100).collect();
    let mut packs = Packs::default();
    let parent = pack_alone(&bytes_of(&seeds, 0), &mut packs);
    assert_eq!(parent.statistics.new, 100);
    let old_file = image(&bytes_of(&seeds, 0));
    let mut changed = seeds.clone();
    changed.rotate_left(13);
    changed.insert(50, 1999);
    changed.insert(70, 1999);
    changed.insert(80, 0);
    let packed =
        pack_against(&bytes_of(&changed, 0), (&parent.map, &old_file), &options(2), &mut packs).unwrap();
    let expected = Statistics {
        data: 102,
        from_parent: 100,
        repeated: 1,
        new: 1,
        new_bytes: packed.new_packs[0].size(),
        ..Statistics::default()
    };
    assert_eq!(packed.statistics, expected);
    assert_eq!(packed.map.packs().len(), parent.map.packs().len() + 1);
    assert_eq!(packed.map.generations(), 2);
    // The same image again needs nothing at all.
    let new_file = image(&bytes_of(&changed, 0));
    let again =
        pack_against(&bytes_of(&changed, 0), (&packed.map, &new_file), &options(2), &mut packs).unwrap();
    assert_eq!((again.new_packs.len(), again.map_bytes), (0, packed.map_bytes));
}

#[test]
fn packs_are_written_anew_when_they_are_many_or_mostly_dead() {
    let mut seeds: Vec<u16> = (1000..1100).collect();
    let mut packs = Packs::default();
    let mut last = pack_alone(&bytes_of(&seeds, 0), &mut packs);
    for turn in 0..20 {
        let old_file = image(&bytes_of(&seeds, 0));
        seeds[usize::from(turn)] = 3000 + turn;
        let next =
            pack_against(&bytes_of(&seeds, 0), (&last.map, &old_file), &options(1), &mut packs).unwrap();
        assert!(next.map.generations() <= GENERATIONS);
        assert_eq!(next.statistics.repacked, last.map.generations() == GENERATIONS, "turn {turn}");
        let (found, _, _) = assemble(&next.map, &packs, Vec::new(), &|_| false).unwrap();
        assert_eq!(found, bytes_of(&seeds, 0));
        last = next;
    }
    // Half of it gone: what is left is packed anew; a fifth gone: not.
    let old_file = image(&bytes_of(&seeds, 0));
    for (kept, repacked) in [(50, true), (85, false)] {
        let bytes = bytes_of(&seeds[..kept], 0);
        let next = pack_against(&bytes, (&last.map, &old_file), &options(1), &mut packs).unwrap();
        assert_eq!(next.statistics.repacked, repacked, "{kept} blocks kept");
    }
}

#[test]
fn a_pack_that_nothing_uses_is_dropped() {
    let mut packs = Packs::default();
    let base: Vec<u16> = (1000..1100).collect();
    let first = pack_alone(&bytes_of(&base, 0), &mut packs);
    let file = image(&bytes_of(&base, 0));
    let two: Vec<u16> = base.iter().copied().chain([2001, 2002]).collect();
    let second = pack_against(&bytes_of(&two, 0), (&first.map, &file), &options(1), &mut packs).unwrap();
    let file = image(&bytes_of(&two, 0));
    let three: Vec<u16> = base.iter().copied().chain([2003]).collect();
    let third = pack_against(&bytes_of(&three, 0), (&second.map, &file), &options(1), &mut packs).unwrap();
    assert_eq!(third.map.packs().len(), first.map.packs().len() + 1);
    assert!(!third.map.packs().contains(&second.new_packs[0]));
    assert_eq!((third.map.generations(), third.statistics.dead), (2, 0));
    let (found, _, _) = assemble(&third.map, &packs, Vec::new(), &|_| false).unwrap();
    assert_eq!(found, bytes_of(&three, 0));
}

#[test]
fn ranges_are_planned_where_little_of_a_pack_is_needed() {
    // 4000 blocks that do not compress: 16 MB in frames of 16 KiB, cut at 5 MB.
    let seeds: Vec<u16> = (1000..5000).collect();
    let bytes = bytes_of(&seeds, 0);
    let file = image(&bytes);
    let options = Options { pack_bytes: 5_000_000, ..options(2) };
    let mut packs = Packs::default();
    let packed = port_packed::pack(
        port_packed::Image { file: &file, digest: Some(digest_of(&bytes)) },
        None,
        &options,
        &port_packed::Control::default(),
        &mut packs,
    )
    .unwrap();
    assert_eq!(packed.map.packs().len(), 4);
    let mut old = bytes.clone();
    old[1_000_000..1_100_000].fill(0);
    old[4_000_000..4_010_000].fill(0);
    let old_file = image(&old);
    let parent = pack_against(&old, (&packed.map, &file), &options, &mut packs).unwrap();
    let images = vec![local(&parent.map, &old_file)];
    let (found, _, plan) = assemble(&packed.map, &packs, images, &|_| false).unwrap();
    assert!(found == bytes);
    let [only] = plan.packs.as_slice() else { panic!("{:?}", plan.packs) };
    assert_eq!((only.pack, only.source, only.ranges.len()), (0, Source::Ranges, 2));
    assert!((100_000..200_000).contains(&plan.fetch), "{}", plan.fetch);
    assert_eq!(plan.fetch, only.fetch());
}

#[test]
fn a_parent_that_is_written_to_meanwhile_is_told() {
    let (old, new) = (bytes_of(&[1000, 1001, 1002], 0), bytes_of(&[1000, 1500, 1002], 0));
    let mut packs = Packs::default();
    let parent = pack_alone(&old, &mut packs);
    let (file, written) = (image(&old), AtomicBool::new(false));
    let same = file.try_clone().unwrap();
    // The same bytes again: they hash as they should, and what was matched may have been others.
    let tell = move |_| {
        if !written.swap(true, Ordering::Relaxed) {
            let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(7);
            same.set_times(std::fs::FileTimes::new().set_modified(long_ago)).unwrap();
        }
    };
    let control = Control::new(Arc::new(AtomicBool::new(false)), Arc::new(tell));
    let (target, parent) = (image(&new), Parent { map: &parent.map, image: &file });
    let whole = Image { file: &target, digest: None };
    let error = pack(whole, Some(parent), &options(2), &control, &mut packs).unwrap_err();
    assert!(matches!(error, PackedError::Changed), "{error:?}");
}
