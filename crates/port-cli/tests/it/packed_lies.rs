//! Packed images whose pieces are consistent and lie: every digest fits, and what they say is wrong. Maps are written here
//! byte by byte, by the format's page and without the crate that reads them.

use port_content::hashing::digest_of;
use port_testkit::registry::Registry;
use serde_json::{Value, json};

use crate::packed::*;
use crate::registry::noise;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BLOCKS: usize = 24;

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let hex = digest_of(bytes).hex().to_owned();
    (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A zstd frame of one uncompressed block (RFC 8878, 3.1.1): single segment, its length in four bytes.
fn frame(plain: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    bytes.extend(u32::try_from(plain.len()).unwrap().to_le_bytes());
    bytes.extend(&u32::try_from(1 | plain.len() << 3).unwrap().to_le_bytes()[..3]);
    bytes.extend(plain);
    bytes
}

/// What a map says of a frame: stored length, blocks, SHA-256.
type Frame = (u64, u64, Vec<u8>);

/// What a map says.
#[derive(Clone)]
struct Said {
    size: u64,
    image: Vec<u8>,
    /// Digest, generation, frames.
    packs: Vec<(Vec<u8>, u64, Vec<Frame>)>,
    /// Skipped, length, difference of addresses (zigzag).
    segments: Vec<[u64; 3]>,
    version: u16,
    flags: u16,
    tail: Vec<u8>,
}

impl Said {
    fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put(&mut body, self.size);
        body.extend(&self.image);
        put(&mut body, self.packs.len() as u64);
        for (digest, generation, frames) in &self.packs {
            body.extend(digest);
            put(&mut body, *generation);
            put(&mut body, frames.len() as u64);
            for (stored, blocks, _) in frames {
                put(&mut body, *stored);
                put(&mut body, *blocks);
            }
            frames.iter().for_each(|(_, _, sha256)| body.extend(sha256));
        }
        self.segments.iter().flatten().for_each(|number| put(&mut body, *number));
        body.extend(&self.tail);
        let stored = frame(&body);
        let mut bytes = b"\x89PMAP\r\n\x1a".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend(u32::try_from(stored.len()).unwrap().to_le_bytes());
        let hashed = [&bytes[..], &stored].concat();
        bytes.extend(sha256(&hashed));
        bytes.extend(stored);
        bytes
    }
}

/// A version whose documents are Port's own, and whose map and pack are written here.
struct Stage {
    registry: Registry,
    content: Vec<u8>,
    pack: Vec<u8>,
    said: Said,
}

impl Stage {
    fn new() -> Self {
        let registry = Registry::start();
        let content = noise(BLOCKS * BLOCK);
        let publisher = project(registry.host());
        place(&publisher, &content);
        report(&publisher, "push", &[]);
        let halves = [&content[..16 * BLOCK], &content[16 * BLOCK..]];
        let frames: Vec<_> = halves
            .iter()
            .map(|plain| (frame(plain).len() as u64, (plain.len() / BLOCK) as u64, sha256(plain)))
            .collect();
        let pack = halves.map(frame).concat();
        let packs = vec![(sha256(&pack), 0, frames)];
        let (size, image) = (content.len() as u64, sha256(&content));
        let segments = vec![[0, BLOCKS as u64, 0]];
        let said = Said { size, image, packs, segments, version: 1, flags: 0, tail: Vec::new() };
        Self { registry, content, pack, said }
    }

    /// Publishes this map and these packs in place of what is there.
    fn publish(&self, map: &[u8], packs: &[&[u8]]) {
        self.publish_as("v1", map, packs);
    }

    fn publish_as(&self, version: &str, map: &[u8], packs: &[&[u8]]) {
        let mut manifest: Value = manifest(&self.registry, version);
        let layer = |word: &str, bytes: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.port.packed.{word}.v1"),
                "digest": self.registry.add_blob(bytes),
                "size": bytes.len(),
            })
        };
        let packs = packs.iter().map(|pack| layer("pack", pack));
        manifest["layers"] = json!([layer("map", map)].into_iter().chain(packs).collect::<Vec<_>>());
        let bytes = serde_json::to_vec(&manifest).unwrap();
        self.registry.add_manifest(REPOSITORY, &tag(version), MANIFEST, &bytes);
    }
}

#[test]
fn a_map_that_another_wrote_by_the_format_is_read() {
    let stage = Stage::new();
    stage.publish(&stage.said.bytes(), &[&stage.pack]);
    let reader = project(stage.registry.host());
    report(&reader, "pull", &[]);
    assert_same(&reader, &stage.content);
    assert_sound(&reader);
}

type Change = fn(&mut Said);

#[test]
fn maps_that_lie_are_refused_and_the_content_can_be_published_again() {
    let other = |said: &mut Said| said.segments = vec![[0, 8, 16], [0, 16, 31]];
    let cases: [(&str, Change, &str); 12] = [
        ("blocks in another order", other, "does not match its digest"),
        ("a block left out", |said| said.segments = vec![[1, 23, 2]], "does not match its digest"),
        ("another image", |said| said.image[0] ^= 1, "it makes"),
        ("another size", |said| said.size -= 1, "it makes"),
        ("another frame", |said| said.packs[0].2[1].2[5] ^= 1, "is damaged"),
        (
            "frames cut elsewhere",
            |said| {
                said.packs[0].2[0].0 -= 1;
                said.packs[0].2[1].0 += 1;
            },
            "is damaged",
        ),
        ("a longer frame", |said| said.packs[0].2[1].1 += 1, "is damaged"),
        (
            "another pack",
            |said| said.packs[0].0[3] ^= 1,
            "needs 1 packs, and the manifest lists 1, or others",
        ),
        (
            "no pack",
            |said| {
                said.packs.clear();
                said.segments.clear();
            },
            "needs 0 packs",
        ),
        ("another version", |said| said.version = 2, "expected version 1, found 2"),
        ("a flag", |said| said.flags = 4, "expected no flags"),
        ("more behind the end", |said| said.tail = vec![9, 9, 9, 9], "not valid"),
    ];
    each(cases, |(name, change, reason)| {
        let stage = Stage::new();
        let host = stage.registry.host();
        let mut said = stage.said.clone();
        change(&mut said);
        stage.publish(&said.bytes(), &[&stage.pack]);
        let reader = project(host);
        let ran = run(&reader, "pull", &[]);
        assert_eq!(ran.code, 1, "{name}\n{ran}");
        assert!(ran.stderr.contains(reason), "{name}: should say `{reason}`\n{ran}");
        assert!(ran.stderr.contains("push"), "{name}: what helps is not said\n{ran}");
        assert!(!reader.exists(IMAGE), "{name}");
        assert_eq!(reader.port(&["store", "verify"]).code, 0, "{name}");
        assert_eq!(reader.port(&["store", "list"]).stdout.matches("root:v1").count(), 0, "{name}");
        // What the hint says helps, also on a machine that never saw the right map.
        let publisher = project(host);
        place(&publisher, &stage.content);
        report(&publisher, "push", &["--parent", "none", "--overwrite"]);
        report(&reader, "pull", &[]);
        assert_same(&reader, &stage.content);
        assert_sound(&reader);
    });
}

#[test]
fn a_lie_that_was_pulled_before_deceives_nobody() {
    // The map is right, and the registry's pack is another image's under its own digest.
    let stage = Stage::new();
    let other = noise(BLOCKS * BLOCK + 1);
    let pack = [frame(&other[..16 * BLOCK]), frame(&other[16 * BLOCK..BLOCKS * BLOCK])].concat();
    stage.publish(&stage.said.bytes(), &[&pack]);
    let reader = project(stage.registry.host());
    let ran = run(&reader, "pull", &[]);
    assert!(ran.code == 1 && ran.stderr.contains("does not fit its manifest"), "{ran}");
    let mut said = stage.said.clone();
    said.packs[0].0 = sha256(&pack);
    stage.publish(&said.bytes(), &[&pack]);
    let ran = run(&reader, "pull", &[]);
    assert!(ran.code == 1 && !reader.exists(IMAGE), "{ran}");
    insta::assert_snapshot!("a_consistent_lie", plain(&stage.registry, ran));
}

#[test]
fn a_map_here_that_lies_about_a_sound_image_is_not_used_twice() {
    let stage = Stage::new();
    let host = stage.registry.host();
    let mut said = stage.said.clone();
    said.segments = vec![[0, 8, 16], [0, 16, 31]];
    stage.publish(&said.bytes(), &[&stage.pack]);
    // Who has the very content takes the published map, which nothing shows to be wrong.
    let reader = project(host);
    place(&reader, &stage.content);
    report(&reader, "push", &["--overwrite"]);
    // The next version has the same blocks in another order.
    let next = [&stage.content[16 * BLOCK..], &stage.content[..16 * BLOCK]].concat();
    let publisher = project(host);
    turn(&publisher, host, "v2", "");
    place(&publisher, &next);
    report(&publisher, "push", &["--parent", "none"]);
    let segments = vec![[0, 8, 32], [0, 16, 47]];
    let honest = Said { image: sha256(&next), segments, ..stage.said.clone() };
    stage.publish_as("v2", &honest.bytes(), &[&stage.pack]);
    turn(&reader, host, "v2", "");
    let (_, ran) = report(&reader, "pull", &[]);
    assert!(ran.stderr.contains("does not match its digest"), "the lie was not met\n{ran}");
    assert_same(&reader, &next);
    assert_sound(&reader);
}
