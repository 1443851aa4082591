//! Advice for builds.

use port_build::BuildError;

use super::Exit;

pub(super) fn advice(error: &BuildError) -> (Exit, Vec<String>) {
    use BuildError as B;
    let (exit, hint) = match error {
        B::NoneReached { reasons, .. }
            if reasons.iter().any(|reason| reason.starts_with("firecracker-ci ")) =>
        {
            (
                Exit::Unreachable,
                "add a source that this machine can reach, or point `PORT_FIRECRACKER_CI_URL` at a mirror",
            )
        }
        B::NoneReached { .. } => (Exit::Unreachable, "add a source that this machine can reach"),
        B::NoneThere { .. } => (Exit::NotFound, "put the file there, or correct the `path` of the source"),
        B::Transport(error) if error.failure.is_unreachable() => return (Exit::Unreachable, vec![]),
        B::Transport(_) => return (Exit::Failed, vec![]),
        B::NotBuildable { .. }
        | B::NoSuchSource { .. }
        | B::MixedVariants { .. }
        | B::ResearchOnly { .. } => {
            return (Exit::Usage, vec![]);
        }
        B::LockMissing { .. } | B::LockChanged { .. } => {
            (Exit::Failed, "build without `--locked`, and commit the lock file")
        }
        B::WrongBytes { .. } => {
            (Exit::Failed, "the source changed or something in between changes bytes; nothing was replaced")
        }
        B::NoProgram { .. } => (Exit::NotFound, "`port doctor` says what this host lacks and how to get it"),
        B::Image(port_image::ImageError::Tool(_)) => {
            (Exit::Failed, "`port doctor` says what this host lacks and how to get it")
        }
        _ => return (Exit::Failed, vec![]),
    };
    (exit, vec![hint.to_owned()])
}
