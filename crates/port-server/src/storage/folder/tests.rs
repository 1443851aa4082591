//! The contract of [`Storage`](crate::storage::Storage) over a folder, and what is particular to folders.

use super::*;
use crate::contract;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    contract::run(|| Folder::open(directory.path()).unwrap()).await;
}

#[tokio::test]
async fn a_copy_takes_no_room_and_nobody_may_write_it() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::open(directory.path()).unwrap();
    let bytes = Bytes::from_static(b"kernel");
    assert_eq!(folder.put(&key("a/b"), bytes, Condition::Absent).await.unwrap(), Outcome::Done);
    assert!(folder.copy(&key("a/b"), &key("c/d")).await.unwrap());
    let metadata = fs::metadata(&directory.path().join("c/d")).unwrap();
    assert_eq!((metadata.nlink(), metadata.permissions().mode() & 0o777), (2, 0o444));
}

#[tokio::test]
async fn a_link_that_somebody_planted_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::open(&directory.path().join("storage")).unwrap();
    atomic::write(&directory.path().join("secret"), b"secret").unwrap();
    fs::create_dir_all(&directory.path().join("storage/blobs")).unwrap();
    fs::symlink(&directory.path().join("secret"), &directory.path().join("storage/blobs/x")).unwrap();
    assert_eq!(folder.size(&key("blobs/x")).await.unwrap(), None);
    assert!(folder.open(&key("blobs/x"), None).await.is_err());
}
