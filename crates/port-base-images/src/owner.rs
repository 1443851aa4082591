//! Whose cache it is. Below a directory where everybody may make things, such as `/tmp`, the first to come could have made the
//! cache, and could change at any time what others boot from it.
//!
//! Below any other directory who may write where is its owner's affair.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use port_content::fs;

/// Others may write there, each only to what is their own (`inode(7)`: sticky, writable for others).
const SHARED: u32 = 0o1002;
/// The superuser, whom everybody trusts.
const ROOT: u32 = 0;

/// A directory of somebody else's on the way to a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) path: PathBuf,
    pub(crate) owner: u32,
    pub(crate) user: u32,
}

/// The first directory from the shared one down to the cache that is somebody else's, if there is one.
pub(crate) fn foreign(cache: &Path) -> Option<Foreign> {
    // A process's own directory is its user's. Without /proc nobody can say, and nothing is refused.
    let user = fs::metadata(Path::new("/proc/self")).ok()?.uid();
    foreign_to(cache, user)
}

fn foreign_to(cache: &Path, user: u32) -> Option<Foreign> {
    let is_shared = |path: &&Path| {
        fs::metadata(path).is_ok_and(|found| found.is_dir() && found.mode() & SHARED == SHARED)
    };
    let shared = cache.ancestors().skip(1).find(is_shared)?;
    let below: Vec<&Path> = cache.ancestors().take_while(|path| *path != shared).collect();
    // A link counts as what it is: who owns it says where it leads.
    below.into_iter().rev().find_map(|path| {
        let owner = fs::symlink_metadata(path).ok()?.uid();
        (owner != user && owner != ROOT).then(|| Foreign { path: path.to_owned(), owner, user })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_somebody_else_made_in_a_shared_directory_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("shared/mine/cache");
        fs::create_dir_all(&cache).unwrap();
        let user = fs::metadata(directory.path()).unwrap().uid();
        let mode = |mode: u32| {
            let shared = fs::open(&directory.path().join("shared")).unwrap();
            shared.set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let other = if user == ROOT { None } else { Some(user) };
        mode(0o1777);
        assert_eq!(foreign(&cache), None);
        let found = foreign_to(&cache, user + 1);
        assert_eq!(found.map(|found| found.owner), other, "root's are nobody's enemy");
        mode(0o755);
        // The directory for temporary files may be shared itself; then this test's own directory is the first below it.
        let found = foreign_to(&cache, user + 1).map(|found| found.path);
        assert!(found.is_none_or(|found| found == directory.path()), "only below what is shared");
    }

    #[test]
    fn the_first_foreign_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let shared = directory.path().join("shared");
        let cache = shared.join("theirs/cache");
        fs::create_dir_all(&cache).unwrap();
        let open = fs::open(&shared).unwrap();
        open.set_permissions(std::fs::Permissions::from_mode(0o1777)).unwrap();
        let theirs = shared.join("theirs");
        // Only the superuser can give directories away.
        if std::os::unix::fs::chown(&theirs, Some(4242), None).is_err() {
            port_testkit::skip::because("only the superuser can give a directory to somebody else");
            return;
        }
        let found = foreign(&cache).unwrap();
        assert_eq!((found.path, found.owner), (theirs, 4242));
        assert_eq!(foreign(&shared.join("mine")), None);
    }
}
