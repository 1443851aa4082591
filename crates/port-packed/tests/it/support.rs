//! Images from short descriptions, packs kept in memory, and assembling from them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use port_content::sparse;
use port_packed::{
    Assembler, Control, Image, LocalImage, Map, Options, Pack, PackSink, Packed, PackedError, Parent, Plan,
    Source, pack, plan,
};
use proptest::prelude::*;

pub(crate) const BLOCK: usize = 4096;

/// Packs by their place, as a registry would hold them.
#[derive(Default, Clone)]
pub(crate) struct Packs {
    open: Vec<u8>,
    pub(crate) done: Vec<(Pack, Vec<u8>)>,
}

impl PackSink for Packs {
    fn begin(&mut self) -> io::Result<()> {
        assert!(self.open.is_empty(), "the pack before was finished");
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(&mut self, pack: &Pack) -> io::Result<()> {
        assert_eq!(pack.size(), self.open.len() as u64);
        assert_eq!(pack.digest, port_content::hashing::digest_of(&self.open));
        self.done.push((pack.clone(), std::mem::take(&mut self.open)));
        Ok(())
    }
}

impl Packs {
    pub(crate) fn get(&self, pack: &Pack) -> &[u8] {
        let found = self.done.iter().find(|(known, _)| known.digest == pack.digest);
        &found.unwrap_or_else(|| panic!("pack {} was never made", pack.digest)).1
    }
}

/// A file with holes where `bytes` has zero blocks.
pub(crate) fn image(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (at, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, (at * BLOCK) as u64).unwrap();
        }
    }
    file
}

pub(crate) fn scratch(bytes: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

pub(crate) fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Small frames and packs of one frame's worth and more, so that small images have many.
pub(crate) fn options(threads: usize) -> Options {
    Options { level: 1, update_level: 1, frame_blocks: 4, threads, ..Options::default() }
}

pub(crate) fn pack_alone(bytes: &[u8], packs: &mut Packs) -> Packed {
    let file = image(bytes);
    pack(Image { file: &file, digest: None }, None, &options(2), &Control::default(), packs).unwrap()
}

pub(crate) fn pack_against(
    bytes: &[u8],
    parent: (&Map, &File),
    options: &Options,
    packs: &mut Packs,
) -> Result<Packed, PackedError> {
    let file = image(bytes);
    let parent = Parent { map: parent.0, image: parent.1 };
    pack(Image { file: &file, digest: None }, Some(parent), options, &Control::default(), packs)
}

pub(crate) fn local(map: &Map, image: &File) -> LocalImage {
    LocalImage { map: Arc::new(map.clone()), image: Arc::new(image.try_clone().unwrap()) }
}

/// What a client would have on disk after fetching: the planned ranges in their places, garbage elsewhere.
pub(crate) fn fetched(plan: &Plan, pack: usize, bytes: &[u8]) -> File {
    let planned = plan.packs.iter().find(|planned| planned.pack == pack).unwrap();
    if planned.source == Source::Here {
        return scratch(bytes);
    }
    let mut partial = vec![0xaa; bytes.len()];
    for range in &planned.ranges {
        let range = range.start as usize..range.end as usize;
        partial[range.clone()].copy_from_slice(&bytes[range]);
    }
    scratch(&partial)
}

/// Makes the image of `map` from packs and local images.
pub(crate) fn assemble(
    map: &Map,
    packs: &Packs,
    images: Vec<LocalImage>,
    have: &dyn Fn(&Pack) -> bool,
) -> Result<(Vec<u8>, File, Arc<Plan>), PackedError> {
    let plan = Arc::new(plan(&Arc::new(map.clone()), images, have));
    let target = tempfile::tempfile().unwrap();
    let assembler = Assembler::new(Arc::clone(&plan), &target, 2, &Control::default())?;
    // Packs come in any order; the last first is the hardest for what follows behind.
    for planned in plan.packs.iter().rev() {
        let pack = &map.packs()[planned.pack];
        let file = fetched(&plan, planned.pack, packs.get(pack));
        assembler.add_pack(planned.pack, &file)?;
    }
    assembler.copy_local()?;
    assembler.finish()?;
    Ok((content(&target), target, plan))
}

/// How many bytes of a file may hold data.
pub(crate) fn data_bytes(file: &File) -> u64 {
    let length = file.metadata().unwrap().len();
    let (mut position, mut data) = (0, 0);
    while let Some((start, end)) = sparse::next_data(file, position, length).unwrap() {
        data += end - start;
        position = end;
    }
    data
}

/// One block's content: nothing, one of a few that come again, or one that does not compress.
pub(crate) fn block(seed: u16) -> Vec<u8> {
    match seed {
        0..=199 => vec![0; BLOCK],
        200..=399 => vec![(seed % 7) as u8 + 1; BLOCK],
        _ => {
            let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            };
            std::iter::repeat_with(next).take(BLOCK).collect()
        }
    }
}

pub(crate) fn bytes_of(seeds: &[u16], tail: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = seeds.iter().flat_map(|seed| block(*seed)).collect();
    bytes.truncate(bytes.len().saturating_sub(tail));
    bytes
}

/// Block seeds and how many bytes the last block lacks.
pub(crate) fn any_image() -> impl Strategy<Value = (Vec<u16>, usize)> {
    let seeds = prop_oneof![
        4 => proptest::collection::vec(0..600_u16, 0..60),
        1 => proptest::collection::vec(0..200_u16, 0..60),
        1 => proptest::collection::vec(400..2000_u16, 0..60),
    ];
    let tail = prop_oneof![2 => Just(0), 1 => 0..BLOCK, 1 => Just(BLOCK - 1)];
    (seeds, tail)
}

/// A version behind `seeds`: blocks changed, put in, taken out, moved.
pub(crate) fn edited(seeds: &[u16], edits: &[(u8, u16, u16)]) -> Vec<u16> {
    let mut seeds = seeds.to_vec();
    for &(kind, place, value) in edits {
        let at = if seeds.is_empty() { 0 } else { usize::from(place) % seeds.len() };
        match kind % 4 {
            0 if !seeds.is_empty() => seeds[at] = value,
            1 => seeds.insert(at, value),
            2 if !seeds.is_empty() => drop(seeds.remove(at)),
            3 => seeds.rotate_left(at),
            _ => {}
        }
    }
    seeds
}
