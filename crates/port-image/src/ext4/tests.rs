//! The judges are `e2fsck -fn` and `debugfs`, which share no code with the writer.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use port_content::fs;
use proptest::prelude::*;

use super::*;
use crate::tool::Tool;
use crate::tree::{Attributes, Entry, Kind, TreePath};

const E2FSCK: Tool = Tool::new("e2fsck", "e2fsprogs");
const DEBUGFS: Tool = Tool::new("debugfs", "e2fsprogs");
const MIB: u64 = 1 << 20;

struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn image(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, tree: &Tree, options: &Ext4Options) -> (PathBuf, Ext4Stats) {
        let path = self.image("image.ext4");
        let stats = write(tree, options, &fs::create_scratch(&path).unwrap()).unwrap();
        assert_clean(&path);
        (path, stats)
    }
}

/// Says why and returns false where the judges are absent.
fn have_judges() -> bool {
    let present = E2FSCK.version(&["-V"]).is_ok() && DEBUGFS.version(&["-V"]).is_ok();
    if !present {
        println!("skipped: e2fsck and debugfs (package e2fsprogs) are not installed");
    }
    present
}

fn assert_clean(image: &Path) {
    let output = E2FSCK.command().arg("-fn").arg(image).accept_any_status().run().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", output.words());
}

fn debugfs(image: &Path, request: &str) -> Vec<u8> {
    DEBUGFS.command().arg("-R").arg(request).arg(image).env("DEBUGFS_PAGER", "__none__").run().unwrap().stdout
}

fn debugfs_text(image: &Path, request: &str) -> String {
    String::from_utf8(debugfs(image, request)).unwrap()
}

fn options(size: u64) -> Ext4Options {
    Ext4Options::new(ImageSize::Bytes(size), "test")
}

fn file() -> Attributes {
    Attributes::new(0o644)
}

/// Bytes that are zero nowhere and differ from block to block.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) | 0x0101_0101
    });
    words.take(length / 4 + 1).flat_map(|word| (word as u32).to_le_bytes()).take(length).collect()
}

/// One of everything.
fn everything() -> Tree {
    let mut tree = Tree::new();
    tree.add_file("/init", "#!/bin/sh\n", Attributes::new(0o755).mtime(1_700_000_000)).unwrap();
    tree.add_file("/etc/empty", "", file().owner(100_000, 200_000)).unwrap();
    tree.add_file("/etc/large", noise(3_000_000, 7), Attributes::new(0o4711)).unwrap();
    tree.add_file("/etc/old", "x", file().mtime(-5)).unwrap();
    tree.add_file("/etc/late", "x", file().mtime(5_000_000_000)).unwrap();
    tree.add_symlink("/bin", "usr/bin").unwrap();
    tree.add_symlink("/long", "l".repeat(300)).unwrap();
    tree.add_symlink("/edge59", "f".repeat(59)).unwrap();
    tree.add_symlink("/edge60", "s".repeat(60)).unwrap();
    tree.add_device("/dev/null", Kind::CharDevice { major: 1, minor: 3 }, Attributes::new(0o666)).unwrap();
    tree.add_device("/dev/vdz", Kind::BlockDevice { major: 259, minor: 70_000 }, Attributes::new(0o660))
        .unwrap();
    tree.add_device("/run/pipe", Kind::Fifo, Attributes::new(0o600)).unwrap();
    let small = file().xattr("user.a", "1").xattr("security.capability", noise(20, 1));
    tree.add_file("/xattr/inline", "x", small).unwrap();
    let large = file().xattr("user.b", noise(2000, 2)).xattr("user.a", "").xattr("security.selinux", "label");
    tree.add_file("/xattr/block", "x", large).unwrap();
    let link = Attributes::new(0o777).xattr("security.selinux", noise(200, 3));
    tree.add("/xattr/link", Entry { attributes: link, kind: Kind::Symlink(b"inline".to_vec()) }).unwrap();
    tree
}

#[test]
fn p_74_one_of_everything_is_clean_and_reads_back() {
    if !have_judges() {
        return;
    }
    for checksums in [Checksums::None, Checksums::Crc32c] {
        let scratch = Scratch::new();
        let (image, stats) = scratch.write(&everything(), &Ext4Options { checksums, ..options(64 * MIB) });
        assert_eq!(stats.size, 64 * MIB);
        assert_eq!(debugfs(&image, "cat /init"), b"#!/bin/sh\n");
        assert_eq!(debugfs(&image, "cat /etc/large"), noise(3_000_000, 7));
        let expectations = [
            ("stat /init", "Mode:  0755"),
            ("stat /init", "mtime: 0x6553f100"),
            ("stat /etc/empty", "User: 100000   Group: 200000"),
            ("stat /etc/large", "Mode:  04711"),
            ("stat /bin", "Fast link dest: \"usr/bin\""),
            ("stat /edge59", "Fast link dest"),
            ("stat /edge60", "EXTENTS"),
            ("stat /dev/null", "Device major/minor number: 01:03"),
            ("stat /dev/vdz", "Device major/minor number: 259:70000"),
            ("stat /run/pipe", "Type: FIFO"),
            ("stat /lost+found", "Inode: 11"),
            ("ea_get /xattr/inline user.a", "user.a (1) = \"1\""),
            ("ea_get /xattr/block security.selinux", "= \"label\""),
            ("ea_list /xattr/block", "user.b (2000)"),
            ("ea_list /xattr/link", "security.selinux (200)"),
        ];
        for (request, expected) in expectations {
            let text = debugfs_text(&image, request);
            assert!(text.contains(expected), "{request}: {text}");
        }
    }
}

#[test]
fn a_second_run_gives_the_same_bytes_into_a_used_file_too() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.image("one"), scratch.image("two"));
    port_content::atomic::write(&two, &noise(5_000_000, 9)).unwrap();
    for path in [&one, &two] {
        let image = fs::open_writable(path).unwrap();
        write(&everything(), &options(16 * MIB), &image).unwrap();
    }
    assert_eq!(fs::read(&one, 64 * MIB).unwrap(), fs::read(&two, 64 * MIB).unwrap());
}

#[test]
fn thousands_of_entries_fill_many_blocks() {
    if !have_judges() {
        return;
    }
    for checksums in [Checksums::None, Checksums::Crc32c] {
        let mut tree = Tree::new();
        for number in 0..3000 {
            let path = format!("/many/{number}-{}", "n".repeat(number % 240));
            tree.add_file(path, format!("{number}"), file()).unwrap();
        }
        for number in 0..200 {
            tree.add_directory(format!("/directories/{number}"), Attributes::new(0o755)).unwrap();
        }
        let scratch = Scratch::new();
        let size = ImageSize::Minimal { free_percent: 0 };
        let (image, stats) = scratch.write(&tree, &Ext4Options { size, checksums, ..options(0) });
        assert!(stats.used_inodes > 3200 && stats.inodes > stats.used_inodes);
        assert_eq!(debugfs(&image, "cat /many/240-"), b"240");
        assert!(debugfs_text(&image, "stat /directories").contains("Links: 202"));
    }
}

#[test]
fn holes_stay_holes_and_many_extents_make_a_tree() {
    if !have_judges() {
        return;
    }
    for checksums in [Checksums::None, Checksums::Crc32c] {
        let scratch = Scratch::new();
        // Every other block holds data: 2000 extents, which need two levels of extent blocks.
        let host = scratch.image("source");
        let mut content = vec![0; 4096 * 4000];
        for block in content.chunks_mut(8192) {
            block[5000] = 1;
        }
        port_content::atomic::write(&host, &content).unwrap();
        let mut tree = Tree::new();
        tree.add_host_file("/sparse", &host, file()).unwrap();
        tree.add_file("/hole", vec![0; 1_000_001], file()).unwrap();
        let (image, stats) = scratch.write(&tree, &Ext4Options { checksums, ..options(32 * MIB) });
        assert!(debugfs(&image, "cat /sparse") == content);
        assert_eq!(debugfs(&image, "cat /hole"), vec![0; 1_000_001]);
        assert!(stats.written_bytes < 9 * MIB, "{stats:?}");
        assert!(debugfs_text(&image, "stat /sparse").contains("(ETB1)"));
        assert!(debugfs_text(&image, "stat /hole").contains("Blockcount: 0"));
    }
}

#[test]
fn a_file_larger_than_a_group_spans_groups_of_a_sparse_gigabyte() {
    if !have_judges() {
        return;
    }
    let scratch = Scratch::new();
    let host = scratch.image("source");
    let source = fs::create_scratch(&host).unwrap();
    // 600 MiB with data at the ends of every 64 MiB; the holes cost neither time nor space.
    source.set_len(600 * MIB).unwrap();
    for offset in (0..600 * MIB).step_by(64 << 20) {
        std::os::unix::fs::FileExt::write_all_at(&source, &noise(8192, offset), offset).unwrap();
    }
    let mut solid = vec![0; 140 << 20];
    for (number, block) in (1_u64..).zip(solid.chunks_mut(4096)) {
        block[..8].copy_from_slice(&number.to_le_bytes());
    }
    let mut tree = Tree::new();
    tree.add_host_file("/sparse", &host, file()).unwrap();
    tree.add_file("/solid", solid.clone(), file()).unwrap();
    let (image, stats) = scratch.write(&tree, &options(1024 * MIB));
    let metadata = fs::metadata(&image).unwrap();
    assert_eq!(metadata.len(), 1024 * MIB);
    assert!(metadata.blocks() * 512 < 145 * MIB, "{stats:?}");
    assert!(debugfs_text(&image, "stat /sparse").contains("Size: 629145600"));
    let read =
        DEBUGFS.command().args(["-R", "cat /solid"]).arg(&image).stdout_limit(200 * MIB).run().unwrap();
    assert!(read.stdout == solid);
}

#[test]
fn sizes_from_smallest_to_sixteen_gigabytes_are_clean() {
    if !have_judges() {
        return;
    }
    let mut tree = Tree::new();
    tree.add_file("/a", noise(10_000, 1), file()).unwrap();
    // Odd sizes leave a short last group, or one too short to be used.
    let sizes =
        [MIB, 8 * MIB, 128 * MIB, 128 * MIB + 4096, 129 * MIB, 300 * MIB, 3000 * MIB, 16 * 1024 * MIB];
    for size in sizes {
        for checksums in [Checksums::None, Checksums::Crc32c] {
            let (image, stats) =
                Scratch::new().write_and_keep(&tree, &Ext4Options { checksums, ..options(size) });
            assert_eq!(stats.size, size);
            assert!(stats.written_bytes < 64 * 1024 + size / 2000, "{size}: {stats:?}");
            drop(image);
        }
    }
}

impl Scratch {
    fn write_and_keep(self, tree: &Tree, options: &Ext4Options) -> (Self, Ext4Stats) {
        let (_, stats) = self.write(tree, options);
        (self, stats)
    }
}

#[test]
fn inode_counts_follow_the_wish() {
    if !have_judges() {
        return;
    }
    let wishes = [(InodeCount::AtLeast(60_000), 60_000), (InodeCount::BytesPerInode(4096), 65_536)];
    for (inodes, expected) in wishes {
        let scratch = Scratch::new();
        let (_, stats) = scratch.write(&everything(), &Ext4Options { inodes, ..options(256 * MIB) });
        assert!(stats.inodes >= expected && stats.inodes < expected + 64, "{stats:?}");
    }
}

#[test]
fn what_does_not_fit_says_how_much_is_needed() {
    if !have_judges() {
        return;
    }
    let mut tree = Tree::new();
    tree.add_file("/big", noise(5_000_000, 1), file()).unwrap();
    let scratch = Scratch::new();
    let image = fs::create_scratch(&scratch.image("small")).unwrap();
    let error = write(&tree, &options(2 * MIB), &image).unwrap_err();
    let ImageError::DoesNotFit { needed, available } = error else { panic!("{error}") };
    assert_eq!(available, 2 * MIB);
    let minimal = Ext4Options { size: ImageSize::Minimal { free_percent: 0 }, ..options(0) };
    assert_eq!(minimal_size(&tree, &minimal, 0).unwrap(), needed);
    assert_eq!(scratch.write(&tree, &options(needed)).1.size, needed);
    assert!(write(&tree, &options(needed - MIB), &image).is_err());
    let roomy = Ext4Options { size: ImageSize::Minimal { free_percent: 50 }, ..options(0) };
    assert!(scratch.write(&tree, &roomy).1.free_bytes >= 2_500_000);
}

#[test]
fn impossible_options_and_entries_are_refused() {
    let scratch = Scratch::new();
    let image = fs::create_scratch(&scratch.image("x")).unwrap();
    let bad = [
        Ext4Options { inodes: InodeCount::BytesPerInode(4095), ..options(MIB) },
        options(0),
        options(5000),
        options(SIZE_LIMIT + BLOCK),
        Ext4Options { label: "seventeen letters".into(), ..options(MIB) },
    ];
    for options in bad {
        let error = write(&Tree::new(), &options, &image).unwrap_err();
        assert!(matches!(error, ImageError::Option { .. }), "{error}");
    }
    let entries = [
        file().mtime(1 << 34),
        file().mtime(i64::from(i32::MIN) - 1),
        file().xattr("system.posix_acl_access", "x"),
        file().xattr("user.large", vec![1; 5000]),
    ];
    for attributes in entries {
        let mut tree = Tree::new();
        tree.add_file("/x", "x", attributes).unwrap();
        let error = write(&tree, &options(MIB), &image).unwrap_err();
        assert!(matches!(error, ImageError::NotRepresentable { .. }), "{error}");
    }
    let mut tree = Tree::new();
    tree.add_file("/lost+found", "x", file()).unwrap();
    assert!(matches!(write(&tree, &options(MIB), &image), Err(ImageError::NotADirectory { .. })));
}

#[test]
fn a_source_that_changed_since_the_tree_was_made_is_refused() {
    let scratch = Scratch::new();
    let host = scratch.image("source");
    port_content::atomic::write(&host, b"one").unwrap();
    let mut tree = Tree::new();
    tree.add_host_file("/x", &host, file()).unwrap();
    port_content::atomic::write(&host, b"three").unwrap();
    let image = fs::create_scratch(&scratch.image("x")).unwrap();
    let error = write(&tree, &options(MIB), &image).unwrap_err();
    assert!(error.to_string().ends_with("expected 3 bytes, found 5 bytes"), "{error}");
}

#[test]
fn a_changed_file_disturbs_few_other_blocks() {
    let scratch = Scratch::new();
    let blocks = |changed: usize| {
        let mut tree = everything();
        for number in 0..200_usize {
            let length = 10_000 + number * 10 + if number == 20 { changed } else { 0 };
            tree.add_file(format!("/lib/{number:03}"), noise(length, number as u64), file()).unwrap();
        }
        let path = scratch.image("image");
        write(&tree, &options(64 * MIB), &fs::create_scratch(&path).unwrap()).unwrap();
        fs::read(&path, 64 * MIB).unwrap()
    };
    let (old, new) = (blocks(0), blocks(50_000));
    let known: std::collections::HashSet<&[u8]> = old.chunks(4096).collect();
    let fresh = new.chunks(4096).filter(|block| !known.contains(block)).count();
    // 16 blocks of the file itself, 15 inode table blocks, one bitmap, descriptors, superblock.
    assert!((16..40).contains(&fresh), "{fresh} new blocks");
}

/// A random tree: paths from few letters, so that they nest and collide, some of which sort below `/`.
fn entries() -> impl Strategy<Value = Vec<(String, u8, Vec<u8>)>> {
    let path = "(/[ab.-]{1,3}){1,4}";
    proptest::collection::vec((path, any::<u8>(), proptest::collection::vec(any::<u8>(), 0..9000)), 0..25)
}

fn random_tree(entries: Vec<(String, u8, Vec<u8>)>) -> Tree {
    let mut tree = Tree::new();
    for (path, kind, bytes) in entries {
        let attributes = file().owner(bytes.len() as u32 * 17, 0).mtime(bytes.len() as i64);
        let target: String = bytes.iter().take(100).map(|byte| char::from(b'a' + byte % 26)).collect();
        // Collisions are refused by the tree; what remains is what is tested.
        let _ = match kind % 5 {
            0 | 1 => tree.add_file(path, bytes, attributes),
            2 => tree.add_directory(path, Attributes::new(0o755)),
            3 => tree.add_symlink(path, target),
            _ => tree.add_file(path, "x", attributes.xattr("user.random", bytes)),
        };
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn random_trees_are_clean_and_read_back(entries in entries(), csum in any::<bool>(), large in any::<bool>()) {
        if !have_judges() {
            return Ok(());
        }
        let mut tree = random_tree(entries);
        let oversized: Vec<TreePath> = tree.iter()
            .filter(|(_, entry)| entry.attributes.xattrs.values().any(|value| value.len() > 3900))
            .map(|(path, _)| path.clone()).collect();
        for path in oversized {
            tree.remove(path.as_bytes()).unwrap();
        }
        let checksums = if csum { Checksums::Crc32c } else { Checksums::None };
        let size = if large { ImageSize::Bytes(200 * MIB) } else { ImageSize::Minimal { free_percent: 5 } };
        let scratch = Scratch::new();
        let (image, _) = scratch.write(&tree, &Ext4Options { size, checksums, ..options(0) });
        for (path, entry) in tree.iter() {
            if let Kind::File(content) = &entry.kind {
                prop_assert_eq!(debugfs(&image, &format!("cat {path}")), content.read(10_000).unwrap());
            }
        }
    }
}
