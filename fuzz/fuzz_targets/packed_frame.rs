//! Frames of packs: any bytes in a pack whose map is right. What is accepted is what zstd itself makes of them.
#![no_main]

mod support;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use port_packed::{Assembler, Control, Map, plan};
use support::{BLOCK, number};

fuzz_target!(|data: &[u8]| {
    let Some((&blocks, stored)) = data.split_first() else { return };
    let blocks = usize::from(blocks % 8) + 1;
    let expected = zstd::bulk::decompress(stored, blocks * BLOCK + 1).ok();
    let expected = expected.filter(|plain| plain.len() == blocks * BLOCK);
    let plain = expected.clone().unwrap_or_default();
    let mut body = Vec::new();
    number(&mut body, (blocks * BLOCK) as u64);
    body.extend_from_slice(&support::sha256(&plain));
    number(&mut body, 1);
    body.extend_from_slice(&support::sha256(stored));
    for value in [0, 1, stored.len() as u64, blocks as u64] {
        number(&mut body, value);
    }
    body.extend_from_slice(&support::sha256(&plain));
    for value in [0, blocks as u64, 0] {
        number(&mut body, value);
    }
    let Ok(map) = Map::decode(&support::seal(support::MAP, &body)) else { return };
    let plan = Arc::new(plan(&Arc::new(map), Vec::new(), &|_| true));
    let target = support::file(b"");
    let assembler = Assembler::new(plan, &target, 1, &Control::default()).unwrap();
    if assembler.add_pack(0, &support::file(stored)).is_ok() {
        assembler.finish().unwrap();
        assert_eq!(Some(support::content(&target)), expected);
    } else {
        assert!(assembler.finish().is_err());
    }
});
