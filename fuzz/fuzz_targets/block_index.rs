//! Block indexes: any bytes, and any body behind a right header and before a right sum. What is accepted is canonical.
#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use port_packed::block_index::{BlockIndex, Sharing};

/// Everything but the sum: an image of some size, and a body.
fn seal(size: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x89PIDX\r\n\x1a\x01\0\0\0".to_vec();
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&[7; 32]);
    bytes.extend_from_slice(body);
    let sum = support::sha256(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

fuzz_target!(|data: &[u8]| {
    let _ = BlockIndex::decode(data);
    let Some((size, body)) = data.split_first_chunk::<4>() else { return };
    let sealed = seal(u64::from(u32::from_le_bytes(*size)) << 5, body);
    let Ok(index) = BlockIndex::decode(&sealed) else { return };
    assert_eq!(index.encode().unwrap(), sealed);
    let mut sharing = Sharing::new(index.clone());
    assert_eq!(sharing.found(), 0);
    sharing.add_index(0, &index);
    assert!(sharing.has_percent(100));
    assert_eq!(sharing.found(), index.data());
    assert!(index.data() <= index.image_size());
});
