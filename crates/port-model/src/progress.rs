//! What long work says while it runs: one event type and one trait, drawn or printed by the command line.
//!
//! A library never draws. It sends events; a terminal shows bars, a machine gets one JSON object each.

use serde::Serialize;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A task began. `total` is its size in bytes, where that is known.
    Started {
        /// Names the task in later events: "fetch vmlinux".
        task: String,
        /// Bytes to be done.
        total: Option<u64>,
    },
    /// It is known what a task needs, and how much of that need not be fetched. Sent before it starts.
    Planned {
        /// Which task.
        task: String,
        /// Bytes that are wanted in the end, holes left out.
        wanted: u64,
        /// Bytes of those that lie here.
        found: u64,
        /// Bytes that are fetched for the rest; fewer, where they travel compressed.
        fetch: u64,
        /// The tasks that fetch them.
        transfers: Vec<String>,
    },
    /// A file was packed. Sent before the task that packs it finishes.
    Packed {
        /// Which task.
        task: String,
        /// Bytes of the file that are not in holes.
        data: u64,
        /// Of those, what the parent has.
        in_parent: u64,
        /// Of those, what neither the parent nor the file itself had before.
        new: u64,
        /// Bytes of the packs that hold what is new.
        stored: u64,
    },
    /// A task got further.
    Advanced {
        /// Which task.
        task: String,
        /// Bytes done since the last event.
        bytes: u64,
    },
    /// A task ended.
    Finished {
        /// Which task.
        task: String,
    },
    /// Something that a person should know and that is no error: which source was taken, and why.
    Note {
        /// One sentence without a final period.
        message: String,
    },
}

/// Takes events. Called from many threads.
pub trait Reporter: Send + Sync {
    /// One thing happened.
    fn event(&self, event: Event);

    /// Shorthand for [`Event::Note`].
    fn note(&self, message: String) {
        self.event(Event::Note { message });
    }
}

/// Takes events and says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _: Event) {}
}
