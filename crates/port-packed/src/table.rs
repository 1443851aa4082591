//! Finds equal blocks: a hash table from 32 bits of a keyed hash to block numbers, eight bytes a slot.
//!
//! The hash only suggests; whoever looks up compares the bytes. So what is found never depends on the key, which is
//! random in each run so that nobody can prepare an image whose blocks all collide.
//!
//! Invariant: of equal blocks the one that was inserted first is found.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Makes the keyed hash of a block.
#[derive(Debug, Clone, Default)]
pub(crate) struct BlockHash {
    key: RandomState,
    /// All blocks collide.
    #[cfg(test)]
    weak: bool,
}

impl BlockHash {
    #[cfg(test)]
    pub(crate) fn of_strength(weak: bool) -> Self {
        Self { weak, ..Self::default() }
    }

    pub(crate) fn of(&self, block: &[u8]) -> u32 {
        #[cfg(test)]
        if self.weak {
            return 7;
        }
        let mut hasher = self.key.build_hasher();
        hasher.write(block);
        (hasher.finish() >> 32) as u32
    }
}

/// The smallest table.
const LEAST: usize = 64;

/// Open addressing, linear probing. A slot is 0 or the hash in the upper half and the block number plus one below.
#[derive(Debug)]
pub(crate) struct Table {
    slots: Vec<u64>,
    count: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { slots: vec![0; LEAST], count: 0 }
    }

    /// With room for this many blocks: it does not grow, for which old and new slots are in memory together.
    pub(crate) fn with_room(blocks: u64) -> Self {
        let slots = usize::try_from(blocks / 3 * 4).unwrap_or(LEAST).saturating_add(LEAST);
        Self { slots: vec![0; slots], count: 0 }
    }

    /// A slot's first choice. Only the stored hash decides, so that a table can grow without the blocks.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> 32) as usize
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn insert(&mut self, hash: u32, block: u32) {
        if self.count * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        self.count += 1;
        self.put(u64::from(hash) << 32 | (u64::from(block) + 1));
    }

    fn put(&mut self, entry: u64) {
        let mut at = self.home((entry >> 32) as u32);
        loop {
            match self.slots.get_mut(at) {
                Some(slot) if *slot == 0 => {
                    *slot = entry;
                    return;
                }
                Some(_) => at += 1,
                None => at = 0,
            }
        }
    }

    fn grow(&mut self) {
        let slots = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![0; slots]);
        // From an empty slot on, entries of one hash come in the order of insertion, which the new table then keeps.
        let start = old.iter().position(|slot| *slot == 0).unwrap_or(0);
        let (head, tail) = old.split_at(start);
        for &entry in tail.iter().chain(head).filter(|entry| **entry != 0) {
            self.put(entry);
        }
    }

    /// The first block of this hash that `equal` accepts.
    pub(crate) fn find<E>(
        &self,
        hash: u32,
        mut equal: impl FnMut(u32) -> Result<bool, E>,
    ) -> Result<Option<u32>, E> {
        let mut at = self.home(hash);
        loop {
            match self.slots.get(at) {
                Some(0) => return Ok(None),
                Some(&entry) => {
                    let block = (entry as u32).wrapping_sub(1);
                    if (entry >> 32) as u32 == hash && equal(block)? {
                        return Ok(Some(block));
                    }
                    at += 1;
                }
                None => at = 0,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn a_table_with_room_does_not_grow() {
        let mut table = Table::with_room(1000);
        let slots = table.slots.len();
        (0..1000_u32).for_each(|block| table.insert(block.wrapping_mul(0x9E37_79B9), block));
        assert_eq!((table.len(), table.slots.len()), (1000, slots));
    }

    #[test]
    fn the_first_equal_block_is_found_however_the_table_grew() {
        // Few hashes, many blocks: long clusters, also around the end of the table.
        for hashes in [[0, 1, 2], [u32::MAX, u32::MAX - 1, 0], [7, 7, 7]] {
            let mut table = Table::new();
            for block in 0..999_u32 {
                table.insert(hashes[block as usize % 3], block);
            }
            for remainder in 0..3_u32 {
                let hash = hashes[remainder as usize];
                let mut seen = Vec::new();
                let found = table.find(hash, |block| {
                    seen.push(block);
                    Ok::<_, Infallible>(false)
                });
                assert_eq!(found, Ok(None));
                let expected: Vec<u32> =
                    (0..999).filter(|block| hashes[*block as usize % 3] == hash).collect();
                assert_eq!(seen, expected);
            }
        }
        let hash = BlockHash::default();
        assert_eq!(hash.of(&[1; 4096]), hash.clone().of(&[1; 4096]));
    }
}
