//! How a guest image is built, as configured; the work is done elsewhere.

use std::path::PathBuf;

use port_model::ComponentFormat;
use serde::Serialize;

/// The file systems that Port builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// ext4, writable.
    Ext4,
    /// squashfs, read-only.
    Squashfs,
    /// EROFS, read-only.
    Erofs,
}

impl ImageFormat {
    /// The words of the file.
    pub const WORDS: &'static [&'static str] = &["ext4", "squashfs", "erofs"];

    /// The format of the component that is built.
    pub fn component_format(self) -> ComponentFormat {
        match self {
            Self::Ext4 => ComponentFormat::Ext4,
            Self::Squashfs => ComponentFormat::Squashfs,
            Self::Erofs => ComponentFormat::Erofs,
        }
    }
}

/// A `recipe` table of a guest image or of one of its variants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recipe {
    /// Which file system.
    pub format: ImageFormat,
    /// Size of an ext4 image in MiB; the builder chooses where there is none.
    pub size_mib: Option<u32>,
    /// The volume label.
    pub label: Option<String>,
    /// The kernel artifact whose modules go into the initrd; it exists.
    pub kernel: Option<String>,
    /// The guest agent's binary, as written.
    pub agent: Option<PathBuf>,
    /// The BusyBox binary, as written.
    pub busybox: Option<PathBuf>,
    /// A host directory whose files are added, as written.
    pub directory: Option<PathBuf>,
    /// The guest's host name.
    pub hostname: Option<String>,
}
