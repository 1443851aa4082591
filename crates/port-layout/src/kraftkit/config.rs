//! The image config: every field that Go's type for it has, in its order, so that a config of others can be
//! adopted and written again without loss (acceptance K-22, Ku-7, Ku-15).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::go_json;
use crate::json::{self, JsonError};
use crate::oci::{Platform, null_is_default};

/// A value of Go's empty struct, `{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// How a package starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Runtime {
    /// Not Unikraft's; kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Not Unikraft's; kept.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Nothing>,
    /// `KEY=value`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Not Unikraft's; kept.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The command, word by word.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Not Unikraft's; kept.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Nothing>,
    /// Not Unikraft's; kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Not Unikraft's; kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Not Unikraft's; kept.
    #[serde(skip_serializing_if = "is_false")]
    pub args_escaped: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// Which blobs the layers are, uncompressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The layers' digests (acceptance Ku-6). Go writes a list that was never made as `null`.
    pub diff_ids: Option<Vec<String>>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: None }
    }
}

/// A step of a build; never Port's, but kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    created_by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    author: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(skip_serializing_if = "is_false")]
    empty_layer: bool,
}

/// The config document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// A clock; Port writes none, but keeps an original's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Not Unikraft's; kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Architecture, platform, kernel version and configuration, in Unikraft's words (Ku-12).
    #[serde(flatten)]
    pub platform: Platform,
    /// How it starts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: Runtime,
    /// Which blobs.
    #[serde(default)]
    pub rootfs: RootFs,
    /// Never Port's; kept.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

impl ImageConfig {
    /// Reads a config. Fields that Go's type does not have are not kept; [`ImageConfig::is_canonical`] tells.
    ///
    /// # Errors
    /// [`JsonError`] where it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, JsonError> {
        json::read(bytes, "config", "an OCI image config")
    }

    /// The bytes as Go's encoder writes them.
    pub fn to_bytes(&self) -> Vec<u8> {
        go_json::to_bytes(self)
    }

    /// Whether these are the bytes that kraft would write for this config; only then can it push again what it
    /// pulled (acceptance Ku-15).
    pub fn is_canonical(&self, bytes: &[u8]) -> bool {
        self.to_bytes() == bytes
    }

    /// The command and environment of a repack: what is given counts, what is not stays (K-25, C-15).
    pub fn restarted(&self, command: &[String], environment: &[String]) -> Self {
        let mut config = self.clone();
        if !command.is_empty() {
            config.config.cmd = command.to_vec();
        }
        config.config.env = merge_environment(&self.config.env, environment);
        config
    }
}

/// The original's environment with the given entries in: by key, in place where the key was there (C-15).
pub fn merge_environment(original: &[String], given: &[String]) -> Vec<String> {
    let key = |entry: &str| entry.split_once('=').map_or(entry, |(key, _)| key).to_owned();
    let mut merged: Vec<String> = original.to_vec();
    for entry in given {
        match merged.iter_mut().find(|old| key(old) == key(entry)) {
            Some(old) => old.clone_from(entry),
            None => merged.push(entry.clone()),
        }
    }
    merged
}
