//! One file with a role: what it is for, what it is, how big, and the digest of its raw bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::file_name::FileName;
use crate::variant::{UnknownWord, words};

/// The name of the initrd beside a guest image, here and where it is published (acceptance P-78, Pu-41).
pub const INITRD_FILE_NAME: &str = "initrd.cpio.gz";

words! {
    /// What a component is for.
    ComponentKind, "component kind" {
        /// The kernel that boots.
        Kernel = "kernel",
        /// The same kernel with debug information.
        KernelDbg = "kernel-dbg",
        /// The initial RAM disk.
        Initrd = "initrd",
        /// The root file system.
        Rootfs = "rootfs",
    }
}

words! {
    /// What a component's bytes are.
    ComponentFormat, "component format" {
        /// An uncompressed ELF kernel.
        Vmlinux = "vmlinux",
        /// A self-extracting x86 kernel.
        BzImage = "bzImage",
        /// An arm64 boot image.
        Image = "Image",
        /// A gzip-compressed newc cpio archive.
        CpioGz = "cpio.gz",
        /// An ext4 file system.
        Ext4 = "ext4",
        /// A squashfs file system.
        Squashfs = "squashfs",
        /// An EROFS file system.
        Erofs = "erofs",
        /// Bytes whose format Port does not know; carried as they are.
        Raw = "raw",
    }
}

words! {
    /// The two classes of artifact in `port.toml` (acceptance P-6).
    ArtifactClass, "artifact class" {
        /// `artifacts.kernels.<name>`.
        Kernel = "kernel",
        /// `artifacts.guest_images.<name>`.
        GuestImage = "guest-image",
    }
}

impl ArtifactClass {
    /// The role of the component that an artifact of this class is named for.
    pub fn main_kind(self) -> ComponentKind {
        match self {
            Self::Kernel => ComponentKind::Kernel,
            Self::GuestImage => ComponentKind::Rootfs,
        }
    }
}

/// One file of a bundle, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its role.
    pub kind: ComponentKind,
    /// Its format.
    pub format: ComponentFormat,
    /// The base name under which it is stored and published.
    pub file_name: FileName,
    /// Size of the raw file, in bytes.
    pub size: u64,
    /// Digest of the raw file.
    pub digest: Digest,
}
