//! Whether pushing is allowed, asked before work that would be for nothing: hashing, compressing and packing gigabytes.
//!
//! Asked once, and only where there is such work: a push that finds everything done asks nobody.

use port_content::fs;
use port_registry::{Kind, Repository};
use tokio::sync::OnceCell;

use crate::copy::CopyError;
use crate::error::OpsError;
use crate::local::LocalFile;
use crate::workspace::Workspace;

/// So many bytes take longer to hash than the question.
const WORTH_ASKING: u64 = 32 << 20;

/// See the module.
pub(crate) struct Preflight<'a> {
    /// `None` where the place is no registry: then nothing is asked.
    repository: Option<&'a Repository>,
    asked: OnceCell<()>,
}

impl<'a> Preflight<'a> {
    pub(crate) fn new(repository: Option<&'a Repository>) -> Self {
        Self { repository, asked: OnceCell::new() }
    }

    /// Asks where files are about to be hashed that take a while; small ones are as quick as the question.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) async fn ask_before_hashing(
        &self,
        workspace: &Workspace,
        files: &[LocalFile],
    ) -> Result<(), OpsError> {
        let mut bytes = 0u64;
        for file in files.iter().filter(|file| workspace.store.known_digest(&file.path).is_none()) {
            bytes = bytes.saturating_add(fs::metadata(&file.path)?.len());
        }
        if bytes < WORTH_ASKING { Ok(()) } else { self.ask().await }
    }

    /// Work is about to begin.
    ///
    /// # Errors
    /// What the registry would say after it. A registry that only does not understand the question gets the blobs.
    pub(crate) async fn ask(&self) -> Result<(), OpsError> {
        let Some(repository) = self.repository else { return Ok(()) };
        let ask = || async {
            match repository.may_push().await {
                Err(error) if matches!(error.kind(), Kind::Unsupported | Kind::Refused) => Ok(()),
                asked => asked.map_err(CopyError::from),
            }
        };
        self.asked.get_or_try_init(ask).await?;
        Ok(())
    }
}
