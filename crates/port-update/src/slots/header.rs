//! The header of a slot: what is in it, whole. It is written last and taken away first.

use std::path::Path;

use port_content::{atomic, fs};
use port_layout::json;
use serde::{Deserialize, Serialize};

use super::{SlotError, SlotName};
use crate::machine::Target;
use crate::release::{BootSet, Part};

/// The name of its file.
const NAME: &str = "slot.json";
/// The version of its format.
const VERSION: u32 = 1;
/// The largest one, in bytes.
const LARGEST: u64 = 64 * 1024;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    version: u32,
    /// Which release.
    pub target: Target,
    /// Its files.
    pub parts: Vec<Part>,
    /// What its kernel is started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_arguments: Option<String>,
}

impl Header {
    /// What the kernel is started with in this slot: `{slot}` stands for the slot's letter, so that a release can name the root file
    /// system of the slot that it will be in.
    pub fn arguments_in(&self, slot: SlotName) -> Option<String> {
        self.boot_arguments.as_ref().map(|arguments| arguments.replace("{slot}", slot.as_str()))
    }

    pub(crate) fn of(target: &Target, set: &BootSet) -> Self {
        let (target, parts) = (target.clone(), set.parts.clone());
        Self { version: VERSION, target, parts, boot_arguments: set.boot_arguments.clone() }
    }

    /// The header in a slot's directory; none where it is torn, of another version, or absent.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        let bytes = fs::read(&directory.join(NAME), LARGEST).ok()?;
        let header: Self = json::read(&bytes, "header of a slot", "version, target and parts").ok()?;
        (header.version == VERSION).then_some(header)
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), SlotError> {
        // Text, numbers and digests always have a JSON form.
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        Ok(atomic::write(&directory.join(NAME), &bytes)?)
    }

    /// Takes it away, durably, before anything in the slot changes.
    pub(super) fn remove(directory: &Path) -> Result<(), SlotError> {
        let path = directory.join(NAME);
        if fs::exists(&path) {
            fs::remove_file(&path)?;
            fs::sync_dir(directory)?;
        }
        Ok(())
    }
}
