//! A root directory in memory, from which every kind of image is made.
//!
//! ```text
//! /             directory 0755            sorted as a walk visits it:
//! /bin          symlink → usr/bin         a directory, all in it, its next sibling
//! /usr          directory 0755 (implied)
//! /usr/bin      directory 0755 (implied by the next)
//! /usr/bin/env  file 0755, bytes or a host path
//! ```
//!
//! Not a file system: no hard links, no lookup through symbolic links. Invariant: the parent of every entry
//! is a directory of the tree, and every path is a valid [`TreePath`].

mod entry;
mod path;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;

pub use entry::{Attributes, Entry, Kind};
pub use path::TreePath;

use crate::content::Content;
use crate::error::ImageError;

/// What to do where two entries claim one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collision {
    /// It is an error, except between two directories, where the later attributes hold.
    Refuse,
    /// The later entry takes the place of the earlier one.
    Replace,
}

/// A directory tree, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<TreePath, Node>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    entry: Entry,
    /// Made only because something is inside: a later `add_directory` may still say what it is.
    implied: bool,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty root directory, 0755.
    pub fn new() -> Self {
        let root = Node { entry: Entry::directory(), implied: true };
        Self { nodes: BTreeMap::from([(TreePath::root(), root)]) }
    }

    /// A host directory as a tree: owned by root, times 0, symbolic links kept, sockets refused. Files are
    /// not read now but when an image is written.
    pub fn from_directory(directory: &Path) -> Result<Self, ImageError> {
        walk::walk(directory)
    }

    /// Adds a directory; parents come by themselves (0755, root).
    pub fn add_directory(
        &mut self,
        path: impl AsRef<[u8]>,
        attributes: Attributes,
    ) -> Result<(), ImageError> {
        self.add(path, Entry { attributes, kind: Kind::Directory })
    }

    /// Adds a regular file.
    pub fn add_file(
        &mut self,
        path: impl AsRef<[u8]>,
        content: impl Into<Content>,
        attributes: Attributes,
    ) -> Result<(), ImageError> {
        self.add(path, Entry { attributes, kind: Kind::File(content.into()) })
    }

    /// Adds a regular file whose content is that of a host file.
    pub fn add_host_file(
        &mut self,
        path: impl AsRef<[u8]>,
        host: &Path,
        attributes: Attributes,
    ) -> Result<(), ImageError> {
        let content = Content::from_host(host)?;
        self.add_file(path, content, attributes)
    }

    /// Adds a symbolic link (root, 0777).
    pub fn add_symlink(
        &mut self,
        path: impl AsRef<[u8]>,
        target: impl AsRef<[u8]>,
    ) -> Result<(), ImageError> {
        let kind = Kind::Symlink(target.as_ref().to_vec());
        self.add(path, Entry { attributes: Attributes::new(0o777), kind })
    }

    /// Adds a device, fifo, or any other `kind`.
    pub fn add_device(
        &mut self,
        path: impl AsRef<[u8]>,
        kind: Kind,
        attributes: Attributes,
    ) -> Result<(), ImageError> {
        self.add(path, Entry { attributes, kind })
    }

    /// Adds an entry; one that is there already is an error, unless it is an implied parent directory and
    /// this says what it is.
    pub fn add(&mut self, path: impl AsRef<[u8]>, entry: Entry) -> Result<(), ImageError> {
        let path = TreePath::parse(path)?;
        if let Some(node) = self.nodes.get(&path)
            && !(node.implied && entry.kind.is_directory())
        {
            return Err(ImageError::Exists { path, found: node.entry.kind.word() });
        }
        self.put(path, entry)
    }

    /// Sets an entry, whatever was there. A directory that holds entries can only become another directory.
    pub fn replace(&mut self, path: impl AsRef<[u8]>, entry: Entry) -> Result<(), ImageError> {
        self.put(TreePath::parse(path)?, entry)
    }

    /// Removes an entry with all that is in it; the root cannot be removed. Says whether there was one.
    pub fn remove(&mut self, path: impl AsRef<[u8]>) -> Result<bool, ImageError> {
        let path = TreePath::parse(path)?;
        if path.is_root() {
            return Err(ImageError::Path { path: path.to_string(), reason: "the root cannot be removed" });
        }
        let gone: Vec<_> = self.range_from(&path).map(|(inside, _)| inside.clone()).collect();
        gone.iter().for_each(|inside| drop(self.nodes.remove(inside)));
        Ok(!gone.is_empty())
    }

    /// Puts all of `other` into this tree.
    pub fn merge(&mut self, other: Self, collision: Collision) -> Result<(), ImageError> {
        for (path, node) in other.nodes {
            let Some(mine) = self.nodes.get(&path) else {
                self.put(path, node.entry)?;
                continue;
            };
            let both_directories = mine.entry.kind.is_directory() && node.entry.kind.is_directory();
            if both_directories && node.implied {
                continue;
            }
            if collision == Collision::Refuse && !both_directories {
                return Err(ImageError::Exists { path, found: mine.entry.kind.word() });
            }
            self.put(path, node.entry)?;
        }
        Ok(())
    }

    /// The entry at exactly this path; symbolic links are not followed.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Entry> {
        self.nodes.get(&TreePath::parse(path).ok()?).map(|node| &node.entry)
    }

    /// All entries in the order of a walk, the root first.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.nodes.iter().map(|(path, node)| (path, &node.entry))
    }

    /// The entry at `path` and all inside it, at any depth, in the order of a walk.
    pub(crate) fn iter_inside<'a>(
        &'a self,
        path: &'a TreePath,
    ) -> impl Iterator<Item = (&'a TreePath, &'a Entry)> {
        self.range_from(path).map(|(path, node)| (path, &node.entry))
    }

    /// How many entries there are, the root included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing but the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.len() <= 1
    }

    /// The entry itself and all inside it: they are neighbours in the order of a walk.
    fn range_from<'a>(&'a self, path: &'a TreePath) -> impl Iterator<Item = (&'a TreePath, &'a Node)> {
        self.nodes.range(path..).take_while(move |(other, _)| *other == path || other.is_inside(path))
    }

    fn put(&mut self, path: TreePath, entry: Entry) -> Result<(), ImageError> {
        entry.validate(&path)?;
        if !entry.kind.is_directory() && (path.is_root() || self.range_from(&path).nth(1).is_some()) {
            return Err(ImageError::NotEmpty { path, replacement: entry.kind.word() });
        }
        self.imply_parents(&path)?;
        self.nodes.insert(path, Node { entry, implied: false });
        Ok(())
    }

    fn imply_parents(&mut self, path: &TreePath) -> Result<(), ImageError> {
        let mut missing = Vec::new();
        let mut next = path.parent();
        while let Some(parent) = next {
            match self.nodes.get(&parent).map(|node| &node.entry.kind) {
                Some(Kind::Directory) => break,
                Some(kind) => return Err(ImageError::NotADirectory { path: parent, found: kind.word() }),
                None => {}
            }
            next = parent.parent();
            missing.push(parent);
        }
        for parent in missing {
            self.nodes.insert(parent, Node { entry: Entry::directory(), implied: true });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
