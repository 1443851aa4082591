//! Whether pushing is allowed, asked before work that would be for nothing: hashing, compressing and packing gigabytes.
//!
//! Asked once, and only where there is such work: a push that finds everything done asks nobody.

use port_registry::{Kind, Repository};
use tokio::sync::OnceCell;

use crate::copy::CopyError;
use crate::error::OpsError;

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
