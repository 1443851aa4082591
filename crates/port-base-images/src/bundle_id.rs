//! The name of a bundle: its directory in the cache, and nothing that could lead out of it.

use std::fmt;
use std::path::{Path, PathBuf};

use port_content::hashing;
use port_model::Architecture;
use serde::{Deserialize, Serialize};

use crate::artifact_name;
use crate::preset::Preset;

/// How much of a long text begins its id; the rest is its digest's.
const BEGINNING: usize = 160;
/// How many digits of a digest tell two texts apart that look alike as ids.
const TOLD_APART: usize = 16;

/// A usable id: letters, digits, `.`, `_`, `-`, at most 200, with no leading dot (acceptance S-69, C-23).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BundleId(String);

/// A text that is no bundle id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a bundle id: expected 1 to {} letters, digits, `.`, `_`, `-`, with no dot in front",
    artifact_name::LONGEST
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
        if text.len() > artifact_name::LONGEST {
            Self::told_apart(&text, &text)
        } else {
            Self(artifact_name::plain(&text))
        }
    }

    /// The id of something whose own name is too long for one, or has characters that an id has not: `text`, which begins with a
    /// letter, as far as that goes, and digits of the own name's digest.
    pub(crate) fn told_apart(text: &str, name: &str) -> Self {
        let beginning: String = artifact_name::plain(text).chars().take(BEGINNING).collect();
        let digest = hashing::digest_of(name.as_bytes());
        Self(format!("{beginning}-{}", digest.hex().get(..TOLD_APART).unwrap_or_default()))
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
        let plain = !text.is_empty() && !text.starts_with('.') && text.chars().all(artifact_name::is_plain);
        if plain && text.len() <= artifact_name::LONGEST {
            return Ok(Self(text));
        }
        let found = text.chars().take(artifact_name::LONGEST + 1).collect();
        Err(BundleIdError { found })
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
    fn s_56_an_id_is_a_directory_whatever_the_keys_are() {
        let of = |end: &str| {
            let key = format!("x/ubuntu-{}{end}.squashfs", "1".repeat(300));
            BundleId::of_ci(Preset::Lts, "v1.7", Architecture::Aarch64, "x/vmlinux-6.1.1", &key)
        };
        let (one, other) = (of("2"), of("3"));
        assert_ne!(one, other, "they are told apart");
        assert!(one.as_str().starts_with("lts-v1.7-aarch64-vmlinux-6.1.1-ubuntu-111"), "{one}");
        assert_eq!(one.as_str().parse::<BundleId>(), Ok(one));
    }

    #[test]
    fn s_69_c_23_ids_are_plain_and_have_no_leading_dot() {
        for good in ["smartvm-minimal-v1-x86_64", "a", "A.b_c-1", "a.."] {
            assert!(good.parse::<BundleId>().is_ok(), "{good}");
        }
        let (longest, longer) = ("a".repeat(200), "a".repeat(201));
        assert!(longest.parse::<BundleId>().is_ok());
        for bad in [&longer, "", ".", "..", ".hidden", "a/b", "a b", "a\0", "ä", "../a"] {
            assert!(bad.parse::<BundleId>().is_err(), "{bad:?}");
        }
    }
}
