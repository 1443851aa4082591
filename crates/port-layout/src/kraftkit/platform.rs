//! What a package runs on: Unikraft's words, the kernel's configuration as OS features, and the checksum that
//! is a manifest's identity in its index (acceptance K-37 … K-39, Ku-12 … Ku-14).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use port_model::{Architecture, Digest, Substrate};

use crate::go_json;
use crate::oci::Platform;

/// Configuration entries that hold paths of the building host, so are never recorded (acceptance K-30).
const HOST_SPECIFIC: [&str; 2] = ["CONFIG_UK_APP", "CONFIG_UK_BASE"];
/// The configuration entry with the kernel's version (acceptance Ku-14).
const KERNEL_VERSION: &str = "CONFIG_UK_FULLVERSION";

/// The canonical word of a platform: `kvm` is `qemu`, `firecracker` is `fc`; others are their own.
pub fn platform_name(word: &str) -> &str {
    match word {
        "kvm" => "qemu",
        "firecracker" => "fc",
        other => other,
    }
}

/// Unikraft's word for a substrate, where it has one.
pub fn substrate_name(substrate: Substrate) -> Option<&'static str> {
    match substrate {
        Substrate::Qemu => Some("qemu"),
        Substrate::Firecracker => Some("fc"),
        Substrate::CloudHypervisor | Substrate::Avf => None,
    }
}

/// Unikraft's word for an architecture.
pub fn architecture_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "arm64",
    }
}

/// A kernel's configuration as OS features, `KEY=VALUE`, sorted, without what belongs to the host.
pub fn features(kconfig: &BTreeMap<String, String>) -> Vec<String> {
    let kept = kconfig.iter().filter(|(key, _)| !HOST_SPECIFIC.contains(&key.as_str()));
    let mut features: Vec<String> = kept.map(|(key, value)| format!("{key}={value}")).collect();
    sort_features(&mut features);
    features
}

/// OS features as a kernel's configuration; of two entries of one key the later counts (acceptance K-61).
pub fn kconfig(features: &[String]) -> BTreeMap<String, String> {
    let entries = features.iter().map(|feature| match feature.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (feature.clone(), String::new()),
    });
    entries.collect()
}

/// The kernel's version, by its configuration; without the quotes of Kconfig's strings.
pub fn kernel_version(kconfig: &BTreeMap<String, String>) -> Option<&str> {
    let value = kconfig.get(KERNEL_VERSION)?;
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    Some(bare).filter(|version| !version.is_empty())
}

/// Sorts: numbers first and descending, then the rest ascending by text (acceptance K-38); and takes repeated
/// features out, so that the order is the same whatever came in (C-8).
pub fn sort_features(features: &mut Vec<String>) {
    features.sort_by(|a, b| match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(x), Ok(y)) => y.cmp(&x).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    });
    features.dedup();
}

/// The platform in the form that is compared: features sorted, each once (acceptance K-37, C-8).
pub fn normalized(platform: &Platform) -> Platform {
    let mut platform = platform.clone();
    sort_features(&mut platform.os_features);
    platform
}

/// Lower-case hex SHA-256 over the seed and the platform's JSON (acceptance K-39, Ku-13). The seed is the full
/// reference. `sha256` hashes, since this crate holds no hash function.
pub fn checksum(seed: &str, platform: &Platform, sha256: impl Fn(&[u8]) -> Digest) -> String {
    let mut bytes = seed.as_bytes().to_vec();
    bytes.extend(go_json::to_bytes(platform));
    sha256(&bytes).hex().to_owned()
}
