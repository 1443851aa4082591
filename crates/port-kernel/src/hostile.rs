//! Arbitrary and damaged bytes into every reader: errors are fine, panics and endless work are not.

use std::ops::ControlFlow;
use std::path::Path;

use port_model::Architecture;
use proptest::prelude::*;

use crate::samples::{self, Package};
use crate::{
    bzimage::BzImage, config::KernelConfig, deb::Deb, elf, facts, format, image, index::ModuleIndex,
};
use crate::{modinfo, open_kernel_package, prepare_stream};

/// Whole files of every kind, to be damaged.
fn files() -> Vec<Vec<u8>> {
    let kernel = samples::elf(62, &samples::code());
    let mut files: Vec<Vec<u8>> =
        samples::payloads(&kernel).iter().map(|(_, payload)| samples::bzimage(payload)).collect();
    let image = samples::arm64_image(b"Linux version 6.1.0 (a@b) #1\n\0");
    files.push(samples::zboot("zstd", &samples::zstd(&image)));
    files.push(samples::gzip(&image));
    files.push(samples::module(&["depends=a,b", "vermagic=6.1"]));
    files.push(image);
    files.push(kernel);
    for extension in ["", ".gz", ".xz", ".zst"] {
        let mut package = Package::new(samples::CONTROL);
        package.extension = extension;
        let module = samples::module(&["depends=virtio"]);
        package.files = vec![
            ("./boot/vmlinuz-6.1".to_owned(), samples::bzimage(b"no kernel")),
            (format!("./lib/modules/6.1/{}/a.ko.xz", "x".repeat(120)), samples::xz(&module, false)),
        ];
        files.push(package.build());
    }
    files
}

/// Every reader of the crate, over the same bytes.
fn read_all(bytes: &[u8], path: &Path) {
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let _ = prepare_stream(bytes, "k", architecture, &mut std::io::sink());
        let _ = elf::check(path, architecture);
    }
    let _ = format::detect(bytes, "k");
    let _ = BzImage::parse(bytes, "k");
    let _ = image::ImageFacts::parse(bytes, "k");
    let _ = facts::scan(path);
    let _ = modinfo::ModuleInfo::parse(bytes, "k");
    for name in ["k.ko.xz", "k.ko.zst", "k.ko.gz"] {
        let _ = modinfo::unpack_module(name, bytes.to_vec());
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = KernelConfig::parse(&text);
    let _ = ModuleIndex::parse_modules_dep(&text);
    let mut index = ModuleIndex::default();
    index.add_built_in(&text);
    index.add_built_in_info(bytes);
    if let Ok(deb) = Deb::open(path) {
        let _ = deb.control();
        let _ = deb.extract(
            |_| true,
            |entry, reader| {
                let _ = crate::deb::read_limited(reader, 1 << 20, entry.path);
                Ok(ControlFlow::Continue(()))
            },
        );
        let _ = open_kernel_package(path);
    }
}

fn with_file(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("k");
    port_content::fs::create_new(&path)
        .and_then(|mut file| {
            use port_content::fs::Context as _;
            std::io::Write::write_all(&mut file, bytes).context("write", &path)
        })
        .unwrap();
    read_all(bytes, &path);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_panic_no_reader(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        with_file(&bytes);
    }

    #[test]
    fn damaged_files_panic_no_reader(
        which in 0..64_usize,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let mut files = files();
        let count = files.len();
        let mut file = files.swap_remove(which % count);
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        with_file(&file);
    }
}

#[test]
fn every_cut_of_every_file_panics_no_reader() {
    for file in files() {
        let mut cut = file.len();
        while cut > 0 {
            with_file(&file[..cut]);
            cut = cut * 7 / 9;
        }
    }
}
