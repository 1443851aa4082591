//! Deltas: any bytes, and any index behind a right header with any frames. What is accepted has its digest.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use port_packed::Control;
use port_packed::delta::{Index, Known, apply};

/// Images larger than this are not made here: each block costs time.
const MOST: u64 = 1024 * 1024;

fuzz_target!(|data: &[u8]| {
    let _ = Index::read(&support::file(data));
    // Two bytes say how long the index is; the rest is frames.
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let (body, frames) = rest.split_at((u16::from_le_bytes(*length) as usize).min(rest.len()));
    let blob = support::file(&[support::seal(support::DELTA, body), frames.to_vec()].concat());
    let Ok((index, _)) = Index::read(&blob) else { return };
    if index.parent_size() > MOST || index.target_size() > MOST {
        return;
    }
    let parent: Vec<u8> = (0..index.parent_size()).map(|at| (at / 7 % 251) as u8).collect();
    let target = support::file(b"");
    let known = Known { file: &support::file(&parent), digest: index.parent_digest() };
    if apply(&blob, known, &target, 1, &Control::default()).is_ok() {
        let bytes = support::content(&target);
        assert_eq!(port_model::Digest::sha256(&support::sha256(&bytes)), *index.target_digest());
    }
});
