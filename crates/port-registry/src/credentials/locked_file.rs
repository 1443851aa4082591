//! A credential file that is changed: locked, behind its symbolic links, replaced whole.
//!
//! The lock keeps two logins of Port apart. Docker and podman do not know it, so the file is read and
//! replaced within one lock. Invariant: the file is for its owner alone (mode 0600), also where it was not.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use port_content::atomic::AtomicFile;
use port_content::fs::{self, Context as _, FsError};
use port_content::lock::{Lock, Mode, try_lock};
use serde_json::value::RawValue;

use super::document::Object;
use super::error::CredentialsError;
use super::file::{AuthFile, LARGEST_FILE};

/// How long another login may hold the file: longer than a helper gets.
const LOCK_WAIT: Duration = Duration::from_secs(90);
/// How often the lock is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// As many symbolic links in a row as Linux follows.
const MOST_LINKS: usize = 40;

/// A credential file that no other login or logout changes meanwhile.
pub(super) struct LockedFile {
    /// The file itself, behind symbolic links, so that a link of a dotfile manager stays one.
    pub(super) path: PathBuf,
    _lock: Lock,
}

impl LockedFile {
    /// Waits for the lock.
    pub(super) async fn open(file: &Path) -> Result<Self, CredentialsError> {
        let error = |source| CredentialsError::File { path: file.to_owned(), source };
        let path = behind_links(file).map_err(error)?;
        ensure_private_directory(&path).map_err(error)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = path.with_file_name(format!(".{name}.lock"));
        let mut waited = Duration::ZERO;
        while waited < LOCK_WAIT {
            if let Some(lock) = try_lock(&lock, Mode::Exclusive).map_err(error)? {
                return Ok(Self { path, _lock: lock });
            }
            tokio::time::sleep(LOCK_PAUSE).await;
            waited += LOCK_PAUSE;
        }
        Err(CredentialsError::Locked { path, limit: LOCK_WAIT })
    }

    /// What is in it; an absent file is an empty object.
    pub(super) fn load(&self) -> Result<AuthFile, CredentialsError> {
        let absent = || AuthFile::parse(&self.path, "{}\n");
        AuthFile::load(&self.path)?.map_or_else(absent, Ok)
    }

    /// Puts `auths` into the file.
    pub(super) fn save(&self, file: &mut AuthFile, auths: &Object) -> Result<(), CredentialsError> {
        let text = auths.to_text(1).and_then(RawValue::from_string).and_then(|value| {
            file.document.set("auths", value);
            file.document.to_text(0)
        });
        let mut text = text.map_err(|error| self.error(error.into()))?;
        if file.ends_with_newline {
            text.push('\n');
        }
        if text.len() as u64 > LARGEST_FILE {
            // It could not be read again.
            return Err(self.error(std::io::ErrorKind::FileTooLarge.into()));
        }
        self.replace(text.as_bytes())
            .map_err(|source| CredentialsError::File { path: self.path.clone(), source })
    }

    fn replace(&self, bytes: &[u8]) -> Result<(), FsError> {
        let mut file = AtomicFile::create(&self.path)?.mode(0o600);
        file.write_all(bytes).context("write", &self.path)?;
        file.commit().map(|_| ())
    }

    /// A text that could not be made or kept.
    pub(super) fn error(&self, source: std::io::Error) -> CredentialsError {
        let path = self.path.clone();
        CredentialsError::File { source: FsError::new("write", &path, source), path }
    }
}

/// Follows symbolic links to the place of the file, which need not exist.
fn behind_links(path: &Path) -> Result<PathBuf, FsError> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink()) {
            return Ok(path);
        }
        let target = fs::read_link(&path)?;
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    let source = std::io::Error::other("too many symbolic links");
    Err(FsError::new("follow", &path, source))
}

/// A directory that is made for credentials is for its owner alone.
fn ensure_private_directory(file: &Path) -> Result<(), FsError> {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() && fs::try_metadata(directory)?.is_none() => {
            fs::create_dir_all(directory)?;
            fs::set_mode(directory, 0o700)
        }
        _ => Ok(()),
    }
}
