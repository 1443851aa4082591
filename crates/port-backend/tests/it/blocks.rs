//! Only the blocks that changed move between here and a file-system store; and nothing goes wrong where the index does.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use port_backend::{Backend as _, Check, Fetched, FileSystem, Publication};
use port_content::hashing::digest_of;
use port_content::sparse;
use port_model::progress::Silent;
use port_model::{Event, Reference, Reporter};
use port_packed::Control;
use port_packed::block_index::BlockIndex;
use port_testkit::backend_contract::{publication, reference, unlisted, variant};

const BLOCK: usize = 4096;
/// Blocks of the image; every eighth is zero.
const BLOCKS: usize = 400;

struct Shop {
    scratch: tempfile::TempDir,
    backend: FileSystem,
}

impl Shop {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let backend = FileSystem::new(&scratch.path().join("shop"));
        Self { scratch, backend }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn directory(&self, version: &str) -> PathBuf {
        self.at("shop").join(version_of(version).variant_directory(variant()))
    }

    fn image(&self, version: &str) -> PathBuf {
        self.directory(version).join("rootfs.ext4")
    }

    fn index(&self, version: &str) -> PathBuf {
        self.directory(version).join(".rootfs.ext4.blocks")
    }

    fn publication(&self, version: &str, content: &[u8]) -> Publication {
        let publication = publication(self.scratch.path(), &[("rootfs.ext4", content)]);
        sparse_copy(&publication.files[0].path, content);
        Publication { reference: version_of(version), ..publication }
    }

    async fn push(&self, version: &str, content: &[u8]) -> u64 {
        let moved = self.backend.push(&self.publication(version, content), &unlisted, &Silent).await.unwrap();
        assert!(fs::read(self.image(version)).unwrap() == content, "{version} is published as it is");
        moved
    }

    fn seed(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.at(name);
        sparse_copy(&path, content);
        path
    }

    async fn fetch(&self, version: &str, content: &[u8], seeds: &[PathBuf], target: &Path) -> Fetched {
        let reference = version_of(version);
        let found = self.backend.resolve(&reference, variant()).await.unwrap();
        let file = &found.files[0];
        let fetched = self.backend.fetch(&reference, variant(), file, seeds, target, &Silent).await.unwrap();
        assert_eq!(fetched.check, Check::Done);
        assert!(fs::read(target).unwrap() == content, "{fetched:?}");
        let file = File::open(target).unwrap();
        assert!(sparse::data_bytes(&file).unwrap() <= data(content), "holes stay holes");
        self.backend.forget(target).unwrap();
        for left in [".next", ".previous"] {
            assert!(!fs::exists(format!("{}{left}", target.display())).unwrap(), "{left} is gone");
        }
        fetched
    }
}

fn version_of(version: &str) -> Reference {
    Reference::new(reference().registry(), reference().repository(), version).unwrap()
}

fn sparse_copy(path: &Path, content: &[u8]) {
    let file = File::create(path).unwrap();
    file.set_len(content.len() as u64).unwrap();
    for (at, block) in content.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|b| *b != 0)) {
        file.write_all_at(block, (at * BLOCK) as u64).unwrap();
    }
}

/// Blocks with one seed each; an image whose last block is cut short.
fn content(seeds: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for seed in seeds {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.extend(
            std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            })
            .take(BLOCK),
        );
    }
    bytes.truncate(bytes.len() - 100);
    bytes
}

fn seeds() -> Vec<u64> {
    (0..BLOCKS as u64).map(|n| if n % 8 == 0 { 0 } else { n + 1 }).collect()
}

fn one() -> Vec<u8> {
    static ONE: LazyLock<Vec<u8>> = LazyLock::new(|| content(seeds()));
    ONE.clone()
}

/// Three blocks changed, and all behind the middle moved by one.
fn two() -> Vec<u8> {
    static TWO: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut seeds = seeds();
        seeds[1] = 5000;
        seeds[100] = 5001;
        seeds.insert(301, 5002);
        content(seeds)
    });
    TWO.clone()
}

/// What of [`two`] is not in [`one`]: the last block is cut short in both, and the same.
const CHANGED: u64 = 3 * BLOCK as u64;

fn data(content: &[u8]) -> u64 {
    content
        .chunks(BLOCK)
        .filter(|block| block.iter().any(|byte| *byte != 0))
        .map(|block| block.len() as u64)
        .sum()
}

fn forged(content: &[u8], digest_of_what: &[u8]) -> Vec<u8> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(content, 0).unwrap();
    let digest = digest_of(digest_of_what);
    BlockIndex::of(&file, Some(&digest), 1, &Control::default()).unwrap().unwrap().encode().unwrap()
}

#[tokio::test]
async fn an_index_lies_beside_large_files_and_is_not_listed() {
    let shop = Shop::new();
    assert_eq!(shop.push("v1", &one()).await, data(&one()), "holes are not moved");
    assert!(fs::read(shop.index("v1")).unwrap() == forged(&one(), &one()), "the index is that of the image");
    let found = shop.backend.resolve(&version_of("v1"), variant()).await.unwrap();
    assert_eq!(found.files.len(), 1, "{found:?}");
    shop.push("v2", &one()[..1 << 20]).await;
    assert!(shop.index("v2").exists());
    shop.push("v2", &one()[..(1 << 20) - 1]).await;
    assert!(!shop.index("v2").exists(), "a small file has none, and that of the older publication is gone");
}

#[tokio::test]
async fn a_fetch_reads_only_the_blocks_that_no_seed_has() {
    let shop = Shop::new();
    shop.push("v2", &two()).await;
    // Whatever else is read of the published file is wrong.
    let changed: Vec<Vec<u8>> = two().chunks(BLOCK).map(<[u8]>::to_vec).collect();
    let one_blocks: Vec<Vec<u8>> = one().chunks(BLOCK).map(<[u8]>::to_vec).collect();
    let published = File::options().write(true).open(shop.image("v2")).unwrap();
    for (at, block) in changed.iter().enumerate().filter(|(_, block)| one_blocks.contains(block)) {
        published.write_all_at(&vec![0xee; block.len()], (at * BLOCK) as u64).unwrap();
    }
    let seeds = [shop.at("absent"), shop.seed("seed", &one())];
    let fetched = shop.fetch("v2", &two(), &seeds, &shop.at("target")).await;
    let index = fs::metadata(shop.index("v2")).unwrap().len();
    assert_eq!(fetched.found, data(&two()) - CHANGED);
    assert_eq!(fetched.moved, CHANGED + index, "the index is read, too");
}

/// Keeps what it is told.
#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Reporter for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test]
async fn progress_says_what_is_wanted_found_and_fetched() {
    let shop = Shop::new();
    shop.push("v2", &two()).await;
    let reference = version_of("v2");
    let found = shop.backend.resolve(&reference, variant()).await.unwrap();
    let (heard, seeds, target) = (Heard::default(), [shop.seed("seed", &one())], shop.at("target"));
    let fetch = shop.backend.fetch(&reference, variant(), &found.files[0], &seeds, &target, &heard);
    fetch.await.unwrap();
    let events = heard.0.into_inner().unwrap();
    let task = "assemble rootfs.ext4".to_owned();
    let transfers = vec!["fetch rootfs.ext4".to_owned()];
    let (wanted, found) = (data(&two()), data(&two()) - CHANGED);
    let advanced = |name: &str| {
        let of = |event: &Event| match event {
            Event::Advanced { task, bytes } if task == name => *bytes,
            _ => 0,
        };
        events.iter().map(of).sum::<u64>()
    };
    assert_eq!((advanced(&task), advanced(&transfers[0])), (wanted, CHANGED), "{events:?}");
    let planned = Event::Planned { task: task.clone(), wanted, found, fetch: CHANGED, transfers };
    assert_eq!(events.first(), Some(&planned));
    assert_eq!(events.last(), Some(&Event::Finished { task }));
}

#[tokio::test]
async fn a_fetch_without_seeds_or_index_copies_the_whole() {
    let shop = Shop::new();
    shop.push("v1", &one()).await;
    let whole = Fetched { check: Check::Done, moved: data(&one()), found: 0 };
    assert_eq!(shop.fetch("v1", &one(), &[], &shop.at("target")).await, whole);
    fs::remove_file(shop.index("v1")).unwrap();
    let seeds = [shop.seed("seed", &one())];
    assert_eq!(shop.fetch("v1", &one(), &seeds, &shop.at("other")).await, whole);
}

#[tokio::test]
async fn an_index_that_is_damaged_or_lies_costs_only_time() {
    let shop = Shop::new();
    shop.push("v2", &two()).await;
    let seeds = [shop.seed("seed", &one())];
    let good = fs::read(shop.index("v2")).unwrap();
    let mut flipped = good.clone();
    flipped[5000] ^= 1;
    // The size is right in all of these, and so is the sum of the forged ones.
    let mut longer = one();
    longer.resize(two().len(), 9);
    for (what, index, wasted) in [
        ("flipped", flipped, false),
        ("cut", good[..good.len() / 2].to_vec(), false),
        ("empty", Vec::new(), false),
        ("of another image", forged(&longer, &longer), false),
        ("of this image that claims to be another", forged(&two(), &longer), false),
        ("of another image that claims to be this", forged(&longer, &two()), true),
        ("all zeros", forged(&vec![0; two().len()], &two()), false),
    ] {
        fs::write(shop.index("v2"), index).unwrap();
        let fetched = shop.fetch("v2", &two(), &seeds, &shop.at("target")).await;
        assert_eq!(fetched.found, 0, "{what}");
        assert!(fetched.moved >= data(&two()), "{what}: {fetched:?}");
        assert!(wasted || fetched.moved <= data(&two()) + good.len() as u64, "{what}: {fetched:?}");
        fs::remove_file(shop.at("target")).unwrap();
    }
    // A link leads to what nobody published, and a giant is not read.
    fs::remove_file(shop.index("v2")).unwrap();
    fs::write(shop.at("elsewhere"), &good).unwrap();
    std::os::unix::fs::symlink(shop.at("elsewhere"), shop.index("v2")).unwrap();
    assert_eq!(shop.fetch("v2", &two(), &seeds, &shop.at("target")).await.found, 0);
    fs::remove_file(shop.index("v2")).unwrap();
    File::create(shop.index("v2")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(shop.fetch("v2", &two(), &seeds, &shop.at("target2")).await.found, 0);
}

#[tokio::test]
async fn a_file_that_another_tool_replaced_is_not_taken_for_the_one_that_was() {
    let shop = Shop::new();
    shop.push("v1", &one()).await;
    fs::write(shop.image("v1"), two()).unwrap();
    let (directory, seeds) = (shop.directory("v1"), [shop.seed("seed", &one())]);
    for side_car in ["there", "gone"] {
        if side_car == "gone" {
            fs::remove_file(directory.join("rootfs.ext4.sha256")).unwrap();
        }
        let found = shop.backend.resolve(&version_of("v1"), variant()).await.unwrap();
        let target = shop.at("target");
        let reference = version_of("v1");
        let fetch = shop.backend.fetch(&reference, variant(), &found.files[0], &seeds, &target, &Silent);
        assert_eq!(fetch.await.unwrap().check, Check::Callers, "the caller finds out");
        assert!(fs::read(&target).unwrap() == two());
    }
}

#[tokio::test]
async fn what_a_killed_fetch_left_is_not_fetched_again() {
    let shop = Shop::new();
    shop.push("v1", &one()).await;
    let target = shop.at("target");
    let half = &one()[..BLOCKS / 2 * BLOCK];
    for left in [".next", ".previous"] {
        sparse_copy(Path::new(&format!("{}{left}", target.display())), half);
        let fetched = shop.fetch("v1", &one(), &[], &target).await;
        assert_eq!(fetched.found, data(half), "{left}");
        fs::remove_file(&target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_fetch_one_file_to_one_place() {
    let shop = Arc::new(Shop::new());
    shop.push("v2", &two()).await;
    let seed = shop.seed("seed", &one());
    let mut running = Vec::new();
    for _ in 0..8 {
        let (shop, seeds) = (Arc::clone(&shop), [seed.clone()]);
        running.push(tokio::spawn(async move {
            let found = shop.backend.resolve(&version_of("v2"), variant()).await.unwrap();
            let target = shop.at("target");
            let reference = version_of("v2");
            let fetch = shop.backend.fetch(&reference, variant(), &found.files[0], &seeds, &target, &Silent);
            assert_eq!(fetch.await.unwrap().check, Check::Done);
            assert!(fs::read(&target).unwrap() == two());
        }));
    }
    for one in running {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_push_takes_over_what_a_published_version_has() {
    let shop = Shop::new();
    shop.push("v1", &one()).await;
    assert_eq!(shop.push("v2", &two()).await, CHANGED);
    assert_eq!(shop.push("v2", &two()).await, 0, "the same again");
    assert_eq!(shop.push("v2", &one()).await, 0, "back to what another version has");
    let file = File::open(shop.image("v2")).unwrap();
    assert!(sparse::data_bytes(&file).unwrap() <= data(&one()), "holes stay holes");
    assert!(fs::read(shop.index("v2")).unwrap() == forged(&one(), &one()));
    let other = content((0..BLOCKS as u64).map(|n| n + 9000));
    assert_eq!(shop.push("v3", &other).await, data(&other), "nothing in common");
}

#[tokio::test]
async fn a_predecessor_that_is_not_what_its_index_says_is_not_used() {
    let shop = Shop::new();
    shop.push("v1", &one()).await;
    let damaged = File::options().write(true).open(shop.image("v1")).unwrap();
    damaged.write_all_at(b"rot", 201 * BLOCK as u64 + 9).unwrap();
    assert_eq!(shop.push("v2", &two()).await, data(&two()));
    // As one whose length changed, and one that cannot be read as a file.
    damaged.set_len(5000).unwrap();
    fs::remove_dir_all(shop.directory("v2")).unwrap();
    assert_eq!(shop.push("v2", &two()).await, data(&two()));
    fs::remove_file(shop.image("v1")).unwrap();
    fs::create_dir(shop.image("v1")).unwrap();
    fs::remove_dir_all(shop.directory("v2")).unwrap();
    assert_eq!(shop.push("v2", &two()).await, data(&two()));
}

#[tokio::test]
async fn a_source_that_changed_is_still_refused() {
    let shop = Shop::new();
    shop.push("v1", &one()).await;
    let publication = shop.publication("v2", &two());
    let source = File::options().write(true).open(&publication.files[0].path).unwrap();
    source.write_all_at(b"late", 9000).unwrap();
    let error = shop.backend.push(&publication, &unlisted, &Silent).await.unwrap_err();
    assert_eq!(error.kind, port_backend::ErrorKind::Corrupt, "{error}");
    assert!(!shop.image("v2").exists());
}
