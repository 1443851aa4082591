//! Failures of base images: their published codes, exit codes and advice.

use port_base_images::{
    BaseImageError, Code, ManifestReadProblem, PrepareProblem, ResolveProblem, VersionProblem,
};
use port_store::StoreError;
use port_transport::{Failure, TransportError};

use super::{CommandError, Exit, disk};

const FULL: &str =
    "the disk is full: free space there; `port base-images prune --max-stored 1` keeps one base image";
/// Base images themselves are as sound as before.
const DAMAGED: &str = "remove that file: what is cached stays, and the next `ensure` writes another one";

impl From<BaseImageError> for CommandError {
    fn from(error: BaseImageError) -> Self {
        let (exit, hint) = advice(&error);
        let hints = hint.map(str::to_owned).into_iter().collect();
        let said = Self::of(&error, exit, hints);
        // The cache has a store of its own, which `port store` knows nothing of.
        let hints = if disk::is_full(&error) { vec![FULL.to_owned()] } else { said.hints };
        Self { code: Some(error.code().as_str()), hints, ..said }
    }
}

fn advice(error: &BaseImageError) -> (Exit, Option<&'static str>) {
    if error.is_unreachable() {
        let hint = "nothing cached serves; name a mirror with `--bucket-url` and `--releases-url`, or a hosted manifest";
        return (Exit::Unreachable, Some(hint));
    }
    if transport(error).is_some_and(is_not_found) {
        return (Exit::NotFound, None);
    }
    match error {
        BaseImageError::Manifest { problem: ManifestReadProblem::NoPlace, .. } => {
            (Exit::Usage, Some("name one with `--manifest-url URL` or `--manifest-path FILE`"))
        }
        BaseImageError::Manifest { problem: ManifestReadProblem::Files(error), .. }
            if error.is_not_found() =>
        {
            (Exit::NotFound, None)
        }
        BaseImageError::Manifest { problem: ManifestReadProblem::NoBaseImage { .. }, .. } => {
            (Exit::NotFound, None)
        }
        BaseImageError::Cache { problem: PrepareProblem::Foreign { .. }, .. } => (
            Exit::Failed,
            Some("name a cache of your own with `--cache-dir DIR` or `base_images.cache_directory`"),
        ),
        BaseImageError::Cache { problem: PrepareProblem::Store(StoreError::Malformed { .. }), .. }
        | BaseImageError::Prepare { problem: PrepareProblem::Store(StoreError::Malformed { .. }), .. } => {
            (Exit::Failed, Some(DAMAGED))
        }
        BaseImageError::NothingCached { .. } => (Exit::NotFound, Some("run it once without `--offline`")),
        BaseImageError::Prepare { problem: PrepareProblem::Offline { .. }, .. } => {
            (Exit::NotFound, Some("run it once without `--offline`"))
        }
        BaseImageError::Resolve { problem: ResolveProblem::NoKeys { .. }, .. } => (
            Exit::NotFound,
            Some("a mirror needs the keys of this CI line; `--preset lts` asks for another one"),
        ),
        _ => match error.code() {
            Code::InvalidCacheLimit => (Exit::Usage, Some("set it with `--max-stored N`")),
            _ => (Exit::Failed, None),
        },
    }
}

fn transport(error: &BaseImageError) -> Option<&TransportError> {
    match error {
        BaseImageError::Prepare { problem: PrepareProblem::Fetch { source, .. }, .. }
        | BaseImageError::Manifest { problem: ManifestReadProblem::Fetch(source), .. }
        | BaseImageError::VersionFetch { problem: VersionProblem::Fetch(source), .. }
        | BaseImageError::Resolve { problem: ResolveProblem::Fetch(source), .. } => Some(source),
        _ => None,
    }
}

fn is_not_found(error: &TransportError) -> bool {
    matches!(error.failure, Failure::Status { not_found: true, .. })
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::path::{Path, PathBuf};

    use port_content::FsError;

    use super::*;

    #[test]
    fn a_full_disk_is_the_caches_affair() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            let files = FsError::new("write", Path::new("/cache/x"), Error::from(kind));
            let problem = PrepareProblem::Files(files);
            let said =
                CommandError::from(BaseImageError::Cache { directory: PathBuf::from("/cache"), problem });
            assert_eq!(said.hints, [FULL], "{said:?}");
            assert_eq!(said.code, Some("BASE_IMAGE_PREPARE_FAILED"));
        }
    }
}
