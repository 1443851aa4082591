//! Maps: any bytes, and any body behind a right header. What is accepted has one encoding and can be planned with.
#![no_main]

mod support;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use port_packed::{LocalImage, Map, Source, plan};

/// Planning may take time and memory for each block of the image, whose size a caller knows beforehand.
const MOST: u64 = 64 * 1024 * 1024;

fuzz_target!(|data: &[u8]| {
    let _ = Map::decode(data);
    let sealed = support::seal(support::MAP, data);
    let Ok(map) = Map::decode(&sealed) else { return };
    let again = map.encode().unwrap();
    assert_eq!(Map::decode(&again).unwrap(), map);
    // The plain length is in the header: one content has one body.
    assert_eq!(again[12..16], sealed[12..16]);
    if map.image_size() > MOST {
        return;
    }
    let statistics = map.statistics();
    assert!(statistics.repeated <= statistics.data);
    let map = Arc::new(map);
    let cold = plan(&map, Vec::new(), &|_| false);
    assert_eq!((cold.wanted, cold.found), (statistics.data, 0));
    assert!(cold.packs.iter().all(|pack| pack.source != Source::Here && pack.fetch() <= pack.size));
    assert!(cold.packs.iter().all(|pack| pack.ranges.windows(2).all(|pair| pair[0].end < pair[1].start)));
    let image = Arc::new(support::file(b""));
    let warm = plan(&map, vec![LocalImage { map: Arc::clone(&map), image }], &|_| false);
    assert_eq!((warm.found, warm.fetch, warm.packs.len()), (warm.wanted, 0, 0));
});
