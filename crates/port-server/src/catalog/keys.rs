//! The keys of everything, in one place. Their parts are types that were checked when they were made.

use port_model::Digest;
use port_model::digest::Algorithm;

use crate::name::{RepositoryName, Tag};
use crate::storage::Key;

/// The last part of a holder's key; no part of a repository's name starts so.
pub(super) const HELD: &str = "_held";

pub(super) fn blob(digest: &Digest) -> Key {
    let shard = digest.hex().get(..2).unwrap_or("00");
    Key::of_checked(format!("blobs/{}/{shard}/{}", digest.algorithm().as_str(), digest.hex()))
}

pub(super) fn blobs(algorithm: Algorithm) -> Key {
    Key::of_checked(format!("blobs/{}", algorithm.as_str()))
}

/// Blobs that are about to be removed.
pub(super) fn trash(algorithm: Algorithm) -> Key {
    Key::of_checked(format!("trash/{}", algorithm.as_str()))
}

/// One time that a blob was taken away, so many seconds since 1970: `name` is of that time alone.
pub(super) fn trashed(digest: &Digest, seconds: u64, name: &str) -> Key {
    Key::of_checked(format!("{}/{}.{seconds}-{name}", trash(digest.algorithm()), digest.hex()))
}

/// Of which blob something in the trash is.
pub(super) fn of_trashed(algorithm: Algorithm, child: &str) -> Option<Digest> {
    let hex = child.split_once('.').map_or(child, |(hex, _)| hex);
    format!("{}:{hex}", algorithm.as_str()).parse().ok()
}

/// When something came to the trash, in seconds since 1970; older servers did not note it.
pub(super) fn when_trashed(child: &str) -> Option<u64> {
    child.split_once('.')?.1.split_once('-')?.0.parse().ok()
}

/// Blobs whose bytes are not theirs any more.
pub(super) fn quarantine(algorithm: Algorithm) -> Key {
    Key::of_checked(format!("quarantine/{}", algorithm.as_str()))
}

pub(super) fn quarantined(digest: &Digest) -> Key {
    Key::of_checked(format!("{}/{}", quarantine(digest.algorithm()), digest.hex()))
}

pub(super) fn all_holders(algorithm: Algorithm) -> Key {
    Key::of_checked(format!("holders/{}", algorithm.as_str()))
}

pub(super) fn holders(digest: &Digest) -> Key {
    Key::of_checked(format!("holders/{}/{}", digest.algorithm().as_str(), digest.hex()))
}

pub(super) fn holder(digest: &Digest, repository: &RepositoryName) -> Key {
    Key::of_checked(format!("{}/{repository}/{HELD}", holders(digest)))
}

pub(super) fn below(prefix: &Key, child: &str) -> Option<Key> {
    Key::new(format!("{prefix}/{child}")).ok()
}

pub(super) fn repositories() -> Key {
    Key::of_checked("repositories".to_owned())
}

pub(super) fn repository(repository: &RepositoryName) -> Key {
    Key::of_checked(format!("repositories/{repository}"))
}

pub(super) fn manifest(repository: &RepositoryName, digest: &Digest) -> Key {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    Key::of_checked(format!("repositories/{repository}/_manifests/{algorithm}/{hex}"))
}

pub(super) fn manifests(repository: &RepositoryName, algorithm: Algorithm) -> Key {
    Key::of_checked(format!("repositories/{repository}/_manifests/{}", algorithm.as_str()))
}

pub(super) fn tags(repository: &RepositoryName) -> Key {
    Key::of_checked(format!("repositories/{repository}/_tags"))
}

pub(super) fn tag(repository: &RepositoryName, tag: &Tag) -> Key {
    Key::of_checked(format!("{}/{tag}", tags(repository)))
}

pub(super) fn referrers(repository: &RepositoryName, subject: &Digest) -> Key {
    let (algorithm, hex) = (subject.algorithm().as_str(), subject.hex());
    Key::of_checked(format!("repositories/{repository}/_referrers/{algorithm}-{hex}"))
}

pub(super) fn referrer(repository: &RepositoryName, subject: &Digest, digest: &Digest) -> Key {
    let (algorithm, hex) = (digest.algorithm().as_str(), digest.hex());
    Key::of_checked(format!("{}/{algorithm}-{hex}", referrers(repository, subject)))
}

pub(super) fn sessions() -> Key {
    Key::of_checked("sessions".to_owned())
}

pub(super) fn session(id: &str) -> Key {
    Key::of_checked(format!("sessions/{id}"))
}

pub(super) fn upload(id: &str) -> Key {
    Key::of_checked(id.to_owned())
}
