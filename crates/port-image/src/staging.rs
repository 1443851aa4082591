//! A tree laid out in a host directory, for tools that read nothing else.
//!
//! Without root, a host directory holds neither foreign owners nor devices, and its extended attributes are
//! the host's; a tree with any of these is refused, never changed in silence.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _};

use crate::content::{Content, Source};
use crate::error::ImageError;
use crate::tree::{Entry, Kind, Tree, TreePath};

/// A directory that holds the tree, removed when dropped.
#[derive(Debug)]
pub(crate) struct Staging {
    root: tempfile::TempDir,
    /// Directories whose mode may keep us from removing what is in them.
    directories: Vec<PathBuf>,
}

impl Staging {
    /// Lays the tree out beside `image`: there is room for it, and a sweep finds it after a kill.
    pub(crate) fn new(format: &'static str, tree: &Tree, image: &Path) -> Result<Self, ImageError> {
        for (path, entry) in tree.iter() {
            if let Some(reason) = obstacle(entry) {
                return Err(ImageError::NotRepresentable { format, path: path.clone(), reason });
            }
        }
        let parent = image.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let builder = tempfile::Builder::new().prefix(".staging.").suffix(".tmp").tempdir_in(parent);
        let root = builder.context("create a directory in", parent)?;
        let mut staging = Self { root, directories: Vec::new() };
        staging.fill(tree)?;
        Ok(staging)
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    fn fill(&mut self, tree: &Tree) -> Result<(), ImageError> {
        let mut modes = Vec::new();
        for (path, entry) in tree.iter() {
            let host = self.place(path, entry)?;
            if entry.kind.is_directory() {
                self.directories.push(host.clone());
            }
            if !matches!(entry.kind, Kind::Symlink(_)) {
                modes.push((host, entry.attributes.mode));
            }
        }
        // NOTE: modes last and inside out: a directory without write permission takes no more entries.
        for (host, mode) in modes.into_iter().rev() {
            fs::set_mode(&host, mode)?;
        }
        Ok(())
    }

    fn place(&self, path: &TreePath, entry: &Entry) -> Result<PathBuf, ImageError> {
        let host = path.below(self.root.path());
        match &entry.kind {
            Kind::Directory => fs::create_dir_all(&host)?,
            Kind::File(content) => copy(content, &host)?,
            Kind::Symlink(target) => fs::symlink(Path::new(std::ffi::OsStr::from_bytes(target)), &host)?,
            Kind::Fifo => {
                use rustix::fs::{CWD, FileType, Mode, mknodat};
                mknodat(CWD, &host, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).context("create", &host)?;
            }
            // Refused before anything was laid out.
            Kind::BlockDevice { .. } | Kind::CharDevice { .. } => {}
        }
        Ok(host)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for directory in &self.directories {
            // What cannot be changed is left for the removal itself to report, or for a sweep.
            let _ = fs::set_mode(directory, 0o700);
        }
    }
}

fn copy(content: &Content, host: &Path) -> Result<(), ImageError> {
    let target = fs::create_new(host)?;
    let source = Source::open(content)?;
    let mut writer = port_content::sparse::SparseWriter::new(&target);
    std::io::copy(&mut source.reader(), &mut writer).context("write", host)?;
    writer.finish().context("write", host)?;
    source.assert_unchanged(source.stamp())
}

fn obstacle(entry: &Entry) -> Option<String> {
    let attributes = &entry.attributes;
    if entry.kind.device().is_some() {
        return Some(format!("the tool reads a directory, where a {} needs root", entry.kind.word()));
    }
    if (attributes.uid, attributes.gid) != (0, 0) {
        let (uid, gid) = (attributes.uid, attributes.gid);
        return Some(format!("the tool makes every file root's, not {uid}:{gid}"));
    }
    let xattr = attributes.xattrs.keys().next()?;
    Some(format!("the tool is not given extended attributes such as `{xattr}`"))
}
