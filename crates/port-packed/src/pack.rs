//! A raw image to packs and a map, alone or against a parent.
//!
//! Two passes over the image's data: the first finds what is new, the second compresses it. Only so is it known
//! before the first pack is written whether the parent is worth keeping.
//!
//! Invariant: same image, same parent, same options: same blobs, whatever the number of threads.

use std::fs::File;
use std::io;
use std::thread;

use port_model::Digest;

use crate::blocks::{AtRest, Blocks};
use crate::limit::{BLOCK, FRAME_BLOCKS, PACK_BYTES, PACKS, THREADS};
use crate::map::{Map, Pack};
use crate::matching::{Context, Origin, ParentIndex, match_blocks};
use crate::segments::{Collector, Segment, Used};
use crate::table::BlockHash;
use crate::{Control, PackedError, output, writer};

/// More pushes than this in one map, and everything is packed anew.
pub const GENERATIONS: u32 = 8;
/// More dead blocks than this, in percent of the packs', and everything is packed anew.
pub const DEAD_PERCENT: u64 = 30;

/// How to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The zstd level, 1 to 19, for an image without a parent, or when everything is packed anew.
    pub level: i32,
    /// The zstd level, 1 to 19, for what is new against a parent: little, so that it may take longer.
    pub update_level: i32,
    /// Blocks in a frame, 1 to [`FRAME_BLOCKS`].
    pub frame_blocks: u32,
    /// Where a pack is cut, in bytes, at most [`PACK_BYTES`].
    pub pack_bytes: u64,
    /// Threads, 1 to [`THREADS`]; has no influence on the result.
    pub threads: usize,
}

impl Default for Options {
    /// Chosen by measurement: docs/formats/packed-image.md, "Choices".
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
        Self { level: 3, update_level: 9, frame_blocks: 256, pack_bytes: 32 * 1024 * 1024, threads }
    }
}

impl Options {
    fn check(&self) -> Result<(), PackedError> {
        // A frame that does not compress is a little longer than its content, and a pack takes at least one.
        let frame = crate::frame::bound(FRAME_BLOCKS as usize * crate::limit::BLOCK) as u64;
        for (option, found, low, high) in [
            ("level", u64::try_from(self.level).unwrap_or(0), 1, 19),
            ("update_level", u64::try_from(self.update_level).unwrap_or(0), 1, 19),
            ("frame_blocks", u64::from(self.frame_blocks), 1, u64::from(FRAME_BLOCKS)),
            ("pack_bytes", self.pack_bytes, frame, PACK_BYTES),
            ("threads", self.threads as u64, 1, THREADS as u64),
        ] {
            if !(low..=high).contains(&found) {
                return Err(PackedError::Option { option, expected: format!("{low} to {high}"), found });
            }
        }
        Ok(())
    }
}

/// The image to pack.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// At rest, opened for reading.
    pub file: &'a File,
    /// Its SHA-256 where that is known: then it is not hashed again.
    pub digest: Option<Digest>,
}

/// What to pack against. It is hashed while packing: one that is not what its map says would be published for good.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// The parent's map.
    pub map: &'a Map,
    /// The parent's raw image, at rest.
    pub image: &'a File,
}

/// Takes packs as they are made, one after the other.
pub trait PackSink {
    /// A pack begins.
    fn begin(&mut self) -> io::Result<()>;
    /// More of its bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// It is complete. The next call, if any, is [`PackSink::begin`].
    fn finish(&mut self, pack: &Pack) -> io::Result<()>;
}

/// What was found, in blocks of 4096 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Blocks that are not zero.
    pub data: u64,
    /// Of those, equal to one of the parent's.
    pub from_parent: u64,
    /// Of those, equal to an earlier new one.
    pub repeated: u64,
    /// Of those, new: what the new packs hold.
    pub new: u64,
    /// Bytes of the new packs.
    pub new_bytes: u64,
    /// Blocks in the map's packs that the image does not use.
    pub dead: u64,
    /// Whether the parent was given and not used, because the packs were due to be written anew.
    pub repacked: bool,
}

/// An image as blobs.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The map.
    pub map: Map,
    /// The map blob.
    pub map_bytes: Vec<u8>,
    /// The packs that went to the sink: the last ones of the map.
    pub new_packs: Vec<Pack>,
    /// What was found.
    pub statistics: Statistics,
}

/// Packs an image. The map's other packs are the parent's, which are there already.
pub fn pack(
    image: Image<'_>,
    parent: Option<Parent<'_>>,
    options: &Options,
    control: &Control,
    sink: &mut dyn PackSink,
) -> Result<Packed, PackedError> {
    options.check()?;
    let rest = AtRest::of(image.file, "the image")?;
    let blocks = Blocks::open(image.file, "the image")?;
    thread::scope(|scope| {
        let known = image.digest.clone();
        let digest = scope.spawn(move || match known {
            Some(digest) => Ok(digest),
            None => output::digest(blocks, image.file, control),
        });
        let found = find(blocks, parent, options, control)?;
        let level = if found.kept.is_empty() { options.level } else { options.update_level };
        let pack_bytes = pack_bytes(options.pack_bytes, options, found.kept.len(), found.statistics.new)?;
        let chosen = Options { level, pack_bytes, ..*options };
        let packs = writer::write_packs(blocks, &found.new, found.generation, &chosen, control, sink)?;
        let digest = digest.join().map_err(|_| PackedError::Changed)??;
        rest.check()?;
        finish(found, packs, blocks.size(), digest)
    })
}

/// Where packs are cut, so that the map has room for all of them behind `kept` ones even if nothing compresses: known
/// before the first is compressed and sent.
fn pack_bytes(wanted: u64, options: &Options, kept: usize, new: u64) -> Result<u64, PackedError> {
    let room = PACKS.saturating_sub(kept) as u64;
    let (blocks, plain) = (u64::from(options.frame_blocks), new * BLOCK as u64);
    let frame = crate::frame::bound(options.frame_blocks as usize * BLOCK) as u64;
    // A pack is cut before the frame that would not fit.
    let least = (new.div_ceil(blocks) * frame).div_ceil(room.max(1)) + frame;
    let bytes = if new == 0 || least <= wanted { wanted } else { least };
    if (new > 0 && room == 0) || bytes > PACK_BYTES {
        let limit = room * (PACK_BYTES / frame) * blocks * BLOCK as u64;
        return Err(PackedError::TooMuchData { limit, found: plain });
    }
    Ok(bytes)
}

fn finish(found: Found, packs: Vec<Pack>, size: u64, digest: Digest) -> Result<Packed, PackedError> {
    let mut statistics = found.statistics;
    statistics.new_bytes = packs.iter().map(Pack::size).sum();
    let all: Vec<Pack> = found.kept.iter().chain(&packs).cloned().collect();
    if all.len() > PACKS {
        let found = all.len() as u64;
        return Err(PackedError::TooLarge { subject: "the list of packs", limit: PACKS as u64, found });
    }
    let map = Map::new(size, digest, all, found.segments)?;
    statistics.dead = u64::from(map.addresses()) - u64::from(map.used().count(0, map.addresses()));
    let map_bytes = map.encode()?;
    Ok(Packed { map, map_bytes, new_packs: packs, statistics })
}

/// The outcome of the first pass.
struct Found {
    /// The parent's packs that are still used.
    kept: Vec<Pack>,
    /// The number of the new packs.
    generation: u32,
    /// In the final address space.
    segments: Vec<Segment>,
    /// New blocks, in the order of their addresses.
    new: writer::Runs,
    statistics: Statistics,
}

fn find(
    image: Blocks<'_>,
    parent: Option<Parent<'_>>,
    options: &Options,
    control: &Control,
) -> Result<Found, PackedError> {
    let hash = BlockHash::default();
    let context = Context { hash: &hash, threads: options.threads, control };
    if let Some(parent) = parent
        && let Some(found) = find_with_parent(context, image, parent, options)?
    {
        return Ok(found);
    }
    let (segments, new, mut statistics) = matched(context, image, None)?;
    statistics.repacked = parent.is_some();
    Ok(Found { kept: Vec::new(), generation: 0, segments, new, statistics })
}

/// `None` where everything should be packed anew.
fn find_with_parent(
    context: Context<'_>,
    image: Blocks<'_>,
    parent: Parent<'_>,
    options: &Options,
) -> Result<Option<Found>, PackedError> {
    let map = parent.map;
    let rest = AtRest::of(parent.image, "the parent image")?;
    let blocks = Blocks::open(parent.image, "the parent image")?;
    if blocks.size() != map.image_size() {
        return Err(PackedError::OtherImage {
            role: "parent",
            expected: format!("{} bytes", map.image_size()),
            found: format!("{} bytes", blocks.size()),
        });
    }
    let usable = |block| map.address_of(block).is_some();
    let (segments, new, statistics) = thread::scope(|scope| {
        let verified = scope.spawn(move || output::digest(blocks, parent.image, context.control));
        let mut seen = Used::new(map.addresses());
        let mut wanted = |block| map.address_of(block).is_some_and(|address| seen.mark(address));
        let index = ParentIndex::build(context, blocks, &usable, &mut wanted)?;
        let result = matched(context, image, Some((&index, map)))?;
        let digest = verified.join().map_err(|_| PackedError::Changed)??;
        rest.check()?;
        if digest != *map.image_digest() {
            let expected = map.image_digest().to_string();
            return Err(PackedError::OtherImage { role: "parent", expected, found: digest.to_string() });
        }
        Ok(result)
    })?;
    Ok(keep(map, (segments, new, statistics), options))
}

/// The repack rule, and the parent's packs without those that nothing uses any more.
fn keep(map: &Map, (segments, new, statistics): Matched, options: &Options) -> Option<Found> {
    let total = map.addresses();
    let old: Vec<Segment> = segments.iter().copied().filter(|segment| segment.source < total).collect();
    let used = Used::of(total, &old);
    let (mut kept, mut shifts): (Vec<Pack>, Vec<(u32, u32)>) = (Vec::new(), Vec::new());
    let (mut dropped, mut alive, mut newest) = (0, 0, None);
    for (index, pack) in map.packs().iter().enumerate() {
        let (first, end) = (map.base(index), map.base(index + 1));
        let count = used.count(first, end);
        shifts.push((end, dropped));
        if count == 0 {
            dropped += end - first;
            continue;
        }
        alive += u64::from(count);
        // Numbers stay without gaps, whatever was dropped.
        let generation = match (newest, kept.last()) {
            (Some(before), Some(last)) => last.generation + u32::from(before != pack.generation),
            _ => 0,
        };
        newest = Some(pack.generation);
        kept.push(Pack { generation, ..pack.clone() });
    }
    let generation = kept.last().map_or(0, |pack| pack.generation + 1);
    let blocks = u64::from(total - dropped) + statistics.new;
    let dead = u64::from(total - dropped) - alive;
    let generations = generation + u32::from(!new.is_empty());
    let full = pack_bytes(PACK_BYTES, options, kept.len(), statistics.new).is_err();
    if full || generations > GENERATIONS || dead * 100 > blocks * DEAD_PERCENT {
        return None;
    }
    let mut collector = Collector::default();
    for segment in segments {
        let shift = if segment.source >= total {
            dropped
        } else {
            shifts
                .get(shifts.partition_point(|(end, _)| *end <= segment.source))
                .map_or(0, |(_, shift)| *shift)
        };
        collector.push(segment.target, segment.length, segment.source - shift);
    }
    Some(Found { kept, generation, segments: collector.finish(), new, statistics })
}

type Matched = (Vec<Segment>, writer::Runs, Statistics);

/// Segments whose addresses are the parent's, and behind those the new blocks in order.
fn matched(
    context: Context<'_>,
    image: Blocks<'_>,
    parent: Option<(&ParentIndex<'_>, &Map)>,
) -> Result<Matched, PackedError> {
    let total = parent.map_or(0, |(_, map)| map.addresses());
    let mut builder = Builder::new(total);
    match_blocks(context, image, parent.map(|(index, _)| index), |block, origin| {
        let address = |known| parent.and_then(|(_, map)| map.address_of(known));
        builder.add(block, origin, address)
    })?;
    Ok((builder.segments.finish(), builder.new, builder.statistics))
}

/// Gives addresses to what matching found.
#[derive(Default)]
pub(crate) struct Builder {
    /// Addresses that the parent has.
    total: u32,
    pub(crate) segments: Collector,
    pub(crate) new: writer::Runs,
    /// First address of each run of `new`.
    starts: Vec<u32>,
    pub(crate) statistics: Statistics,
}

impl Builder {
    pub(crate) fn new(total: u32) -> Self {
        Self { total, ..Self::default() }
    }

    pub(crate) fn add(
        &mut self,
        block: u32,
        origin: Origin,
        parent_address: impl FnOnce(u32) -> Option<u32>,
    ) -> Result<(), PackedError> {
        self.statistics.data += 1;
        let address = match origin {
            Origin::Parent(known) => {
                self.statistics.from_parent += 1;
                parent_address(known)
            }
            Origin::Own(earlier) => {
                self.statistics.repeated += 1;
                self.own_address(earlier)
            }
            Origin::New => self.add_new(block),
        };
        let found = u64::from(self.total) + self.statistics.new;
        let limit = u64::from(u32::MAX);
        let address = address.ok_or(PackedError::TooLarge { subject: "the address space", limit, found })?;
        self.segments.push(block, 1, address);
        Ok(())
    }

    fn own_address(&self, block: u32) -> Option<u32> {
        let at = self.new.partition_point(|(first, _)| *first <= block).checked_sub(1)?;
        let (first, _) = self.new.get(at)?;
        self.starts.get(at).map(|start| start + (block - first))
    }

    fn add_new(&mut self, block: u32) -> Option<u32> {
        let address = u32::try_from(u64::from(self.total) + self.statistics.new).ok();
        self.statistics.new += 1;
        match self.new.last_mut() {
            Some((first, length)) if *first + *length == block => *length += 1,
            _ => {
                self.new.push((block, 1));
                self.starts.push(address?);
            }
        }
        address.filter(|address| *address < u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_grow_before_there_are_too_many_and_what_never_fits_is_refused_early() {
        const MIB: u64 = 1024 * 1024;
        let (wanted, gib) = (32 * MIB, 1024 * MIB);
        for (plain, kept, expected) in [
            (0, PACKS, Some(wanted)),
            (4096, PACKS - 1, Some(wanted)),
            (4096, PACKS, None),
            (gib, 0, Some(wanted)),
            (20 * gib, 0, Some(wanted)),
            (20 * gib, 800, None),
            (48 * gib, 0, Some(PACK_BYTES)),
            (60 * gib, 0, None),
        ] {
            let options = Options::default();
            let found = pack_bytes(wanted, &options, kept, plain / BLOCK as u64);
            match expected {
                None => assert!(matches!(found, Err(PackedError::TooMuchData { .. })), "{plain} {kept}"),
                Some(least) => {
                    let found = found.unwrap();
                    assert!(found <= PACK_BYTES && found * 5 >= least * 4, "{plain} {kept}: {found}");
                    let frame = crate::frame::bound(256 * BLOCK) as u64;
                    let packs = plain.div_ceil(found / frame * 256 * BLOCK as u64);
                    assert!(packs + kept as u64 <= PACKS as u64, "{plain} {kept}: {packs} packs");
                }
            }
        }
    }
}
