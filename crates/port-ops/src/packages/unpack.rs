//! unpack: a target's layers as files below a directory (acceptance K-77 … K-81), and nothing outside of it (C-18).
//!
//! ```text
//! every layer: digest ─► every entry: plain file or directory below? ─► only then the first file is written
//!              └ gzip: bounded, and what comes out is what the config says
//! ```
//!
//! Layers are others' work. Names are taken as the archive reader sees them in the end (long names and PAX records
//! resolved), links and devices are refused whatever they point to, and no symbolic link of the directory is followed.

mod layer;

use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use port_content::atomic::AtomicFile;
use port_content::fs::Context as _;
use port_content::{FsError, fs};
use port_layout::kraftkit::{INITRD_PATH, KERNEL_DBG_PATH, KERNEL_PATH};
use port_model::Digest;
use serde::Serialize;
use tar::{Archive, Entry, EntryType};

use super::load::{self, Target};
use super::{PackageError, Packages, Selection};
use layer::{Content, Layer};

/// More entries than any package needs.
const MOST_ENTRIES: usize = 100_000;
/// PAX records that say nothing of what a file is or where it goes.
const HARMLESS_PAX: [&str; 9] =
    ["atime", "comment", "ctime", "gid", "gname", "mtime", "path", "uid", "uname"];
/// The bits of a mode that are kept: nothing that lends an owner's rights.
const MODE: u32 = 0o777;

/// What lies in the directory now.
#[derive(Debug, Serialize)]
pub struct UnpackReport {
    /// The package.
    pub reference: String,
    /// The manifest.
    pub manifest: Digest,
    /// In Unikraft's words.
    pub platform: String,
    /// In Unikraft's words.
    pub architecture: String,
    /// The kernel.
    pub kernel: PathBuf,
    /// The kernel with debug information, if the package has one.
    pub kernel_dbg: Option<PathBuf>,
    /// The initrd, where a file that is not empty is there.
    pub initrd: Option<PathBuf>,
    /// The config's command.
    pub command: Vec<String>,
    /// The config's environment.
    pub environment: Vec<String>,
    /// How many files were written.
    pub files: u64,
    /// Their sizes together.
    pub bytes: u64,
}

/// Unpacks the one target that is selected.
///
/// # Errors
/// [`PackageError`]; where a layer is wrong or hostile, nothing is written.
pub fn unpack(
    packages: &Packages,
    selection: &Selection,
    directory: &Path,
) -> Result<UnpackReport, PackageError> {
    let named = packages.store.get(&selection.name())?;
    let found = load::select_one(selection, &named.index, &named.digest)?;
    let target = load::load(&packages.store, &named.reference, &found)?;
    unpack_target(packages, &named.reference.to_string(), &target, directory)
}

pub(super) fn unpack_target(
    packages: &Packages,
    reference: &str,
    target: &Target,
    directory: &Path,
) -> Result<UnpackReport, PackageError> {
    let layers = layer::open_all(packages, reference, target)?;
    for layer in &layers {
        each(layer, &mut |path, _| Ok(check_place(directory, path)?))?;
    }
    let (mut files, mut bytes) = (0, 0);
    for layer in &layers {
        each(layer, &mut |path, entry| {
            if entry.header().entry_type().is_dir() {
                return Ok(fs::create_dir_all(&directory.join(path))?);
            }
            bytes += write(&directory.join(path), entry)?;
            files += 1;
            Ok(())
        })?;
    }
    let at = |path: &str| directory.join(path.trim_start_matches('/'));
    let filled = |path: PathBuf| {
        let is_filled = fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() > 0);
        is_filled.then_some(path)
    };
    let config = &target.decoded.package.config;
    Ok(UnpackReport {
        reference: reference.to_owned(),
        manifest: target.entry.digest.clone(),
        platform: config.platform.os.clone(),
        architecture: config.platform.architecture.clone(),
        kernel: at(KERNEL_PATH),
        kernel_dbg: filled(at(KERNEL_DBG_PATH)),
        initrd: filled(at(INITRD_PATH)),
        command: config.config.cmd.clone(),
        environment: config.config.env.clone(),
        files,
        bytes,
    })
}

type Visit<'a> = &'a mut dyn FnMut(&Path, &mut Entry<'_, Content<'_>>) -> Result<(), PackageError>;

/// Every entry of a layer, with its path below the directory. The layer is read to its end.
fn each(layer: &Layer, visit: Visit<'_>) -> Result<(), PackageError> {
    let archive_error = |source| PackageError::Archive { layer: layer.digest().clone(), source };
    let mut archive = Archive::new(layer.content().map_err(archive_error)?);
    for (count, entry) in archive.entries().map_err(archive_error)?.enumerate() {
        let mut entry = entry.map_err(archive_error)?;
        if count >= MOST_ENTRIES {
            let error = io::Error::other(format!("more than {MOST_ENTRIES} entries"));
            return Err(archive_error(error));
        }
        let path = match inspect(&mut entry) {
            Ok(path) => path,
            Err(found) => {
                let entry = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                return Err(PackageError::Entry { layer: layer.digest().clone(), entry, found });
            }
        };
        if let Some(path) = path {
            visit(&path, &mut entry)?;
        }
        // Reads to the entry's end, so that an archive that is cut off is found before anything is written.
        io::copy(&mut entry, &mut io::sink()).map_err(archive_error)?;
    }
    archive.into_inner().finish().map_err(archive_error)
}

/// Where an entry goes; `None` for the directory itself. Else what is wrong with it.
fn inspect(entry: &mut Entry<'_, Content<'_>>) -> Result<Option<PathBuf>, String> {
    let kind = entry.header().entry_type();
    match kind {
        EntryType::Regular | EntryType::Directory => {}
        EntryType::Symlink | EntryType::Link => return Err("a link".to_owned()),
        EntryType::Char | EntryType::Block | EntryType::Fifo => return Err("a device".to_owned()),
        other => return Err(format!("an entry of type {:?}", char::from(other.as_byte()))),
    }
    if let Some(records) = entry.pax_extensions().map_err(|error| error.to_string())? {
        for record in records {
            let record = record.map_err(|error| error.to_string())?;
            let key = String::from_utf8_lossy(record.key_bytes());
            if !HARMLESS_PAX.contains(&key.as_ref()) {
                return Err(format!("the PAX record `{key}`"));
            }
        }
    }
    let name = entry.path_bytes();
    if name.contains(&0) {
        return Err("a name with a zero byte".to_owned());
    }
    let path = entry.path().map_err(|error| error.to_string())?.into_owned();
    let mut below = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => below.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("a path that leads up".to_owned()),
            Component::RootDir | Component::Prefix(_) => return Err("an absolute path".to_owned()),
        }
    }
    match (below.as_os_str().is_empty(), kind) {
        (false, _) => Ok(Some(below)),
        (true, EntryType::Directory) => Ok(None),
        (true, _) => Err("a file without a name".to_owned()),
    }
}

/// No part of the way to a file may be a symbolic link: it could lead out.
fn check_place(directory: &Path, path: &Path) -> Result<(), FsError> {
    let mut place = directory.to_owned();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        place.push(part);
        let Ok(found) = fs::symlink_metadata(&place) else { return Ok(()) };
        let is_last = parts.peek().is_none();
        if found.is_symlink() || (!is_last && !found.is_dir()) {
            let reason = "a symbolic link or a file is in the way: expected a directory, or nothing";
            return Err(FsError::new("unpack to", &place, io::Error::other(reason)));
        }
    }
    Ok(())
}

/// Writes a file, whole or not at all, with the mode that it has in the archive.
fn write(place: &Path, entry: &mut Entry<'_, Content<'_>>) -> Result<u64, PackageError> {
    let mode = entry.header().mode().unwrap_or(0o644) & MODE;
    let size = entry.size();
    let mut file = AtomicFile::create(place)?.mode(mode);
    let copied = io::copy(&mut entry.take(size), &mut file).context("write", place)?;
    if copied != size {
        let reason = io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within the file");
        return Err(FsError::new("write", place, reason).into());
    }
    file.commit()?;
    Ok(copied)
}

#[cfg(test)]
mod tests;
