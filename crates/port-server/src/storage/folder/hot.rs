//! Small documents that are asked for again and again, kept in bounded memory. What is given is what lies in the file now: one look
//! at the file itself says whether it is the one that was read.
//!
//! NOTE: objects are replaced by renaming, never written in place, so another content is another file: another inode, or the same one
//! with a later change time. Times of files move in ticks of some milliseconds, so two files may follow each other with the same inode
//! and the same time. So content is kept only if it was read when its file had been seen for longer than any tick: whatever replaces
//! that file has a later time.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::storage::{Document, Key};

/// Far longer than any file system's tick.
const AT_REST: Duration = Duration::from_secs(1);
/// The largest document that is kept, in bytes.
const LARGEST: usize = 128 * 1024;
/// What all of them may have together.
const MOST_BYTES: usize = 8 << 20;
/// How many files are remembered, with their content or without; then it begins anew.
const MOST: usize = 4096;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Hot(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    files: HashMap<Key, Seen>,
    bytes: usize,
}

#[derive(Debug)]
struct Seen {
    identity: Identity,
    since: Instant,
    document: Option<Document>,
}

/// Which file, at which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Hot {
    /// What was read of this file, if it is kept. `look` is asked only where something is.
    pub(super) fn get(&self, key: &Key, look: impl FnOnce() -> Option<Identity>) -> Option<Document> {
        let (identity, document) = {
            let inner = self.lock();
            let seen = inner.files.get(key)?;
            (seen.identity, seen.document.clone()?)
        };
        (look() == Some(identity)).then_some(document)
    }

    /// Notes what was read. `before` and `after` say which file it was around the reading.
    pub(super) fn note(
        &self,
        key: &Key,
        before: Option<Identity>,
        after: Option<Identity>,
        read: &Document,
        now: Instant,
    ) {
        let Some(identity) = before.filter(|before| Some(*before) == after) else { return self.forget(key) };
        let mut inner = self.lock();
        if inner.files.len() >= MOST || inner.bytes >= MOST_BYTES {
            *inner = Inner::default();
        }
        let Some(seen) = inner.files.get_mut(key).filter(|seen| seen.identity == identity) else {
            inner.drop_content(key);
            inner.files.insert(key.clone(), Seen { identity, since: now, document: None });
            return;
        };
        let is_at_rest = now.saturating_duration_since(seen.since) >= AT_REST;
        if is_at_rest && seen.document.is_none() && read.bytes.len() <= LARGEST {
            seen.document = Some(read.clone());
            inner.bytes += read.bytes.len();
        }
    }

    fn forget(&self, key: &Key) {
        let mut inner = self.lock();
        inner.drop_content(key);
        inner.files.remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn drop_content(&mut self, key: &Key) {
        let held = self.files.get_mut(key).and_then(|seen| seen.document.take());
        self.bytes = self.bytes.saturating_sub(held.map_or(0, |document| document.bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::storage::Version;

    fn identity(inode: u64, tick: i64) -> Identity {
        Identity { device: 1, inode, size: 3, changed: (tick, 0) }
    }

    fn document(text: &'static str) -> Document {
        Document { bytes: Bytes::from_static(text.as_bytes()), version: Version(text.to_owned()) }
    }

    #[test]
    fn a_file_that_may_have_been_replaced_within_a_tick_is_read_again() {
        let (hot, key, start) = (Hot::default(), Key::new("a/b").unwrap(), Instant::now());
        let file = Some(identity(7, 1));
        let kept = |at: Option<Identity>| hot.get(&key, || at).map(|document| document.version);
        hot.note(&key, file, file, &document("one"), start);
        assert_eq!(kept(file), None, "another file may come with the same inode in the same tick");
        // It came.
        hot.note(&key, file, file, &document("two"), start + AT_REST / 2);
        assert_eq!(kept(file), None);
        hot.note(&key, file, file, &document("two"), start + AT_REST);
        assert_eq!(kept(file), Some(Version("two".to_owned())));
        assert_eq!(kept(Some(identity(7, 2))), None, "replaced later");
        assert_eq!(kept(None), None, "removed");
        hot.note(&key, file, Some(identity(8, 2)), &document("two"), start + AT_REST);
        assert_eq!(kept(file), None, "replaced while it was read");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (hot, start) = (Hot::default(), Instant::now());
        let large = Document { bytes: vec![0; LARGEST].into(), version: Version(String::new()) };
        for number in 0..200_u64 {
            let (key, file) = (Key::new(format!("k/{number}")).unwrap(), Some(identity(number, 1)));
            hot.note(&key, file, file, &large, start);
            hot.note(&key, file, file, &large, start + AT_REST);
        }
        assert!(hot.lock().bytes <= MOST_BYTES + LARGEST);
        let inner = hot.lock();
        let kept = inner.files.values().filter(|seen| seen.document.is_some()).count();
        assert_eq!(inner.bytes, kept * LARGEST, "what is counted is what is kept");
    }
}
