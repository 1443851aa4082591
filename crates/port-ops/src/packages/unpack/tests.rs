//! Archives that do harm elsewhere, and the good ones of other tools.

use std::sync::Arc;

use port_content::hashing::digest_of;
use port_layout::kraftkit::{Documents, ImageConfig, LayerRole, Package, encode, merge, parse_name};
use port_layout::{Platform, Strategy};
use port_model::progress::Silent;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::packages::PackageStore;

struct Fixture {
    directory: tempfile::TempDir,
    packages: Packages,
    selection: Selection,
}

/// A package with these layers, in kraft's directory.
fn package(layers: &[Vec<u8>]) -> Fixture {
    package_with(layers, |_| {})
}

/// The same with documents that Port would not write.
fn package_with(layers: &[Vec<u8>], change: impl FnOnce(&mut Documents)) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let packages = Packages {
        store: PackageStore::kraft(&directory.path().join("runtime")),
        access: crate::login::RegistryAccess::default(),
        credential_paths: port_registry::credentials::CredentialPaths::from_variables(
            &port_registry::credentials::Variables::default(),
        ),
        policies: crate::trust::Policies::default(),
        variable: |_| None,
        reporter: Arc::new(Silent),
    };
    let reference = parse_name("hello").unwrap();
    let descriptors = layers.iter().map(|layer| {
        let blob = packages.store.add_bytes("layer", layer).unwrap();
        LayerRole::Kernel.descriptor(blob.digest, blob.size)
    });
    let platform =
        Platform { architecture: "x86_64".to_owned(), os: "qemu".to_owned(), ..Platform::default() };
    let package = Package {
        reference: reference.clone(),
        packer_version: "port".to_owned(),
        created: None,
        config: ImageConfig { platform, ..ImageConfig::default() },
        layers: descriptors.collect(),
    };
    let mut documents = encode(&package, digest_of).unwrap();
    change(&mut documents);
    packages.store.add_bytes("config", &documents.config).unwrap();
    packages.store.add_bytes("manifest", &documents.manifest).unwrap();
    let index = merge(None, &package, &documents, Strategy::Merge).unwrap().index;
    packages.store.save(&reference, &index, None).unwrap();
    let selection = Selection { reference, query: Default::default() };
    Fixture { directory, packages, selection }
}

impl Fixture {
    fn unpack(&self) -> Result<UnpackReport, PackageError> {
        unpack(&self.packages, &self.selection, &self.target())
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("out/deep")
    }
}

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_size(size as u64);
    header
}

/// A header with a name that a careful writer would refuse.
fn raw(name: &str, kind: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = header(kind, content.len());
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// One file with PAX records before it.
fn with_pax(records: &[(&str, &str)], name: &str) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    builder.append_pax_extensions(records.iter().map(|(key, value)| (*key, value.as_bytes()))).unwrap();
    let mut header = header(EntryType::Regular, 4);
    builder.append_data(&mut header, name, &b"data"[..]).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn c_18_hostile_entries_are_refused_before_anything_is_written() {
    let good = raw("unikraft/bin/kernel", EntryType::Regular, "", b"kernel");
    let file = |name: &str| raw(name, EntryType::Regular, "", b"data");
    let long = |name: &str| {
        let mut bytes = raw("././@LongLink", EntryType::GNULongName, "", format!("{name}\0").as_bytes());
        bytes.extend(file("harmless"));
        bytes
    };
    let global = raw("pax_global_header", EntryType::XGlobalHeader, "", b"15 path=../evil\n");
    let hidden = |kind: EntryType| {
        // What its reader would take into memory before anybody is asked.
        let mut header = header(kind, 5_000_000_000);
        header.set_path("././@LongLink").unwrap();
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let described = "a description of 5000000000 bytes, more than 65536";
    let cases: [(Vec<u8>, &str); 23] = [
        (hidden(EntryType::GNULongName), described),
        (hidden(EntryType::GNULongLink), described),
        (hidden(EntryType::XHeader), described),
        (hidden(EntryType::XGlobalHeader), "an entry of type 'g'"),
        (hidden(EntryType::GNUSparse), "an entry of type 'S'"),
        (long(&"n".repeat(241)), "a name of 241 bytes, more than 240"),
        (long(&format!("../{}", "deep/".repeat(10_000))), "a path that leads up"),
        (file("/etc/passwd"), "an absolute path"),
        (file("../evil"), "a path that leads up"),
        (file("unikraft/../../evil"), "a path that leads up"),
        (long("../../evil"), "a path that leads up"),
        (long("/evil"), "an absolute path"),
        (raw("up", EntryType::Symlink, "../..", b""), "a link"),
        (raw("hard", EntryType::Link, "/etc/passwd", b""), "a link"),
        (raw("tty", EntryType::Char, "", b""), "a device"),
        (raw("disk", EntryType::Block, "", b""), "a device"),
        (raw("pipe", EntryType::Fifo, "", b""), "a device"),
        (raw("holes", EntryType::Continuous, "", b""), "an entry of type '7'"),
        (raw(".", EntryType::Regular, "", b"data"), "a file without a name"),
        (global, "an entry of type 'g'"),
        (with_pax(&[("path", "../evil")], "harmless"), "a path that leads up"),
        (with_pax(&[("linkpath", "/etc/passwd")], "harmless"), "the PAX record `linkpath`"),
        (with_pax(&[("GNU.sparse.name", "/etc/passwd")], "harmless"), "the PAX record `GNU.sparse.name`"),
    ];
    for (bad, expected) in cases {
        let fixture =
            package(&[archive(std::slice::from_ref(&good)), archive(&[file("unikraft/bin/initrd"), bad])]);
        let error = fixture.unpack().unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.len() < 500, "a name that nobody reads: {} bytes", error.len());
        assert!(!fs::exists(&fixture.directory.path().join("out")), "{expected}: something was written");
    }
}

#[test]
fn c_18_entries_that_are_in_each_other_s_way_are_refused_before_anything_is_written() {
    let file = |name: &str| raw(name, EntryType::Regular, "", b"data");
    let directory = |name: &str| raw(name, EntryType::Directory, "", b"");
    let cases: [(Vec<u8>, Vec<u8>, &str); 5] = [
        (file("a"), file("a/b/c"), "a path through another entry's file"),
        (file("a/b"), file("a"), "a file where another entry needs a directory"),
        (file("a"), directory("a/"), "a directory where another entry has a file"),
        (file("a"), file("./a"), "a second file of this name"),
        (directory("a/"), file("a"), "a file where another entry needs a directory"),
    ];
    for (first, second, expected) in cases {
        let good = file("unikraft/bin/kernel");
        let one = archive(&[good.clone(), first.clone(), second.clone()]);
        let two = [archive(&[good, first]), archive(&[second])];
        for layers in [vec![one], two.to_vec()] {
            let fixture = package(&layers);
            let error = fixture.unpack().unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
            assert!(!fs::exists(&fixture.target()), "{expected}: something was written");
        }
    }
    // A directory may be there as often as it likes.
    let fixture =
        package(&[archive(&[directory("a/"), file("a/b")]), archive(&[directory("a/"), file("a/c")])]);
    assert_eq!(fixture.unpack().unwrap().files, 2);
}

#[test]
fn c_18_what_lies_in_the_way_on_the_disk_is_found_before_anything_is_written() {
    for in_the_way in ["kernel", "bin", "all"] {
        let first = raw("unikraft/bin/initrd", EntryType::Regular, "", b"initrd");
        let fixture =
            package(&[archive(&[first, raw("unikraft/bin/kernel", EntryType::Regular, "", b"kernel")])]);
        match in_the_way {
            "kernel" => fs::create_dir_all(&fixture.target().join("unikraft/bin/kernel")).unwrap(),
            "bin" => port_content::atomic::write(&fixture.target().join("unikraft/bin"), b"").unwrap(),
            _ => port_content::atomic::write(&fixture.target(), b"").unwrap(),
        }
        let error = fixture.unpack().unwrap_err();
        assert!(matches!(error, PackageError::Files(_)), "{in_the_way}: {error}");
        assert!(!fs::exists(&fixture.target().join("unikraft/bin/initrd")), "{in_the_way}");
    }
}

#[test]
fn c_18_a_package_is_bounded_however_it_is_spread_over_layers() {
    let file = |at: usize| archive(&[raw(&format!("file-{at}"), EntryType::Regular, "", b"data")]);
    let most: Vec<Vec<u8>> = (0..64).map(file).collect();
    assert_eq!(package(&most).unpack().unwrap().files, 64);
    let more: Vec<Vec<u8>> = (0..65).map(file).collect();
    for (layers, expected) in [
        (more, "expected at most 64 layers, found 65"),
        (vec![file(0), file(1), file(0)], "every layer once"),
    ] {
        let fixture = package(&layers);
        let error = fixture.unpack().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!fs::exists(&fixture.target()));
    }
    let budget = Budget::of("hello", &[]);
    let refused = (0..100_001).map(|_| budget.count_entry()).find_map(Result::err).unwrap().to_string();
    assert!(refused.contains("`hello` cannot be unpacked: expected at most 100000 entries"), "{refused}");
}

#[test]
fn what_nobody_wants_any_more_is_not_written() {
    let fixture = package(&[archive(&[raw("unikraft/bin/kernel", EntryType::Regular, "", b"kernel")])]);
    let named = fixture.packages.store.get(&fixture.selection.reference).unwrap();
    let found = load::select_one(&fixture.selection, &named.index, &named.digest).unwrap();
    let target = load::load(&fixture.packages.store, &named.reference, &found).unwrap();
    let halt = Halt::default();
    halt.now();
    let error = unpack_target(&fixture.packages, "hello", &target, &fixture.target(), &halt).unwrap_err();
    assert!(error.to_string().contains("unpack to"), "{error}");
    assert!(!fs::exists(&fixture.target()));
}

#[test]
fn documents_that_are_named_by_something_else_are_refused() {
    let other: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    let error = load::check_algorithm("the manifest", &other).unwrap_err().to_string();
    assert!(error.ends_with("is named by sha512: expected sha256"), "{error}");
    assert!(load::check_algorithm("the manifest", &digest_of(b"")).is_ok());
}

#[test]
fn c_18_an_archive_that_is_cut_off_or_damaged_writes_nothing() {
    let whole = archive(&[raw("unikraft/bin/kernel", EntryType::Regular, "", &[7; 3000])]);
    let fixture = package(&[whole[..1024].to_vec()]);
    assert!(matches!(fixture.unpack().unwrap_err(), PackageError::Archive { .. }));
    assert!(!fs::exists(&fixture.target()));
    let fixture = package(std::slice::from_ref(&whole));
    let layer = fixture.packages.store.listing().unwrap().named[0].index.entries()[0].descriptor().blob();
    let manifest = fixture.packages.store.read(&layer).unwrap().unwrap();
    let manifest: port_layout::Manifest = serde_json::from_slice(&manifest).unwrap();
    let path = fixture.packages.store.open(&manifest.layers[0].blob()).unwrap().unwrap().path;
    let mut damaged = whole;
    damaged[600] ^= 1;
    port_content::atomic::write(&path, &damaged).unwrap();
    assert!(matches!(fixture.unpack().unwrap_err(), PackageError::Mismatch { .. }));
    assert!(!fs::exists(&fixture.target()));
}

#[test]
fn c_18_a_symbolic_link_in_the_directory_is_not_followed() {
    let fixture = package(&[archive(&[raw("unikraft/bin/kernel", EntryType::Regular, "", b"kernel")])]);
    let outside = fixture.directory.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&fixture.target()).unwrap();
    fs::symlink(&outside, &fixture.target().join("unikraft")).unwrap();
    let error = fixture.unpack().unwrap_err().to_string();
    assert!(error.contains("unpack to"), "{error}");
    assert_eq!(fs::read_dir(&outside).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn c_18_modes_are_kept_without_what_lends_rights_and_directories_are_made() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut bytes = raw("./", EntryType::Directory, "", b"");
    bytes.extend(raw("./unikraft/", EntryType::Directory, "", b""));
    bytes.extend(with_pax(&[("mtime", "1.5"), ("uid", "7")], "./unikraft/bin/kernel"));
    let fixture = package(&[bytes, archive(&[raw("unikraft/bin/initrd", EntryType::Regular, "", b"")])]);
    let report = fixture.unpack().unwrap();
    assert_eq!((report.files, report.bytes, &report.initrd), (2, 4, &None));
    let mode = fs::metadata(&report.kernel).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode, fs::read(&report.kernel, 10).unwrap()), (0o755, b"data".to_vec()));
    assert_eq!(fs::metadata(&fixture.target().join("unikraft/bin/initrd")).unwrap().len(), 0);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// A package whose one layer is gzip, and whose config says that `inside` is in it.
fn gzip_package(layer: &[u8], kind: &str, inside: &str) -> Fixture {
    gzip_layers(&[(layer.to_vec(), inside.to_owned())], kind)
}

/// The same with several.
fn gzip_layers(layers: &[(Vec<u8>, String)], kind: &str) -> Fixture {
    let bytes: Vec<Vec<u8>> = layers.iter().map(|(layer, _)| layer.clone()).collect();
    package_with(&bytes, |documents| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let before = digest_of(&documents.config).to_string();
        let size = documents.config.len();
        for (layer, inside) in layers {
            let outside = digest_of(layer).to_string();
            documents.config = text(&documents.config).replace(&outside, inside).into_bytes();
        }
        let config = digest_of(&documents.config).to_string();
        let manifest = text(&documents.manifest)
            .replace(&before, &config)
            .replace(&format!("\"size\":{size},"), &format!("\"size\":{},", documents.config.len()))
            .replace("application/vnd.oci.image.layer.v1.tar\"", &format!("{kind}\""));
        documents.manifest = manifest.into_bytes();
        documents.entry.digest = digest_of(&documents.manifest);
        documents.entry.size = documents.manifest.len() as u64;
    })
}

const OCI_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[test]
fn ku_19_gzip_layers_are_unpacked_and_compared_with_what_the_config_says() {
    let plain = archive(&[raw("unikraft/bin/kernel", EntryType::Regular, "", &[7; 3000])]);
    let inside = digest_of(&plain).to_string();
    let (front, back) = plain.split_at(700);
    // In one member or in two.
    for bytes in [gzip(&plain), [gzip(front), gzip(back)].concat()] {
        for kind in [OCI_GZIP, "application/vnd.docker.image.rootfs.diff.tar.gzip"] {
            let fixture = gzip_package(&bytes, kind, &inside);
            let report = fixture.unpack().unwrap();
            assert_eq!((report.files, fs::read(&report.kernel, 4000).unwrap()), (1, vec![7; 3000]));
        }
    }
    let hostile = archive(&[raw("up", EntryType::Symlink, "../..", b"")]);
    let other = digest_of(b"other").to_string();
    let more = [gzip(&plain), gzip(b"behind the archive")].concat();
    let cases: [(Vec<u8>, &str, &str); 6] = [
        (gzip(&plain), &other, "expected sha256:"),
        (gzip(&plain), "nothing", "expected the digest of its content in `rootfs.diff_ids`, found `nothing`"),
        (more, &inside, "expected sha256:"),
        (gzip(&plain)[..60].to_vec(), &inside, "cannot be read as a tar archive"),
        (plain.clone(), &inside, "cannot be read as a tar archive"),
        (gzip(&hostile), &digest_of(&hostile).to_string(), "a link"),
    ];
    for (bytes, inside, expected) in cases {
        let fixture = gzip_package(&bytes, OCI_GZIP, inside);
        let error = fixture.unpack().unwrap_err();
        let text = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!fs::exists(&fixture.target()), "{expected}: something was written");
    }
}

#[test]
fn ku_19_a_bomb_is_refused_before_anything_is_written() {
    let zeros = |name: &str, size: usize| {
        let mut header = header(EntryType::Regular, size);
        header.set_path(name).unwrap();
        header.set_cksum();
        let mut plain = header.as_bytes().to_vec();
        plain.resize(512 + size + 1024, 0);
        (gzip(&plain), digest_of(&plain).to_string())
    };
    // In one layer, and in two of which each would do.
    let one = vec![zeros("unikraft/bin/initrd", 72 << 20)];
    let two = vec![zeros("unikraft/bin/initrd", 36 << 20), zeros("unikraft/bin/kernel", 36 << 20)];
    for layers in [one, two] {
        let fixture = gzip_layers(&layers, OCI_GZIP);
        let error = fixture.unpack().unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("decompresses to more than 67108864 bytes"), "{source}");
        assert!(!fs::exists(&fixture.target()));
    }
}

#[test]
fn ku_6_a_layer_of_another_kind_is_refused_by_its_type() {
    let mut fixture = package(&[archive(&[raw("unikraft/bin/kernel", EntryType::Regular, "", b"k")])]);
    let named = fixture.packages.store.get(&fixture.selection.reference).unwrap();
    let found = load::select_one(&fixture.selection, &named.index, &named.digest).unwrap();
    let mut target = load::load(&fixture.packages.store, &named.reference, &found).unwrap();
    target.decoded.package.layers[0].media_type.push_str("+zstd");
    let directory = fixture.target();
    let error = unpack_target(&fixture.packages, "hello", &target, &directory, &Halt::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("expected a tar layer of OCI or Docker, plain or gzip"), "{error}");
    fixture.selection.query.platform = Some("fc".to_owned());
    let error = fixture.unpack().unwrap_err().to_string();
    assert!(error.contains("expected a target that fits, found qemu/x86_64 ("), "{error}");
}

#[test]
fn k_80_an_initrd_that_another_package_left_is_none_of_this_one_s() {
    let fixture = package(&[archive(&[raw("unikraft/bin/kernel", EntryType::Regular, "", b"kernel")])]);
    let stale = fixture.target().join("unikraft/bin/initrd");
    port_content::atomic::write(&stale, b"another's").unwrap();
    let report = fixture.unpack().unwrap();
    assert_eq!((report.initrd, report.files, report.bytes), (None, 1, 6));
    assert_eq!(fs::read(&stale, 100).unwrap(), b"another's", "it is not taken away");
    let both = package(&[archive(&[
        raw("unikraft/bin/kernel", EntryType::Regular, "", b"kernel"),
        raw("unikraft/bin/initrd", EntryType::Regular, "", b""),
    ])]);
    assert_eq!(both.unpack().unwrap().initrd, None, "an empty one is none");
}
