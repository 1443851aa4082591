//! Advice for those who publish releases. For the agent of a machine: `update.rs`.

use port_layout::kubesolo::KubesoloError;
use port_ops::update::UpdateError;

use super::{CommandError, Exit, copy, registry};

impl From<UpdateError> for CommandError {
    fn from(error: UpdateError) -> Self {
        let (exit, hint) = advice(&error);
        Self::of(&error, exit, hint.into_iter().collect())
    }
}

fn advice(error: &UpdateError) -> (Exit, Option<String>) {
    match error {
        UpdateError::Field { .. } | UpdateError::Name(_) | UpdateError::Release(_) => (Exit::Usage, None),
        UpdateError::Files(error) if error.is_not_found() => (Exit::NotFound, None),
        UpdateError::NoSuchTag { .. } | UpdateError::Documents(KubesoloError::NoSuchArchitecture { .. }) => {
            (Exit::NotFound, None)
        }
        UpdateError::Taken { .. } => {
            let hint = "publish a new version, or replace this one with `--overwrite`";
            (Exit::Failed, Some(hint.to_owned()))
        }
        UpdateError::ChannelBack { .. } => {
            let hint = "nothing was changed; lead machines back on purpose with `--overwrite`";
            (Exit::Failed, Some(hint.to_owned()))
        }
        UpdateError::Differs { .. } => {
            let hint = "publish it again as it should be, or compose the index anew with `--overwrite`";
            (Exit::Failed, Some(hint.to_owned()))
        }
        UpdateError::NothingPublished { .. } => {
            let hint = "publish each architecture first with `port update publish`";
            (Exit::NotFound, Some(hint.to_owned()))
        }
        UpdateError::Registry(error) => (registry::exit(error.kind()), registry::hint(error)),
        UpdateError::Media(error) => {
            let (exit, hints) = copy::advice(error);
            (exit, hints.into_iter().next())
        }
        UpdateError::Web(_) => (Exit::Unreachable, None),
        UpdateError::Gone { .. }
        | UpdateError::Size { .. }
        | UpdateError::Files(_)
        | UpdateError::Documents(_)
        | UpdateError::Latest(_)
        | UpdateError::Blocks(_)
        | UpdateError::Restless { .. } => (Exit::Failed, None),
    }
}
