//! What a caller asks for. It resolves to exactly one variant, or to a refusal that lists what exists.
//! Nothing ever falls back (acceptance P-22, P-24, P-82).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::variant::{Architecture, ProtectionMode, Substrate, UnknownWord, Variant};

/// An architecture, or "this host's".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ArchitectureSelector {
    /// The host's; made concrete before any path is formed.
    Native,
    /// This one.
    Exact(Architecture),
}

impl ArchitectureSelector {
    /// The words of flags and configuration. `x86-64` is the flag's spelling of `x86_64`.
    pub const WORDS: &'static [&'static str] = &["native", "x86_64", "aarch64"];

    /// The concrete architecture on a host of architecture `host`.
    pub fn resolve(self, host: Architecture) -> Architecture {
        match self {
            Self::Native => host,
            Self::Exact(architecture) => architecture,
        }
    }
}

impl FromStr for ArchitectureSelector {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text {
            "native" => Ok(Self::Native),
            "x86-64" => Ok(Self::Exact(Architecture::X86_64)),
            _ => {
                text.parse().map(Self::Exact).map_err(|error| UnknownWord { expected: Self::WORDS, ..error })
            }
        }
    }
}

impl fmt::Display for ArchitectureSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Exact(architecture) => architecture.fmt(f),
        }
    }
}

impl TryFrom<String> for ArchitectureSelector {
    type Error = UnknownWord;

    fn try_from(text: String) -> Result<Self, UnknownWord> {
        text.parse()
    }
}

impl From<ArchitectureSelector> for String {
    fn from(selector: ArchitectureSelector) -> Self {
        selector.to_string()
    }
}

/// The three selector flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Which CPU.
    pub architecture: ArchitectureSelector,
    /// Which substrate.
    pub substrate: Substrate,
    /// Which protection mode.
    pub protection_mode: ProtectionMode,
}

impl Default for Selector {
    /// `native` / `firecracker` / `standard` (acceptance P-21, Pu-15).
    fn default() -> Self {
        Self {
            architecture: ArchitectureSelector::Native,
            substrate: Substrate::Firecracker,
            protection_mode: ProtectionMode::Standard,
        }
    }
}

/// No variant is the one that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no variant of `{artifact}` matches `{wanted}`\n  found: {}", list(available))]
pub struct NoSuchVariant {
    /// The artifact's name.
    pub artifact: String,
    /// What was asked for, made concrete.
    pub wanted: Variant,
    /// What exists.
    pub available: Vec<Variant>,
}

fn list(variants: &[Variant]) -> String {
    if variants.is_empty() {
        return "none".to_owned();
    }
    variants.iter().map(Variant::to_string).collect::<Vec<_>>().join(", ")
}

impl Selector {
    /// The concrete variant on a host of architecture `host`.
    pub fn resolve(self, host: Architecture) -> Variant {
        Variant::new(self.architecture.resolve(host), self.substrate, self.protection_mode)
    }

    /// The one item whose variant is the one asked for.
    ///
    /// # Errors
    /// [`NoSuchVariant`], listing the variants that exist.
    pub fn select<T>(
        self,
        host: Architecture,
        artifact: &str,
        items: impl IntoIterator<Item = (Variant, T)>,
    ) -> Result<(Variant, T), NoSuchVariant> {
        let wanted = self.resolve(host);
        let mut available = Vec::new();
        for (variant, item) in items {
            if variant == wanted {
                return Ok((variant, item));
            }
            available.push(variant);
        }
        Err(NoSuchVariant { artifact: artifact.to_owned(), wanted, available })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_18_p_24_flags_resolve_to_concrete_words() {
        let resolve =
            |text: &str| text.parse::<ArchitectureSelector>().unwrap().resolve(Architecture::Aarch64);
        assert_eq!(resolve("native"), Architecture::Aarch64);
        assert_eq!(resolve("x86-64"), Architecture::X86_64);
        assert_eq!(resolve("x86_64"), Architecture::X86_64);
        assert!("amd64".parse::<ArchitectureSelector>().unwrap_err().to_string().contains("native, x86_64"));
    }

    #[test]
    fn p_82_nothing_falls_back_and_the_refusal_lists_what_exists() {
        let standard = Selector::default().resolve(Architecture::X86_64);
        let wanted = Selector { protection_mode: ProtectionMode::Pvm, ..Selector::default() };
        let error = wanted.select(Architecture::X86_64, "demo-kernel", [(standard, ())]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no variant of `demo-kernel` matches `x86_64/firecracker/pvm`\n  found: x86_64/firecracker/standard"
        );
    }
}
