//! The file of a download under way, held: whoever has it is alone with the file and its journal, from before the first
//! byte until the file is at its place or forgotten.
//!
//! CRASH: the lock is on the file itself and ends with the process, so that nothing of it is left behind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use port_content::Told;
use port_content::fs::{self, FsError};

use crate::locked;
use crate::pull::journal::Journal;

/// See the module. Dropping it lets the next one in; the file stays, to be continued.
///
/// A second one for the same path waits for the first, in the same process too: where one task has it, it is passed on and
/// not asked for again.
pub struct Partial {
    file: Arc<File>,
    path: PathBuf,
    landed: Option<Landed>,
}

/// Asked by every try at a blob for whom it tells up to where the file holds its bytes, in order. They are checked only when all
/// are there; a new try may write all of them anew. A try that has to go by the file as it is at the end asks once more.
pub type Landed = Arc<dyn Fn() -> Told + Send + Sync>;

impl Partial {
    /// Waits until nobody else works on the file at `path`, which is created if absent.
    ///
    /// Whoever waited looks again whether what he wanted is at its place by now: the one before may have brought it.
    ///
    /// # Errors
    /// [`FsError`] where the file cannot be created or locked.
    pub async fn wait(path: &Path) -> Result<Self, FsError> {
        let file = Arc::new(locked::wait(path).await?);
        Ok(Self { file, path: path.to_owned(), landed: None })
    }

    /// The same, telling how far it is.
    #[must_use]
    pub fn telling(self, landed: Landed) -> Self {
        Self { landed: Some(landed), ..self }
    }

    /// Whom a try tells.
    pub(crate) fn told(&self) -> Option<Told> {
        self.landed.as_ref().map(|landed| landed())
    }

    /// Where the file is; it may have been moved since.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Removes what is left at its path: the journal, and the file unless it was moved to its place.
    ///
    /// # Errors
    /// [`FsError`] naming the file that stays.
    pub fn forget(self) -> Result<(), FsError> {
        forget_partial(&self.path)
    }
}

/// Removes a partial download and its journal, for a caller that knows that nobody works on it. Absent ones are fine.
///
/// # Errors
/// [`FsError`] naming the file that stays.
pub fn forget_partial(path: &Path) -> Result<(), FsError> {
    fs::remove_file(&Journal::path_of(path))?;
    fs::remove_file(path)
}
