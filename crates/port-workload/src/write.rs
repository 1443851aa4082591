//! From a manifest to TOML or JSON: the same keys in the same order, every heading, nothing that says nothing
//! (acceptance V-1, V-48, V-49, C-44, C-47).

use port_document::LARGEST_TEXT;

use crate::manifest::Manifest;

/// A manifest that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// TOML has no form for it.
    #[error("the manifest of `{name}` cannot be written as TOML")]
    Toml {
        /// The workload's name.
        name: String,
        /// Why.
        source: toml::ser::Error,
    },
    /// JSON has no form for it.
    #[error("the manifest of `{name}` cannot be written as JSON")]
    Json {
        /// The workload's name.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Nobody would read it.
    #[error("the manifest of `{name}` would be {found} bytes long: at most {LARGEST_TEXT} are read")]
    TooLarge {
        /// The workload's name.
        name: String,
        /// How long it would be.
        found: usize,
    },
}

impl Manifest {
    /// The manifest as TOML: `extends` first, then the six tables.
    ///
    /// # Errors
    /// It has no form that could be read again.
    pub fn to_toml(&self) -> Result<String, EncodeError> {
        let source = toml::to_string(self);
        self.bounded(source.map_err(|source| EncodeError::Toml { name: self.workload.name.clone(), source })?)
    }

    /// The manifest as JSON, with the names that TOML has.
    ///
    /// # Errors
    /// It has no form that could be read again.
    pub fn to_json(&self) -> Result<String, EncodeError> {
        let source = serde_json::to_string_pretty(self);
        let name = || self.workload.name.clone();
        self.bounded(source.map_err(|source| EncodeError::Json { name: name(), source })? + "\n")
    }

    fn bounded(&self, text: String) -> Result<String, EncodeError> {
        if text.len() > LARGEST_TEXT {
            return Err(EncodeError::TooLarge { name: self.workload.name.clone(), found: text.len() });
        }
        Ok(text)
    }
}
