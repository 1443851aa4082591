//! unpack: a target's layers as files below a directory (acceptance K-77 … K-81), and nothing outside of it (C-18).
//!
//! ```text
//! every layer: digest ─► every entry: plain file or directory below, nothing in its way? ─► only then the first file is written
//!              └ gzip: bounded, and what comes out is what the config says
//! ```
//!
//! Layers are others' work. Names are taken as the archive reader sees them in the end (long names and PAX records
//! resolved), links and devices are refused whatever they point to, and no symbolic link of the directory is followed.
//! What a package may cost is bounded for all of its layers together.

mod entries;
mod halt;
mod layer;
mod places;

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use port_content::atomic::AtomicFile;
use port_content::fs::Context as _;
use port_content::{FsError, fs};
use port_layout::kraftkit::{INITRD_PATH, KERNEL_DBG_PATH, KERNEL_PATH};
use port_model::Digest;
use serde::Serialize;
use tar::Entry;

use super::load::{self, Target};
use super::{PackageError, Packages, Selection};
pub(crate) use halt::Halt;
use layer::{Budget, Content};
use places::{Kind, Places};

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
    /// The initrd, where the package has one that is not empty.
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
/// [`PackageError`]; where a layer is wrong or hostile, or something is in the way, no file is written. A disk that refuses to
/// write leaves the files that it took.
pub fn unpack(
    packages: &Packages,
    selection: &Selection,
    directory: &Path,
) -> Result<UnpackReport, PackageError> {
    let named = packages.store.get(&selection.name())?;
    let found = load::select_one(selection, &named.index, &named.digest)?;
    let target = load::load(&packages.store, &named.reference, &found)?;
    unpack_for_user(packages, &named.reference.to_string(), &target, directory)
}

/// Unpacks into a user's directory: what is said to be there survives a power cut.
pub(super) fn unpack_for_user(
    packages: &Packages,
    reference: &str,
    target: &Target,
    directory: &Path,
) -> Result<UnpackReport, PackageError> {
    let report = unpack_target(packages, reference, target, directory, &Halt::default())?;
    fs::sync_file_system(directory)?;
    Ok(report)
}

pub(super) fn unpack_target(
    packages: &Packages,
    reference: &str,
    target: &Target,
    directory: &Path,
    halt: &Halt,
) -> Result<UnpackReport, PackageError> {
    let layers = layer::open_all(packages, reference, target)?;
    let budget = Budget::of(reference, &layers);
    for layer in &layers {
        entries::scan(layer, &budget)?;
    }
    let (mut places, budget) = (Places::below(directory), Budget::of(reference, &layers));
    for layer in &layers {
        entries::each(layer, &budget, &mut |path, entry| places.take(layer.digest(), path, kind(entry)))?;
    }
    let (mut written, budget) = (Written::new(), Budget::of(reference, &layers));
    for layer in &layers {
        entries::each(layer, &budget, &mut |path, entry| {
            let place = directory.join(path);
            halt.unless(&place, || match kind(entry) {
                Kind::Directory => Ok(fs::create_dir_all(&place)?),
                Kind::File => {
                    let bytes = write(&place, entry)?;
                    written.insert(place.clone(), bytes);
                    Ok(())
                }
            })
        })?;
    }
    for path in [KERNEL_DBG_PATH, INITRD_PATH].map(|path| below(directory, path)) {
        if !written.contains_key(&path) && fs::exists(&path) {
            let path = path.display();
            packages
                .reporter
                .note(format!("warning: `{path}` was there before, and is no part of this package"));
        }
    }
    Ok(report(reference, target, directory, &written))
}

/// The files that were written, and their sizes.
type Written = BTreeMap<PathBuf, u64>;

fn below(directory: &Path, path: &str) -> PathBuf {
    directory.join(path.trim_start_matches('/'))
}

fn report(reference: &str, target: &Target, directory: &Path, written: &Written) -> UnpackReport {
    let at = |path: &str| below(directory, path);
    // What another package left there is none of this one's.
    let filled = |path: PathBuf| written.get(&path).is_some_and(|bytes| *bytes > 0).then_some(path);
    let config = &target.decoded.package.config;
    UnpackReport {
        reference: reference.to_owned(),
        manifest: target.entry.digest.clone(),
        platform: config.platform.os.clone(),
        architecture: config.platform.architecture.clone(),
        kernel: at(KERNEL_PATH),
        kernel_dbg: filled(at(KERNEL_DBG_PATH)),
        initrd: filled(at(INITRD_PATH)),
        command: config.config.cmd.clone(),
        environment: config.config.env.clone(),
        files: written.len() as u64,
        bytes: written.values().sum(),
    }
}

/// What an entry that was looked at is.
fn kind(entry: &Entry<'_, Content<'_>>) -> Kind {
    if entry.header().entry_type().is_dir() { Kind::Directory } else { Kind::File }
}

/// Writes a file, whole or not at all, with the mode that it has in the archive.
fn write(place: &Path, entry: &mut Entry<'_, Content<'_>>) -> Result<u64, PackageError> {
    let mode = entry.header().mode().unwrap_or(0o644) & MODE;
    let size = entry.size();
    let mut file = AtomicFile::create(place)?;
    let copied = io::copy(&mut entry.take(size), &mut file).context("write", place)?;
    if copied != size {
        let reason = io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within the file");
        return Err(FsError::new("write", place, reason).into());
    }
    // Flushed together at the end: one by one, ten thousand files would take minutes.
    file.mode(mode).commit_unflushed()?;
    Ok(copied)
}

#[cfg(test)]
mod tests;
