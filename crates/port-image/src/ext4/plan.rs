//! From a tree to numbered inodes: what is to be placed, and how many blocks each part needs.
//!
//! Inode numbers follow the order of a walk: the root is 2, lost+found 11, the others from 12 on.

use super::checksum::Seed;
use super::directory::{self, Name};
use super::geometry::BLOCK;
use super::inode::TIME_LIMIT;
use super::scan::{self, Scanned};
use super::superblock::FIRST_INODE;
use super::xattr::{self, Xattrs};
use super::{Ext4Options, FORMAT, extents};
use crate::error::ImageError;
use crate::tree::{Attributes, Entry, Kind, Tree, TreePath};

const ROOT_INODE: u32 = 2;
const LOST_AND_FOUND: &str = "/lost+found";
/// The longest link target that is kept in the inode, in bytes.
pub(super) const FAST_LINK: usize = 59;
/// The largest file: as many blocks as a logical block number reaches.
const FILE_LIMIT: u64 = (u32::MAX as u64) * BLOCK;
/// From this many links on, a directory says "one" (`dir_nlink`).
const LINK_LIMIT: usize = 65_000;

/// One inode to be.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) path: &'t TreePath,
    pub(super) entry: &'t Entry,
    pub(super) inode: u32,
    /// Index of the parent; the root is its own.
    pub(super) parent: usize,
    /// Indices of the entries of a directory, sorted by name.
    pub(super) children: Vec<usize>,
    pub(super) scanned: Scanned,
    pub(super) xattrs: Xattrs,
}

/// Every inode of the image, the root first, lost+found second.
#[derive(Debug)]
pub(super) struct Plan<'t> {
    pub(super) nodes: Vec<Node<'t>>,
    pub(super) seed: Seed,
}

/// The directory that every ext4 file system has, for a tree that does not have it.
pub(super) fn lost_and_found(options: &Ext4Options) -> Result<(TreePath, Entry), ImageError> {
    let attributes = Attributes::new(0o700).mtime(options.timestamp.into());
    Ok((TreePath::parse(LOST_AND_FOUND)?, Entry { attributes, kind: Kind::Directory }))
}

impl<'t> Plan<'t> {
    pub(super) fn new(
        tree: &'t Tree,
        lost_and_found: &'t (TreePath, Entry),
        options: &Ext4Options,
    ) -> Result<Self, ImageError> {
        let (lost_path, lost_entry) = lost_and_found;
        let lost_entry = tree.get(LOST_AND_FOUND).unwrap_or(lost_entry);
        if !lost_entry.kind.is_directory() {
            return Err(ImageError::NotADirectory { path: lost_path.clone(), found: lost_entry.kind.word() });
        }
        let mut plan = Self { nodes: Vec::new(), seed: Seed::new(options.checksums, &options.uuid) };
        // The directories from the root down to the entry at hand.
        let mut above = vec![0];
        for (path, entry) in tree.iter() {
            if path.is_root() {
                plan.push(path, entry, 0)?;
                plan.push(lost_path, lost_entry, 0)?;
                continue;
            }
            while above.len() > 1 && !above.last().is_some_and(|top| plan.is_above(*top, path)) {
                above.pop();
            }
            let parent = above.last().copied().unwrap_or_default();
            let index = if path == lost_path { 1 } else { plan.push(path, entry, parent)? };
            if entry.kind.is_directory() {
                above.push(index);
            }
        }
        plan.link_children();
        plan.find_runs()?;
        Ok(plan)
    }

    fn is_above(&self, index: usize, path: &TreePath) -> bool {
        self.nodes.get(index).is_some_and(|node| path.is_inside(node.path))
    }

    fn push(&mut self, path: &'t TreePath, entry: &'t Entry, parent: usize) -> Result<usize, ImageError> {
        check(path, entry)?;
        let index = self.nodes.len();
        let inode = u32::try_from(index).ok().and_then(|index| index.checked_add(FIRST_INODE - 1));
        let Some(inode) = inode else {
            let reason = "it has no inode number left".to_owned();
            return Err(ImageError::NotRepresentable { format: FORMAT, path: path.clone(), reason });
        };
        let inode = if path.is_root() { ROOT_INODE } else { inode };
        let xattrs = xattr::encode(path, &entry.attributes)?;
        let (children, scanned) = (Vec::new(), Scanned::default());
        self.nodes.push(Node { path, entry, inode, parent, children, scanned, xattrs });
        Ok(index)
    }

    fn link_children(&mut self) {
        for index in 1..self.nodes.len() {
            let parent = self.nodes.get(index).map(|node| node.parent);
            if let Some(parent) = parent.and_then(|parent| self.nodes.get_mut(parent)) {
                parent.children.push(index);
            }
        }
        // Only the root is not in order yet: lost+found came first there.
        let mut children = self.nodes.first().map(|root| root.children.clone()).unwrap_or_default();
        children.sort_by_key(|child| self.nodes.get(*child).map(|node| node.path));
        if let Some(root) = self.nodes.first_mut() {
            root.children = children;
        }
    }

    fn find_runs(&mut self) -> Result<(), ImageError> {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else { break };
            let scanned = match &node.entry.kind {
                Kind::File(content) => scan::scan(content)?,
                Kind::Directory => Scanned::solid(self.directory_blocks(node).len()),
                Kind::Symlink(target) if target.len() > FAST_LINK => Scanned::solid(1),
                _ => Scanned::default(),
            };
            if let Some(node) = self.nodes.get_mut(index) {
                node.scanned = scanned;
            }
        }
        Ok(())
    }

    /// The blocks of a directory.
    pub(super) fn directory_blocks(&self, node: &Node<'_>) -> Vec<super::bytes::Block> {
        let parent = self.nodes.get(node.parent).map_or(ROOT_INODE, |parent| parent.inode);
        let kind = directory::kind_byte(&Kind::Directory);
        let own = [Name { name: b".", inode: node.inode, kind }, Name { name: b"..", inode: parent, kind }];
        let children = node.children.iter().filter_map(|child| self.nodes.get(*child)).map(|child| Name {
            name: child.path.name(),
            inode: child.inode,
            kind: directory::kind_byte(&child.entry.kind),
        });
        directory::encode(own.into_iter().chain(children), self.seed.of_inode(node.inode))
    }

    /// How many names lead to the inode.
    pub(super) fn links(&self, node: &Node<'_>) -> u16 {
        if !node.entry.kind.is_directory() {
            return 1;
        }
        let children = node.children.iter().filter_map(|child| self.nodes.get(*child));
        let links = 2 + children.filter(|child| child.entry.kind.is_directory()).count();
        if links >= LINK_LIMIT { 1 } else { u16::try_from(links).unwrap_or(1) }
    }

    /// The highest inode number.
    pub(super) fn last_inode(&self) -> u32 {
        self.nodes.last().map_or(ROOT_INODE, |node| node.inode)
    }

    /// How many blocks everything needs at least, besides the file system's own metadata.
    pub(super) fn content_blocks(&self) -> u64 {
        self.nodes.iter().map(Node::content_blocks).sum()
    }
}

impl Node<'_> {
    fn content_blocks(&self) -> u64 {
        let tree = extents::tree_blocks(self.scanned.runs.len());
        self.data_blocks() + u64::from(tree) + u64::from(self.xattrs.block.is_some())
    }

    /// Blocks with content.
    pub(super) fn data_blocks(&self) -> u64 {
        self.scanned.runs.iter().map(|run| u64::from(run.length)).sum()
    }
}

/// Refuses what ext4 has no room for.
fn check(path: &TreePath, entry: &Entry) -> Result<(), ImageError> {
    let refuse =
        |reason: String| Err(ImageError::NotRepresentable { format: FORMAT, path: path.clone(), reason });
    let mtime = entry.attributes.mtime;
    if mtime < i64::from(i32::MIN) || mtime > TIME_LIMIT {
        return refuse(format!("its time {mtime} is not between {} and {TIME_LIMIT}", i32::MIN));
    }
    match &entry.kind {
        Kind::File(content) if content.size() > FILE_LIMIT => {
            refuse(format!("its {} bytes are more than {FILE_LIMIT}", content.size()))
        }
        _ => Ok(()),
    }
}
