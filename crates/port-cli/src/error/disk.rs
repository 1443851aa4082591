//! Advice where this host's files stand in the way: no room, no permission, no writing. The path is in the error.

use std::error::Error;
use std::io;

use port_registry::{Kind, RegistryError};

/// Whether the end of a chain of causes is that there is no room.
pub(super) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    let mut chain = std::iter::successors(Some(error), |error| (**error).source());
    chain.any(|error| error.downcast_ref::<io::Error>().is_some_and(|error| kinds.contains(&error.kind())))
}

/// What may help against the operating system's refusal at the end of a chain of causes, if that is what is there.
pub(super) fn hint(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        // The network's refusals have the same names.
        if error.downcast_ref::<RegistryError>().is_some_and(|error| error.kind() != Kind::Local) {
            return None;
        }
        if let Some(hint) = error.downcast_ref().and_then(of_system) {
            return Some(hint);
        }
        next = error.source();
    }
    None
}

fn of_system(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            Some("the disk is full: free space there; `port store gc` removes what no name leads to")
        }
        io::ErrorKind::QuotaExceeded => Some(
            "this user's quota is used up: free space there; `port store gc` removes what no name leads to",
        ),
        io::ErrorKind::PermissionDenied => {
            Some("run it as the user whom that belongs to, or let this user have access to it")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("that file system takes no writing: mount it writable, or name another place in `port.toml`")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use port_content::FsError;
    use port_ops::OpsError;

    use super::*;
    use crate::error::CommandError;

    #[test]
    fn a_full_disk_and_a_closed_directory_are_named_with_the_remedy() {
        for (errno, words) in [
            (28, "`port store gc`"),
            (122, "quota is used up"),
            (13, "run it as the user"),
            (30, "mount it writable"),
        ] {
            let refused = || FsError::new("write", Path::new("/x/y"), io::Error::from_raw_os_error(errno));
            let root = Path::new("/x").to_owned();
            let inside = port_store::StoreError::Files { root, source: refused() };
            for error in [
                OpsError::Files(refused()),
                OpsError::Store(inside),
                OpsError::Store(port_store::StoreError::Outside(refused())),
                OpsError::Copy(Box::new(port_ops::copy::CopyError::Files(refused()))),
            ] {
                let said = CommandError::from(error);
                let text = format!("{}: {}", said.message, said.causes.join(": "));
                assert!(said.hints.iter().any(|hint| hint.contains(words)), "{errno}: {said:?}");
                assert!(text.contains("cannot write `/x/y`") && said.exit as u8 == 1, "{text}");
            }
        }
        let other = OpsError::Files(FsError::new("write", Path::new("/x"), io::Error::from_raw_os_error(5)));
        assert!(CommandError::from(other).hints.is_empty());
    }
}
