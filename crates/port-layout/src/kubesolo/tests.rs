//! Tests of `kubesolo`: golden documents, refusals, properties.

use port_model::{Architecture, Digest};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::media_types::{KUBESOLO_INITRAMFS, KUBESOLO_KERNEL};

const AMD64: &str = include_str!("../../tests/golden/kubesolo/manifest-amd64.json");
const ARM64: &str = include_str!("../../tests/golden/kubesolo/manifest-arm64.json");
const INDEX: &str = include_str!("../../tests/golden/kubesolo/index.json");
const DOCKER_LIST: &str = include_str!("../../tests/golden/kubesolo/docker-list.json");
const SCRATCH: &str = include_str!("../../tests/golden/kubesolo/scratch-container.json");
const ARCHITECTURES: [(Architecture, &str); 2] =
    [(Architecture::X86_64, AMD64), (Architecture::Aarch64, ARM64)];

fn blob(content: &str) -> Blob {
    Blob { digest: Digest::sha256(&Sha256::digest(content.as_bytes()).into()), size: content.len() as u64 }
}

fn metadata() -> Metadata {
    Metadata {
        version: "v0.3.0".to_owned(),
        channel: "stable".to_owned(),
        min_compatible_version: "v0.2.0".to_owned(),
        architecture: String::new(),
        release_notes: "fixes".to_owned(),
        release_date: "2026-01-02T03:04:05Z".to_owned(),
    }
}

fn part((architecture, manifest): (Architecture, &str)) -> IndexPart {
    IndexPart { architecture, manifest: blob(manifest.trim_end()), metadata: metadata() }
}

fn resolved(text: &str, architecture: Architecture) -> Resolved {
    resolve(text.as_bytes(), None, "stable", architecture).unwrap()
}

fn entry(text: &str, architecture: Architecture) -> Descriptor {
    match resolved(text, architecture) {
        Resolved::Entry(entry) => *entry,
        Resolved::Release(_) => panic!("a manifest"),
    }
}

fn refused(text: &str, architecture: Architecture) -> KubesoloError {
    resolve(text.as_bytes(), None, "stable", architecture).unwrap_err()
}

#[test]
fn o_47_o_48_ou_24_the_publisher_writes_a_manifest_per_architecture_and_one_index() {
    for (architecture, golden) in ARCHITECTURES {
        let name = architecture.oci_name();
        let (kernel, initramfs) = (blob(&format!("kernel {name}")), blob(&format!("initramfs {name}")));
        let documents = encode(&metadata(), architecture, &kernel, &initramfs).unwrap();
        assert_eq!(String::from_utf8(documents.manifest).unwrap(), golden.trim_end());
        assert_eq!(documents.config, b"{}");
    }
    let parts: Vec<IndexPart> = ARCHITECTURES.into_iter().rev().map(part).collect();
    assert_eq!(String::from_utf8(encode_index(&parts).unwrap()).unwrap(), INDEX.trim_end());
    assert_eq!(single_tag("v0.3.0", Architecture::Aarch64), "v0.3.0-arm64");
}

#[test]
fn ou_24_what_cannot_be_one_release_is_not_published() {
    let parts: Vec<IndexPart> = ARCHITECTURES.into_iter().map(part).collect();
    let refuse = |parts: &[IndexPart]| encode_index(parts).unwrap_err().to_string();
    assert!(refuse(&[]).contains("no entries"));
    assert!(refuse(&[parts[0].clone(), parts[0].clone()]).contains("two manifests are for `amd64`"));
    let mut other = parts.clone();
    other[1].metadata.version = "v0.4.0".to_owned();
    assert_eq!(
        refuse(&other),
        "the manifest for `arm64` has the version `v0.4.0`: expected `v0.3.0` as the others"
    );
    let encode =
        |m: &Metadata, size| super::encode(m, Architecture::X86_64, &blob("k"), &Blob { size, ..blob("i") });
    assert!(encode(&metadata(), 0).unwrap_err().to_string().contains("initramfs has 0 bytes"));
    type Change = fn(&mut Metadata);
    let spoil: [(Change, &str); 4] = [
        (|m| m.version.clear(), "version is ``: expected a tag"),
        (|m| m.channel = "../stable".to_owned(), "channel is `../stable`"),
        (|m| m.channel = "v0.3.0".to_owned(), "another word than the version"),
        (|m| m.architecture = "arm64".to_owned(), "architecture is `arm64`: expected `amd64`"),
    ];
    for (change, expected) in spoil {
        let mut bad = metadata();
        change(&mut bad);
        let error = encode(&bad, 1).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn o_3_o_5_o_24_an_index_gives_the_manifest_of_the_architecture() {
    for (architecture, manifest) in ARCHITECTURES {
        let entry = entry(INDEX, architecture);
        assert_eq!(entry.digest, blob(manifest.trim_end()).digest);
        let release = decode(manifest.as_bytes(), None, "stable", architecture).unwrap();
        assert_eq!(release.metadata.architecture, architecture.oci_name());
    }
    assert_eq!(entry(DOCKER_LIST, Architecture::Aarch64).size, 528);
    // The first that fits, and none without a platform.
    let unnamed = INDEX.replacen(",\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}", "", 1);
    assert!(matches!(refused(&unnamed, Architecture::X86_64), KubesoloError::NoSuchArchitecture { .. }));
    let both = INDEX.replace("arm64", "amd64");
    assert_eq!(entry(&both, Architecture::X86_64).digest, blob(AMD64.trim_end()).digest);
}

#[test]
fn o_4_o_6_o_7_o_9_to_o_14_a_single_manifest_is_a_release() {
    let Resolved::Release(release) = resolved(AMD64, Architecture::X86_64) else { panic!("an index") };
    assert_eq!(release.metadata, Metadata { architecture: "amd64".to_owned(), ..metadata() });
    assert_eq!(release.kernel.media_type, KUBESOLO_KERNEL);
    assert_eq!(release.initramfs.media_type, KUBESOLO_INITRAMFS);
    assert_eq!(release.kernel.digest, blob("kernel amd64").digest);
    assert!(release.ignored.is_empty());
}

#[test]
fn o_33_o_34_the_files_have_fixed_names() {
    let release = decode(ARM64.as_bytes(), None, "stable", Architecture::Aarch64).unwrap();
    let names: Vec<String> = release.components().iter().map(|c| c.file_name.to_string()).collect();
    assert_eq!(names, ["vmlinuz", "kubesolo-os.gz"]);
}

#[test]
fn o_8_o_15_o_28_unknown_layers_and_missing_annotations_are_no_failure() {
    let Resolved::Release(release) = resolved(SCRATCH, Architecture::Aarch64) else { panic!("an index") };
    assert_eq!(release.ignored.len(), 1);
    assert_eq!(release.metadata, Metadata { version: "v0.3.0".to_owned(), ..Metadata::default() });
}

#[test]
fn o_25_o_31_c_33_a_missing_architecture_is_its_own_error() {
    let error = refused(DOCKER_LIST, Architecture::X86_64);
    assert!(matches!(error, KubesoloError::NoSuchArchitecture { wanted: "amd64", .. }));
    assert_eq!(
        error.to_string(),
        "`stable` has no manifest for the architecture `amd64`\n  found: linux/arm64"
    );
    let empty = r#"{"schemaVersion":2,"manifests":[]}"#;
    assert!(refused(empty, Architecture::X86_64).to_string().ends_with("found: none"));
}

#[test]
fn o_27_c_35_the_annotation_is_checked_on_both_paths() {
    let expected = "`stable` is for the architecture `amd64`: expected `arm64`";
    assert_eq!(refused(AMD64, Architecture::Aarch64).to_string(), expected);
    let behind = decode(AMD64.as_bytes(), None, "stable", Architecture::Aarch64).unwrap_err();
    assert_eq!(behind.to_string(), expected);
    let annotated = INDEX.replace(
        "\"platform\":{\"architecture\":\"arm64\"",
        "\"annotations\":{\"io.kubesolo.os.architecture\":\"amd64\"},\"platform\":{\"architecture\":\"arm64\"",
    );
    assert_eq!(refused(&annotated, Architecture::Aarch64).to_string(), expected);
}

#[test]
fn c_34_an_entry_without_platform_may_say_its_architecture_itself() {
    let says = ",\"annotations\":{\"io.kubesolo.os.architecture\":\"arm64\"}";
    let index = INDEX.replace(",\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\"}", says);
    assert_eq!(entry(&index, Architecture::Aarch64).digest, blob(ARM64.trim_end()).digest);
    assert_eq!(entry(&index, Architecture::X86_64).digest, blob(AMD64.trim_end()).digest);
    // Our publisher never leaves it out.
    let parts: Vec<IndexPart> = ARCHITECTURES.into_iter().map(part).collect();
    let index: crate::Index = serde_json::from_slice(&encode_index(&parts).unwrap()).unwrap();
    assert!(index.manifests.iter().all(|e| e.platform.as_ref().is_some_and(|p| p.os == "linux")));
}

#[test]
fn c_36_of_several_matches_the_one_for_linux_is_taken() {
    let two = INDEX.replace("arm64", "amd64").replacen("\"os\":\"linux\"", "\"os\":\"unknown\"", 1);
    assert_eq!(entry(&two, Architecture::X86_64).digest, blob(ARM64.trim_end()).digest);
    let none = two.replace("\"os\":\"linux\"", "\"os\":\"windows\"");
    let error = refused(&none, Architecture::X86_64).to_string();
    assert!(error.ends_with("found: unknown/amd64, windows/amd64"), "{error}");
}

#[test]
fn o_29_other_media_types_are_refused_by_name() {
    let other = AMD64.replacen("application/vnd.oci.image.manifest.v1+json", "text/html", 1);
    assert_eq!(
        refused(&other, Architecture::X86_64).to_string(),
        "`stable` is a `text/html`: expected an OCI or Docker manifest or index"
    );
    let nested = decode(INDEX.as_bytes(), None, "stable", Architecture::X86_64).unwrap_err();
    assert!(nested.to_string().contains("expected an OCI or Docker manifest behind"), "{nested}");
}

#[test]
fn o_35_o_36_c_37_each_layer_is_there_exactly_once() {
    for (media_type, other) in [(KUBESOLO_KERNEL, KUBESOLO_INITRAMFS), (KUBESOLO_INITRAMFS, KUBESOLO_KERNEL)]
    {
        let check = |text: &str, expected: &str| {
            let error = refused(text, Architecture::X86_64).to_string();
            assert!(error.contains(expected) && error.contains(media_type), "{error}");
        };
        check(&AMD64.replace(media_type, "application/octet-stream"), "has no layer of the type");
        check(
            &SCRATCH.replace("application/vnd.docker.image.rootfs.diff.tar.gzip", media_type),
            "has 2 layers",
        );
        let content = if media_type == KUBESOLO_KERNEL { "\"size\":12" } else { "\"size\":15" };
        check(&AMD64.replace(content, "\"size\":0"), "has an empty layer");
        assert!(matches!(
            refused(&AMD64.replace(other, media_type), Architecture::X86_64),
            KubesoloError::DuplicateLayers { found: 2, .. } | KubesoloError::NoLayer { .. }
        ));
    }
}

proptest! {
    #[test]
    fn round_trips(notes: String, date: String, min: String, size in 1..u64::MAX) {
        let said = Metadata { release_notes: notes, release_date: date, min_compatible_version: min, ..metadata() };
        let kernel = Blob { size, ..blob("k") };
        let documents = encode(&said, Architecture::X86_64, &kernel, &blob("i")).unwrap();
        let release = decode(&documents.manifest, None, "t", Architecture::X86_64).unwrap();
        prop_assert_eq!(release.metadata, Metadata { architecture: "amd64".to_owned(), ..said });
        prop_assert_eq!((release.kernel.digest, release.kernel.size), (kernel.digest, size));
    }

    #[test]
    fn never_panics(bytes: Vec<u8>, at in 0..1500usize, byte: u8) {
        let _ = resolve(&bytes, None, "t", Architecture::X86_64);
        for text in [AMD64, INDEX, DOCKER_LIST, SCRATCH] {
            let mut changed = text.as_bytes().to_vec();
            if let Some(old) = changed.get_mut(at) {
                *old = byte;
            }
            let _ = resolve(&changed, None, "t", Architecture::Aarch64);
        }
    }
}
