//! What can go wrong with slots.

use std::path::PathBuf;

use port_content::FsError;
use port_model::Digest;

use super::{BootState, SlotName};
use crate::failure::Class;

/// Slots that are not as they should be. What runs is untouched.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The disk.
    #[error(transparent)]
    Files(#[from] FsError),
    /// What says which slot boots cannot be read.
    #[error("`{}` does not say which slot boots: expected {expected}, found {found}", path.display())]
    Pointer {
        /// Where it is.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What is wrong.
        found: String,
    },
    /// The other slot may not be written now.
    #[error(
        "slot {} runs and slot {} is kept: expected one and the same, with no trial left", boot.running, boot.kept
    )]
    NotSettled {
        /// What boots.
        boot: BootState,
    },
    /// The slot holds something else.
    #[error("slot {slot} does not hold {expected}, whole")]
    NotStaged {
        /// Which slot.
        slot: SlotName,
        /// What it should hold.
        expected: Digest,
    },
    /// There is nothing to go back to.
    #[error("slot {slot} holds nothing whole: expected what ran before")]
    NothingThere {
        /// Which slot.
        slot: SlotName,
    },
    /// What was written is not what is there.
    #[error("`{}` was written and reads otherwise: expected {expected}, found {found}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What was written.
        expected: Digest,
        /// What is there.
        found: Digest,
    },
    /// The hook.
    #[error("the hook `{}` ended {how}: expected success", program.display())]
    Hook {
        /// The program.
        program: PathBuf,
        /// How it ended.
        how: String,
    },
}

impl SlotError {
    /// What class of failure it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Files(error) if error.source.kind() == std::io::ErrorKind::StorageFull => Class::DiskFull,
            Self::NotStaged { .. } | Self::NothingThere { .. } | Self::NotSettled { .. } => Class::Gate,
            Self::Files(_) | Self::Pointer { .. } | Self::Content { .. } | Self::Hook { .. } => Class::Io,
        }
    }
}
