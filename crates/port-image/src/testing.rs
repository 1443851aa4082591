//! What the tests of writers share.

use std::path::{Path, PathBuf};

use port_content::{atomic, fs};

use crate::tree::Tree;

/// The same sixty files, written in two orders on two file systems, as `write` makes images of them: the bytes of both.
pub(crate) fn images_of_two_places(write: impl Fn(&Tree, &Path)) -> [Vec<u8>; 2] {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let disk = tempfile::tempdir().unwrap();
    [(memory.path(), false), (disk.path(), true)].map(|(directory, backwards)| {
        let root = directory.join("root");
        let mut names: Vec<PathBuf> = (0..60).map(|n| root.join(format!("d{}/f{n}", n % 7))).collect();
        if backwards {
            names.reverse();
        }
        for name in &names {
            atomic::write(name, name.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        fs::set_mode(&root, 0o755).unwrap();
        let image = directory.join("image");
        write(&Tree::from_directory(&root).unwrap(), &image);
        fs::read(&image, 1 << 20).unwrap()
    })
}
