//! Tests of `port_v1`: golden documents, refusals, properties.

use port_model::*;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::*;

fn component(kind: ComponentKind, format: ComponentFormat, name: &str) -> Component {
    let digest = Digest::sha256(&Sha256::digest(name.as_bytes()).into());
    Component { kind, format, file_name: name.parse().unwrap(), size: name.len() as u64, digest }
}

fn bundle(class: ArtifactClass, components: Vec<Component>) -> Bundle {
    let variant = Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Standard);
    Bundle { class, variant, components, kernel: None, boot_arguments: None, provenance: None }
}

fn kernel() -> Bundle {
    let kernel = component(ComponentKind::Kernel, ComponentFormat::Raw, "vmlinux");
    bundle(ArtifactClass::Kernel, vec![kernel])
}

fn guest_image() -> Bundle {
    let rootfs = component(ComponentKind::Rootfs, ComponentFormat::Ext4, "rootfs.ext4");
    let initrd = component(ComponentKind::Initrd, ComponentFormat::CpioGz, "initrd.cpio.gz");
    bundle(ArtifactClass::GuestImage, vec![rootfs, initrd])
}

fn wanted(bundle: &Bundle, file_name: &str) -> Wanted {
    Wanted { class: bundle.class, variant: bundle.variant, file_name: file_name.parse().unwrap() }
}

const KERNEL: &str = include_str!("../../tests/golden/port-v1/kernel.json");
const GUEST_IMAGE: &str = include_str!("../../tests/golden/port-v1/guest-image.json");
const FOREIGN: &str = include_str!("../../tests/golden/port-v1/foreign-oras.json");

#[test]
fn pu_21_pu_25_the_manifest_is_what_oras_push_writes() {
    for (bundle, golden) in [(kernel(), KERNEL), (guest_image(), GUEST_IMAGE)] {
        let PortV1 { documents, left_out } = encode(&bundle).unwrap();
        assert_eq!(String::from_utf8(documents.manifest.clone()).unwrap(), golden.trim_end());
        assert_eq!((documents.config.as_slice(), left_out.len()), (b"{}".as_slice(), 0));
        let name = bundle.main().unwrap().file_name.as_str();
        let decoded = decode(&documents.manifest, &wanted(&bundle, name)).unwrap();
        assert_eq!((decoded.bundle, decoded.ignored), (bundle, Vec::new()));
    }
    assert_eq!(empty_config().digest, Digest::sha256(&Sha256::digest(EMPTY_CONFIG).into()));
}

#[test]
fn pu_20_the_variant_stands_in_the_tag() {
    let reference: Reference = "127.0.0.1:5510/port/demo-kernel:v1".parse().unwrap();
    assert_eq!(
        reference.variant_name(kernel().variant),
        "127.0.0.1:5510/port/demo-kernel:v1-x86_64-firecracker-standard"
    );
}

#[test]
fn pu_22_the_file_is_found_by_title_then_by_base_name() {
    let image = decode(FOREIGN.as_bytes(), &wanted(&guest_image(), "rootfs.ext4")).unwrap();
    let found: Vec<&str> = image.bundle.components.iter().map(|c| c.file_name.as_str()).collect();
    assert_eq!(found, ["rootfs.ext4", "initrd.cpio.gz"]);
    assert_eq!(image.bundle.components[0].format, ComponentFormat::Raw);
    assert_eq!(image.ignored.len(), 1);
    let old = include_str!("../../tests/golden/port-v1/foreign-oras-1.0.json");
    assert_eq!(decode(old.as_bytes(), &wanted(&kernel(), "vmlinux")).unwrap().bundle.components.len(), 1);

    let two = FOREIGN.replace("README.md", "other/rootfs.ext4");
    let error = decode(two.as_bytes(), &wanted(&guest_image(), "rootfs.ext4")).unwrap_err();
    assert!(error.to_string().starts_with("2 layers are titled `rootfs.ext4`: expected one"), "{error}");
    let exact = FOREIGN.replace("README.md", "rootfs.ext4");
    let image = decode(exact.as_bytes(), &wanted(&guest_image(), "rootfs.ext4")).unwrap();
    assert_eq!(image.bundle.components[0].size, 4, "the exact title comes first");
}

#[test]
fn what_is_not_there_or_of_another_class_is_refused() {
    let check = |text: &str, bundle: &Bundle, name: &str, expected: &str| {
        let error = decode(text.as_bytes(), &wanted(bundle, name)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(KERNEL, &guest_image(), "rootfs.ext4", "0 layers are titled `rootfs.ext4`");
    check(KERNEL, &guest_image(), "vmlinux", "`vmlinux` is a kernel: expected a guest-image");
    check(include_str!("../../tests/golden/native/index.json"), &kernel(), "vmlinux", "is an index");
    for title in ["/vmlinux", "../vmlinux", "a/../../vmlinux", "c:\\\\vmlinux", "..\\\\vmlinux", ""] {
        let text = KERNEL.replace("\"vmlinux\"", &format!("\"{title}\""));
        check(&text, &kernel(), "vmlinux", "expected a relative path without `..`");
        let beside = FOREIGN.replace("README.md", title);
        check(&beside, &guest_image(), "rootfs.ext4", "expected a relative path without `..`");
    }
}

#[test]
fn nothing_is_dropped_unseen() {
    let mut rich = kernel();
    rich.kernel = Some(KernelFacts::default());
    rich.provenance = Some("a pin".to_owned());
    assert_eq!(encode(&rich).unwrap().left_out, ["kernel", "provenance"]);
    rich.components.push(component(ComponentKind::KernelDbg, ComponentFormat::Vmlinux, "vmlinux.dbg"));
    let error = encode(&rich).unwrap_err().to_string();
    assert_eq!(
        error,
        "the kernel cannot be published as port-v1: it has no place for the kernel-dbg `vmlinux.dbg`"
    );
    assert!(encode(&bundle(ArtifactClass::Kernel, Vec::new())).is_err());
    let mut clash = guest_image();
    clash.components[0].file_name = INITRD_NAME.parse().unwrap();
    assert!(encode(&clash).is_err());
}

#[test]
fn c_1_an_image_without_initrd_is_whole() {
    let mut alone = guest_image();
    alone.components.truncate(1);
    let documents = encode(&alone).unwrap().documents;
    assert_eq!(decode(&documents.manifest, &wanted(&alone, "rootfs.ext4")).unwrap().bundle, alone);
}

proptest! {
    #[test]
    fn round_trips(name in "[a-z][a-z0-9._-]{0,20}", size in 0..u64::MAX, initrd: bool) {
        let mut image = guest_image();
        image.components[0].file_name = name.parse().unwrap();
        image.components[0].size = size;
        image.components.truncate(if initrd { 2 } else { 1 });
        prop_assume!(name != INITRD_NAME);
        let documents = encode(&image).unwrap().documents;
        let decoded = decode(&documents.manifest, &wanted(&image, &name)).unwrap();
        prop_assert_eq!(decoded.bundle, image);
    }

    #[test]
    fn never_panics(bytes: Vec<u8>, title: String) {
        let _ = decode(&bytes, &wanted(&kernel(), "vmlinux"));
        let text = KERNEL.replace("\"vmlinux\"", &serde_json::to_string(&title).unwrap());
        let _ = decode(text.as_bytes(), &wanted(&kernel(), "vmlinux"));
    }
}
