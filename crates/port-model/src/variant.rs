//! One concrete choice of architecture, substrate and protection mode; never a wildcard (acceptance P-3).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::suggest;

/// A word that is not in the list it must come from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {} {what}: expected one of {}{}", article(what), expected.join(", "), suggest::did_you_mean(found, expected))]
pub struct UnknownWord {
    /// What was asked for, as "architecture".
    pub what: &'static str,
    /// The word as written.
    pub found: String,
    /// The words that exist.
    pub expected: &'static [&'static str],
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Declares an enum of words: one spelling each in code, CLI, TOML, paths and wire formats.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every value, in the order of the documents.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word of every value.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for this value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { what: $what, found: text.to_owned(), expected: Self::WORDS }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = UnknownWord;
            fn try_from(text: String) -> Result<Self, UnknownWord> { text.parse() }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self { value.as_str().to_owned() }
        }
    };
}
pub(crate) use words;

words! {
    /// A CPU architecture, spelled as in paths and configuration (flags write `x86-64`, see acceptance P-23).
    Architecture, "architecture" {
        /// 64-bit x86.
        X86_64 = "x86_64",
        /// 64-bit Arm.
        Aarch64 = "aarch64",
    }
}

impl Architecture {
    /// The Go and OCI name: `amd64` or `arm64`.
    pub fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

words! {
    /// What a variant is made to boot on.
    Substrate, "substrate" {
        /// Firecracker.
        Firecracker = "firecracker",
        /// Cloud Hypervisor.
        CloudHypervisor = "cloud-hypervisor",
        /// QEMU.
        Qemu = "qemu",
        /// Apple's Virtualization framework.
        Avf = "avf",
    }
}

words! {
    /// How the guest is isolated from its host.
    ProtectionMode, "protection mode" {
        /// Hardware virtualization.
        Standard = "standard",
        /// Pagetable Virtual Machine: a software-isolated guest on a PVM host kernel.
        Pvm = "pvm",
    }
}

/// One concrete choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The CPU architecture.
    pub architecture: Architecture,
    /// What it boots on.
    pub substrate: Substrate,
    /// How it is isolated.
    pub protection_mode: ProtectionMode,
}

impl Variant {
    /// A variant from its three parts.
    pub fn new(architecture: Architecture, substrate: Substrate, protection_mode: ProtectionMode) -> Self {
        Self { architecture, substrate, protection_mode }
    }

    /// `<arch>/<substrate>/<mode>`, as a path.
    pub fn directory(self) -> PathBuf {
        [self.architecture.as_str(), self.substrate.as_str(), self.protection_mode.as_str()].iter().collect()
    }

    /// `<arch>-<substrate>-<mode>`, the end of the published tag.
    pub fn tag_suffix(self) -> String {
        format!("{}-{}-{}", self.architecture, self.substrate, self.protection_mode)
    }

    /// Whether PVM exists for this architecture and substrate (acceptance P-84, Pu-13).
    pub fn is_supported(self) -> bool {
        self.protection_mode == ProtectionMode::Standard
            || (self.architecture == Architecture::X86_64 && self.substrate == Substrate::Firecracker)
    }

    /// Whether every guest image of this variant has an initrd beside it (acceptance P-78). Others may have one.
    pub fn ships_initrd(self) -> bool {
        self.architecture == Architecture::X86_64 && self.substrate == Substrate::Firecracker
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.architecture, self.substrate, self.protection_mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_suggested() {
        let error = "firecraker".parse::<Substrate>().unwrap_err().to_string();
        assert_eq!(
            error,
            "`firecraker` is not a substrate: expected one of firecracker, cloud-hypervisor, qemu, avf \
             (did you mean `firecracker`?)"
        );
    }

    #[test]
    fn p_84_pvm_exists_only_for_x86_64_firecracker() {
        let supported: Vec<String> = Architecture::ALL
            .iter()
            .flat_map(|a| Substrate::ALL.iter().map(|s| Variant::new(*a, *s, ProtectionMode::Pvm)))
            .filter(|v| v.is_supported())
            .map(|v| v.to_string())
            .collect();
        assert_eq!(supported, ["x86_64/firecracker/pvm"]);
    }
}
