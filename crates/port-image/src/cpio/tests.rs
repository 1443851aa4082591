//! What is written reads back; what is not an archive is refused within bounds.

use super::*;
use crate::tree::Attributes;

fn sample() -> Tree {
    let mut tree = Tree::new();
    let file = Attributes::new(0o755).owner(1, 2).mtime(3);
    tree.add_file("/init", "#!/bin/sh\n", file.clone()).unwrap();
    tree.add_file("/lib/empty", "", file.clone()).unwrap();
    tree.add_directory("/lib/one", Attributes::new(0o700)).unwrap();
    tree.add_symlink("/bin", "usr/bin").unwrap();
    tree.add_device("/dev/console", Kind::CharDevice { major: 5, minor: 1 }, Attributes::new(0o600)).unwrap();
    tree.add_device("/pipe", Kind::Fifo, file.clone()).unwrap();
    tree.add_file(b"/not-utf8-\xff", vec![7; 5000], file).unwrap();
    tree
}

fn archive(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert_eq!(write(tree, &mut bytes).unwrap(), bytes.len() as u64);
    bytes
}

fn compressed(tree: &Tree) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_gz(tree, &mut bytes).unwrap();
    bytes
}

fn described(tree: &Tree) -> Vec<(TreePath, Entry)> {
    tree.iter().map(|(path, entry)| (path.clone(), entry.clone())).collect()
}

#[test]
fn a_tree_reads_back_and_headers_are_exact() {
    let bytes = archive(&sample());
    assert_eq!(bytes.len() % 512, 0);
    let first = b"070701000000010000\
        41ed000000000000000000000004000000000000000000000000000000000000000000000000000000020000\
        0000.\x00070701";
    let start = String::from_utf8_lossy(&bytes[..first.len()]).into_owned();
    assert_eq!(start, String::from_utf8_lossy(first));
    assert_eq!(described(&read(&mut bytes.as_slice(), Limits::default()).unwrap()), described(&sample()));
}

#[test]
fn gzip_says_nothing_about_time_and_host_and_both_forms_concatenate() {
    let one = compressed(&sample());
    assert_eq!(one, compressed(&sample()));
    // Magic, deflate, no flags, time 0, best compression, unknown system.
    assert_eq!(one[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    let mut overlay = Tree::new();
    overlay.add_file("/init", "new", Attributes::new(0o755)).unwrap();
    let mut both = [one, compressed(&overlay)].concat();
    let tree = read_gz(&mut both.as_slice(), Limits::default()).unwrap();
    assert_eq!(tree.get("/init").unwrap().kind, Kind::File("new".into()));
    assert_eq!(tree.len(), sample().len());
    assert_eq!(list_gz(&mut both.as_slice(), 100).unwrap().len(), sample().len());
    let plain = [archive(&sample()), archive(&overlay)].concat();
    assert_eq!(described(&read(&mut plain.as_slice(), Limits::default()).unwrap()), described(&tree));
    both.truncate(both.len() - 9);
    assert!(read_gz(&mut both.as_slice(), Limits::default()).is_err());
}

#[test]
fn what_newc_cannot_hold_is_refused() {
    let file = Attributes::new(0o644);
    for attributes in [file.clone().mtime(-1), file.clone().mtime(1 << 32), file.xattr("user.a", "1")] {
        let mut tree = Tree::new();
        tree.add_file("/x", "x", attributes).unwrap();
        let error = write(&tree, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, ImageError::NotRepresentable { format: "cpio", .. }), "{error}");
    }
}

#[test]
fn hostile_archives_are_refused() {
    let good = archive(&sample());
    let with = |offset: usize, text: &[u8]| {
        let mut bytes = good.clone();
        bytes[offset..offset + text.len()].copy_from_slice(text);
        bytes
    };
    let table = [
        ("not-an-archive", b"hello world".to_vec()),
        ("other-magic", with(5, b"2")),
        ("not-hex", with(6, b"+0000001")),
        ("huge-name", with(6 + 11 * 8, b"ffffffff")),
        ("no-name", with(6 + 11 * 8, b"00000000")),
        ("huge-content", with(6 + 6 * 8, b"fffffff0")),
        ("bad-type", with(6 + 8, b"0000f000")),
        ("path-escape", with(112 + 110, b"../x")),
        ("truncated", good[..good.len() / 2].to_vec()),
    ];
    for (name, bytes) in table {
        assert!(read(&mut bytes.as_slice(), Limits::default()).is_err(), "{name}");
    }
    let few = Limits { entries: 3, content: 1 << 20 };
    assert!(matches!(read(&mut good.as_slice(), few), Err(ImageError::TooLarge { limit: 3, .. })));
    let small = Limits { entries: 100, content: 5000 };
    assert!(matches!(read(&mut good.as_slice(), small), Err(ImageError::TooLarge { limit: 5000, .. })));
}

#[test]
fn hard_links_share_their_content_within_the_limit() {
    let mut bytes = Vec::new();
    let mut archive = Archive { output: &mut bytes, position: 0 };
    for (name, content) in [("a", ""), ("b", "shared"), ("c", "")] {
        let size = content.len() as u32;
        archive.header(name.as_bytes(), &[9, 0o100_644, 0, 0, 3, 0, size, 0, 0, 0, 0]).unwrap();
        archive.put(content.as_bytes()).unwrap();
        archive.pad(4).unwrap();
    }
    let tree = read(&mut bytes.as_slice(), Limits::default()).unwrap();
    for path in ["/a", "/b", "/c"] {
        assert_eq!(tree.get(path).unwrap().kind, Kind::File("shared".into()), "{path}");
    }
    let limits = Limits { entries: 10, content: 17 };
    assert!(matches!(read(&mut bytes.as_slice(), limits), Err(ImageError::TooLarge { .. })));
}
