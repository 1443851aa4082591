//! The map of a packed image: which packs it needs, what their frames hold, and where each block comes from.
//!
//! Invariant: a [`Map`] is consistent. It is made by the packer or by [`Map::decode`], and both check it whole.

use port_model::Digest;

use crate::limit::{BLOCK, FRAME_BLOCKS, IMAGE_BYTES, PACK_BYTES, PACKS};
use crate::segments::{self, Segment, Space, Used};
use crate::sha256::{self, Sha256};
use crate::varint::{Reader, put};
use crate::{PackedError, envelope, frame};

/// One zstd frame of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Its length in the pack, in bytes.
    pub stored: u32,
    /// How many blocks it holds.
    pub blocks: u32,
    /// SHA-256 of its plain content.
    pub sha256: Sha256,
}

impl Frame {
    /// The plain length, in bytes.
    pub fn plain(&self) -> usize {
        self.blocks as usize * BLOCK
    }
}

/// One pack: a blob of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Packs of one push have the same number; the oldest is 0.
    pub generation: u32,
    /// Its frames, one after the other.
    pub frames: Vec<Frame>,
}

impl Pack {
    /// The blob's size, in bytes: a pack is its frames and nothing else.
    pub fn size(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.stored)).sum()
    }

    /// How many blocks it holds.
    pub fn blocks(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.blocks)).sum()
    }
}

/// What a raw image consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    image_size: u64,
    image_digest: Digest,
    packs: Vec<Pack>,
    /// First address of each pack, and the address behind the last.
    bases: Vec<u32>,
    segments: Vec<Segment>,
}

fn error(finding: impl Into<String>) -> PackedError {
    PackedError::Malformed { document: envelope::MAP.name, finding: finding.into() }
}

impl Map {
    /// Puts a map together and checks it by the rules of the format.
    pub(crate) fn new(
        image_size: u64,
        image_digest: Digest,
        packs: Vec<Pack>,
        segments: Vec<Segment>,
    ) -> Result<Self, PackedError> {
        // What was collected here is checked as what came from outside is: by reading it.
        let bases = bases(&packs)?;
        let map = Self { image_size, image_digest, packs, bases, segments };
        let plain = map.body()?;
        let read = Self::from_body(&plain)?;
        if read == map { Ok(map) } else { Err(error("it does not read back as it was written")) }
    }

    /// Reads a map blob.
    pub fn decode(bytes: &[u8]) -> Result<Self, PackedError> {
        Self::from_body(&envelope::open(envelope::MAP, bytes)?)
    }

    /// The map blob. Reading it again gives an equal map, and writing that the same bytes.
    pub fn encode(&self) -> Result<Vec<u8>, PackedError> {
        envelope::seal(envelope::MAP, &self.body()?)
    }

    /// Size of the raw image, in bytes.
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// SHA-256 of the raw image.
    pub fn image_digest(&self) -> &Digest {
        &self.image_digest
    }

    /// The packs, in the order of the manifest.
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    /// Where each block that is not zero comes from, in image order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Blocks of the raw image, the last perhaps short.
    pub fn blocks(&self) -> u32 {
        blocks_of(self.image_size)
    }

    /// How many addresses there are: the blocks of all packs.
    pub fn addresses(&self) -> u32 {
        self.bases.last().copied().unwrap_or_default()
    }

    /// The first address of a pack.
    pub(crate) fn base(&self, pack: usize) -> u32 {
        self.bases.get(pack).copied().unwrap_or_default()
    }

    /// How many pushes the packs stem from.
    pub fn generations(&self) -> u32 {
        self.packs.last().map_or(0, |pack| pack.generation + 1)
    }

    /// The address of an image block; `None` where it is zero.
    pub(crate) fn address_of(&self, block: u32) -> Option<u32> {
        segments::find(&self.segments, block).map(|segment| segment.source + (block - segment.target))
    }

    /// Which addresses the image uses.
    pub(crate) fn used(&self) -> Used {
        Used::of(self.addresses(), &self.segments)
    }

    fn body(&self) -> Result<Vec<u8>, PackedError> {
        let hash_of = |digest: &Digest| {
            sha256::bytes_of(digest).ok_or_else(|| error(format!("expected SHA-256, found {digest}")))
        };
        let mut bytes = Vec::new();
        put(&mut bytes, self.image_size);
        bytes.extend_from_slice(&hash_of(&self.image_digest)?);
        put(&mut bytes, self.packs.len() as u64);
        let mut generation = 0;
        for pack in &self.packs {
            bytes.extend_from_slice(&hash_of(&pack.digest)?);
            put(&mut bytes, u64::from(pack.generation.wrapping_sub(generation)));
            generation = pack.generation;
            put(&mut bytes, pack.frames.len() as u64);
            put_frames(&pack.frames, &mut bytes);
        }
        segments::encode(&self.segments, &mut bytes);
        Ok(bytes)
    }

    fn from_body(bytes: &[u8]) -> Result<Self, PackedError> {
        let mut reader = Reader::new(envelope::MAP.name, bytes);
        let image_size = reader.within("image size", 0..=IMAGE_BYTES)?;
        let image_digest = Digest::sha256(&reader.sha256("image SHA-256")?);
        let count = reader.within("number of packs", 0..=PACKS as u64)?;
        let mut packs: Vec<Pack> = Vec::new();
        for index in 0..count {
            let pack = read_pack(&mut reader, packs.last(), index)?;
            if packs.iter().any(|other| other.digest == pack.digest) {
                return Err(reader.error(format!("pack {index}: {} is listed twice", pack.digest)));
            }
            packs.push(pack);
        }
        let bases = bases(&packs)?;
        let addresses = bases.last().copied().unwrap_or_default();
        let space = Space { blocks: blocks_of(image_size), addresses };
        let segments = segments::decode(&mut reader, space)?;
        Ok(Self { image_size, image_digest, packs, bases, segments })
    }
}

fn read_pack(reader: &mut Reader<'_>, before: Option<&Pack>, index: u64) -> Result<Pack, PackedError> {
    let digest = Digest::sha256(&reader.sha256("SHA-256 of a pack")?);
    let newest = before.map_or(0, |pack| pack.generation);
    let most = u32::from(before.is_some());
    let generation = newest + reader.within32("generation of a pack", 0..=most)?;
    let count = reader.within("number of frames of a pack", 1..=(reader.left() / FRAME_RECORD) as u64)?;
    let frames = read_frames(reader, count as usize)?;
    let pack = Pack { digest, generation, frames };
    if pack.size() > PACK_BYTES {
        let size = pack.size();
        return Err(reader.error(format!("pack {index}: expected at most {PACK_BYTES} bytes, found {size}")));
    }
    Ok(pack)
}

/// The least that a frame takes in a body: two numbers and a hash.
pub(crate) const FRAME_RECORD: usize = 34;

/// First the numbers of all frames, then the hashes: numbers alone compress well.
pub(crate) fn put_frames(frames: &[Frame], bytes: &mut Vec<u8>) {
    for frame in frames {
        put(bytes, u64::from(frame.stored));
        put(bytes, u64::from(frame.blocks));
    }
    for frame in frames {
        bytes.extend_from_slice(&frame.sha256);
    }
}

/// Reads `count` frames; the caller bounded the number by what is left of the body.
pub(crate) fn read_frames(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Frame>, PackedError> {
    let mut frames = Vec::with_capacity(count.min(reader.left() / FRAME_RECORD));
    let longest = frame::bound(FRAME_BLOCKS as usize * BLOCK) as u32;
    for _ in 0..count {
        let stored = reader.within32("stored length of a frame", 1..=longest)?;
        let blocks = reader.within32("blocks of a frame", 1..=FRAME_BLOCKS)?;
        frames.push(Frame { stored, blocks, sha256: [0; 32] });
    }
    for frame in &mut frames {
        frame.sha256 = reader.sha256("SHA-256 of a frame")?;
    }
    Ok(frames)
}

fn bases(packs: &[Pack]) -> Result<Vec<u32>, PackedError> {
    let mut base = 0_u64;
    let mut bases = vec![0];
    for pack in packs {
        base += pack.blocks();
        bases.push(
            u32::try_from(base)
                .map_err(|_| error(format!("expected fewer than 2^32 blocks, found {base}")))?,
        );
    }
    Ok(bases)
}

/// Blocks of an image of this many bytes; images are bounded by 2^28 blocks.
pub(crate) fn blocks_of(size: u64) -> u32 {
    u32::try_from(size.div_ceil(BLOCK as u64)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: u32 = 1024;

    /// A pack's digest byte, generation step, and frames as stored length and blocks.
    type PackNumbers = (u8, u64, Vec<(u64, u64)>);
    /// What to spoil, and a part of what is then said.
    type Case<'a> = (&'a dyn Fn(&mut Body), &'a str);

    /// A map body with one number out of place: what each of them is stands in the format's page.
    struct Body {
        size: u64,
        packs: Vec<PackNumbers>,
        segments: Vec<u8>,
    }

    impl Body {
        fn good() -> Self {
            let packs = vec![(1, 0, vec![(100, 4), (50, 2)]), (2, 1, vec![(70, 3)])];
            Self { size: 9 * 4096 - 1, packs, segments: vec![0, 6, 0, 1, 2, 0] }
        }

        fn bytes(&self) -> Vec<u8> {
            let mut bytes = Vec::new();
            put(&mut bytes, self.size);
            bytes.extend_from_slice(&[9; 32]);
            put(&mut bytes, self.packs.len() as u64);
            for (digest, generation, frames) in &self.packs {
                bytes.extend_from_slice(&[*digest; 32]);
                put(&mut bytes, *generation);
                put(&mut bytes, frames.len() as u64);
                for (stored, blocks) in frames {
                    put(&mut bytes, *stored);
                    put(&mut bytes, *blocks);
                }
                for _ in frames {
                    bytes.extend_from_slice(&[7; 32]);
                }
            }
            bytes.extend_from_slice(&self.segments);
            bytes
        }
    }

    fn finding(body: &Body) -> String {
        Map::from_body(&body.bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_body_reads_back() {
        let body = Body::good().bytes();
        let map = Map::from_body(&body).unwrap();
        assert_eq!(map.body().unwrap(), body);
        assert_eq!((map.blocks(), map.addresses(), map.generations()), (9, 9, 2));
        assert_eq!((map.address_of(6), map.address_of(7), map.address_of(8)), (None, Some(6), Some(7)));
        let statistics = map.statistics();
        assert_eq!((statistics.data, statistics.repeated), (8 * 4096, 0));
        let dead: Vec<_> = statistics.packs.iter().map(|pack| (pack.live, pack.dead_stored)).collect();
        assert_eq!(dead, [(6 * 4096, 0), (2 * 4096, 23)]);
        assert_eq!(map.shared_with(&map), 220);
    }

    /// The worked example of docs/formats/packed-image.md.
    #[test]
    fn the_example_of_the_page_is_true() {
        let frame = |stored, blocks| Frame { stored, blocks, sha256: [0xcc; 32] };
        let pack =
            |digest, generation, frames| Pack { digest: Digest::sha256(&[digest; 32]), generation, frames };
        let packs = vec![pack(0xa1, 0, vec![frame(300, 4)]), pack(0xa2, 1, vec![frame(90, 1)])];
        let segments = [(0, 2, 0), (5, 1, 4), (6, 2, 2), (9, 1, 4)].map(|(target, length, source)| Segment {
            target,
            length,
            source,
        });
        let map = Map::new(40_000, Digest::sha256(&[0xdd; 32]), packs, segments.to_vec()).unwrap();
        let hex: String = map.body().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "c0b802",
            &"dd".repeat(32),
            "02",
            &"a1".repeat(32),
            "0001ac0204",
            &"cc".repeat(32),
            &"a2".repeat(32),
            "01015a01",
            &"cc".repeat(32),
            "000200",
            "030104",
            "000205",
            "010100",
        ];
        assert_eq!(hex, expected.concat());
    }

    #[test]
    fn maps_that_lie_are_refused() {
        let changed = |change: &dyn Fn(&mut Body)| {
            let mut body = Body::good();
            change(&mut body);
            finding(&body)
        };
        let cases: &[Case<'_>] = &[
            (&|body| body.size = IMAGE_BYTES + 1, "image size: expected 0 to"),
            (&|body| body.size = 4096, "length of a segment"),
            (&|body| body.packs[1].0 = 1, "is listed twice"),
            (&|body| body.packs[0].1 = 1, "generation of a pack: expected 0 to 0, found 1"),
            (&|body| body.packs[1].1 = 2, "generation of a pack: expected 0 to 1, found 2"),
            (&|body| body.packs[1].2.clear(), "number of frames of a pack: expected 1 to"),
            (&|body| body.packs[0].2[0].0 = 0, "stored length of a frame: expected 1 to"),
            (&|body| body.packs[0].2[0].0 = 1 << 23, "stored length of a frame: expected 1 to"),
            (&|body| body.packs[0].2[0].1 = 0, "blocks of a frame: expected 1 to 1024, found 0"),
            (&|body| body.packs[0].2[0].1 = u64::from(MOST) + 1, "blocks of a frame: expected 1 to 1024"),
            (&|body| body.packs[0].2 = vec![(4_000_000, 1024); 20], "expected at most 67108864 bytes"),
            (&|body| body.segments = vec![0, 6, 0, 0, 2, 0], "expected it joined"),
            (&|body| body.segments = vec![0, 9, 2], "9 addresses"),
            (&|body| body.segments = vec![0, 9, 1], "9 addresses"),
            (&|body| body.segments = vec![8, 2, 0], "length of a segment"),
            (&|body| body.segments = vec![0], "the end"),
        ];
        for (number, (change, expected)) in cases.iter().enumerate() {
            let text = changed(change);
            assert!(text.contains(expected), "case {number}: {text}");
        }
    }

    #[test]
    fn counts_that_claim_too_much_allocate_nothing() {
        // The number of packs, of frames, of bytes: each is bounded by what is there or by a limit.
        let mut body = Vec::new();
        put(&mut body, 4096);
        body.extend_from_slice(&[9; 32]);
        let mut packs = body.clone();
        put(&mut packs, u64::MAX);
        let text = |bytes: &[u8]| Map::from_body(bytes).unwrap_err().to_string();
        assert!(text(&packs).contains("number of packs: expected 0 to 900"), "{}", text(&packs));
        put(&mut body, 1);
        body.extend_from_slice(&[1; 32]);
        put(&mut body, 0);
        put(&mut body, u64::MAX);
        assert!(text(&body).contains("number of frames of a pack"), "{}", text(&body));
    }

    proptest! {
        #[test]
        fn any_body_is_refused_or_canonical(
            place in any::<prop::sample::Index>(),
            value: u8,
            cut in any::<prop::sample::Index>(),
            more in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let mut body = Body::good().bytes();
            let place = place.index(body.len());
            body[place] = value;
            body.truncate(cut.index(body.len() * 4) + 1);
            body.extend_from_slice(&more);
            if let Ok(map) = Map::from_body(&body) {
                prop_assert_eq!(map.body().unwrap(), body);
                let bytes = map.encode().unwrap();
                prop_assert_eq!(Map::decode(&bytes).unwrap(), map);
            }
        }
    }
}
