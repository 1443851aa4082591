//! What is damaged, incomplete or lies is an error, never a hole and never other bytes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::support::*;
use port_packed::{Assembler, Control, Image, Map, PackedError, plan};

fn sample() -> (Vec<u8>, Packs, Map) {
    let seeds: Vec<u16> = (0..40).map(|n| if n % 5 == 0 { 0 } else { 1000 + n }).collect();
    let bytes = bytes_of(&seeds, 100);
    let mut packs = Packs::default();
    let map = pack_alone(&bytes, &mut packs).map;
    (bytes, packs, map)
}

#[test]
fn a_flipped_byte_anywhere_in_a_pack_is_found() {
    let (_, packs, map) = sample();
    let length = packs.done[0].1.len();
    for place in (0..length).step_by(211).chain([length - 1]) {
        let mut damaged = packs.clone();
        damaged.done[0].1[place] ^= 0x10;
        match assemble(&map, &damaged, Vec::new(), &|_| false) {
            Err(PackedError::Frame { .. }) => {}
            other => panic!("byte {place}: {other:?}"),
        }
    }
}

#[test]
fn a_damaged_parent_is_found_when_packing_and_when_assembling() {
    let (bytes, mut packs, map) = sample();
    let mut damaged = bytes.clone();
    damaged[20_000] ^= 1;
    let file = image(&damaged);
    let error = pack_against(&bytes, (&map, &file), &options(2), &mut packs).unwrap_err();
    assert!(error.to_string().starts_with("the parent image is another one: expected sha256:"), "{error}");
    let error = assemble(&map, &packs, vec![local(&map, &file)], &|_| false).unwrap_err();
    assert!(matches!(error, PackedError::WrongImage { .. }), "{error}");
    let error = pack_against(&bytes, (&map, &image(&bytes[..4096])), &options(2), &mut packs).unwrap_err();
    assert!(error.to_string().contains("163740"), "{error}");
}

#[test]
fn a_pack_that_never_came_is_an_error() {
    let (_, packs, map) = sample();
    let plan = Arc::new(plan(&Arc::new(map.clone()), Vec::new(), &|_| false));
    let target = tempfile::tempfile().unwrap();
    let assembler = Assembler::new(Arc::clone(&plan), &target, 2, &Control::default()).unwrap();
    let file = scratch(packs.get(&map.packs()[0]));
    assembler.add_frames(0, &[0, 2], &file).unwrap();
    let error = assembler.finish().unwrap_err();
    assert!(matches!(error, PackedError::Incomplete { missing: 24, first: 6 }), "{error:?}");
    assert!(matches!(assembler.add_pack(1, &file), Err(PackedError::NotPlanned { .. })));
    assert!(matches!(assembler.add_frames(0, &[99], &file), Err(PackedError::NotPlanned { .. })));
    let error = Assembler::new(plan, &target, 2, &Control::default()).unwrap_err();
    assert!(matches!(error, PackedError::NotEmpty { .. }), "{error:?}");
}

#[test]
fn a_truncated_pack_is_an_error() {
    let (_, mut packs, map) = sample();
    packs.done[0].1.pop();
    let plan = Arc::new(plan(&Arc::new(map.clone()), Vec::new(), &|_| true));
    let target = tempfile::tempfile().unwrap();
    let assembler = Assembler::new(plan, &target, 2, &Control::default()).unwrap();
    let error = assembler.add_pack(0, &scratch(&packs.done[0].1)).unwrap_err();
    assert!(matches!(error, PackedError::Read { .. }), "{error:?}");
}

#[test]
fn work_stops_when_asked_to() {
    let (bytes, _, _) = sample();
    let control = Control::new(Arc::new(AtomicBool::new(true)), Arc::new(|_| {}));
    let file = image(&bytes);
    let result = port_packed::pack(
        Image { file: &file, digest: None },
        None,
        &options(2),
        &control,
        &mut Packs::default(),
    );
    assert!(matches!(result, Err(PackedError::Cancelled)), "{result:?}");
}
