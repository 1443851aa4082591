//! The entries of a layer, one by one: which are refused, and where the others go.
//!
//! ```text
//! scan: headers as they stand ─► kinds, how many, how large what only describes ─► each: long names and PAX records resolved
//! ```
//!
//! Invariant: what describes an entry is read whole by the archive's reader, so its size is bounded before that reader sees
//! it; an entry is visited only as a plain file or a directory below.

use std::io;
use std::path::{Component, Path, PathBuf};

use port_model::Digest;
use tar::{Archive, Entry, EntryType};

use super::layer::{Budget, Content, Layer};
use crate::packages::PackageError;

/// How large a long name, or the PAX records of one entry, may be, in bytes.
const MOST_DESCRIPTION: u64 = 64 << 10;
/// The longest part of a path, in bytes: file systems take 255, of which a file that is being written needs some.
const LONGEST_PART: usize = 240;
/// How much of a name an error says, in characters.
const MOST_SHOWN: usize = 120;
/// PAX records that say nothing of what a file is or where it goes.
const HARMLESS_PAX: [&str; 9] =
    ["atime", "comment", "ctime", "gid", "gname", "mtime", "path", "uid", "uname"];

/// What is done with an entry that may be written.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&Path, &mut Entry<'_, Content<'_>>) -> Result<(), PackageError>;

/// Looks at every header as it stands, and resolves none.
pub(super) fn scan(layer: &Layer, budget: &Budget<'_>) -> Result<(), PackageError> {
    let archive_error = |source| PackageError::Archive { layer: layer.digest().clone(), source };
    let mut archive = Archive::new(layer.content(budget).map_err(archive_error)?);
    for entry in archive.entries().map_err(archive_error)?.raw(true) {
        let mut entry = entry.map_err(archive_error)?;
        budget.count_entry()?;
        let kind = entry.header().entry_type();
        let describes = matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader);
        let wrong = match describes {
            true if entry.size() <= MOST_DESCRIPTION => None,
            true => Some(format!("a description of {} bytes, more than {MOST_DESCRIPTION}", entry.size())),
            false => wrong_kind(kind),
        };
        if let Some(found) = wrong {
            return Err(refused(layer.digest(), &entry.path_bytes(), found));
        }
        io::copy(&mut entry, &mut io::sink()).map_err(archive_error)?;
    }
    archive.into_inner().finish().map_err(archive_error)
}

/// Every entry of a layer, with its path below the directory. The layer is read to its end.
pub(super) fn each(layer: &Layer, budget: &Budget<'_>, visit: Visit<'_>) -> Result<(), PackageError> {
    let archive_error = |source| PackageError::Archive { layer: layer.digest().clone(), source };
    let mut archive = Archive::new(layer.content(budget).map_err(archive_error)?);
    for entry in archive.entries().map_err(archive_error)? {
        let mut entry = entry.map_err(archive_error)?;
        let path =
            inspect(&mut entry).map_err(|found| refused(layer.digest(), &entry.path_bytes(), found))?;
        if let Some(path) = path {
            visit(&path, &mut entry)?;
        }
        // Reads to the entry's end, so that an archive that is cut off is found before anything is written.
        io::copy(&mut entry, &mut io::sink()).map_err(archive_error)?;
    }
    archive.into_inner().finish().map_err(archive_error)
}

/// The error about an entry; of a name that is longer than anybody reads, its beginning.
pub(super) fn refused(layer: &Digest, name: &[u8], found: String) -> PackageError {
    let name = String::from_utf8_lossy(name);
    let mut entry: String = name.chars().take(MOST_SHOWN).collect();
    if entry.len() < name.len() {
        entry.push('…');
    }
    PackageError::Entry { layer: layer.clone(), entry, found }
}

fn wrong_kind(kind: EntryType) -> Option<String> {
    match kind {
        EntryType::Regular | EntryType::Directory => None,
        EntryType::Symlink | EntryType::Link => Some("a link".to_owned()),
        EntryType::Char | EntryType::Block | EntryType::Fifo => Some("a device".to_owned()),
        other => Some(format!("an entry of type {:?}", char::from(other.as_byte()))),
    }
}

/// Where an entry goes; `None` for the directory itself. Else what is wrong with it.
fn inspect(entry: &mut Entry<'_, Content<'_>>) -> Result<Option<PathBuf>, String> {
    let kind = entry.header().entry_type();
    if let Some(wrong) = wrong_kind(kind) {
        return Err(wrong);
    }
    if let Some(records) = entry.pax_extensions().map_err(|error| error.to_string())? {
        for record in records {
            let record = record.map_err(|error| error.to_string())?;
            let key = String::from_utf8_lossy(record.key_bytes());
            if !HARMLESS_PAX.contains(&key.as_ref()) {
                let key: String = key.chars().take(MOST_SHOWN).collect();
                return Err(format!("the PAX record `{key}`"));
            }
        }
    }
    if entry.path_bytes().contains(&0) {
        return Err("a name with a zero byte".to_owned());
    }
    let below = below(&entry.path().map_err(|error| error.to_string())?)?;
    match (below.as_os_str().is_empty(), kind) {
        (false, _) => Ok(Some(below)),
        (true, EntryType::Directory) => Ok(None),
        (true, _) => Err("a file without a name".to_owned()),
    }
}

/// The path without what says nothing; an error where it leads elsewhere.
fn below(path: &Path) -> Result<PathBuf, String> {
    let mut below = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) if part.len() > LONGEST_PART => {
                return Err(format!("a name of {} bytes, more than {LONGEST_PART}", part.len()));
            }
            Component::Normal(part) => below.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("a path that leads up".to_owned()),
            Component::RootDir | Component::Prefix(_) => return Err("an absolute path".to_owned()),
        }
    }
    Ok(below)
}
