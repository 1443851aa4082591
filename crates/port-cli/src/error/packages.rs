//! Advice for packages.

use port_layout::kraftkit::{DEFAULT_REGISTRY, KraftkitError, PackageConflict};
use port_ops::packages::PackageError;

use super::{CommandError, Exit, NOTHING_CHANGED, registry, store, trust};

/// What kraft, and so Port, takes a name without a registry to mean.
const BARE_NAME: &str = "a name without a registry is one at unikraft.org: `port packages list` says what is here, `port packages retag` \
                         gives a package the name of another registry";

impl From<PackageError> for CommandError {
    fn from(error: PackageError) -> Self {
        let (exit, hints) = advice(&error);
        let mut said = Self::of(&error, exit, hints);
        if let PackageError::Trust(error) = &error {
            said.causes.extend(trust::why_not(error));
        }
        said
    }
}

fn advice(error: &PackageError) -> (Exit, Vec<String>) {
    let (exit, hint) = match error {
        PackageError::Kraftkit(
            KraftkitError::NoName | KraftkitError::Name { .. } | KraftkitError::NameDigest { .. },
        )
        | PackageError::Missing { .. }
        | PackageError::Kconfig { .. }
        | PackageError::Same { .. }
        | PackageError::Credentials(_)
        | PackageError::Layer { .. } => return (Exit::Usage, vec![]),
        PackageError::Conflict(PackageConflict::Exists { .. }) => (
            Exit::Failed,
            "nothing was changed; keep its other targets with `--strategy merge`, or begin anew with `--strategy overwrite`",
        ),
        PackageError::NotFound { .. } => {
            (Exit::NotFound, "`port packages list` says what is here; `port packages pull` fetches")
        }
        PackageError::Targets { .. } => {
            (Exit::NotFound, "choose with `--architecture`, `--platform`, `--kconfig`, or by `@DIGEST`")
        }
        PackageError::NoManifest { .. } => return (Exit::NotFound, vec![]),
        PackageError::Gone { .. } => (Exit::NotFound, "fetch it again with `port packages pull`"),
        PackageError::Files(error) if error.is_not_found() => return (Exit::NotFound, vec![]),
        PackageError::Entry { .. }
        | PackageError::Archive { .. }
        | PackageError::Content { .. }
        | PackageError::Bounds { .. }
        | PackageError::Algorithm { .. }
        | PackageError::LayerType { .. } => (Exit::Failed, "no file was unpacked"),
        PackageError::Foreign { .. } => {
            (Exit::Failed, "use another name, or another place (`--store`, CONTAINERD_NAMESPACE)")
        }
        PackageError::Containerd(error) if error.kind() == port_containerd::Kind::Unavailable => (
            Exit::Unreachable,
            "name its socket with `--store containerd:SOCKET`; it lets in only those who may write to the socket",
        ),
        PackageError::Mismatch { .. }
        | PackageError::Document { .. }
        | PackageError::BrokenIndex { .. }
        | PackageError::NoIndex { .. } => (Exit::Failed, "remove the package and fetch it again"),
        PackageError::Trust(error) => return trust::advice(error),
        PackageError::Taken { .. } => (Exit::Failed, "use another name, or Port's store (`--store port`)"),
        PackageError::OtherTarget { .. } | PackageError::NotCanonical { .. } => {
            (Exit::Failed, NOTHING_CHANGED)
        }
        PackageError::Registry(error) => {
            let bare = error.registry.as_str() == DEFAULT_REGISTRY;
            let hints = registry::hint(error).into_iter().chain(bare.then(|| BARE_NAME.to_owned()));
            return (registry::exit(error.kind()), hints.collect());
        }
        PackageError::Store(error) => return store::advice(error),
        PackageError::Kraftkit(_)
        | PackageError::Encode(_)
        | PackageError::Conflict(_)
        | PackageError::Containerd(_)
        | PackageError::Files(_) => return (Exit::Failed, vec![]),
    };
    (exit, vec![hint.to_owned()])
}
