//! A delta's manifest and its entry, byte for byte; and what is refused of them.

use port_model::{ComponentFormat, ComponentKind};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::oci::Index;

const MANIFEST: &str = include_str!("../../tests/golden/delta/manifest.json");
const REFERRERS: &str = include_str!("../../tests/golden/delta/referrers.json");

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::sha256(&Sha256::digest(bytes).into())
}

fn delta() -> Delta {
    Delta {
        subject: Blob { digest: digest_of(b"new manifest"), size: 808 },
        parent: digest_of(b"old image"),
        target: digest_of(b"new image"),
        file_name: "rootfs.ext4".parse().unwrap(),
        blob: Blob { digest: digest_of(b"delta"), size: 5 },
    }
}

fn component(target: &Digest, name: &str) -> Component {
    Component {
        kind: ComponentKind::Rootfs,
        format: ComponentFormat::Ext4,
        file_name: name.parse().unwrap(),
        size: 1 << 30,
        digest: target.clone(),
    }
}

fn manifest_of(delta: &Delta) -> Blob {
    let manifest = encode(delta).unwrap();
    Blob { digest: digest_of(&manifest), size: manifest.len() as u64 }
}

#[test]
fn the_documents_are_golden() {
    let manifest = encode(&delta()).unwrap();
    assert_eq!(String::from_utf8(manifest.clone()).unwrap(), MANIFEST.trim_end());
    assert_eq!(decode(&manifest).unwrap(), delta());
    let index = Index { manifests: vec![index_entry(&delta(), &manifest_of(&delta()))], ..Index::default() };
    assert_eq!(String::from_utf8(oci::to_bytes(&index)).unwrap(), REFERRERS.trim_end());
}

#[test]
fn an_entry_says_what_the_manifest_does() {
    let Document::Index(index) = document::read(REFERRERS.as_bytes(), None).unwrap() else { panic!() };
    let (delta, manifest) = (delta(), manifest_of(&delta()));
    let Delta { parent, target, file_name, blob, .. } = delta;
    let expected = Offer { manifest, parent, target, file_name, size: blob.size };
    assert_eq!(offer(&index.manifests[0]).unwrap(), Some(expected.clone()));
    assert_eq!(offers(&index.manifests, &component(&expected.target, "other.ext4")), []);
    assert_eq!(offers(&index.manifests, &component(&expected.parent, "rootfs.ext4")), []);
    assert_eq!(offers(&index.manifests, &component(&expected.target, "rootfs.ext4")), [expected]);
}

#[test]
fn the_smallest_offer_comes_first_and_others_do_not_disturb() {
    let sized = |parent: &str, size| {
        let blob = Blob { digest: digest_of(parent.as_bytes()), size };
        let delta = Delta { parent: digest_of(parent.as_bytes()), blob, ..delta() };
        index_entry(&delta, &manifest_of(&delta))
    };
    let signature = Descriptor {
        artifact_type: Some("application/vnd.dev.cosign.simplesigning.v1+json".to_owned()),
        ..manifest_of(&delta()).descriptor(OCI_MANIFEST)
    };
    let mut silent = sized("x", 1);
    silent.annotations.clear();
    assert!(offer(&signature).unwrap().is_none());
    let error = offer(&silent).unwrap_err().to_string();
    assert_eq!(error, "the delta's vnd.port.delta.parent is ``: expected a digest");
    let mut entries = [sized("a", 30), signature, sized("b", 7), silent, sized("c", 7), sized("d", 8)];
    let sizes = |entries: &[Descriptor]| {
        let offers = offers(entries, &component(&delta().target, "rootfs.ext4"));
        offers.into_iter().map(|offer| (offer.size, offer.parent)).collect::<Vec<_>>()
    };
    let found = sizes(&entries);
    assert_eq!(found.iter().map(|(size, _)| *size).collect::<Vec<_>>(), [7, 7, 8, 30]);
    entries.reverse();
    assert_eq!(sizes(&entries), found);
}

#[test]
fn what_is_no_delta_is_refused() {
    let check = |from: &str, to: &str, expected: &str| {
        let text = MANIFEST.replacen(from, to, 1);
        assert_ne!(text, MANIFEST, "{from}");
        let found = decode(text.as_bytes()).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    };
    let (parent, target) = (digest_of(b"old image").to_string(), digest_of(b"new image").to_string());
    let layer =
        format!("{{\"mediaType\":\"{PACKED_DELTA}\",\"digest\":\"{}\",\"size\":5}}", digest_of(b"delta"));
    let kind = "\"artifactType\":\"application/vnd.port.packed.delta.v1\"";
    check(kind, "\"artifactType\":\"application/vnd.port.packed.delta.v2\"", "the delta's artifactType is");
    check(&format!("{kind},"), "", "the delta's artifactType is ``");
    check(
        "vnd.oci.empty.v1+json",
        "vnd.port.config.v1+json",
        "the delta's config is `application/vnd.port.config",
    );
    check("sha256:44136fa", "sha256:54136fa", "expected the empty config");
    check(&layer, "", "the delta's number of layers is `0`: expected 1");
    check(&layer, &format!("{layer},{layer}"), "the delta's number of layers is `2`");
    check(
        &format!("[{{\"mediaType\":\"{PACKED_DELTA}"),
        "[{\"mediaType\":\"x",
        "the delta's layer's media type is `x`",
    );
    check("\"subject\"", "\"subjekt\"", "the delta's subject is ``");
    check(
        "\"subject\":{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json",
        "\"subject\":{\"mediaType\":\"y",
        "subject's",
    );
    check(&parent, &target, "and makes the same: expected another parent");
    check(&parent, "sha256:00", "vnd.port.delta.parent is `sha256:00`: expected a digest");
    check("delta.target", "delta.tarket", "vnd.port.delta.target is ``");
    check("rootfs.ext4", "../rootfs.ext4", "vnd.port.delta.file-name is `../rootfs.ext4`");
    check("size\":\"5\"", "size\":\"6\"", "vnd.port.delta.size is `6`: expected the layer's `5`");
    check("size\":\"5\"", "size\":\"05\"", "vnd.port.delta.size is `05`: expected a number of bytes");
    check("\"layers\"", "\"manifests\"", "not clearly a manifest");
    assert!(matches!(decode(REFERRERS.as_bytes()).unwrap_err(), DeltaError::Index));
}

#[test]
fn sizes_are_bounded_on_both_ways() {
    for (size, taken) in [(0, false), (1, true), (LARGEST_DELTA, true), (LARGEST_DELTA + 1, false)] {
        let mut delta = delta();
        delta.blob.size = size;
        assert_eq!(encode(&delta).is_ok(), taken, "{size}");
        let entry = index_entry(&delta, &delta.subject);
        assert_eq!(offer(&entry).is_ok(), taken, "{size}");
        let text = MANIFEST.replace("\"size\":5}", &format!("\"size\":{size}}}"));
        let text = text.replace("size\":\"5\"", &format!("size\":\"{size}\""));
        assert_eq!(decode(text.as_bytes()).is_ok(), taken, "{size}");
    }
    let circle = Delta { parent: delta().target, ..delta() };
    assert!(matches!(encode(&circle).unwrap_err(), DeltaError::Circle { .. }));
    assert!(matches!(offer(&index_entry(&circle, &circle.subject)).unwrap_err(), DeltaError::Circle { .. }));
}

proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_damaged_manifest_is_read_or_refused(at in 0..MANIFEST.len(), byte: u8) {
        let mut bytes = MANIFEST.trim_end().as_bytes().to_vec();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        if let Ok(delta) = decode(&bytes) {
            // What was understood can be said again.
            prop_assert_eq!(decode(&encode(&delta).unwrap()).unwrap(), delta);
        }
    }
}
