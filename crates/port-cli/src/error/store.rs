//! Advice for the store, and for the packed images that are put together in it.

use port_ops::PackedError;
use port_store::StoreError;

use super::Exit;
use super::registry::OTHER_BYTES;

pub(super) fn advice(error: &StoreError) -> (Exit, Vec<String>) {
    use StoreError::{
        ChangedMeanwhile, Damaged, Feature, Malformed, Mismatch, NoBlob, NoIndex, Rotten, Version,
    };
    let hint = match error {
        Version { .. } | Feature { .. } => "use the newer Port that wrote it, or another `store_root`",
        Damaged { .. } | NoBlob { .. } => "find the damage with `port store verify`",
        Malformed { .. } | NoIndex { .. } => {
            "remove the store to start it anew: pull and build fill it again"
        }
        Rotten { .. } => {
            "restore it with `port artifacts pull`; where it is meant to be as it is, `touch` it"
        }
        ChangedMeanwhile { .. } => "wait until whoever writes it is done, and try again",
        Mismatch { .. } => OTHER_BYTES,
        StoreError::Outside(error) if error.is_not_found() => return (Exit::NotFound, vec![]),
        StoreError::Outside(_) | StoreError::Files { .. } => {
            return (Exit::Failed, vec![]);
        }
    };
    (Exit::Failed, vec![hint.to_owned()])
}

pub(super) fn packed(error: &PackedError) -> (Exit, Vec<String>) {
    let hint = match error {
        PackedError::Malformed { .. } | PackedError::Frame { .. } | PackedError::WrongImage { .. } => {
            "nothing was changed; what was published is damaged: push it again with `--parent none --overwrite`"
        }
        PackedError::Changed => "another process writes the file; push again when it is at rest",
        PackedError::TooMuchData { .. } => "push it with `encoding = \"zstd\"`, which has no such limit",
        _ => return (Exit::Failed, vec![]),
    };
    (Exit::Failed, vec![hint.to_owned()])
}
