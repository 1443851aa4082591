//! What has to be fetched for an image, given what lies here. Pure: nothing is read or written.
//!
//! Invariant: every block that is not zero is in exactly one piece: copied from a local image, or taken from a frame.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use port_model::Digest;

use crate::limit::BLOCK;
use crate::map::{Map, Pack};
use crate::segments::Segment;

/// Ranges nearer than this are fetched as one: asking again costs more than the bytes between.
pub(crate) const GAP: u64 = 256 * 1024;
/// A pack is fetched whole when at least this many percent of it are needed.
const WHOLE_PERCENT: u64 = 75;

/// A raw image that lies here, with its map.
#[derive(Debug, Clone)]
pub struct LocalImage {
    /// What it consists of.
    pub map: Arc<Map>,
    /// Its bytes.
    pub image: Arc<File>,
}

/// How a pack is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It lies here, complete.
    Here,
    /// All of it is to be fetched.
    Whole,
    /// Some ranges of it are to be fetched.
    Ranges,
}

/// What is needed of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackPlan {
    /// Its place in the map.
    pub pack: usize,
    /// Its digest.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
    /// How it is to be had.
    pub source: Source,
    /// Which of its frames are decoded, in order.
    pub frames: Vec<u32>,
    /// What is to be fetched, in order, far enough apart; empty where it lies here.
    pub ranges: Vec<Range<u64>>,
}

impl PackPlan {
    /// How many bytes are to be fetched.
    pub fn fetch(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

/// A run of blocks to copy from a local image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// Which local image.
    pub(crate) image: usize,
    /// Its first block there.
    pub(crate) from: u32,
    /// The first block in the target.
    pub(crate) to: u32,
    pub(crate) length: u32,
}

/// How to make an image.
#[derive(Debug)]
pub struct Plan {
    pub(crate) map: Arc<Map>,
    pub(crate) images: Vec<LocalImage>,
    pub(crate) runs: Vec<Run>,
    /// What comes from frames, sorted by address; none crosses a frame.
    pub(crate) pieces: Vec<Segment>,
    /// The packs that are needed, in map order.
    pub packs: Vec<PackPlan>,
    /// Bytes of the image that are not in holes.
    pub wanted: u64,
    /// Of those, plain bytes that local images and packs that lie here give.
    pub found: u64,
    /// Stored bytes to fetch.
    pub fetch: u64,
}

/// Plans. `images` are tried in this order; `have` says which packs lie here complete.
pub fn plan(map: &Arc<Map>, images: Vec<LocalImage>, have: &dyn Fn(&Pack) -> bool) -> Plan {
    let known = known_runs(map, &images);
    let (runs, rest) = divide(map, &known);
    let (pieces, packs) = needed(map, &rest, have);
    let bytes = |blocks: u64| blocks * BLOCK as u64;
    let total: u64 = map.segments().iter().map(|segment| u64::from(segment.length)).sum();
    let copied: u64 = runs.iter().map(|run| u64::from(run.length)).sum();
    let here: u64 = packs
        .iter()
        .filter(|pack| pack.source == Source::Here)
        .map(|pack| {
            let (first, end) = (map.base(pack.pack), map.base(pack.pack + 1));
            between(&pieces, first, end).iter().map(|piece| u64::from(piece.length)).sum::<u64>()
        })
        .sum();
    let fetch = packs.iter().map(PackPlan::fetch).sum();
    let map = Arc::clone(map);
    Plan { map, images, runs, pieces, packs, wanted: bytes(total), found: bytes(copied + here), fetch }
}

impl Plan {
    /// The map of the image.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }
}

/// The pieces whose addresses lie in `first..end`; pieces are sorted and cross no frame.
pub(crate) fn between(pieces: &[Segment], first: u32, end: u32) -> &[Segment] {
    let from = pieces.partition_point(|piece| piece.source < first);
    let to = pieces.partition_point(|piece| piece.source < end);
    pieces.get(from..to).unwrap_or_default()
}

/// Addresses of the map that a local image has, and where.
#[derive(Debug, Clone, Copy)]
struct Known {
    address: u32,
    length: u32,
    image: usize,
    block: u32,
}

/// What local images have of the map's packs: sorted by address, without overlap.
fn known_runs(map: &Map, images: &[LocalImage]) -> Vec<Known> {
    let places: BTreeMap<&Digest, usize> =
        map.packs().iter().enumerate().map(|(index, pack)| (&pack.digest, index)).collect();
    let mut all = Vec::new();
    for (image, local) in images.iter().enumerate() {
        let other = &local.map;
        // Where the packs of the local image are in our address space; equal digests with other frames are a lie.
        let shared: Vec<Option<u32>> = (other.packs().iter())
            .map(|pack| {
                let place = *places.get(&pack.digest)?;
                (map.packs().get(place)?.frames == pack.frames).then(|| map.base(place))
            })
            .collect();
        for segment in other.segments() {
            let mut pack = pack_of(other, segment.source);
            let mut at = segment.source;
            while at < segment.source_end() {
                let end = other.base(pack + 1).min(segment.source_end());
                if let Some(Some(base)) = shared.get(pack) {
                    let address = base + (at - other.base(pack));
                    let block = segment.target + (at - segment.source);
                    all.push(Known { address, length: end - at, image, block });
                }
                (at, pack) = (end, pack + 1);
            }
        }
    }
    all.sort_by_key(|known| (known.address, known.image, known.block));
    let mut end = 0;
    all.retain_mut(|known| {
        let cut = end.max(known.address) - known.address;
        if cut >= known.length {
            return false;
        }
        *known = Known {
            address: known.address + cut,
            block: known.block + cut,
            length: known.length - cut,
            image: known.image,
        };
        end = known.address + known.length;
        true
    });
    all
}

/// The pack that holds an address.
fn pack_of(map: &Map, address: u32) -> usize {
    let (mut low, mut high) = (0, map.packs().len());
    while low < high {
        let middle = low.midpoint(high);
        if map.base(middle + 1) <= address { low = middle + 1 } else { high = middle }
    }
    low
}

/// Divides the image's segments into what is copied and what is not.
fn divide(map: &Map, known: &[Known]) -> (Vec<Run>, Vec<Segment>) {
    let (mut runs, mut rest) = (Vec::new(), Vec::new());
    for segment in map.segments() {
        let mut next = known.partition_point(|known| known.address + known.length <= segment.source);
        let mut at = segment.source;
        while at < segment.source_end() {
            let target = segment.target + (at - segment.source);
            let found = known.get(next).filter(|known| known.address < segment.source_end());
            let start = found.map_or(segment.source_end(), |known| known.address.max(at));
            if start > at {
                rest.push(Segment { target, length: start - at, source: at });
                at = start;
                continue;
            }
            let Some(known) = found else { break };
            let end = (known.address + known.length).min(segment.source_end());
            let from = known.block + (at - known.address);
            runs.push(Run { image: known.image, from, to: target, length: end - at });
            (at, next) = (end, next + 1);
        }
    }
    (runs, rest)
}

/// Cuts what is not copied at the frames' ends, and lists the packs and frames that it takes.
fn needed(map: &Map, rest: &[Segment], have: &dyn Fn(&Pack) -> bool) -> (Vec<Segment>, Vec<PackPlan>) {
    let frames = map.packs().iter().flat_map(|pack| &pack.frames).map(|frame| frame.blocks);
    let pieces = cut_at_frames(rest.iter().copied(), frames, 0);
    let packs = map.packs().iter().enumerate();
    let packs = packs.filter_map(|(index, pack)| pack_plan(map, index, pack, &pieces, have)).collect();
    (pieces, packs)
}

/// Cuts segments at the ends of frames, the first of which begins at address `base`, and sorts them by address.
pub(crate) fn cut_at_frames(
    segments: impl Iterator<Item = Segment>,
    frames: impl Iterator<Item = u32>,
    base: u32,
) -> Vec<Segment> {
    let ends: Vec<u32> = frames
        .scan(base, |end, blocks| {
            *end += blocks;
            Some(*end)
        })
        .collect();
    let mut pieces = Vec::new();
    for segment in segments {
        let mut frame = ends.partition_point(|end| *end <= segment.source);
        let mut at = segment.source;
        while at < segment.source_end() {
            let end = ends.get(frame).map_or(segment.source_end(), |end| segment.source_end().min(*end));
            let target = segment.target + (at - segment.source);
            pieces.push(Segment { target, length: end - at, source: at });
            (at, frame) = (end, frame + 1);
        }
    }
    pieces.sort_unstable_by_key(|piece| (piece.source, piece.target));
    pieces
}

fn pack_plan(
    map: &Map,
    index: usize,
    pack: &Pack,
    pieces: &[Segment],
    have: &dyn Fn(&Pack) -> bool,
) -> Option<PackPlan> {
    let mut address = map.base(index);
    let mut offset = 0;
    let (mut frames, mut ranges): (Vec<u32>, Vec<Range<u64>>) = (Vec::new(), Vec::new());
    for (number, frame) in (0..).zip(&pack.frames) {
        let (end, behind) = (address + frame.blocks, offset + u64::from(frame.stored));
        if !between(pieces, address, end).is_empty() {
            frames.push(number);
            match ranges.last_mut() {
                Some(last) if offset - last.end <= GAP => last.end = behind,
                _ => ranges.push(offset..behind),
            }
        }
        (address, offset) = (end, behind);
    }
    if frames.is_empty() {
        return None;
    }
    let size = offset;
    let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let source = if have(pack) {
        ranges.clear();
        Source::Here
    } else if bytes * 100 >= size * WHOLE_PERCENT {
        ranges = std::iter::once(0..size).collect();
        Source::Whole
    } else {
        Source::Ranges
    };
    Some(PackPlan { pack: index, digest: pack.digest.clone(), size, source, frames, ranges })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Frame;

    /// One pack of two frames, in this order, and an image that is its content.
    fn map(frames: [u32; 2]) -> Arc<Map> {
        let frames = frames.map(|blocks| Frame { stored: 10, blocks, sha256: [blocks as u8; 32] });
        let pack = Pack { digest: Digest::sha256(&[1; 32]), generation: 0, frames: frames.to_vec() };
        let segments = vec![Segment { target: 0, length: 5, source: 0 }];
        Arc::new(Map::new(5 * BLOCK as u64, Digest::sha256(&[2; 32]), vec![pack], segments).unwrap())
    }

    #[test]
    fn a_local_map_that_tells_other_frames_of_a_pack_is_not_believed() {
        let image = Arc::new(tempfile::tempfile().unwrap());
        let planned = |frames| {
            let local = LocalImage { map: map(frames), image: Arc::clone(&image) };
            let plan = plan(&map([2, 3]), vec![local], &|_| false);
            (plan.found, plan.fetch)
        };
        assert_eq!(planned([2, 3]), (5 * BLOCK as u64, 0));
        assert_eq!(planned([3, 2]), (0, 20));
    }
}
