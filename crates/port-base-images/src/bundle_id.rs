//! The name of a bundle: its directory in the cache, and nothing that could lead out of it.

use std::fmt;
use std::path::{Path, PathBuf};

use port_model::Architecture;
use serde::{Deserialize, Serialize};

use crate::artifact_name;
use crate::preset::Preset;

/// A usable id: letters, digits, `.`, `_`, `-`, with no leading dot (acceptance S-69, C-23).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundleId(String);

/// A text that is no bundle id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a bundle id: expected letters, digits, `.`, `_`, `-`, not empty and with no dot in front"
)]
pub struct BundleIdError {
    found: String,
}

impl BundleId {
    /// The id of a bundle from the CI bucket (acceptance S-56).
    pub(crate) fn of_ci(
        preset: Preset,
        line: &str,
        architecture: Architecture,
        kernel: &str,
        rootfs: &str,
    ) -> Self {
        let base = |key: &str| key.rsplit('/').next().unwrap_or_default().to_owned();
        let text = format!("{preset}-{line}-{architecture}-{}-{}", base(kernel), base(rootfs));
        Self(artifact_name::plain(&text))
    }

    /// The id of what comes from elsewhere: a text that begins with a letter, made plain.
    pub(crate) fn plain(text: String) -> Self {
        Self(artifact_name::plain(&text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the bundle lies in a cache (acceptance S-10).
    pub fn directory(&self, cache: &Path) -> PathBuf {
        cache.join(&self.0)
    }
}

impl TryFrom<String> for BundleId {
    type Error = BundleIdError;

    fn try_from(text: String) -> Result<Self, BundleIdError> {
        let usable = !text.is_empty() && !text.starts_with('.') && text.chars().all(artifact_name::is_plain);
        if usable { Ok(Self(text)) } else { Err(BundleIdError { found: text }) }
    }
}

impl std::str::FromStr for BundleId {
    type Err = BundleIdError;

    fn from_str(text: &str) -> Result<Self, BundleIdError> {
        text.to_owned().try_into()
    }
}

impl From<BundleId> for String {
    fn from(id: BundleId) -> Self {
        id.0
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_56_s_57_the_id_says_where_a_bundle_came_from() {
        let id = BundleId::of_ci(
            Preset::Latest,
            "v1.15",
            Architecture::X86_64,
            "firecracker-ci/v1.15/x86_64/vmlinux-6.1.155",
            "firecracker-ci/v1.15/x86_64/ubuntu-24.04 & more.squashfs",
        );
        assert_eq!(id.as_str(), "latest-v1.15-x86_64-vmlinux-6.1.155-ubuntu-24.04___more.squashfs");
        assert_eq!(id.as_str().parse::<BundleId>(), Ok(id));
    }

    #[test]
    fn s_69_c_23_ids_are_plain_and_have_no_leading_dot() {
        for good in ["smartvm-minimal-v1-x86_64", "a", "A.b_c-1", "a.."] {
            assert!(good.parse::<BundleId>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "a\0", "ä", "../a"] {
            assert!(bad.parse::<BundleId>().is_err(), "{bad:?}");
        }
    }
}
