//! A pointer in a file of its own, for microVM hosts and tests: `boot.json` beside the slots.
//!
//! Whoever starts the machine calls [`DirectoryPointer::boot`], which says which slot, and takes one try off. Invariant: the try is
//! taken before the boot, so that a boot that kills its host is counted.

use std::path::{Path, PathBuf};

use port_content::{atomic, fs};
use port_layout::json;
use serde::{Deserialize, Serialize};

use super::{BootPointer, BootState, Header, SlotError, SlotName, Trial};

const VERSION: u32 = 1;
const LARGEST: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub struct DirectoryPointer {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    boot: BootState,
}

impl DirectoryPointer {
    /// The pointer of the slots in `root`.
    pub fn new(root: &Path) -> Self {
        Self { path: root.join("boot.json") }
    }

    /// Says which slot to boot now, and counts it.
    ///
    /// # Errors
    /// [`SlotError`]; then nothing is to be booted.
    pub fn boot(&self) -> Result<SlotName, SlotError> {
        let boot = self.read()?;
        let next = match boot.trial {
            Some(Trial { slot, tries: tries @ 1.. }) => {
                BootState { running: slot, trial: Some(Trial { slot, tries: tries - 1 }), ..boot }
            }
            // The tries are used up: back to what is kept.
            _ => BootState { running: boot.kept, trial: None, ..boot },
        };
        self.write(next)?;
        Ok(next.running)
    }

    fn write(&self, boot: BootState) -> Result<(), SlotError> {
        let bytes = serde_json::to_vec_pretty(&File { version: VERSION, boot }).unwrap_or_default();
        Ok(atomic::write(&self.path, &bytes)?)
    }
}

impl BootPointer for DirectoryPointer {
    fn read(&self) -> Result<BootState, SlotError> {
        let bytes = match fs::read(&self.path, LARGEST) {
            // A machine that was never updated runs its first slot.
            Err(error) if error.is_not_found() => {
                return Ok(BootState { running: SlotName::A, kept: SlotName::A, trial: None });
            }
            other => other?,
        };
        let wrong = |found: String| SlotError::Pointer {
            path: self.path.clone(),
            expected: "version 1, with what runs, what is kept, and a trial or none",
            found,
        };
        let file: File = json::read(&bytes, "boot record", "version and boot")
            .map_err(|_| wrong("something else".to_owned()))?;
        if file.version != VERSION {
            return Err(wrong(format!("version {}", file.version)));
        }
        Ok(file.boot)
    }

    fn arm(&self, slot: SlotName, tries: u32, _header: &Header) -> Result<(), SlotError> {
        // Whoever boots the machine reads the header, where the arguments are.
        let boot = self.read()?;
        self.write(BootState { trial: Some(Trial { slot, tries }), ..boot })
    }

    fn keep(&self, slot: SlotName) -> Result<(), SlotError> {
        let boot = self.read()?;
        self.write(BootState { kept: slot, trial: None, ..boot })
    }
}
