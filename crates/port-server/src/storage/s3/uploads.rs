//! Uploads that have not ended, in the bucket, so that any server continues what another one took in.
//!
//! ```text
//! _uploads/<name>/begun                            which generation of the upload counts; made once, by one of many
//! _uploads/<name>/<generation>/<offset>            bytes from that offset on; made once, by one of many
//! ```
//!
//! Why objects, and not the parts of one S3 upload: S3 wants to know at the beginning what the object will be called, and a blob is called by
//! its digest; and of two that send the same part the later one wins silently, while of two that make the same object under
//! `If-None-Match` one is refused. At the end the server puts them together without their bytes passing through here (`multipart`).
//!
//! CRASH: a kill leaves what was acknowledged. What two servers or a stale listing make of it is found out by the offset's object: it is there
//! or not. A generation that nobody counts any more is swept with the upload, or as one without a beginning.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::super::{ByteStream, Condition, Content, Outcome, StagedUpload};
use super::client::Client;
use super::failure::Failure;
use super::listing::{self, Listed};
use super::multipart::{self, Piece};
use super::objects::{self, Removals};
use super::reading;
use crate::random;

/// Where they are; no key of an object begins so.
const UPLOADS: &str = "_uploads";
const BEGUN: &str = "begun";
/// A generation is 32 letters.
const LONGEST_GENERATION: u64 = 64;
/// The most pieces of one upload: a client that sends byte by byte would fill every listing.
const MOST_PARTS: usize = 100_000;
/// How many uploads are remembered; then it begins anew.
const MOST_REMEMBERED: usize = 10_000;
/// How many objects are removed at once.
const AT_ONCE: usize = 8;

/// How far an upload is, as this server saw it last. What it is wrong about, the bucket refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    generation: String,
    end: u64,
    parts: usize,
}

/// See the module.
pub(super) struct Uploads {
    client: Arc<Client>,
    removals: Removals,
    seen: Mutex<HashMap<String, Progress>>,
}

/// An upload, as it lies there.
struct Staged {
    generation: String,
    etag: String,
    parts: Vec<Listed>,
}

impl Staged {
    /// How many bytes follow each other from the beginning.
    fn end(&self) -> u64 {
        self.parts.iter().fold(0, |end, part| if part.name == offset(end) { end + part.size } else { end })
    }

    /// Adds what a listing did not have.
    fn add(&mut self, part: Listed) {
        let place = self.parts.partition_point(|other| other.name < part.name);
        self.parts.insert(place, part);
    }

    /// Whether nothing else is there.
    fn is_whole(&self) -> bool {
        self.parts.iter().map(|part| part.size).sum::<u64>() == self.end()
    }
}

/// As many digits as the largest number has, so that names sort like numbers.
fn offset(at: u64) -> String {
    format!("{at:020}")
}

fn below(name: &str) -> String {
    format!("{UPLOADS}/{name}/")
}

fn parts_of(name: &str, generation: &str) -> String {
    format!("{UPLOADS}/{name}/{generation}/")
}

fn beginning(name: &str) -> String {
    format!("{UPLOADS}/{name}/{BEGUN}")
}

impl Uploads {
    pub(super) fn new(client: Arc<Client>, removals: Removals) -> Self {
        Self { client, removals, seen: Mutex::default() }
    }

    fn remember(&self, name: &str, progress: Progress) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_REMEMBERED {
            seen.clear();
        }
        seen.insert(name.to_owned(), progress);
    }

    fn forget(&self, name: &str) -> Option<Progress> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    pub(super) async fn begin(&self, name: &str) -> Result<(), Failure> {
        let generation = random::hex().map_err(Failure::Random)?;
        // Whoever was first, there is one now.
        let _begun =
            objects::put(&self.client, &beginning(name), generation.into(), &Condition::Absent).await?;
        Ok(())
    }

    /// Looks at an upload, and remembers how far it is.
    async fn look(&self, name: &str) -> Result<Option<Staged>, Failure> {
        self.forget(name);
        let Some(begun) = objects::read(&self.client, &beginning(name), LONGEST_GENERATION).await? else {
            return Ok(None);
        };
        let generation = String::from_utf8_lossy(&begun.bytes).into_owned();
        if !generation.bytes().all(|byte| byte.is_ascii_hexdigit()) || generation.is_empty() {
            return Err(Failure::Malformed("is no beginning of an upload"));
        }
        let prefix = parts_of(name, &generation);
        let parts = listing::below(&self.client, &prefix, MOST_PARTS).await?;
        let mut staged = Staged { generation, etag: begun.version.0, parts };
        // NOTE: a listing may lag behind, the object itself does not.
        while let Some(late) = self.part_at(&prefix, staged.end()).await? {
            staged.add(late);
        }
        let progress =
            Progress { generation: staged.generation.clone(), end: staged.end(), parts: staged.parts.len() };
        self.remember(name, progress);
        Ok(Some(staged))
    }

    async fn part_at(&self, prefix: &str, at: u64) -> Result<Option<Listed>, Failure> {
        let found = objects::head(&self.client, &format!("{prefix}{}", offset(at))).await?;
        // One without bytes would never end.
        let found = found.filter(|found| found.size > 0);
        Ok(found.map(|found| Listed { name: offset(at), size: found.size, etag: found.etag, changed: None }))
    }

    pub(super) async fn size(&self, name: &str) -> Result<Option<u64>, Failure> {
        Ok(self.look(name).await?.map(|staged| staged.end()))
    }

    pub(super) async fn append(&self, name: &str, at: u64, bytes: Bytes) -> Result<Outcome, Failure> {
        let progress = match self.forget(name).filter(|progress| progress.end == at) {
            Some(progress) => progress,
            None => match self.look(name).await?.and_then(|_| self.forget(name)) {
                Some(progress) if progress.end == at => progress,
                _ => return Ok(Outcome::Refused),
            },
        };
        if progress.parts >= MOST_PARTS {
            return Err(Failure::TooManyParts { most: MOST_PARTS });
        }
        let end = at.saturating_add(bytes.len() as u64);
        let place = format!("{}{}", parts_of(name, &progress.generation), offset(at));
        let written = if bytes.is_empty() {
            Outcome::Done
        } else {
            objects::put(&self.client, &place, bytes, &Condition::Absent).await?
        };
        if written == Outcome::Done {
            self.remember(name, Progress { end, parts: progress.parts + 1, ..progress });
        }
        Ok(written)
    }

    pub(super) async fn open(&self, name: &str) -> Result<Option<Content>, Failure> {
        let Some(staged) = self.look(name).await? else { return Ok(None) };
        let (client, prefix) = (Arc::clone(&self.client), parts_of(name, &staged.generation));
        let size = staged.end();
        let streams = staged.parts.into_iter().map(move |part| {
            let key = format!("{prefix}{}", part.name);
            Ok::<ByteStream, std::io::Error>(reading::continued(&client, &key, &part.etag, part.size))
        });
        Ok(Some(Content { size, stream: Box::pin(stream::iter(streams).try_flatten()) }))
    }

    pub(super) async fn finish(&self, name: &str, size: u64, to: &str) -> Result<Outcome, Failure> {
        let Some(staged) = self.look(name).await? else { return Ok(Outcome::Refused) };
        if staged.end() != size || !staged.is_whole() {
            return Ok(Outcome::Refused);
        }
        let prefix = parts_of(name, &staged.generation);
        let pieces = staged.parts.iter().map(|part| Piece {
            key: format!("{prefix}{}", part.name),
            etag: part.etag.clone(),
            size: part.size,
        });
        match multipart::compose(&self.client, pieces.collect(), to).await {
            Ok(()) => {}
            // Somebody ended the upload meanwhile.
            Err(failure) if failure.is_absent() || failure.is_refused() => return Ok(Outcome::Refused),
            Err(failure) => return Err(failure),
        }
        self.drop_staged(name, &staged).await?;
        Ok(Outcome::Done)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<bool, Failure> {
        if let Some(staged) = self.look(name).await? {
            self.drop_staged(name, &staged).await?;
            return Ok(true);
        }
        // Generations whose upload was ended by a kill, or while somebody appended. The listing comes before the second look: what
        // it has of an upload that just begins belongs to the generation that the look finds.
        let left = listing::below(&self.client, &below(name), MOST_PARTS).await?;
        let counts = self.look(name).await?.map(|staged| format!("{}/", staged.generation));
        let is_left = |entry: &&Listed| {
            entry.name != BEGUN && counts.as_ref().is_none_or(|counts| !entry.name.starts_with(counts))
        };
        let keys = left.iter().filter(is_left).map(|entry| format!("{}{}", below(name), entry.name));
        self.remove_all(keys.collect()).await?;
        Ok(false)
    }

    /// The beginning first: from then on there is no such upload.
    async fn drop_staged(&self, name: &str, staged: &Staged) -> Result<(), Failure> {
        self.forget(name);
        let etag = (self.removals == Removals::Conditional).then_some(staged.etag.as_str());
        let _ended_already = objects::remove(&self.client, &beginning(name), etag).await?;
        let prefix = parts_of(name, &staged.generation);
        let keys = staged.parts.iter().map(|part| format!("{prefix}{}", part.name));
        self.remove_all(keys.collect()).await
    }

    async fn remove_all(&self, keys: Vec<String>) -> Result<(), Failure> {
        let removed = stream::iter(keys.into_iter().map(|key| {
            let client = Arc::clone(&self.client);
            async move { objects::remove(&client, &key, None).await.map(drop) }
        }));
        removed.buffer_unordered(AT_ONCE).try_collect().await
    }

    pub(super) async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<StagedUpload>, Failure> {
        let prefix = format!("{UPLOADS}/");
        let mut found = Vec::new();
        for child in listing::children(&self.client, &prefix, after, limit).await? {
            let name = child.name;
            let entries = listing::below(&self.client, &below(&name), MOST_PARTS).await?;
            let changed = entries.iter().filter_map(|entry| entry.changed).max();
            let parts = entries.iter().filter(|entry| entry.name != BEGUN);
            let size = parts.map(|entry| entry.size).sum();
            // One without a time is old: a listing of S3 always has it.
            let changed = changed.unwrap_or(UNIX_EPOCH);
            found.extend((!entries.is_empty()).then_some(StagedUpload { name, size, changed }));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(parts: &[(u64, u64)]) -> Staged {
        let part = |(at, size): &(u64, u64)| Listed {
            name: offset(*at),
            size: *size,
            etag: String::new(),
            changed: Some(UNIX_EPOCH),
        };
        Staged { generation: "0".into(), etag: String::new(), parts: parts.iter().map(part).collect() }
    }

    #[test]
    fn what_follows_from_the_beginning_counts() {
        for (parts, end, whole) in [
            (vec![], 0, true),
            (vec![(0, 4), (4, 2)], 6, true),
            (vec![(0, 4), (6, 2)], 4, false),
            (vec![(4, 2)], 0, false),
            (vec![(0, 9), (9, 91), (100, 1)], 101, true),
        ] {
            let staged = staged(&parts);
            assert_eq!((staged.end(), staged.is_whole()), (end, whole), "{parts:?}");
        }
    }
}
