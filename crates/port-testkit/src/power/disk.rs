//! A disk in memory: names, and what they lead to. Content belongs to a file, not to its name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use port_content::witness::Step;

/// What a disk writes at once.
const SECTOR: usize = 512;

/// All names below a directory, with the content of files; directories have none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tree(BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Tree {
    /// Makes it in an empty directory.
    ///
    /// # Panics
    /// Where the disk of the test fails.
    pub fn write_to(&self, root: &Path) {
        for (path, content) in &self.0 {
            let path = root.join(path);
            match content {
                None => std::fs::create_dir_all(&path).unwrap(),
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            }
        }
    }
}

/// What happens to a disk.
#[derive(Debug, Clone)]
pub(super) enum Change {
    MakeDirectory(PathBuf),
    Create(PathBuf, usize),
    Write { file: usize, at: usize, bytes: Vec<u8> },
    Rename { from: PathBuf, to: PathBuf, file: usize },
    Remove(PathBuf),
    Flush(usize),
    FlushDirectory(PathBuf),
}

impl Change {
    /// Whether after this flush the other change is there for good.
    pub(super) fn keeps(&self, change: &Self) -> bool {
        let inside = |directory: &PathBuf, path: &PathBuf| path.parent() == Some(directory.as_path());
        match (self, change) {
            (Self::Flush(flushed), Self::Write { file, .. }) => flushed == file,
            (Self::FlushDirectory(flushed), Self::Rename { from, to, .. }) => {
                inside(flushed, to) && inside(flushed, from)
            }
            (
                Self::FlushDirectory(flushed),
                Self::MakeDirectory(path) | Self::Create(path, _) | Self::Remove(path),
            ) => inside(flushed, path),
            _ => false,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    names: BTreeMap<PathBuf, Option<usize>>,
    files: Vec<Vec<u8>>,
}

impl Disk {
    /// What is below `root`.
    pub(super) fn read(root: &Path, ignored: &[PathBuf]) -> Self {
        let mut disk = Self::default();
        let mut open = vec![root.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(root).unwrap().to_owned();
                if ignored.iter().any(|ignored| name.starts_with(ignored)) {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    disk.names.insert(name, None);
                    open.push(path);
                } else {
                    disk.files.push(std::fs::read(&path).unwrap());
                    disk.names.insert(name, Some(disk.files.len() - 1));
                }
            }
        }
        disk
    }

    pub(super) fn tree(&self) -> Tree {
        let content =
            |file: &Option<usize>| file.map(|file| self.files.get(file).cloned().unwrap_or_default());
        Tree(self.names.iter().map(|(path, file)| (path.clone(), content(file))).collect())
    }

    /// The disk after these changes without those that were lost.
    pub(super) fn after(&self, changes: &[Change], lost: &BTreeSet<usize>) -> Self {
        let mut disk = self.clone();
        for (index, change) in changes.iter().enumerate() {
            if !lost.contains(&index) {
                disk.apply(change);
            } else if let Change::Create(_, file) = change {
                // Its content is told by number, whether it has a name or not.
                disk.reserve(*file);
            }
        }
        // What lies in a directory that was lost is lost.
        let lies = |path: &Path| {
            path.ancestors().skip(1).all(|it| it == Path::new("") || disk.names.contains_key(it))
        };
        let there: Vec<PathBuf> = disk.names.keys().filter(|path| lies(path)).cloned().collect();
        disk.names.retain(|path, _| there.binary_search(path).is_ok());
        disk
    }

    /// What a step changes, in parts that a cut may part.
    pub(super) fn changes(&self, step: &Step<'_>, below: impl Fn(&Path) -> Option<PathBuf>) -> Vec<Change> {
        let file = |path: &Path| below(path).and_then(|path| self.names.get(&path).copied().flatten());
        match *step {
            Step::Open(_) => Vec::new(),
            Step::MakeDirectory(path) => {
                let Some(path) = below(path) else { return Vec::new() };
                let mut new: Vec<_> = path.ancestors().filter(|it| *it != Path::new("")).collect();
                new.retain(|path| !self.names.contains_key(*path));
                new.into_iter().rev().map(|path| Change::MakeDirectory(path.to_owned())).collect()
            }
            Step::Create(path) => {
                below(path).map(|path| Change::Create(path, self.files.len())).into_iter().collect()
            }
            Step::Append(path, bytes) => file(path).map_or_else(Vec::new, |file| {
                let at = self.files.get(file).map_or(0, Vec::len);
                parts(file, at, bytes, (bytes.len() / 2).max(1))
            }),
            Step::Overwrite(path, bytes) => {
                file(path).map_or_else(Vec::new, |file| parts(file, 0, bytes, SECTOR))
            }
            Step::Flush(path) => file(path).map(Change::Flush).into_iter().collect(),
            Step::FlushDirectory(path) => below(path).map(Change::FlushDirectory).into_iter().collect(),
            Step::Rename(from, to) => {
                let found = below(from).zip(below(to)).zip(file(from));
                found.map(|((from, to), file)| Change::Rename { from, to, file }).into_iter().collect()
            }
            Step::Remove(path) => below(path)
                .filter(|path| self.names.contains_key(path))
                .map(Change::Remove)
                .into_iter()
                .collect(),
        }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::MakeDirectory(path) => drop(self.names.insert(path.clone(), None)),
            Change::Create(path, file) => {
                self.reserve(*file);
                self.names.insert(path.clone(), Some(*file));
            }
            Change::Write { file, at, bytes } => {
                self.reserve(*file);
                let content = &mut self.files[*file];
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Rename { from, to, file } => {
                if self.names.get(from) == Some(&Some(*file)) {
                    self.names.remove(from);
                }
                self.names.insert(to.clone(), Some(*file));
            }
            Change::Remove(path) => self.names.retain(|name, _| !name.starts_with(path)),
            Change::Flush(_) | Change::FlushDirectory(_) => {}
        }
    }

    fn reserve(&mut self, file: usize) {
        self.files.resize(self.files.len().max(file + 1), Vec::new());
    }
}

fn parts(file: usize, at: usize, bytes: &[u8], length: usize) -> Vec<Change> {
    let part = |(index, bytes): (usize, &[u8])| Change::Write {
        file,
        at: at + index * length,
        bytes: bytes.to_vec(),
    };
    bytes.chunks(length).enumerate().map(part).collect()
}
