//! What a tree accepts, refuses, and makes of a host directory.

use std::os::unix::fs::PermissionsExt as _;

use port_content::{atomic, fs};

use super::*;

fn file() -> Attributes {
    Attributes::new(0o644)
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.iter().map(|(path, _)| path.to_string()).collect()
}

#[test]
fn parents_are_implied_once_and_may_be_described_later() {
    let mut tree = Tree::new();
    tree.add_file("/usr/bin/env", "x", file()).unwrap();
    assert_eq!(paths(&tree), ["/", "/usr", "/usr/bin", "/usr/bin/env"]);
    tree.add_directory("/usr", Attributes::new(0o700)).unwrap();
    assert_eq!(tree.get("/usr").unwrap().attributes.mode, 0o700);
    let error = tree.add_directory("/usr", Attributes::new(0o711)).unwrap_err();
    assert_eq!(error.to_string(), "`/usr` is in the tree already: it is a directory");
}

#[test]
fn duplicates_and_impossible_entries_are_refused() {
    let mut tree = Tree::new();
    tree.add_file("/a", "x", file()).unwrap();
    assert!(matches!(tree.add_file("/a", "y", file()), Err(ImageError::Exists { .. })));
    assert!(matches!(tree.add_file("/a/b", "y", file()), Err(ImageError::NotADirectory { .. })));
    assert!(matches!(
        tree.add_file("/", "y", file()),
        Err(ImageError::Exists { .. } | ImageError::NotEmpty { .. })
    ));
    assert!(matches!(tree.add_file("/../b", "y", file()), Err(ImageError::Path { .. })));
    let refused = [
        (Kind::File("".into()), Attributes::new(0o10_000)),
        (Kind::Symlink(Vec::new()), file()),
        (Kind::Symlink(b"a\0".to_vec()), file()),
        (Kind::CharDevice { major: 4096, minor: 0 }, file()),
        (Kind::BlockDevice { major: 0, minor: 1 << 20 }, file()),
        (Kind::Fifo, file().xattr("nodot", "")),
    ];
    for (kind, attributes) in refused {
        let error = tree.add("/x", Entry { attributes, kind: kind.clone() });
        assert!(matches!(error, Err(ImageError::Attribute { .. })), "{kind:?}");
    }
    assert_eq!(tree.len(), 2);
}

#[test]
fn replace_is_explicit_and_keeps_directories_with_entries() {
    let mut tree = Tree::new();
    tree.add_file("/a/b", "x", file()).unwrap();
    let link = Entry { attributes: Attributes::new(0o777), kind: Kind::Symlink(b"t".to_vec()) };
    assert!(matches!(tree.replace("/a", link.clone()), Err(ImageError::NotEmpty { .. })));
    tree.replace("/a/b", link.clone()).unwrap();
    assert_eq!(tree.get("/a/b"), Some(&link));
    assert!(tree.remove("/a").unwrap());
    assert!(!tree.remove("/a").unwrap());
    assert!(tree.is_empty());
}

#[test]
fn a_merge_refuses_or_replaces() {
    let mut base = Tree::new();
    base.add_directory("/etc", Attributes::new(0o700)).unwrap();
    base.add_file("/etc/a", "base", file()).unwrap();
    let mut layer = Tree::new();
    layer.add_file("/etc/a", "layer", file()).unwrap();
    layer.add_file("/opt/b", "layer", file()).unwrap();
    assert!(matches!(base.clone().merge(layer.clone(), Collision::Refuse), Err(ImageError::Exists { .. })));
    base.merge(layer, Collision::Replace).unwrap();
    assert_eq!(base.get("/etc").unwrap().attributes.mode, 0o700, "an implied parent says nothing");
    assert_eq!(base.get("/etc/a").unwrap().kind, Kind::File("layer".into()));
    assert_eq!(paths(&base), ["/", "/etc", "/etc/a", "/opt", "/opt/b"]);
}

#[test]
fn a_host_directory_becomes_a_tree_of_root() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::set_mode(root, 0o755).unwrap();
    atomic::write(&root.join("b/two"), b"22").unwrap();
    atomic::write(&root.join("a"), b"1").unwrap();
    fs::set_mode(&root.join("a"), 0o4711).unwrap();
    fs::symlink(Path::new("../outside"), &root.join("link")).unwrap();
    let tree = Tree::from_directory(root).unwrap();
    assert_eq!(paths(&tree), ["/", "/a", "/b", "/b/two", "/link"]);
    let a = tree.get("/a").unwrap();
    assert_eq!((a.attributes.mode, a.attributes.uid, a.attributes.mtime), (0o4711, 0, 0));
    assert_eq!(a.kind, Kind::File(Content::HostFile { path: root.join("a"), size: 1 }));
    assert_eq!(tree.get("/link").unwrap().kind, Kind::Symlink(b"../outside".to_vec()));
    assert_eq!(fs::metadata(&root.join("a")).unwrap().permissions().mode() & 0o7777, 0o4711);
}

#[test]
fn a_socket_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = Tree::from_directory(directory.path()).unwrap_err().to_string();
    assert!(error.contains(&*socket.to_string_lossy()) && error.contains("is a socket"), "{error}");
}
