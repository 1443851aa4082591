//! Tests of `kraftkit`: golden documents, refusals, properties.

use std::collections::BTreeMap;

use port_model::{Architecture, Digest, Substrate};
use proptest::collection;
use proptest::prelude::{Just, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::annotations::KRAFTKIT_VERSION;
use crate::index::{Entry, IndexDocument, Strategy};
use crate::oci::Platform;

const CONFIG: &str = include_str!("../../tests/golden/kraftkit/config.json");
const MANIFEST: &str = include_str!("../../tests/golden/kraftkit/manifest.json");
const INDEX: &str = include_str!("../../tests/golden/kraftkit/index.json");
const REFERENCE: &str = "unikraft.org/hello:latest";

fn sha256(bytes: &[u8]) -> Digest {
    Digest::sha256(&Sha256::digest(bytes).into())
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn layer(role: LayerRole, content: &str) -> Descriptor {
    role.descriptor(sha256(content.as_bytes()), content.len() as u64)
}

/// Deliberately out of order, as a build may hand it over.
fn package() -> Package {
    let platform = Platform {
        architecture: "x86_64".to_owned(),
        os: "qemu".to_owned(),
        os_version: "0.16.3~abc".to_owned(),
        os_features: words(&[
            "CONFIG_UK_NAME=\"a<b&c\"",
            "CONFIG_LIBUKDEBUG=y",
            "CONFIG_UK_FULLVERSION=\"0.16.3~abc\"",
            "CONFIG_LIBUKDEBUG=y",
        ]),
        variant: String::new(),
    };
    let runtime = Runtime {
        env: words(&["A=1", "B=x>y"]),
        cmd: words(&["/app", "--flag=&"]),
        labels: BTreeMap::from([("l".to_owned(), "v".to_owned())]),
        ..Runtime::default()
    };
    Package {
        reference: parse_name("hello").unwrap(),
        packer_version: "port".to_owned(),
        created: Some("1970-01-01T00:00:00Z".to_owned()),
        config: ImageConfig { platform, config: runtime, ..ImageConfig::default() },
        layers: vec![
            layer(LayerRole::Kernel, "kernel tar"),
            layer(LayerRole::KernelDbg, "kernel.dbg tar"),
            layer(LayerRole::Initrd, "initrd tar"),
        ],
    }
}

fn packed(package: &Package) -> Documents {
    encode(package, sha256).unwrap()
}

fn on(os: &str, feature: &str) -> Package {
    let mut package = package();
    package.config.platform.os = os.to_owned();
    package.config.platform.os_features.push(feature.to_owned());
    package
}

fn put(existing: Option<&IndexDocument>, package: &Package, strategy: Strategy) -> Merged {
    merge(existing, package, &packed(package), strategy).unwrap()
}

#[test]
fn k_1_ku_3_names_that_kraft_and_unikraft_gave() {
    use crate::annotations as names;
    assert_eq!(CONFIG_NAME, "config.json");
    assert_eq!(names::UNIKRAFT_KERNEL, "org.unikraft.kernel.image");
    assert_eq!(names::UNIKRAFT_INITRD, "org.unikraft.kernel.initrd");
    assert_eq!(names::UNIKRAFT_KERNEL_VERSION, "org.unikraft.kernel.version");
    assert_eq!(names::UNIKRAFT_NAME, "org.unikraft.image.name");
    assert_eq!(names::KRAFTKIT_VERSION, "sh.kraftkit.version");
    // What kraft declares and never writes, Port does not write either.
    let documents = packed(&package());
    let text = String::from_utf8([documents.manifest, documents.config].concat()).unwrap();
    for unused in [
        "image.version",
        "image.url",
        "image.created",
        "kernel.arch",
        "kernel.plat",
        "filesystem",
        "mediaType",
    ] {
        assert!(!text.contains(&format!("org.unikraft.{unused}")), "{unused}");
    }
}

#[test]
fn ku_7_ku_8_ku_9_ku_10_the_documents_are_golden() {
    let documents = packed(&package());
    assert_eq!(String::from_utf8(documents.config.clone()).unwrap(), CONFIG.trim_end());
    assert_eq!(String::from_utf8(documents.manifest.clone()).unwrap(), MANIFEST.trim_end());
    let merged = put(None, &package(), Strategy::Merge);
    assert_eq!(String::from_utf8(merged.index.to_bytes()).unwrap(), INDEX.trim_end());
    assert!(merged.replaced.is_empty());
}

#[test]
fn k_22_k_60_a_package_is_read_back() {
    let decoded = decode(MANIFEST.trim_end().as_bytes(), CONFIG.trim_end().as_bytes()).unwrap();
    assert!(decoded.platform_on_descriptor && decoded.canonical_config);
    let package = decoded.package;
    assert_eq!(package.config.platform.os, "qemu");
    assert_eq!(packed(&package), packed(&self::package()), "read and written again, the bytes are the same");
    assert_eq!(package.kernel().unwrap().digest, sha256(b"kernel tar"));
    assert_eq!(package.initrd().unwrap().digest, sha256(b"initrd tar"));
}

#[test]
fn ku_15_a_config_of_every_field_keeps_its_bytes() {
    let full = include_str!("../../tests/golden/kraftkit/config-full.json").trim_end();
    let config = ImageConfig::read(full.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(config.to_bytes()).unwrap(), full);
    assert!(config.is_canonical(full.as_bytes()));
    for other in [full.replace("\"os\":\"fc\"", "\"os\": \"fc\""), full.replace("\\u0001", "\\u0001<")] {
        assert!(!ImageConfig::read(other.as_bytes()).unwrap().is_canonical(other.as_bytes()));
    }
    let unknown = full.replace("\"author\"", "\"surprise\":1,\"author\"");
    assert!(!ImageConfig::read(unknown.as_bytes()).unwrap().is_canonical(unknown.as_bytes()));
}

#[test]
fn ku_2_ku_4_k_14_k_18_layers_are_plain_tars_with_their_paths() {
    let annotation = |role: LayerRole| layer(role, "x").annotations.into_iter().next();
    let pair = |key: &str, path: &str| Some((key.to_owned(), path.to_owned()));
    assert_eq!(annotation(LayerRole::Kernel), pair("org.unikraft.kernel.image", "/unikraft/bin/kernel"));
    assert_eq!(annotation(LayerRole::Initrd), pair("org.unikraft.kernel.initrd", "/unikraft/bin/initrd"));
    assert_eq!(annotation(LayerRole::KernelDbg), None);
    assert_eq!(LayerRole::KernelDbg.path(), "/unikraft/bin/kernel.dbg");
    assert_eq!(layer(LayerRole::Kernel, "x").media_type, "application/vnd.oci.image.layer.v1.tar");
}

#[test]
fn ku_6_a_compressed_layer_is_not_written_but_read() {
    let mut compressed = package();
    compressed.layers[0].media_type.push_str("+gzip");
    assert!(encode(&compressed, sha256).unwrap_err().to_string().contains("has a layer"));
    let gzip = MANIFEST.replace("layer.v1.tar\"", "layer.v1.tar+gzip\"");
    let config = CONFIG.replace("\"diff_ids\":[\"sha256:d", "\"diff_ids\":[\"sha256:e");
    assert!(decode(gzip.as_bytes(), config.as_bytes()).is_ok());
    let error = decode(MANIFEST.as_bytes(), config.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("rootfs.diff_ids is `sha256:e"), "{error}");
}

#[test]
fn what_kraft_could_not_read_is_not_written() {
    type Change = fn(&mut Package);
    let spoil: [(Change, &str); 3] = [
        (|p| p.packer_version.clear(), "no packer version"),
        (|p| p.config.platform.os.clear(), "no platform"),
        (|p| p.config.platform.architecture.clear(), "no architecture"),
    ];
    for (change, expected) in spoil {
        let mut bad = package();
        change(&mut bad);
        let error = encode(&bad, sha256).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("unikraft.org/hello"), "{error}");
    }
}

#[test]
fn documents_that_contradict_each_other_are_refused() {
    let check = |manifest: &str, config: &str, expected: &str| {
        let error = decode(manifest.as_bytes(), config.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(INDEX, CONFIG, "expected a manifest");
    check(MANIFEST, "[]", "the config is not one");
    check(MANIFEST, "{\"os\":1}", "the config is not one");
    check(MANIFEST, &CONFIG.replace("qemu", "fc"), "config.platform.os is `qemu`: expected `fc`");
    check(MANIFEST, &CONFIG.replace("UKDEBUG=y", "UKDEBUG=n"), "os.features");
    check(&MANIFEST.replace("image.config.v1", "other.config.v1"), CONFIG, "config.mediaType");
    let name = ["io.containerd.image.name", "org.unikraft.image.name"];
    check(&name.iter().fold(MANIFEST.to_owned(), |m, k| m.replace(k, "x.other")), CONFIG, "not one");
    let nameless =
        name.iter().enumerate().fold(MANIFEST.to_owned(), |m, (at, k)| m.replace(k, &format!("x{at}")));
    check(&nameless, CONFIG, "annotation org.unikraft.image.name is `absent`");
    check(&MANIFEST.replace("unikraft.org/hello:latest", "../x"), CONFIG, "`../x` is not a package name");
    let fewer = CONFIG.replace("diff_ids\":[", "diff_ids\":null,\"x\":[");
    check(MANIFEST, &fewer, "number of rootfs.diff_ids is `0`: expected 3");
}

#[test]
fn ku_8_a_missing_platform_is_told() {
    let start = MANIFEST.find(",\"platform\":").unwrap();
    let end = MANIFEST.find("},\"layers\"").unwrap();
    let bare = format!("{}{}", &MANIFEST[..start], &MANIFEST[end..]);
    let decoded = decode(bare.as_bytes(), CONFIG.trim_end().as_bytes()).unwrap();
    assert!(!decoded.platform_on_descriptor);
    assert_eq!(decoded.package.config.platform.architecture, "x86_64");
}

#[test]
fn k_5_k_6_k_45_ku_1_c_10_names_have_one_canonical_form() {
    let check = |name: &str, expected: &str| {
        assert_eq!(parse_name(name).unwrap().to_string(), expected, "{name}");
    };
    check("hello", REFERENCE);
    check("hello:0.1", "unikraft.org/hello:0.1");
    check("unikraft.org/hello", REFERENCE);
    check("team/hello", "unikraft.org/team/hello:latest");
    check("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest");
    check("localhost/x:1", "localhost/x:1");
    let digest = sha256(b"");
    check(&format!("hello@{digest}"), &format!("{REFERENCE}@{digest}"));
    assert!(matches!(parse_name("").unwrap_err(), KraftkitError::NoName));
    for bad in [":latest", "Hello", "a/../b", "hello:", "hello@sha256:00", "@", "a:b:c"] {
        assert!(parse_name(bad).unwrap_err().to_string().contains("is not a package name"), "{bad}");
    }
}

#[test]
fn k_23_k_24_k_26_k_27_the_config_and_annotations_say_the_target() {
    let manifest: crate::Manifest = serde_json::from_str(MANIFEST).unwrap();
    assert_eq!(manifest.annotations["org.unikraft.image.name"], "unikraft.org/hello");
    assert_eq!(manifest.annotations["org.unikraft.kernel.version"], "0.16.3~abc");
    let platform = manifest.config.platform.unwrap();
    assert_eq!((platform.os.as_str(), platform.architecture.as_str()), ("qemu", "x86_64"));
    assert_eq!(platform.os_version, "0.16.3~abc");
    let mut unversioned = package();
    unversioned.config.platform.os_version.clear();
    let documents = packed(&unversioned);
    assert!(!documents.entry.annotations.contains_key("org.unikraft.kernel.version"));
    assert!(!String::from_utf8(documents.config).unwrap().contains("os.version"));
}

#[test]
fn k_25_k_28_c_15_c_16_a_repack_keeps_what_is_not_given() {
    let original = package().config;
    let kept = original.restarted(&[], &[]);
    assert_eq!(kept, original);
    let changed = original.restarted(&words(&["/new"]), &words(&["B=2", "C=3"]));
    assert_eq!(changed.config.cmd, ["/new"]);
    assert_eq!(changed.config.env, ["A=1", "B=2", "C=3"]);
    assert_eq!(original, package().config, "the original stays as it was");
    let renamed = package().renamed(parse_name("other:1").unwrap());
    assert_eq!((renamed.name().as_str(), renamed.layers.len()), ("unikraft.org/other", 3));
}

#[test]
fn k_29_k_30_k_61_ku_14_the_kernel_configuration_is_the_features() {
    let pairs = [
        ("CONFIG_UK_APP", "\"/home/me/app\""),
        ("CONFIG_UK_BASE", "\"/home/me/uk\""),
        ("CONFIG_UK_FULLVERSION", "\"0.16.3\""),
        ("CONFIG_LIBUKDEBUG", "y"),
    ];
    let config: BTreeMap<String, String> =
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let recorded = features(&config);
    assert_eq!(recorded, ["CONFIG_LIBUKDEBUG=y", "CONFIG_UK_FULLVERSION=\"0.16.3\""]);
    assert_eq!(kernel_version(&config), Some("0.16.3"));
    assert_eq!(kconfig(&recorded).len(), 2);
    assert_eq!(
        kconfig(&words(&["A=1", "B", "A=2=3"])),
        BTreeMap::from([("A".to_owned(), "2=3".to_owned()), ("B".to_owned(), String::new()),])
    );
}

#[test]
fn k_37_k_38_features_have_one_order() {
    let mut list = words(&["b", "10", "A", "9", "-1", "a", "100", "9x", "10"]);
    sort_features(&mut list);
    assert_eq!(list, ["100", "10", "9", "-1", "9x", "A", "a", "b"]);
}

#[test]
fn k_39_ku_13_the_checksum_is_golden() {
    let expected = include_str!("../../tests/golden/kraftkit/checksum.txt").trim_end();
    assert_eq!(checksum(REFERENCE, &normalized(&package().config.platform), sha256), expected);
    assert_ne!(checksum("unikraft.org/hello:1", &normalized(&package().config.platform), sha256), expected);
}

#[test]
fn ku_12_words_of_platforms() {
    let words: Vec<&str> = ["kvm", "firecracker", "xen", "kraftcloud"].map(platform_name).to_vec();
    assert_eq!(words, ["qemu", "fc", "xen", "kraftcloud"]);
    assert_eq!(
        Architecture::ALL.iter().map(|a| architecture_name(*a)).collect::<Vec<_>>(),
        ["x86_64", "arm64"]
    );
    assert_eq!(substrate_name(Substrate::Firecracker), Some("fc"));
    assert_eq!(substrate_name(Substrate::Avf), None);
}

#[test]
fn k_40_k_42_k_44_c_8_merge_replaces_the_same_target_and_keeps_the_others() {
    let one = put(None, &package(), Strategy::Merge).index;
    let two = put(Some(&one), &on("fc", "X=1"), Strategy::Merge).index;
    assert_eq!(two.entries().len(), 2);
    // The same target: features in another order, another kernel.
    let mut again = package();
    again.config.platform.os_features.reverse();
    again.layers = vec![layer(LayerRole::Kernel, "new kernel")];
    let merged = put(Some(&two), &again, Strategy::Merge);
    assert_eq!(merged.index.entries().len(), 2);
    assert_eq!(merged.replaced, [packed(&package()).entry.digest]);
    assert_eq!(merged.index.entries()[0], two.entries()[1], "the other is kept as it was");
    assert_eq!(*merged.index.entries()[1].descriptor(), packed(&again).entry, "the new one stands last");
    let unchanged = put(Some(&one), &package(), Strategy::Merge);
    assert_eq!((unchanged.index.to_bytes(), unchanged.replaced), (one.to_bytes(), Vec::new()));
}

#[test]
fn k_33_k_34_k_35_k_36_c_14_the_other_strategies() {
    let one = put(None, &package(), Strategy::Exit).index;
    let error = merge(Some(&one), &on("xen", "X=1"), &packed(&on("xen", "X=1")), Strategy::Exit).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`unikraft.org/hello:latest` exists with 1 manifests: expected none (strategy `exit`)"
    );
    let fresh = put(Some(&one), &on("xen", "X=1"), Strategy::Overwrite);
    assert_eq!(fresh.index.entries().len(), 1);
    assert_eq!(fresh.replaced, [packed(&package()).entry.digest]);
}

#[test]
fn ku_11_what_has_no_marker_is_not_seen_and_not_touched() {
    let index = put(None, &package(), Strategy::Merge).index;
    assert!(is_listed(&index));
    assert_eq!(discover(&index).len(), 1);
    let mut plain = packed(&package()).entry;
    plain.annotations.remove(KRAFTKIT_VERSION);
    let unmarked = IndexDocument::default().with_entries(vec![Entry::new(plain)]);
    assert!(discover(&unmarked).is_empty() && !is_listed(&unmarked));
    assert_eq!(put(Some(&unmarked), &package(), Strategy::Merge).index.entries().len(), 2);
}

#[test]
fn ku_33_a_query_asks_for_platform_architecture_and_features() {
    let target = normalized(&package().config.platform);
    let query = |platform: &str, features: &[&str]| Query {
        architecture: Some("x86_64".to_owned()),
        platform: Some(platform.to_owned()),
        features: words(features),
    };
    assert!(matches(&query("kvm", &["CONFIG_LIBUKDEBUG=y"]), &target));
    assert!(!matches(&query("fc", &[]), &target));
    assert!(!matches(&query("qemu", &["CONFIG_LIBUKDEBUG=n"]), &target));
    assert!(matches(&Query::default(), &target));
}

proptest! {
    #[test]
    fn round_trips(
        features in collection::vec(".{0,12}", 0..6),
        env in collection::vec(".{0,12}", 0..4),
        cmd in collection::vec(".{0,12}", 0..4),
        user in ".{0,12}",
        version in ".{0,12}",
    ) {
        let mut package = package();
        package.config.platform.os_features = features;
        package.config.platform.os_version = version;
        package.config.config.env = env;
        package.config.config.cmd = cmd;
        package.config.config.user = user;
        let documents = packed(&package);
        let decoded = decode(&documents.manifest, &documents.config).unwrap();
        prop_assert!(decoded.canonical_config);
        package.config.platform = normalized(&package.config.platform);
        package.config.rootfs.diff_ids =
            Some(package.layers.iter().map(|layer| layer.digest.to_string()).collect());
        prop_assert_eq!(&decoded.package, &package);
        prop_assert_eq!(packed(&decoded.package), documents);
    }

    #[test]
    fn sorting_is_one_order(list in Just(words(&["1", "01", "-1", "+1", "a", "b=1", "2"])).prop_shuffle()) {
        let mut list = list;
        sort_features(&mut list);
        prop_assert_eq!(list, ["2", "+1", "01", "1", "-1", "a", "b=1"]);
    }

    #[test]
    fn never_panics(bytes: Vec<u8>, name: String, at in 0..1500usize, byte: u8) {
        let _ = decode(&bytes, &bytes);
        let _ = parse_name(&name);
        let change = |text: &str| {
            let mut changed = text.as_bytes().to_vec();
            if let Some(old) = changed.get_mut(at) {
                *old = byte;
            }
            changed
        };
        let _ = decode(&change(MANIFEST), &change(CONFIG));
    }
}
