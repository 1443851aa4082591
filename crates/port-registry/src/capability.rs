//! What a registry was found to be able to do, remembered between runs: hints that save requests, never facts that
//! anything depends on. A file that cannot be read or written is as good as none.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use port_content::{atomic, fs};
use serde::{Deserialize, Serialize};

use crate::name::RegistryHost;

/// The version of the file's format.
const VERSION: u32 = 1;
/// The largest file that is read, in bytes.
const LARGEST: u64 = 64 * 1024;

/// What is known of one registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Capabilities {
    version: u32,
    /// How blobs go up.
    #[serde(default)]
    pub(crate) upload: Upload,
    /// The largest part that it took or is known to take, in bytes.
    #[serde(default)]
    pub(crate) largest_part: Option<u64>,
    /// Whether it answers ranges of blobs.
    #[serde(default)]
    pub(crate) ranges: Known,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { version: VERSION, upload: Upload::default(), largest_part: None, ranges: Known::default() }
    }
}

/// How a registry takes large blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Upload {
    #[default]
    Unknown,
    Parts,
    Whole,
}

/// Whether a registry can do a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Known {
    #[default]
    Unknown,
    Yes,
    No,
}

/// The capabilities of one registry and where they are kept.
#[derive(Debug)]
pub(crate) struct Memory {
    path: Option<PathBuf>,
    known: Mutex<Capabilities>,
}

impl Memory {
    pub(crate) fn load(directory: Option<&Path>, registry: &RegistryHost) -> Self {
        let path = directory.map(|directory| directory.join("registries").join(file_name(registry)));
        let read = path.as_deref().and_then(|path| fs::read(path, LARGEST).ok());
        let known = read.and_then(|bytes| serde_json::from_slice::<Capabilities>(&bytes).ok());
        let known = known.filter(|known| known.version == VERSION).unwrap_or_else(|| before_asking(registry));
        Self { path, known: Mutex::new(known) }
    }

    pub(crate) fn get(&self) -> Capabilities {
        self.lock().clone()
    }

    /// Learns something; writes it down only if it is new.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Capabilities)) {
        let mut known = self.lock();
        let before = known.clone();
        change(&mut known);
        if *known == before {
            return;
        }
        if let (Some(path), Ok(bytes)) = (&self.path, serde_json::to_vec_pretty(&*known)) {
            // A hint that is lost is learnt again.
            let _ = atomic::write(path, &bytes);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Capabilities> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What is known of public registries before they were ever asked: these take no parts, or tiny ones.
fn before_asking(registry: &RegistryHost) -> Capabilities {
    let host = registry.as_str();
    let whole =
        host == "ghcr.io" || host.ends_with(".pkg.dev") || host == "gcr.io" || host.ends_with(".gcr.io");
    let upload = if whole { Upload::Whole } else { Upload::Unknown };
    Capabilities { upload, ..Capabilities::default() }
}

/// `127.0.0.1:5510` becomes `127.0.0.1_5510.json`; the name was validated, so it holds no separator.
fn file_name(registry: &RegistryHost) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    format!("{}.json", registry.as_str().chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_known_in_the_next_run() {
        let directory = tempfile::tempdir().unwrap();
        let registry: RegistryHost = "[::1]:5000".parse().unwrap();
        let memory = Memory::load(Some(directory.path()), &registry);
        memory.learn(|known| known.ranges = Known::No);
        assert_eq!(Memory::load(Some(directory.path()), &registry).get().ranges, Known::No);
        let path = directory.path().join("registries").join(file_name(&registry));
        atomic::write(&path, b"{torn").unwrap();
        assert_eq!(Memory::load(Some(directory.path()), &registry).get(), Capabilities::default());
        let ghcr = Memory::load(None, &"ghcr.io".parse().unwrap());
        assert_eq!(ghcr.get().upload, Upload::Whole);
    }
}
