//! The manifest as it is written: texts and numbers, nothing checked (acceptance V-11 … V-43).
//!
//! A key that is absent is `None`. An empty text and the number 0 say the same as an absent key (acceptance Vu-13,
//! Vu-15); an empty list says "none" and is not absent. `name` and `mode` are always written, so they are plain texts.

use std::path::PathBuf;

use serde::Serialize;

use crate::words::Mode;

/// What starts a content-addressed reference.
pub const STORED: &str = "cas://";

/// A manifest. Equal manifests are written alike.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The manifest that this one completes: a path, `cas://sha256:…` or `oci://registry/repository:version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// What it is.
    pub workload: Workload,
    /// The guest's kernel; ignored in container mode.
    pub kernel: Kernel,
    /// What it may do.
    pub security: Security,
    /// What it may use.
    pub resources: Resources,
    /// How it is connected.
    pub network: Network,
    /// What it stands on.
    pub storage: Storage,
    /// Where it was read; empty for one built in code. Never written (acceptance V-13).
    #[serde(skip)]
    pub source: PathBuf,
}

/// `[workload]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// One of [`Mode`].
    pub mode: String,
    /// The image that it stands on where `storage.rootfs` says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// A few words for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `[kernel]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// Which one, by its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Which one, by its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Modules to load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modules: Option<Vec<String>>,
    /// Boot arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmdline: Option<String>,
}

/// `[security]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Security {
    /// A word, or the path of a file with rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub landlock_profile: Option<String>,
    /// A word, or the path of a file with rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp_profile: Option<String>,
    /// What it keeps of root's rights; an empty list is none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// Three states, so that a manifest can say `false` where its base says `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only_rootfs: Option<bool>,
}

/// `[resources]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// The most memory, as `512M`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<String>,
    /// The memory above which it is slowed down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_soft: Option<String>,
    /// Its share of the processors, 1 to 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_weight: Option<i64>,
    /// Its processors, as `0-3,6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_set: Option<String>,
    /// Its share of the disks, 1 to 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_weight: Option<i64>,
    /// The most processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_max: Option<i64>,
}

/// `[network]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// One of [`crate::NetworkMode`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// An IP address, with a prefix or without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// IP addresses of name servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Vec<String>>,
    /// Published ports, as `8080:80/tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<String>>,
}

/// `[storage]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// What it stands on: a path, or one of the schemes of [`crate::RootSource`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<String>,
    /// One of [`crate::WritableLayer`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writable_layer: Option<String>,
    /// Directories and files of the host that it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<Volume>>,
}

/// `[[storage.volumes]]`: a bind mount from the host into the workload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Volume {
    /// The path on the host.
    pub host: String,
    /// The path in the workload.
    pub container: String,
    /// Whether the workload may not write to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readonly: Option<bool>,
}

impl Manifest {
    /// Whether its mode is one of the three hybrids; false for one that nobody knows (acceptance V-51).
    pub fn is_hybrid(&self) -> bool {
        self.workload.mode.parse().is_ok_and(Mode::is_hybrid)
    }

    /// Whether its mode is `hybrid-native` or `hybrid-kvm` (acceptance V-52).
    pub fn needs_kernel(&self) -> bool {
        self.workload.mode.parse().is_ok_and(Mode::needs_kernel)
    }

    /// Whether it stands on content of the store (acceptance V-53).
    pub fn has_content_addressed_rootfs(&self) -> bool {
        !self.rootfs_digest().is_empty()
    }

    /// The digest that it stands on, unchecked; empty for any other root (acceptance V-54).
    pub fn rootfs_digest(&self) -> &str {
        self.storage.rootfs.as_deref().and_then(|rootfs| rootfs.strip_prefix(STORED)).unwrap_or_default()
    }
}

impl Kernel {
    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_51_v_52_predicates_are_false_for_unknown_modes() {
        for (mode, hybrid, kernel) in [
            ("container", false, false),
            ("hybrid-native", true, true),
            ("hybrid-kvm", true, true),
            ("hybrid-emulated", true, false),
            ("hybrid-future", false, false),
            ("", false, false),
        ] {
            let mut manifest = Manifest::default();
            manifest.workload.mode = mode.to_owned();
            assert_eq!((manifest.is_hybrid(), manifest.needs_kernel()), (hybrid, kernel), "{mode}");
        }
    }

    #[test]
    fn v_53_v_54_a_content_addressed_root_has_a_digest() {
        for (rootfs, digest) in [
            (Some("cas://sha256:abc123"), "sha256:abc123"),
            (Some("cas://x"), "x"),
            (Some("cas://"), ""),
            (Some("/srv/cas://x"), ""),
            (Some("sha256:abc"), ""),
            (None, ""),
        ] {
            let mut manifest = Manifest::default();
            manifest.storage.rootfs = rootfs.map(str::to_owned);
            assert_eq!(manifest.rootfs_digest(), digest);
            assert_eq!(manifest.has_content_addressed_rootfs(), !digest.is_empty(), "{rootfs:?}");
        }
    }
}
