//! Files and directories that appear whole or not at all.
//!
//! ```text
//! .NAME.random.tmp  (same directory) ── write ── fsync ── rename onto NAME ── fsync directory
//! ```
//!
//! CRASH: a kill before the rename leaves the old content and a hidden `.tmp` file, which
//! [`sweep_beside`] removes when it is a day old; a kill after it leaves the new content. Nothing in between is visible.

use std::fs::{File, Permissions};
use std::io::{self, Seek as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;

use crate::failpoint::failpoint;
use crate::fs::{self, Context as _, FsError};
use crate::witness::{Step, tell};

/// Marks our temporary files and directories.
const SUFFIX: &str = ".tmp";
/// A leftover younger than this may belong to a process that is still at work.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// A file being written, which becomes visible only with [`AtomicFile::commit`]. Dropping it removes it.
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    target: PathBuf,
    /// None: 0644 for what is flushed, and what the temporary file has for a saving.
    mode: Option<u32>,
}

impl AtomicFile {
    /// Starts a file that will become `target` (mode 0644), creating its directory.
    pub fn create(target: &Path) -> Result<Self, FsError> {
        let directory = parent(target);
        fs::create_dir_all(directory)?;
        let temporary = tempfile::Builder::new()
            .prefix(&prefix(target))
            .suffix(SUFFIX)
            .tempfile_in(directory)
            .context("create a file in", directory)?;
        tell(&Step::Create(temporary.path())).context("create a file in", directory)?;
        Ok(Self { temporary, target: target.to_owned(), mode: None })
    }

    /// A file that has no name yet, as [`unnamed`] makes one, which will become `target`.
    ///
    /// # Errors
    /// Also where the file system cannot give names to such files.
    pub fn of_unnamed(file: &File, target: &Path) -> Result<Self, FsError> {
        use rustix::fs::{AtFlags, CWD, linkat};
        use std::os::fd::AsRawFd as _;
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        let name = |path: &Path| {
            linkat(CWD, open.as_str(), CWD, path, AtFlags::SYMLINK_FOLLOW)?;
            file.try_clone()
        };
        let directory = parent(target);
        let mut builder = tempfile::Builder::new();
        let temporary = builder.prefix(&prefix(target)).suffix(SUFFIX).make_in(directory, name);
        let temporary = temporary.context("link into", directory)?;
        Ok(Self { temporary, target: target.to_owned(), mode: None })
    }

    /// Sets the permission bits that the file will have.
    #[must_use]
    pub fn mode(self, mode: u32) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// The open file.
    pub fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Where the bytes are now, for tools that write by path.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Flushes, renames onto the target, flushes the directory; returns the file, rewound.
    pub fn commit(self) -> Result<File, FsError> {
        let target = self.target.clone();
        self.commit_as(&target)
    }

    /// As [`AtomicFile::commit`], without flushing: for what is only a saving, and whose reader takes a torn file for
    /// none. After a power cut the file may be empty.
    ///
    /// The file is its user's alone (0600), unless a mode was asked for.
    pub fn commit_unflushed(self) -> Result<(), FsError> {
        let Self { temporary, target, mode } = self;
        if let Some(mode) = mode {
            let set = temporary.as_file().set_permissions(Permissions::from_mode(mode));
            set.context("set permissions of", &target)?;
        }
        temporary
            .persist(&target)
            .map(|_| ())
            .map_err(|error| FsError::new("rename onto", &target, error.error))
    }

    /// As [`AtomicFile::commit`], under a name in the same directory that was not known at the start.
    pub fn commit_as(self, target: &Path) -> Result<File, FsError> {
        let Self { temporary, mode, .. } = self;
        let step = |result: io::Result<()>, operation| result.context(operation, target);
        step(failpoint("atomic.before-sync"), "write")?;
        let permissions = Permissions::from_mode(mode.unwrap_or(0o644));
        let told = |told: Step<'_>| tell(&told).map(drop);
        step(told(Step::Flush(temporary.path())), "flush")?;
        step(temporary.as_file().set_permissions(permissions), "set permissions of")?;
        step(temporary.as_file().sync_all(), "flush")?;
        step(failpoint("atomic.before-rename"), "write")?;
        step(told(Step::Rename(temporary.path(), target)), "rename onto")?;
        let mut file =
            temporary.persist(target).map_err(|error| FsError::new("rename onto", target, error.error))?;
        step(failpoint("atomic.after-rename"), "write")?;
        fs::sync_dir(parent(target))?;
        step(file.rewind(), "rewind")?;
        Ok(file)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = tell(&Step::Append(self.path(), bytes))?.unwrap_or(bytes.len());
        self.file().write(bytes.get(..most).unwrap_or(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

/// A file in the directory of `target`, which is created, without a name: a kill leaves nothing of it.
///
/// # Errors
/// Also where the file system has no such files, or cannot give names to them: what is written to one that was made and removed
/// would be for nothing.
pub fn unnamed(target: &Path) -> Result<File, FsError> {
    let directory = parent(target);
    fs::create_dir_all(directory)?;
    // A name can be given once, so that another file is asked.
    drop(AtomicFile::of_unnamed(&without_name(directory)?, target)?);
    without_name(directory)
}

fn without_name(directory: &Path) -> Result<File, FsError> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR);
    file.map(File::from).context("create a file without a name in", directory)
}

/// Writes `bytes` to `target`, whole or not at all.
pub fn write(target: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let mut file = AtomicFile::create(target)?;
    file.write_all(bytes).context("write", target)?;
    file.commit().map(|_| ())
}

/// Moves a complete file to its place: flush, rename, flush both directories. Returns it open.
pub fn place(from: &Path, to: &Path) -> Result<File, FsError> {
    let (file, _) = fs::open_regular(from)?;
    failpoint("atomic.before-sync").context("write", to)?;
    tell(&Step::Flush(from)).context("flush", from)?;
    file.sync_all().context("flush", from)?;
    failpoint("atomic.before-rename").context("write", to)?;
    tell(&Step::Rename(from, to)).context("rename onto", to)?;
    rustix::fs::rename(from, to).context("rename onto", to)?;
    failpoint("atomic.after-rename").context("write", to)?;
    fs::sync_dir(parent(to))?;
    fs::sync_dir(parent(from))?;
    Ok(file)
}

/// Makes `target` another name of the file at `original`, in place of what was there. Both must lie in one file system.
pub fn link(original: &Path, target: &Path) -> Result<(), FsError> {
    let directory = parent(target);
    fs::create_dir_all(directory)?;
    let temporary = tempfile::Builder::new()
        .prefix(&prefix(target))
        .suffix(SUFFIX)
        .make_in(directory, |path| fs::hard_link(original, path).map_err(|error| error.source))
        .context("link into", directory)?;
    failpoint("atomic.before-rename").context("write", target)?;
    rustix::fs::rename(temporary.path(), target).context("rename onto", target)?;
    failpoint("atomic.after-rename").context("write", target)?;
    // A rename between two names of one file does nothing and leaves both; dropping the temporary removes the first.
    drop(temporary);
    fs::sync_dir(directory)
}

/// Makes `link` a symbolic link to `target`, in place of what was there.
pub fn symlink(target: &Path, link: &Path) -> Result<(), FsError> {
    let directory = parent(link);
    fs::create_dir_all(directory)?;
    let temporary = tempfile::Builder::new()
        .prefix(&prefix(link))
        .suffix(SUFFIX)
        .make_in(directory, |path| fs::symlink(target, path).map_err(|error| error.source))
        .context("link into", directory)?;
    failpoint("atomic.before-rename").context("write", link)?;
    rustix::fs::rename(temporary.path(), link).context("rename onto", link)?;
    failpoint("atomic.after-rename").context("write", link)?;
    fs::sync_dir(directory)
}

/// A directory being prepared, which takes the place of `target` only with [`AtomicDir::commit`].
#[derive(Debug)]
pub struct AtomicDir {
    temporary: tempfile::TempDir,
    target: PathBuf,
}

impl AtomicDir {
    /// Starts a directory beside `target`.
    pub fn create(target: &Path) -> Result<Self, FsError> {
        let directory = parent(target);
        fs::create_dir_all(directory)?;
        let temporary = tempfile::Builder::new()
            .prefix(&prefix(target))
            .suffix(SUFFIX)
            .tempdir_in(directory)
            .context("create a directory in", directory)?;
        fs::set_mode(temporary.path(), 0o755)?;
        Ok(Self { temporary, target: target.to_owned() })
    }

    /// Where to put the files.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Swaps the prepared directory in and removes what stood there.
    ///
    /// The swap is one `renameat2(RENAME_EXCHANGE)`, so `target` is the old or the new directory at every
    /// instant. CRASH: a kill after the swap leaves the old directory under a `.tmp` name for [`sweep_beside`].
    pub fn commit(self) -> Result<(), FsError> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        let target = &self.target;
        fs::sync_dir(self.path())?;
        if fs::symlink_metadata(target).is_ok_and(|found| !found.is_dir()) {
            let reason =
                io::Error::new(io::ErrorKind::NotADirectory, "something else than a directory is there");
            return Err(FsError::new("replace", target, reason));
        }
        failpoint("swap.before-exchange").context("replace", target)?;
        let rename = |flags| renameat_with(CWD, self.path(), CWD, target, flags);
        // Another process may make or take the target between the two calls; each turn means that one did.
        loop {
            match rename(RenameFlags::EXCHANGE) {
                Err(rustix::io::Errno::NOENT) => {}
                result => break result.context("replace", target)?,
            }
            match rename(RenameFlags::NOREPLACE) {
                Err(rustix::io::Errno::EXIST) => {}
                result => break result.context("replace", target)?,
            }
        }
        failpoint("swap.after-exchange").context("replace", target)?;
        fs::sync_dir(parent(target))
        // Dropping `temporary` removes what is now behind the temporary name: the old directory, or nothing.
    }
}

/// Removes what killed processes left of `target`: files and directories of its name with our random letters behind it,
/// older than a day by the clock of that file system. Everything else in that directory is somebody's own.
pub fn sweep_beside(target: &Path) -> Result<(), FsError> {
    let prefix = prefix(target);
    sweep(parent(target), |name| name.starts_with(&prefix) && is_random(name.get(prefix.len()..)))
}

/// Removes what killed processes left in a directory that is ours alone, whatever it was to become.
pub fn sweep_own(directory: &Path) -> Result<(), FsError> {
    sweep(directory, |name| name.starts_with('.') && name.ends_with(SUFFIX))
}

/// `abcdef.tmp`: what `tempfile` appends to the prefix, and our suffix.
fn is_random(rest: Option<&str>) -> bool {
    let letters = rest.and_then(|rest| rest.strip_suffix(SUFFIX)).unwrap_or_default();
    letters.len() == 6 && letters.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// An absent directory has no leftovers.
fn sweep(directory: &Path, is_ours: impl Fn(&str) -> bool) -> Result<(), FsError> {
    let names = match fs::read_dir(directory) {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    };
    let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_ours);
    let leftovers: Vec<PathBuf> = names.into_iter().filter(name).collect();
    if leftovers.is_empty() {
        return Ok(());
    }
    let now = tempfile::tempfile_in(directory)
        .and_then(|file| file.metadata()?.modified())
        .context("read the clock of", directory)?;
    for path in leftovers {
        remove_if_old(&path, now)?;
    }
    Ok(())
}

fn remove_if_old(path: &Path, now: SystemTime) -> Result<(), FsError> {
    // A leftover that vanishes between listing and looking was somebody else's and is gone.
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let age = metadata.modified().ok().and_then(|modified| now.duration_since(modified).ok());
    if age.is_none_or(|age| age <= LEFTOVER_AGE) {
        return Ok(());
    }
    if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

/// What temporary names start with, so that listings of user files never show them.
fn prefix(target: &Path) -> String {
    format!(".{}.", target.file_name().unwrap_or_default().to_string_lossy())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_dropped_file_leaves_nothing_and_a_committed_one_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a/b/vmlinux");
        let mut file = AtomicFile::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap(), Vec::<PathBuf>::new());
        write(&target, b"whole").unwrap();
        assert_eq!(fs::read(&target, 10).unwrap(), b"whole");
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap(), [target]);
    }

    #[test]
    fn a_file_without_a_name_leaves_nothing_until_it_gets_one() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("a/rootfs.img");
        let mut file = match unnamed(&target) {
            Ok(file) => file,
            // What Linux says where a file system lacks such files, and what older kernels said.
            Err(error)
                if matches!(Errno::from_io_error(&error.source), Some(Errno::OPNOTSUPP | Errno::ISDIR)) =>
            {
                return eprintln!("skipped: {error}: {}", error.source);
            }
            Err(error) => panic!("{error}: {}", error.source),
        };
        file.write_all(b"whole").unwrap();
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap(), Vec::<PathBuf>::new());
        write(&target, b"old").unwrap();
        AtomicFile::of_unnamed(&file, &target).unwrap().commit().unwrap();
        assert_eq!(fs::read(&target, 10).unwrap(), b"whole");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap(), [&*target]);
        // A file that had a name and lost it gets none any more: it is no substitute.
        let lost = fs::create_new(&directory.path().join("lost")).unwrap();
        fs::remove_file(&directory.path().join("lost")).unwrap();
        assert!(AtomicFile::of_unnamed(&lost, &target).unwrap_err().is_not_found());
    }

    #[test]
    fn a_link_takes_the_place_of_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let (original, target) = (directory.path().join("blob"), directory.path().join("cache/vmlinux"));
        write(&original, b"new").unwrap();
        write(&target, b"old").unwrap();
        for _ in 0..2 {
            link(&original, &target).unwrap();
            assert_eq!(fs::read(&target, 10).unwrap(), b"new");
            assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap(), std::slice::from_ref(&target));
        }
        assert!(link(&directory.path().join("absent"), &target).unwrap_err().is_not_found());
    }

    #[test]
    fn a_symbolic_link_takes_the_place_of_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("indexes/hello/latest");
        for target in ["../../digests/one", "../../digests/two", "../../digests/two"] {
            symlink(Path::new(target), &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
            assert_eq!(fs::read_dir(link.parent().unwrap()).unwrap(), std::slice::from_ref(&link));
        }
        write(&directory.path().join("file"), b"x").unwrap();
        symlink(Path::new("elsewhere"), &directory.path().join("file")).unwrap();
        assert_eq!(fs::read_link(&directory.path().join("file")).unwrap(), Path::new("elsewhere"));
    }

    #[test]
    fn a_directory_is_swapped_whole() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("standard");
        for generation in ["one", "two"] {
            let next = AtomicDir::create(&target).unwrap();
            write(&next.path().join(generation), b"x").unwrap();
            next.commit().unwrap();
            assert_eq!(fs::read_dir(&target).unwrap(), [target.join(generation)]);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap(), [target]);
    }

    #[test]
    fn only_old_leftovers_of_ours_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let others =
            [".other.abcdef.tmp", ".image.mine.tmp", ".image.tmp", ".notes.tmp", "notes.tmp", ".hidden"];
        for name in [&others[..], &[".image.old123.tmp", ".image.young1.tmp"]].concat() {
            write(&at(name), b"x").unwrap();
        }
        fs::create_dir_all(&at(".work.tmp")).unwrap();
        for name in [&others[..], &[".image.old123.tmp", ".work.tmp"]].concat() {
            let file = fs::open(&at(name)).unwrap();
            let long_ago = file.metadata().unwrap().modified().unwrap() - LEFTOVER_AGE * 2;
            file.set_modified(long_ago).unwrap();
        }
        sweep_beside(&at("image")).unwrap();
        assert!(!fs::exists(&at(".image.old123.tmp")));
        assert!(
            [&others[..], &[".image.young1.tmp", ".work.tmp"]]
                .concat()
                .iter()
                .all(|name| fs::exists(&at(name)))
        );
        sweep_beside(Path::new("/nowhere/at/all")).unwrap();
        sweep_own(directory.path()).unwrap();
        assert!(["notes.tmp", ".hidden", ".image.young1.tmp"].iter().all(|name| fs::exists(&at(name))));
        assert!(![".other.abcdef.tmp", ".work.tmp"].iter().any(|name| fs::exists(&at(name))));
    }
}
