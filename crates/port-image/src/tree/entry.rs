//! What a path in a tree is: its kind and its attributes.

use std::collections::BTreeMap;

use crate::content::Content;
use crate::error::ImageError;
use crate::tree::TreePath;

/// Owner, permissions, time and extended attributes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits with set-id and sticky: at most `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, in seconds since 1970.
    pub mtime: i64,
    /// Extended attributes, by full name (`security.capability`).
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

impl Attributes {
    /// Of root, at time 0, without extended attributes.
    pub fn new(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() }
    }

    /// With another owner and group.
    #[must_use]
    pub fn owner(self, uid: u32, gid: u32) -> Self {
        Self { uid, gid, ..self }
    }

    /// With another modification time.
    #[must_use]
    pub fn mtime(self, mtime: i64) -> Self {
        Self { mtime, ..self }
    }

    /// With one more extended attribute.
    #[must_use]
    pub fn xattr(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.xattrs.insert(name.to_owned(), value.into());
        self
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// The word for it in messages.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File(_) => "regular file",
            Self::Symlink(_) => "symbolic link",
            Self::BlockDevice { .. } => "block device",
            Self::CharDevice { .. } => "character device",
            Self::Fifo => "fifo",
        }
    }

    /// The file type bits of `st_mode`.
    pub fn type_bits(&self) -> u32 {
        match self {
            Self::Directory => 0o040_000,
            Self::File(_) => 0o100_000,
            Self::Symlink(_) => 0o120_000,
            Self::BlockDevice { .. } => 0o060_000,
            Self::CharDevice { .. } => 0o020_000,
            Self::Fifo => 0o010_000,
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory)
    }

    /// Major and minor number, where it is a device.
    pub(crate) fn device(&self) -> Option<(u32, u32)> {
        match self {
            Self::BlockDevice { major, minor } | Self::CharDevice { major, minor } => Some((*major, *minor)),
            _ => None,
        }
    }
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Owner, permissions, time.
    pub attributes: Attributes,
    /// What it is.
    pub kind: Kind,
}

impl Entry {
    /// A directory of root with mode 0755.
    pub fn directory() -> Self {
        Self { attributes: Attributes::new(0o755), kind: Kind::Directory }
    }

    /// `st_mode`: type and permissions.
    pub fn full_mode(&self) -> u32 {
        self.kind.type_bits() | self.attributes.mode
    }

    /// Refuses what no format can hold.
    pub(crate) fn validate(&self, path: &TreePath) -> Result<(), ImageError> {
        let refuse = |attribute, expected, found: String| {
            Err(ImageError::Attribute { path: path.clone(), attribute, expected, found })
        };
        if self.attributes.mode > 0o7777 {
            return refuse("mode", "permission bits up to 7777", format!("{:o}", self.attributes.mode));
        }
        if let Some(name) = self.attributes.xattrs.keys().find(|name| !is_xattr_name(name)) {
            return refuse("extended attribute", "a name `namespace.name` in ASCII", name.clone());
        }
        match &self.kind {
            Kind::Symlink(target) if target.is_empty() || target.len() > 4095 || target.contains(&0) => {
                refuse("link target", "1 to 4095 bytes without NUL", format!("{} bytes", target.len()))
            }
            // The numbers that Linux's 32-bit `dev_t` holds: 12 bits and 20 bits.
            Kind::BlockDevice { major, minor } | Kind::CharDevice { major, minor }
                if *major >= 1 << 12 || *minor >= 1 << 20 =>
            {
                refuse(
                    "device number",
                    "a major below 4096, a minor below 1048576",
                    format!("{major}:{minor}"),
                )
            }
            _ => Ok(()),
        }
    }
}

fn is_xattr_name(name: &str) -> bool {
    let parts = name.split_once('.');
    name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_graphic())
        && parts.is_some_and(|(space, rest)| !space.is_empty() && !rest.is_empty())
}
