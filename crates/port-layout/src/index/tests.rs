//! Tests of `index`: golden documents, refusals, properties.

use port_model::*;
use proptest::prelude::{Just, ProptestConfig, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::document::MOST_ENTRIES;
use crate::oci::Platform;

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::sha256(&Sha256::digest(bytes).into())
}

fn golden(text: &str) -> IndexDocument {
    IndexDocument::read(text.trim_end().as_bytes(), None).unwrap()
}

fn bundle(class: ArtifactClass, variant: Variant) -> Bundle {
    Bundle { class, variant, components: Vec::new(), kernel: None, boot_arguments: None, provenance: None }
}

fn guest(substrate: Substrate, mode: ProtectionMode) -> Bundle {
    bundle(ArtifactClass::GuestImage, Variant::new(Architecture::X86_64, substrate, mode))
}

fn put(index: Option<&IndexDocument>, bundle: &Bundle, content: &str, strategy: Strategy) -> Merged {
    super::merge(index, bundle, digest_of(content.as_bytes()), content.len() as u64, strategy).unwrap()
}

const MANIFEST: &str = include_str!("../../tests/golden/native/manifest.json");
const OTHERS: &str = include_str!("../../tests/golden/native/index-of-others.json");

#[test]
fn the_index_is_golden() {
    let bundle = guest(Substrate::Firecracker, ProtectionMode::Standard);
    let merged = put(None, &bundle, MANIFEST.trim_end(), Strategy::Exit);
    assert_eq!(merged.change, Change::Created);
    let expected = include_str!("../../tests/golden/native/index.json").trim_end();
    assert_eq!(String::from_utf8(merged.index.to_bytes()).unwrap(), expected);
    assert_eq!(golden(expected).to_bytes(), expected.as_bytes());
}

#[test]
fn what_others_wrote_is_kept_to_the_byte() {
    let bundle = guest(Substrate::Firecracker, ProtectionMode::Standard);
    for strategy in [Strategy::Merge, Strategy::Overwrite] {
        let merged = put(Some(&golden(OTHERS)), &bundle, MANIFEST.trim_end(), strategy);
        assert_eq!(merged.change, Change::Added);
        let expected = include_str!("../../tests/golden/native/index-merged.json").trim_end();
        assert_eq!(String::from_utf8(merged.index.to_bytes()).unwrap(), expected);
    }
}

#[test]
fn an_existing_variant_is_replaced_only_with_overwrite() {
    let (standard, pvm) = (
        guest(Substrate::Firecracker, ProtectionMode::Standard),
        guest(Substrate::Firecracker, ProtectionMode::Pvm),
    );
    let one = put(None, &standard, "a", Strategy::Merge).index;
    let two = put(Some(&one), &pvm, "p", Strategy::Merge).index;
    let refuse =
        |strategy| super::merge(Some(&two), &standard, digest_of(b"b"), 1, strategy).unwrap_err().to_string();
    let (a, b) = (digest_of(b"a"), digest_of(b"b"));
    assert_eq!(
        refuse(Strategy::Merge),
        format!(
            "the guest-image `x86_64/firecracker/standard` is already published as {a}: expected no such entry, or {b}"
        )
    );
    assert!(refuse(Strategy::Exit).contains("already published with 2 entries"));
    let replaced = put(Some(&two), &standard, "b", Strategy::Overwrite);
    assert_eq!(replaced.change, Change::Replaced(vec![a]));
    assert_eq!(replaced.index.entries().len(), 2);
    assert!(replaced.index.contains(&b) && replaced.index.contains(&digest_of(b"p")));
    for strategy in [Strategy::Merge, Strategy::Overwrite, Strategy::Exit] {
        assert_eq!(put(Some(&two), &standard, "a", strategy).change, Change::Unchanged);
    }
    // A kernel of the same variant is another thing.
    let kernel = bundle(ArtifactClass::Kernel, standard.variant);
    assert_eq!(put(Some(&two), &kernel, "k", Strategy::Merge).change, Change::Added);
}

#[test]
fn selection_is_exact_and_its_refusal_lists_what_exists() {
    let variant = |mode| Variant::new(Architecture::X86_64, Substrate::Firecracker, mode);
    let index = golden(include_str!("../../tests/golden/native/index-merged.json"));
    let found = select(&index, ArtifactClass::GuestImage, variant(ProtectionMode::Standard)).unwrap();
    assert_eq!(found.digest, digest_of(MANIFEST.trim_end().as_bytes()));
    let error = select(&index, ArtifactClass::GuestImage, variant(ProtectionMode::Pvm)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no guest-image of the index matches `x86_64/firecracker/pvm`\n  found: guest-image \
         x86_64/firecracker/standard, 1 that say no variant"
    );
    assert!(select(&index, ArtifactClass::Kernel, variant(ProtectionMode::Standard)).is_err());
    let twice = index.entries().last().unwrap().clone();
    let mut other = twice.descriptor().clone();
    other.digest = digest_of(b"other");
    let wanted = variant(ProtectionMode::Standard);
    let same = index.clone().with_entries(vec![twice.clone(), twice.clone()]);
    assert!(select(&same, ArtifactClass::GuestImage, wanted).is_ok());
    let differing = index.with_entries(vec![twice, Entry::new(other)]);
    let error = select(&differing, ArtifactClass::GuestImage, wanted).unwrap_err();
    assert!(matches!(error, SelectError::Ambiguous { ref found, .. } if found.len() == 2), "{error}");
}

#[test]
fn an_entry_that_says_less_than_all_is_never_guessed_at() {
    let wanted = guest(Substrate::Firecracker, ProtectionMode::Standard);
    let whole = crate::native::index_entry(&wanted, digest_of(b"x"), 1);
    let spoil: [fn(&mut Descriptor); 7] = [
        |e| {
            e.artifact_type = None;
            e.annotations.remove(crate::annotations::CLASS);
        },
        |e| drop(e.annotations.insert(crate::annotations::CLASS.to_owned(), "kernel".to_owned())),
        |e| e.artifact_type = Some("application/vnd.port.future.v9".to_owned()),
        |e| e.platform = None,
        |e| e.platform = Some(Platform { os: "windows".to_owned(), ..e.platform.clone().unwrap() }),
        |e| drop(e.annotations.remove(crate::annotations::SUBSTRATE)),
        |e| drop(e.annotations.insert("vnd.port.protection-mode".to_owned(), "any".to_owned())),
    ];
    for change in spoil {
        let mut entry = whole.clone();
        change(&mut entry);
        let index = IndexDocument::default().with_entries(vec![Entry::new(entry)]);
        assert!(select(&index, wanted.class, wanted.variant).is_err());
        assert_eq!(put(Some(&index), &wanted, "y", Strategy::Merge).index.entries().len(), 2);
    }
}

#[test]
fn an_index_that_skopeo_copied_still_says_its_variants() {
    let copied = include_str!("../../tests/golden/native/index.json")
        .replace(",\"artifactType\":\"application/vnd.port.guest-image.v1\"", "");
    let wanted = guest(Substrate::Firecracker, ProtectionMode::Standard);
    let index = golden(&copied);
    assert!(select(&index, wanted.class, wanted.variant).is_ok());
    assert!(select(&index, ArtifactClass::Kernel, wanted.variant).is_err());
    let again = put(Some(&index), &wanted, MANIFEST.trim_end(), Strategy::Merge);
    assert_eq!(again.change, Change::Unchanged);
}

#[test]
fn hostile_indexes_are_refused() {
    let read = |text: &str| IndexDocument::read(text.as_bytes(), None).unwrap_err();
    let entry = OTHERS.trim_end().split("[ ").nth(1).unwrap().split(" ]").next().unwrap();
    for (bad, expected) in [
        (OTHERS.replace("\"size\":7", "\"size\":-7"), "the index's entry is not one"),
        (OTHERS.replace("sha256:", "sha256:../"), "the index's entry is not one"),
        (OTHERS.replace("\"manifests\":[ ", "\"manifests\":[[],"), "the index's entry is not one"),
        (OTHERS.replace("\"manifests\":[ ", "\"manifests\":7,\"x\":[ "), "the index is not one"),
        (OTHERS.replace("\"kept\"", "7"), "the index is not one"),
        (OTHERS.replace("\"x-tool\"", "\"layers\":[],\"x-tool\""), "found layers, manifests"),
        (OTHERS.replace("\"x-tool\"", "\"manifests\":[],\"x-tool\""), "the document is not one"),
        (MANIFEST.to_owned(), "a manifest, not an index"),
        (
            OTHERS.replace(entry, &vec![entry; MOST_ENTRIES + 1].join(",")),
            "the index has 2049 manifests: at most 2048 are read",
        ),
    ] {
        let error = read(&bad).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let list = include_str!("../../tests/golden/kubesolo/docker-list.json");
    let wanted = guest(Substrate::Qemu, ProtectionMode::Standard);
    let error = super::merge(Some(&golden(list)), &wanted, digest_of(b"x"), 1, Strategy::Merge);
    assert!(error.unwrap_err().to_string().contains("manifest.list.v2+json`: expected an OCI image index"));
}

#[test]
fn c_17_exit_and_abort_are_one_strategy() {
    assert_eq!("abort".parse::<Strategy>().unwrap(), Strategy::Exit);
    for strategy in [Strategy::Merge, Strategy::Overwrite, Strategy::Exit] {
        assert_eq!(strategy.to_string().parse::<Strategy>().unwrap(), strategy);
    }
    let error = "mrge".parse::<Strategy>().unwrap_err().to_string();
    assert!(error.contains("merge, overwrite, exit, abort (did you mean `merge`?)"), "{error}");
}

fn every_variant() -> Vec<Bundle> {
    let mut all = Vec::new();
    for class in ArtifactClass::ALL {
        for architecture in Architecture::ALL {
            for substrate in Substrate::ALL {
                let variant = Variant::new(*architecture, *substrate, ProtectionMode::Standard);
                all.push(bundle(*class, variant));
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn jobs_in_any_order_end_with_the_same_bytes(order in Just(every_variant()).prop_shuffle()) {
        let publish = |order: &[Bundle]| {
            let add = |index: IndexDocument, bundle: &Bundle| {
                put(Some(&index), bundle, &format!("{} {}", bundle.class, bundle.variant), Strategy::Merge).index
            };
            order.iter().fold(golden(OTHERS), add)
        };
        let index = publish(&order);
        prop_assert_eq!(index.to_bytes(), publish(&every_variant()).to_bytes());
        for bundle in &order {
            prop_assert!(select(&index, bundle.class, bundle.variant).is_ok());
        }
        prop_assert_eq!(golden(&String::from_utf8(index.to_bytes()).unwrap()).to_bytes(), index.to_bytes());
    }

}

proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>, at in 0..2000usize, byte: u8) {
        let _ = IndexDocument::read(&bytes, None);
        let mut bytes = include_bytes!("../../tests/golden/native/index-merged.json").to_vec();
        if let Some(old) = bytes.get_mut(at) {
            *old = byte;
        }
        if let Ok(index) = IndexDocument::read(&bytes, None) {
            let again = IndexDocument::read(&index.to_bytes(), None).unwrap();
            prop_assert_eq!(again.entries(), index.entries());
        }
    }
}
