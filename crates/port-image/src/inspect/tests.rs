//! The same questions to every format.

use port_content::atomic::AtomicFile;

use super::*;
use crate::ext4::{Ext4Options, ImageSize};
use crate::tool::Tool;
use crate::tree::Attributes;
use crate::{check, erofs as erofs_writer, ext4 as ext4_writer, squashfs as squashfs_writer};

fn sample() -> Tree {
    let mut tree = Tree::new();
    for path in ["/init", "/bin/busybox", "/usr/bin/port-guest-agent"] {
        tree.add_file(path, path, Attributes::new(0o755)).unwrap();
    }
    tree.add_file("/with space/*", "star", Attributes::new(0o644)).unwrap();
    tree.add_file("/empty", "", Attributes::new(0o644)).unwrap();
    tree.add_symlink("/link", "init").unwrap();
    tree
}

/// Every format whose tools are there.
fn images(directory: &Path) -> Vec<(PathBuf, ComponentFormat)> {
    let tree = sample();
    let mut images = Vec::new();
    let present = |tool: Tool, arguments: &[&str]| {
        let present = tool.version(arguments).is_ok();
        if !present {
            println!("skipped: {} (package {}) is not installed", tool.name, tool.package);
        }
        present
    };
    let path = directory.join("cpio.gz");
    cpio::write_gz(&tree, &mut fs::create_scratch(&path).unwrap()).unwrap();
    images.push((path, ComponentFormat::CpioGz));
    if present(check::E2FSCK, &["-V"]) {
        let path = directory.join("ext4");
        let options = Ext4Options::new(ImageSize::Minimal { free_percent: 0 }, "x");
        let mut file = AtomicFile::create(&path).unwrap();
        ext4_writer::write(&tree, &options, file.file()).unwrap();
        file.commit().unwrap();
        images.push((path, ComponentFormat::Ext4));
    }
    if present(squashfs_writer::MKSQUASHFS, &["-version"]) {
        let path = directory.join("squashfs");
        let file = AtomicFile::create(&path).unwrap();
        squashfs_writer::write(&tree, &squashfs_writer::SquashfsOptions::default(), file.path()).unwrap();
        file.commit().unwrap();
        images.push((path, ComponentFormat::Squashfs));
    }
    if present(erofs_writer::MKFS_EROFS, &["--version"]) {
        let path = directory.join("erofs");
        let file = AtomicFile::create(&path).unwrap();
        erofs_writer::write(&tree, &erofs_writer::ErofsOptions::new("x"), file.path()).unwrap();
        file.commit().unwrap();
        images.push((path, ComponentFormat::Erofs));
    }
    images
}

#[test]
fn p_75_paths_are_found_in_every_format_without_mounting() {
    let directory = tempfile::tempdir().unwrap();
    for (image, format) in images(directory.path()) {
        assert_eq!(check::detect_format(&image).unwrap(), Some(format));
        assert!(check::check_filesystem(&image, format).unwrap().is_clean(), "{format}");
        let reader = ImageReader::open(&image, format).unwrap();
        for path in ["/init", "/bin/busybox", "/usr/bin/port-guest-agent"] {
            assert!(reader.exists(path).unwrap(), "{format} {path}");
            assert_eq!(reader.read_file(path, 100).unwrap(), path.as_bytes(), "{format} {path}");
        }
        assert_eq!(reader.read_file("/with space/*", 100).unwrap(), b"star", "{format}");
        assert_eq!(reader.read_file("/empty", 100).unwrap(), b"", "{format}");
        for (path, found) in [
            ("/", Found::Other),
            ("/bin", Found::Other),
            ("/link", Found::Other),
            ("/init", Found::File(5)),
            ("/absent", Found::Nothing),
            ("/bin/absent", Found::Nothing),
            ("/init/absent", Found::Nothing),
            ("/bin/b*", Found::Nothing),
            ("/absent/absent", Found::Nothing),
        ] {
            assert_eq!(reader.find(path).unwrap(), found, "{format} {path}");
        }
    }
}

#[test]
fn reads_are_bounded_and_say_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    for (image, format) in images(directory.path()) {
        let reader = ImageReader::open(&image, format).unwrap();
        assert!(
            matches!(reader.read_file("/init", 4), Err(ImageError::TooLarge { found: 5, .. })),
            "{format}"
        );
        for (path, found) in [("/bin", "something that is not a regular file"), ("/absent", "nothing")] {
            let error = reader.read_file(path, 100).unwrap_err().to_string();
            assert!(error.ends_with(&format!("has no regular file `{path}`: found {found}")), "{error}");
        }
    }
}

#[test]
fn a_path_cannot_become_a_command() {
    let directory = tempfile::tempdir().unwrap();
    let hostile = ["/a\" \"b", "/a\nquit", "/a\\", "init", "/../init", "/a\0b", ""];
    for (image, format) in images(directory.path()) {
        let reader = ImageReader::open(&image, format).unwrap();
        for path in hostile {
            match reader.exists(path) {
                Err(ImageError::Path { .. }) => {}
                // The archive is in memory: any valid path may be asked for.
                Ok(false) if format == ComponentFormat::CpioGz => {}
                other => panic!("{format} {path:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn an_image_that_is_none_is_an_error_not_an_absence() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zeros");
    port_content::atomic::write(&path, &[0; 8192]).unwrap();
    for (_, format) in images(directory.path()) {
        let result = ImageReader::open(&path, format).and_then(|reader| reader.exists("/init"));
        assert!(result.is_err(), "{format}: {result:?}");
    }
    assert!(ImageReader::open(&path, ComponentFormat::Vmlinux).is_err());
}
