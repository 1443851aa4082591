//! Hashes a file while others fill it, and has it written to the disk meanwhile: what is contiguous from the start is read
//! and hashed, the rest is awaited.
//!
//! When the last byte is written, only what was written just before is left to hash and to flush. The bytes are hashed as they lie in
//! the file, however they came there. Where something behind the frontier may be written to once more
//! ([`overlapped`](crate::pull::plan::Plan::overlapped)), this hash is not what counts.

use std::fs::File;
use std::io;
use std::sync::Arc;

use port_content::Told;
use port_content::flusher::Flusher;
use port_content::hashing::Hasher;
use port_content::sparse;
use port_model::Digest;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A hash that follows a growing file.
pub(crate) struct Follower {
    frontier: watch::Sender<u64>,
    hashing: JoinHandle<io::Result<Hasher>>,
}

impl Follower {
    /// Starts to follow a file that will have `size` bytes, telling how far it is.
    pub(crate) fn start(file: Arc<File>, digest: &Digest, size: u64, told: Option<Told>) -> Self {
        let (frontier, mut watched) = watch::channel(0);
        let mut hasher = Hasher::of(digest.algorithm());
        let hashing = tokio::spawn(async move {
            let mut flusher = Flusher::start(&file)?;
            loop {
                let end =
                    match watched.wait_for(|frontier| *frontier > hasher.size() || *frontier >= size).await {
                        Ok(frontier) => *frontier,
                        Err(_) => return Err(io::Error::other("the download was given up")),
                    };
                if let Some(told) = &told {
                    told(end);
                }
                let file = Arc::clone(&file);
                flusher.written(end.saturating_sub(hasher.size()));
                let hashed = tokio::task::spawn_blocking(move || {
                    sparse::hash_to(&file, &mut hasher, end).map(|()| hasher)
                })
                .await;
                hasher = hashed.map_err(io::Error::other)??;
                if hasher.size() >= size {
                    let flushed = tokio::task::spawn_blocking(move || flusher.finish()).await;
                    return flushed.map_err(io::Error::other)?.map(|()| hasher);
                }
            }
        });
        Self { frontier, hashing }
    }

    /// All up to here is written.
    pub(crate) fn written(&self, frontier: u64) {
        self.frontier.send_if_modified(|known| {
            let further = frontier > *known;
            *known = frontier.max(*known);
            further
        });
    }

    /// The hash of the whole file; waits for the rest of it to be hashed.
    pub(crate) async fn finish(self) -> io::Result<Hasher> {
        let Self { frontier, hashing } = self;
        let hasher = hashing.await.map_err(io::Error::other)?;
        drop(frontier);
        hasher
    }
}
