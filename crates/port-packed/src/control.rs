//! How a caller watches long work and stops it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::PackedError;

/// Something that got done, in bytes. Sent from many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Data of an image was looked at for matching.
    Scanned(u64),
    /// A frame was compressed.
    Compressed {
        /// Its plain bytes.
        plain: u64,
        /// Its stored bytes.
        stored: u64,
    },
    /// Bytes came from an image that lies here.
    Copied(u64),
    /// Plain bytes came from a frame.
    Decoded(u64),
    /// Bytes of the whole image, holes included, went into its digest.
    Hashed(u64),
}

/// Progress and cancellation of one piece of work; clones share both.
#[derive(Clone)]
pub struct Control {
    cancelled: Arc<AtomicBool>,
    tell: Arc<dyn Fn(Step) + Send + Sync>,
}

impl Default for Control {
    fn default() -> Self {
        Self::new(Arc::new(AtomicBool::new(false)), Arc::new(|_| {}))
    }
}

impl Control {
    /// `cancelled` stops the work soon after it became true; `tell` hears of progress.
    pub fn new(cancelled: Arc<AtomicBool>, tell: Arc<dyn Fn(Step) + Send + Sync>) -> Self {
        Self { cancelled, tell }
    }

    pub(crate) fn tell(&self, step: Step) {
        (self.tell)(step);
    }

    /// An error once the caller asked to stop.
    pub(crate) fn check(&self) -> Result<(), PackedError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(PackedError::Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("cancelled", &self.cancelled).finish_non_exhaustive()
    }
}
