//! Plain file operations whose errors name the operation and the path. The only user of `std::fs`.
#![expect(clippy::disallowed_methods, reason = "this is the wrapper that the wall points to")]

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::witness::{Step, tell};

/// A failed file operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} `{}`", path.display())]
pub struct FsError {
    /// What was tried, as an infinitive: "open", "create directory".
    pub operation: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

impl FsError {
    /// Wraps an operating system error.
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }

    /// Whether the path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether nothing may be written there, or there is no room for it, while what is there can be read.
    pub fn is_write_refused(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        matches!(self.source.kind(), PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull)
    }

    /// Whether a disk could not give back what it holds: another copy is the remedy, not another attempt.
    pub fn is_damage(&self) -> bool {
        self.operation == "read" && is_damage(&self.source)
    }
}

/// Whether reading failed because of what lies on the disk: EIO, ENODATA (a bad sector), EBADMSG, EUCLEAN or EILSEQ (sums of
/// the file system or the disk that do not match).
pub fn is_damage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let damage = [Errno::IO, Errno::NODATA, Errno::BADMSG, Errno::UCLEAN, Errno::ILSEQ];
    Errno::from_io_error(error).is_some_and(|errno| damage.contains(&errno))
}

/// How many more bytes whoever runs this may write to the file system of `file`. Others write there too.
pub fn available(file: &File) -> io::Result<u64> {
    let found = rustix::fs::fstatvfs(file)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Adds operation and path to an `io::Result`.
pub trait Context<T> {
    /// Wraps the error.
    fn context(self, operation: &'static str, path: &Path) -> Result<T, FsError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, FsError> {
        self.map_err(|source| FsError::new(operation, path, source))
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, FsError> {
        self.map_err(|errno| FsError::new(operation, path, errno.into()))
    }
}

/// Opens for reading.
pub fn open(path: &Path) -> Result<File, FsError> {
    tell(&Step::Open(path)).context("open", path)?;
    File::open(path).context("open", path)
}

/// Opens a regular file for reading; a directory, device or pipe is an error, so a read cannot block.
pub fn open_regular(path: &Path) -> Result<(File, Metadata), FsError> {
    open_regular_with(path, OFlags::NONBLOCK)
}

/// As [`open_regular`], refusing a symbolic link at the end of the path: for directories that others fill.
pub fn open_regular_itself(path: &Path) -> Result<(File, Metadata), FsError> {
    open_regular_with(path, OFlags::NONBLOCK | OFlags::NOFOLLOW)
}

fn open_regular_with(path: &Path, flags: OFlags) -> Result<(File, Metadata), FsError> {
    tell(&Step::Open(path)).context("open", path)?;
    let flags = flags.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).context("open", path)?;
    let metadata = file.metadata().context("inspect", path)?;
    if metadata.is_file() {
        return Ok((file, metadata));
    }
    Err(FsError::new("read", path, io::Error::other("not a regular file")))
}

/// Opens for reading and writing, creating the file if absent and keeping its content.
pub fn open_writable(path: &Path) -> Result<File, FsError> {
    tell(&Step::Open(path)).context("open", path)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).context("open", path)
}

/// As [`open_writable`], for a file at a guessable name: what stands there and is no regular file of one name (a link
/// that leads elsewhere, a pipe) is removed first.
pub fn open_writable_itself(path: &Path) -> Result<File, FsError> {
    use std::os::unix::fs::MetadataExt as _;
    if let Ok(found) = symlink_metadata(path)
        && (!found.is_file() || found.nlink() > 1)
    {
        if found.is_dir() { remove_dir_all(path)? } else { remove_file(path)? }
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags)
        .open(path)
        .context("open", path)
}

/// Creates a new file for reading and writing; an existing one is an error.
pub fn create_new(path: &Path) -> Result<File, FsError> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).context("create", path)
}

/// Creates or empties a scratch file. Not for anything that must survive a kill: see [`crate::atomic`].
pub fn create_scratch(path: &Path) -> Result<File, FsError> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).context("create", path)
}

/// Reads a whole file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FsError> {
    let (file, metadata) = open_regular(path)?;
    let too_big = |size: u64| {
        let message = format!("it is {size} bytes or more: at most {limit} are read here");
        FsError::new("read", path, io::Error::new(io::ErrorKind::FileTooLarge, message))
    };
    if metadata.len() > limit {
        return Err(too_big(metadata.len()));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).context("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(too_big(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Reads a whole UTF-8 file of at most `limit` bytes.
pub fn read_to_string(path: &Path, limit: u64) -> Result<String, FsError> {
    String::from_utf8(read(path, limit)?).map_err(|error| {
        let message = format!("not UTF-8 text (byte {} is wrong)", error.utf8_error().valid_up_to());
        FsError::new("read", path, io::Error::new(io::ErrorKind::InvalidData, message))
    })
}

/// Metadata of what the path leads to.
pub fn metadata(path: &Path) -> Result<Metadata, FsError> {
    std::fs::metadata(path).context("inspect", path)
}

/// Metadata, or `None` where the path does not exist.
pub fn try_metadata(path: &Path) -> Result<Option<Metadata>, FsError> {
    match metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Metadata of the path itself, symbolic links not followed.
pub fn symlink_metadata(path: &Path) -> Result<Metadata, FsError> {
    std::fs::symlink_metadata(path).context("inspect", path)
}

/// Where a symbolic link points.
pub fn read_link(path: &Path) -> Result<PathBuf, FsError> {
    std::fs::read_link(path).context("read link", path)
}

/// The one absolute path of what `path` leads to: no symbolic links, no `..`.
pub fn canonicalize(path: &Path) -> Result<PathBuf, FsError> {
    std::fs::canonicalize(path).context("find", path)
}

/// Whether something is at `path`.
pub fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// The names in a directory, sorted, so that no result depends on the file system's order.
pub fn read_dir(path: &Path) -> Result<Vec<PathBuf>, FsError> {
    let mut entries = std::fs::read_dir(path)
        .context("list", path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .context("list", path)?;
    entries.sort();
    Ok(entries)
}

/// Creates a directory and its parents; an existing one is fine.
pub fn create_dir_all(path: &Path) -> Result<(), FsError> {
    tell(&Step::MakeDirectory(path)).context("create directory", path)?;
    std::fs::create_dir_all(path).context("create directory", path)
}

/// Removes a file; an absent one is fine.
pub fn remove_file(path: &Path) -> Result<(), FsError> {
    tell(&Step::Remove(path)).context("remove", path)?;
    absent_is_fine(std::fs::remove_file(path)).context("remove", path)
}

/// Removes an empty directory; an absent one is fine.
pub fn remove_dir(path: &Path) -> Result<(), FsError> {
    tell(&Step::Remove(path)).context("remove directory", path)?;
    absent_is_fine(std::fs::remove_dir(path)).context("remove directory", path)
}

/// Removes a directory with all that is in it; an absent one is fine.
pub fn remove_dir_all(path: &Path) -> Result<(), FsError> {
    tell(&Step::Remove(path)).context("remove directory", path)?;
    absent_is_fine(std::fs::remove_dir_all(path)).context("remove directory", path)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a hard link.
pub fn hard_link(original: &Path, link: &Path) -> Result<(), FsError> {
    std::fs::hard_link(original, link).context("link", link)
}

/// Sets the permission bits.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), FsError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).context("set permissions of", path)
}

/// Makes a symbolic link.
pub fn symlink(target: &Path, link: &Path) -> Result<(), FsError> {
    std::os::unix::fs::symlink(target, link).context("link", link)
}

/// Flushes a directory, so that renames and unlinks in it survive a power cut.
pub fn sync_dir(path: &Path) -> Result<(), FsError> {
    tell(&Step::FlushDirectory(path)).context("flush directory", path)?;
    File::open(path).context("open", path)?.sync_all().context("flush directory", path)
}

/// Flushes the whole file system that a directory lies in: one wait for many files that were written without any.
pub fn sync_file_system(directory: &Path) -> Result<(), FsError> {
    let file = File::open(directory).context("open", directory)?;
    rustix::fs::syncfs(&file).map_err(std::io::Error::from).context("flush the file system of", directory)
}

/// Overwrites the beginning of a file where it lies, and flushes it: for what others find by its place on the disk. A power cut may
/// leave any of its sectors old.
pub fn overwrite(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    use std::os::unix::fs::FileExt as _;
    let file = OpenOptions::new().write(true).open(path).context("open", path)?;
    let told = tell(&Step::Overwrite(path, bytes)).context("write", path)?;
    let (now, later) = bytes.split_at(told.unwrap_or(bytes.len()).min(bytes.len()));
    file.write_all_at(now, 0).context("write", path)?;
    if !later.is_empty() {
        let full = io::Error::new(io::ErrorKind::WriteZero, format!("{} bytes were not taken", later.len()));
        return Err(FsError::new("write", path, full));
    }
    tell(&Step::Flush(path)).context("flush", path)?;
    file.sync_all().context("flush", path)
}

/// Makes the kernel forget what it holds of a file's content in memory, so that reading it reads the disk. A hint: what is not
/// written back yet, or mapped, stays.
pub fn forget_cached(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}
