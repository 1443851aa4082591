//! Blobs are checked on their way out: the first time that a whole blob is read in this process, it is hashed as it goes, and its last
//! piece is held back until the digest is right. So rotten bytes never arrive as a whole, and every later reader pays nothing.
//!
//! What this process hashed when it came in is known to be right, too. Bytes that rot afterwards are for scrubbing (`scrub`) to find,
//! and parts of a blob for their readers, who have its digest.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use port_content::hashing::Hasher;
use port_model::Digest;

use super::uploads::hashed;
use super::{Catalog, Verdict};
use crate::storage::{ByteStream, Content};

/// How many digests are remembered; then it begins anew.
const MOST: usize = 100_000;

/// What this process knows of blobs.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sound: Mutex<HashSet<Digest>>,
    rotten: Mutex<VecDeque<(Digest, Verdict)>>,
}

impl Known {
    fn has(&self, digest: &Digest) -> bool {
        self.0.sound.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }

    /// The bytes of this blob were right just now.
    pub(super) fn note(&self, digest: &Digest) {
        let mut sound = self.0.sound.lock().unwrap_or_else(PoisonError::into_inner);
        if sound.len() >= MOST {
            sound.clear();
        }
        sound.insert(digest.clone());
    }

    pub(super) fn forget(&self, digest: &Digest) {
        self.0.sound.lock().unwrap_or_else(PoisonError::into_inner).remove(digest);
    }

    fn report(&self, digest: Digest, verdict: Verdict) {
        let mut rotten = self.0.rotten.lock().unwrap_or_else(PoisonError::into_inner);
        rotten.truncate(MOST - 1);
        rotten.push_back((digest, verdict));
    }
}

impl Catalog {
    /// What readers came upon since somebody asked last.
    pub(crate) fn rotten(&self) -> Vec<(Digest, Verdict)> {
        self.known.0.rotten.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// The content of a whole blob, checked as it is read unless that is known.
    pub(super) fn checked(&self, digest: &Digest, content: Content) -> Content {
        if self.known.has(digest) {
            return content;
        }
        let state = Checking {
            catalog: self.clone(),
            digest: digest.clone(),
            stream: content.stream,
            hasher: Some(Hasher::of(digest.algorithm())),
            held: None,
        };
        Content { size: content.size, stream: Box::pin(stream::try_unfold(state, Checking::step)) }
    }
}

struct Checking {
    catalog: Catalog,
    digest: Digest,
    stream: ByteStream,
    /// Nothing at the end.
    hasher: Option<Hasher>,
    /// The piece that goes out when the next one is there, or the digest is right.
    held: Option<Bytes>,
}

impl Checking {
    async fn step(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            let Some(hasher) = self.hasher.as_mut() else { return Ok(None) };
            let Some(piece) = self.stream.try_next().await? else { break };
            hashed(hasher, piece.clone(), true).await?;
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some((before, self)));
            }
        }
        let found = self.hasher.take().map(Hasher::finish);
        if found.as_ref() != Some(&self.digest) {
            return Err(rotten(&self.catalog, &self.digest).await);
        }
        self.catalog.known.note(&self.digest);
        Ok(self.held.take().map(|last| (last, self)))
    }
}

/// Puts the blob aside, if reading it again says the same. The reader's connection breaks, so that it knows.
async fn rotten(catalog: &Catalog, digest: &Digest) -> io::Error {
    // Otherwise it was replaced meanwhile, or cannot be read: the next reader sees.
    if let Ok(verdict @ Verdict::Quarantined { .. }) = catalog.verify_blob(digest).await {
        catalog.known.report(digest.clone(), verdict);
    }
    io::Error::new(io::ErrorKind::InvalidData, "the stored bytes are not the blob's")
}
