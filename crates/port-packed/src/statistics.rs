//! What the packs of a map are good for, for people: `port artifacts inspect`.

use port_model::Digest;

use crate::Map;
use crate::limit::BLOCK;

/// One pack of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackStatistics {
    /// Its digest.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// Which push it stems from; the oldest is 0.
    pub generation: u32,
    /// How many frames it has.
    pub frames: u64,
    /// Its content, in plain bytes.
    pub plain: u64,
    /// Of that, what the image uses.
    pub live: u64,
    /// Of its stored bytes, about how many hold what the image does not use: by the share of each frame's blocks.
    pub dead_stored: u64,
}

/// A map in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapStatistics {
    /// Bytes of the image that are not in holes.
    pub data: u64,
    /// Of those, what repeats other blocks of the image and is stored once.
    pub repeated: u64,
    /// The packs, in order.
    pub packs: Vec<PackStatistics>,
}

impl Map {
    /// Counts what the packs hold and what of it the image uses.
    pub fn statistics(&self) -> MapStatistics {
        let used = self.used();
        let bytes = |blocks: u64| blocks * BLOCK as u64;
        let pack = |(index, pack): (usize, &crate::Pack)| {
            let mut address = self.base(index);
            let (mut live, mut dead_stored) = (0, 0);
            for frame in &pack.frames {
                let count = used.count(address, address + frame.blocks);
                let dead = u64::from(frame.blocks - count);
                live += u64::from(count);
                dead_stored += u64::from(frame.stored) * dead / u64::from(frame.blocks.max(1));
                address += frame.blocks;
            }
            PackStatistics {
                digest: pack.digest.clone(),
                size: pack.size(),
                generation: pack.generation,
                frames: pack.frames.len() as u64,
                plain: bytes(pack.blocks()),
                live: bytes(live),
                dead_stored,
            }
        };
        let packs: Vec<PackStatistics> = self.packs().iter().enumerate().map(pack).collect();
        let data = bytes(self.segments().iter().map(|segment| u64::from(segment.length)).sum());
        let live: u64 = packs.iter().map(|pack| pack.live).sum();
        MapStatistics { data, repeated: data - live, packs }
    }

    /// Stored bytes of the packs that the other map lists too.
    pub fn shared_with(&self, other: &Map) -> u64 {
        let shared = |pack: &&crate::Pack| other.packs().iter().any(|known| known.digest == pack.digest);
        self.packs().iter().filter(shared).map(crate::Pack::size).sum()
    }
}
