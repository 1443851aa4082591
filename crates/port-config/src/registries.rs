//! What is said of one registry wherever references name it: its mirrors, and whom it may send to for tokens.

use serde::Serialize;

use crate::distribution::RegistryConfig;

/// One `[registries."HOST"]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RegistrySettings {
    /// The mirrors, in the order in which pull asks them.
    pub mirrors: Vec<MirrorConfig>,
    /// Who says what a tag points to.
    pub tags: TagsAt,
    /// Hosts, in lower case, of token services elsewhere that may see the registry's credentials.
    pub trusted_realms: Vec<String>,
}

/// One mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MirrorConfig {
    /// Its host, in lower case.
    pub registry: String,
    /// What comes before the origin's repositories there.
    pub prefix: Option<String>,
    /// How it is reached, and who signs in there. The origin's credentials are not for mirrors.
    pub access: RegistryConfig,
    /// As for a registry.
    pub trusted_realms: Vec<String>,
}

/// Who says what a tag points to; a digest can be checked, a tag cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagsAt {
    /// The registry itself.
    #[default]
    Origin,
    /// The first mirror that knows the tag.
    Mirrors,
}

impl TagsAt {
    /// The words of the file.
    pub const WORDS: &'static [&'static str] = &["origin", "mirrors"];
}
