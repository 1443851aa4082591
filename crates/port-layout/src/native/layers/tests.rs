//! Which layers stand for which encoding, byte for byte; that what is written is read back; and what is refused.

use port_model::{ArtifactClass, ComponentFormat, Digest, Encoding};
use proptest::prelude::*;

use super::super::tests::{bundle, digest_of};
use super::super::{DecodeError, decode, decode_stored, encode, encode_stored};
use super::*;
use crate::oci::Manifest;

fn blob(name: &str, size: u64) -> Blob {
    Blob { digest: digest_of(name.as_bytes()), size }
}

fn packed(packs: u64) -> Stored {
    Stored::Packed {
        map: blob("map", 17),
        packs: (0..packs).map(|n| blob(&format!("pack {n}"), n + 1)).collect(),
    }
}

/// A bundle of a kernel alone, and of a kernel with its debug twin.
fn kernels() -> Bundle {
    let component = |kind, name: &str| Component {
        kind,
        format: ComponentFormat::Vmlinux,
        file_name: name.parse().unwrap(),
        size: 4096,
        digest: digest_of(name.as_bytes()),
    };
    Bundle {
        class: ArtifactClass::Kernel,
        components: vec![
            component(ComponentKind::Kernel, "vmlinux"),
            component(ComponentKind::KernelDbg, "vmlinux.dbg"),
        ],
        kernel: None,
        ..bundle()
    }
}

#[test]
fn the_manifests_are_golden_and_the_config_is_the_raw_ones() {
    let raw = encode(&bundle(), digest_of);
    assert_eq!(encode_stored(&bundle(), &[Stored::Raw, Stored::Raw], digest_of).as_ref(), Ok(&raw));
    for (stored, golden) in [
        (
            Stored::Zstd(blob("compressed", 9)),
            include_str!("../../../tests/golden/native/manifest-zstd.json"),
        ),
        (packed(2), include_str!("../../../tests/golden/native/manifest-packed.json")),
    ] {
        let stored = [stored, Stored::Raw];
        let encoded = encode_stored(&bundle(), &stored, digest_of).unwrap();
        assert_eq!(String::from_utf8(encoded.manifest.clone()).unwrap(), golden.trim_end());
        assert_eq!(encoded.config, raw.config);
        let decoded = decode_stored(&encoded.manifest, &encoded.config).unwrap();
        assert_eq!((decoded.bundle, decoded.stored.as_slice()), (bundle(), stored.as_slice()));
        assert_eq!(decode(&encoded.manifest, &encoded.config).unwrap(), bundle());
    }
}

#[test]
fn the_blobs_of_a_component_are_those_of_its_layers() {
    let bundle = bundle();
    let rootfs = bundle.main().unwrap();
    for (stored, encoding, count) in [
        (Stored::Raw, Encoding::Raw, 1),
        (Stored::Zstd(blob("compressed", 9)), Encoding::Zstd, 1),
        (packed(0), Encoding::Packed, 1),
        (packed(3), Encoding::Packed, 4),
    ] {
        let layers = of(rootfs, &stored);
        assert_eq!((stored.encoding(), layers.len()), (encoding, count));
        assert_eq!(stored.blobs(rootfs), layers.iter().map(Descriptor::blob).collect::<Vec<_>>());
    }
}

#[test]
fn each_component_has_its_own_map_and_packs() {
    let one = Stored::Packed { map: blob("m1", 5), packs: vec![blob("p1", 5), blob("p2", 5)] };
    // A pack that two components share stands in both.
    let two = Stored::Packed { map: blob("m2", 5), packs: vec![blob("p2", 5)] };
    for stored in [[one.clone(), two], [one.clone(), packed(0)], [packed(0), one], [packed(0), Stored::Raw]] {
        let encoded = encode_stored(&kernels(), &stored, digest_of).unwrap();
        assert_eq!(decode_stored(&encoded.manifest, &encoded.config).unwrap().stored, stored);
    }
}

/// What is said of `bundle` with these layers.
#[track_caller]
fn check(bundle: &Bundle, layers: &[Descriptor], expected: &str) {
    let found = read(bundle, layers).unwrap_err().to_string();
    assert!(found.contains(expected), "{found}");
}

#[test]
fn layers_that_are_not_the_components_are_refused() {
    let bundle = bundle();
    let (rootfs, initrd) = (raw_layer(&bundle.components[0]), raw_layer(&bundle.components[1]));
    let zstd = zstd_layer(&bundle.components[0], &blob("compressed", 9));
    let (map, pack) = (blob("map", 17).descriptor(PACKED_MAP), blob("pack", 1).descriptor(PACKED_PACK));
    let other = || blob("other map", 17).descriptor(PACKED_MAP);
    let layers = |layers: &[&Descriptor]| layers.iter().map(|l| (*l).clone()).collect::<Vec<_>>();
    for (found, expected) in [
        (layers(&[]), "`rootfs.ext4` has no layer"),
        (layers(&[&rootfs]), "`initrd.cpio.gz` has no layer"),
        (layers(&[&map, &pack]), "`initrd.cpio.gz` has no layer"),
        (
            layers(&[&initrd]),
            "`rootfs.ext4` begins with a `application/vnd.port.initrd.v1+gzip`: expected `app",
        ),
        (layers(&[&rootfs, &initrd, &initrd]), "1 more layers than the components need, the first is a `app"),
        (layers(&[&rootfs, &initrd, &pack]), "1 more layers than the components need, the first is a `app"),
        (
            layers(&[&rootfs, &zstd]),
            "`initrd.cpio.gz` begins with a `application/vnd.port.guest-image.v1+ext4+zstd`",
        ),
        (layers(&[&pack, &map, &initrd]), "`rootfs.ext4` begins with a pack: expected its map first"),
        (layers(&[&rootfs, &pack, &initrd]), "`initrd.cpio.gz` begins with a pack"),
        (
            layers(&[&map, &other(), &initrd]),
            "`initrd.cpio.gz` is packed: a component of the role initrd is always raw",
        ),
        (layers(&[&map, &pack, &other(), &pack]), "`initrd.cpio.gz` is packed"),
        (layers(&[&map, &pack, &pack, &initrd]), "stands twice among the layers of `rootfs.ext4`"),
        (layers(&[&map, &map.blob().descriptor(PACKED_PACK), &initrd]), "stands twice"),
    ] {
        check(&bundle, &found, expected);
    }
    check(
        &kernels(),
        &[map.clone(), map.clone(), map],
        "1 more layers than the components need, the first is a `app",
    );
    check(
        &Bundle { class: ArtifactClass::Kernel, ..bundle },
        &[rootfs, initrd],
        "a kernel has no main component",
    );
}

#[test]
fn sizes_counts_and_names_are_bounded() {
    let bundle = bundle();
    let sha512 = Blob { digest: Digest::sha512(&[7; 64]), size: 1 };
    let largest = bundle.components[0].size + 64 * 1024;
    let with = |map: &Blob, pack: &Blob| Stored::Packed { map: map.clone(), packs: vec![pack.clone()] };
    let (map, pack) = (blob("map", LARGEST_MAP), blob("pack", LARGEST_PACK));
    for (stored, expected) in [
        (with(&map, &pack), None),
        (packed(998), None),
        (packed(999), Some("1001 layers: at most 1000")),
        (with(&blob("map", LARGEST_MAP + 1), &pack), Some("has 17825793 bytes: expected 1 to 17825792")),
        (with(&blob("map", 0), &pack), Some("of `rootfs.ext4` has 0 bytes")),
        (with(&map, &blob("pack", LARGEST_PACK + 1)), Some("the pack sha256:")),
        (with(&map, &blob("pack", 0)), Some("has 0 bytes: expected 1 to 67108864")),
        (with(&map, &sha512), Some("is named by sha512: expected sha256")),
        (with(&sha512, &pack), Some("the map sha512:")),
        (Stored::Zstd(blob("compressed", largest)), None),
        (Stored::Zstd(blob("compressed", largest + 1)), Some("the compressed file sha256:")),
        (Stored::Zstd(blob("compressed", 0)), Some("has 0 bytes")),
    ] {
        let encoded = encode_stored(&bundle, &[stored, Stored::Raw], digest_of);
        match (encoded, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) if error.to_string().contains(expected) => {}
            (found, _) => panic!("expected {expected:?}, found {:?}", found.map(|_| "documents")),
        }
    }
    let error = encode_stored(&bundle, &[Stored::Raw], digest_of).unwrap_err().to_string();
    assert_eq!(error, "2 components, 1 ways in which they are stored");
}

#[test]
fn a_layer_says_what_it_must_and_nothing_more() {
    let bundle = bundle();
    let initrd = raw_layer(&bundle.components[1]);
    let map = blob("map", 17).descriptor(PACKED_MAP);
    let titled = |mut descriptor: Descriptor, title: &str| {
        descriptor.annotations.insert(TITLE.to_owned(), title.to_owned());
        descriptor
    };
    let zstd = zstd_layer(&bundle.components[0], &blob("compressed", 9));
    for (layers, expected) in [
        (vec![titled(map.clone(), "map"), initrd.clone()], "the layer is `map` of 17 bytes"),
        (
            vec![map, titled(blob("pack", 1).descriptor(PACKED_PACK), "x"), initrd.clone()],
            "the layer is `x` of 1",
        ),
        (vec![titled(zstd.clone(), "rootfs.ext4"), initrd.clone()], "the layer is `rootfs.ext4` of 9"),
        (vec![titled(zstd, "../rootfs.ext4.zst"), initrd], "the layer is `../rootfs.ext4.zst` of 9"),
    ] {
        check(&bundle, &layers, expected);
    }
}

#[test]
fn two_layers_are_never_written_to_one_file() {
    let mut bundle = kernels();
    bundle.components[1].file_name = "vmlinux.zst".parse().unwrap();
    let stored = [Stored::Zstd(blob("compressed", 9)), Stored::Raw];
    let error = encode_stored(&bundle, &stored, digest_of).unwrap_err();
    assert_eq!(error, LayersError::SharedTitle { title: "vmlinux.zst".to_owned() });
    assert!(encode_stored(&bundle, &[packed(1), Stored::Raw], digest_of).is_ok());
}

/// Any way in which a component of 4096 bytes may be stored.
fn any_stored() -> impl Strategy<Value = Stored> {
    let blob = |size: std::ops::Range<u64>| {
        (any::<[u8; 32]>(), size).prop_map(|(digest, size)| Blob { digest: Digest::sha256(&digest), size })
    };
    let packs = proptest::collection::vec(blob(1..LARGEST_PACK), 0..5);
    prop_oneof![
        Just(Stored::Raw),
        blob(1..4096).prop_map(Stored::Zstd),
        (blob(1..LARGEST_MAP), packs).prop_map(|(map, packs)| Stored::Packed { map, packs }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(first in any_stored(), second in any_stored()) {
        let stored = [first, second];
        let encoded = encode_stored(&kernels(), &stored, digest_of).unwrap();
        let decoded = decode_stored(&encoded.manifest, &encoded.config).unwrap();
        prop_assert_eq!(decoded.bundle, kernels());
        prop_assert_eq!(decoded.stored, stored);
    }

    /// Layers in any order and number: what is taken is exactly what would be written.
    #[test]
    fn no_two_readings_of_one_manifest(
        first in any_stored(),
        second in any_stored(),
        picks in proptest::collection::vec(0..100_usize, 0..9),
    ) {
        let bundle = kernels();
        let all: Vec<Descriptor> =
            bundle.components.iter().zip([first, second]).flat_map(|(c, stored)| of(c, &stored)).collect();
        let layers: Vec<Descriptor> = picks.iter().map(|pick| all[pick % all.len()].clone()).collect();
        let encoded = encode(&bundle, digest_of);
        let mut manifest: Manifest = serde_json::from_slice(&encoded.manifest).unwrap();
        manifest.layers = layers.clone();
        match decode_stored(&crate::oci::to_bytes(&manifest), &encoded.config) {
            Ok(decoded) => prop_assert_eq!(write(&bundle, &decoded.stored).unwrap(), layers),
            Err(error) => prop_assert!(matches!(error, DecodeError::Layers { .. }), "{}", error),
        }
    }

    #[test]
    fn never_panics(words in proptest::collection::vec((0..6_usize, 0..6_usize, any::<u64>(), any::<bool>()), 0..8)) {
        let types = [PACKED_MAP, PACKED_PACK, "application/vnd.port.kernel.v1+binary",
            "application/vnd.port.kernel.v1+binary+zstd", "application/vnd.port.kernel-dbg.v1+binary", ""];
        let sizes = [0, 1, 4096, LARGEST_PACK, u64::MAX];
        let layers: Vec<Descriptor> = words.iter().map(|(kind, size, digest, titled)| {
            let size = sizes.get(*size).copied().unwrap_or(*digest);
            let mut descriptor = blob(&digest.to_string(), size).descriptor(types[*kind]);
            if *titled {
                descriptor.annotations.insert(TITLE.to_owned(), "vmlinux.zst".to_owned());
            }
            descriptor
        }).collect();
        let _ = read(&kernels(), &layers);
        let _ = read(&Bundle { components: Vec::new(), ..kernels() }, &layers);
    }
}
