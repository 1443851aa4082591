//! Advice for copies from place to place.

use port_ops::copy::CopyError;

use super::{Exit, registry, store};

pub(super) fn advice(error: &CopyError) -> (Exit, Vec<String>) {
    match error {
        CopyError::Place { .. } => {
            let hint = "places are `registry/repository:tag[@digest]` or `oci:DIRECTORY:NAME`";
            (Exit::Usage, vec![hint.to_owned()])
        }
        CopyError::Registry(error) => {
            (registry::exit(error.kind()), registry::hint(error).into_iter().collect())
        }
        CopyError::Store(error) => store::advice(error),
        CopyError::NotFound { .. } | CopyError::Selection { .. } => (Exit::NotFound, vec![]),
        CopyError::NoLayout { .. } => (Exit::Usage, vec![]),
        CopyError::Files(error) if error.is_not_found() => (Exit::NotFound, vec![]),
        CopyError::Files(_)
        | CopyError::Mismatch { .. }
        | CopyError::Document { .. }
        | CopyError::Refused { .. } => (Exit::Failed, vec!["nothing was tagged".to_owned()]),
    }
}
