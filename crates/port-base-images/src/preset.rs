//! Which base image is asked for, and what its root is.

use std::fmt;
use std::str::FromStr;

use port_model::UnknownWord;
use serde::{Deserialize, Serialize};

/// Where a base image comes from (acceptance S-36).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The Firecracker CI line of the newest Firecracker release.
    #[default]
    Latest,
    /// The fixed long-term line.
    Lts,
    /// A hosted manifest; also what a registry gives.
    Hosted,
}

impl Preset {
    /// Every preset's word.
    pub const WORDS: &'static [&'static str] = &["latest", "lts", "hosted"];

    /// The word for this preset.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Latest => "latest",
            Self::Lts => "lts",
            Self::Hosted => "hosted",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "latest" => Ok(Self::Latest),
            "lts" => Ok(Self::Lts),
            "hosted" => Ok(Self::Hosted),
            _ => Err(UnknownWord { what: "preset", found: text.to_owned(), expected: Self::WORDS }),
        }
    }
}

/// The file system of a root (acceptance S-72).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootfsType {
    /// Writable, unless a manifest says otherwise.
    Ext4,
    /// Read-only, unless a manifest says otherwise.
    Squashfs,
}

impl RootfsType {
    /// The word for this type, which is also the usual suffix of its files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Squashfs => "squashfs",
        }
    }

    /// The type that a key of the CI bucket stands for (acceptance S-40).
    pub(crate) fn of_key(key: &str) -> Self {
        if key.ends_with(".ext4") { Self::Ext4 } else { Self::Squashfs }
    }

    /// Whether a root of this type is read-only where nobody says otherwise (acceptance S-41, S-66).
    pub(crate) fn is_read_only(self) -> bool {
        self == Self::Squashfs
    }
}

impl fmt::Display for RootfsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RootfsType {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "ext4" => Ok(Self::Ext4),
            "squashfs" => Ok(Self::Squashfs),
            _ => Err(UnknownWord {
                what: "root file system type",
                found: text.to_owned(),
                expected: &["ext4", "squashfs"],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_36_su_5_the_presets_are_three_and_latest_is_the_default() {
        let presets: Vec<Preset> = Preset::WORDS.iter().map(|word| word.parse().unwrap()).collect();
        assert_eq!(presets, [Preset::Latest, Preset::Lts, Preset::Hosted]);
        assert_eq!(Preset::default(), Preset::Latest);
        for (preset, word) in presets.iter().zip(Preset::WORDS) {
            assert_eq!((preset.as_str(), serde_json::to_value(preset).unwrap()), (*word, (*word).into()));
        }
        assert!("newest".parse::<Preset>().unwrap_err().to_string().contains("latest, lts, hosted"));
    }

    #[test]
    fn s_40_s_41_s_66_type_by_key_and_read_only_by_type() {
        for (key, expected, read_only) in [
            ("firecracker-ci/v1.7/x86_64/ubuntu-22.04.ext4", RootfsType::Ext4, false),
            ("firecracker-ci/v1.15/x86_64/ubuntu-24.04.squashfs", RootfsType::Squashfs, true),
            ("firecracker-ci/v1.15/x86_64/ubuntu.ext4.squashfs", RootfsType::Squashfs, true),
        ] {
            let found = RootfsType::of_key(key);
            assert_eq!((found, found.is_read_only()), (expected, read_only), "{key}");
        }
    }
}
