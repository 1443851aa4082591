//! Advice for workload manifests that cannot be had.

use port_ops::workload::WorkloadError;

use super::{CommandError, Exit, advice, registry, store};

impl From<WorkloadError> for CommandError {
    fn from(error: WorkloadError) -> Self {
        let (exit, hints) = said(&error);
        Self::of(&error, exit, hints)
    }
}

fn said(error: &WorkloadError) -> (Exit, Vec<String>) {
    match error {
        WorkloadError::Read { source, .. } if source.is_not_found() => (Exit::NotFound, vec![]),
        WorkloadError::Malformed(_) | WorkloadError::Invalid { .. } | WorkloadError::Name { .. } => {
            (Exit::Usage, vec![])
        }
        WorkloadError::Store(error) => advice(error),
        WorkloadError::Stored { source, .. } => store(source),
        WorkloadError::Read { .. } | WorkloadError::NoManifest { .. } => (Exit::Failed, vec![]),
        WorkloadError::Registry(error) => {
            (registry(error.kind()), registry::hint(error).into_iter().collect())
        }
    }
}
