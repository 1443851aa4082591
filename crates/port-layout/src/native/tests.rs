//! The native layout's documents, byte for byte, and what is refused of them.

use super::*;
use port_model::*;
use sha2::{Digest as _, Sha256};

pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::sha256(&Sha256::digest(bytes).into())
}

pub(crate) fn bundle() -> Bundle {
    let component = |kind, format, name: &str| Component {
        kind,
        format,
        file_name: name.parse().unwrap(),
        size: name.len() as u64,
        digest: digest_of(name.as_bytes()),
    };
    Bundle {
        class: ArtifactClass::GuestImage,
        variant: Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Standard),
        components: vec![
            component(ComponentKind::Rootfs, ComponentFormat::Ext4, "rootfs.ext4"),
            component(ComponentKind::Initrd, ComponentFormat::CpioGz, "initrd.cpio.gz"),
        ],
        kernel: Some(KernelFacts { release: Some("6.1.0".to_owned()), modules: vec!["virtio".to_owned()] }),
        boot_arguments: None,
        provenance: None,
    }
}

#[test]
fn the_documents_are_golden() {
    let encoded = encode(&bundle(), digest_of);
    assert_eq!(
        String::from_utf8(encoded.config.clone()).unwrap(),
        include_str!("../../tests/golden/native/config.json").trim_end()
    );
    assert_eq!(
        String::from_utf8(encoded.manifest.clone()).unwrap(),
        include_str!("../../tests/golden/native/manifest.json").trim_end()
    );
    assert_eq!(decode(&encoded.manifest, &encoded.config).unwrap(), bundle());
}

#[test]
fn documents_that_contradict_each_other_are_refused() {
    let encoded = encode(&bundle(), digest_of);
    let config = String::from_utf8(encoded.config).unwrap();
    let manifest = String::from_utf8(encoded.manifest).unwrap();
    let check = |manifest: &str, config: &str, expected: &str| {
        let error = decode(manifest.as_bytes(), config.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&manifest, "{}", "the config is not one");
    check("[]", &config, "the manifest is not one");
    check(&manifest, &config.replace("\"schema_version\":1", "\"schema_version\":9"), "version 9");
    check(&manifest, &config.replace("standard", "pvm"), "vnd.port.protection-mode is `standard`");
    check(&manifest.replace("firecracker", "avf"), &config, "expected `firecracker`");
    check(&manifest.replace("guest-image.v1\"", "kernel.v1\""), &config, "artifactType");
    check(&manifest.replace("\"size\":11", "\"size\":12"), &config, "the layer is `rootfs.ext4` of 12");
    check(&manifest.replace("rootfs.ext4", "../rootfs.ext4"), &config, "`../rootfs.ext4`");
    check(&manifest, &config.replace("\"initrd\"", "\"rootfs\""), "share a role");
    for surprise in ["{\"schema", "{\"class", "{\"kind"] {
        let config = config.replace(surprise, &surprise.replace('{', "{\"surprise\":1,"));
        check(&manifest, &config, "the config is not one");
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let encoded = encode(&bundle(), digest_of);
    let (manifest, config) = (encoded.manifest, encoded.config);
    let twice = |bytes: &[u8], key: &str, value: &str| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.replacen(&format!("\"{key}\":"), &format!("\"{key}\":{value},\"{key}\":"), 1).into_bytes()
    };
    for (manifest, config) in [
        (twice(&manifest, SUBSTRATE, "\"avf\""), config.clone()),
        (twice(&manifest, "layers", "[]"), config.clone()),
        (manifest.clone(), twice(&config, "schema_version", "1")),
        (manifest, [config, vec![b' '; json::LARGEST_DOCUMENT]].concat()),
    ] {
        assert!(matches!(decode(&manifest, &config), Err(DecodeError::Json(_))));
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(manifest: Vec<u8>, config: Vec<u8>) {
        let _ = decode(&manifest, &config);
    }
}
