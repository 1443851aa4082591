//! The packed encoding of large images: what changed is all that moves (docs/formats/packed-image.md).
//!
//! ```text
//! raw image ──► pack ──► map + packs          only blocks that the parent lacks are packed
//!     ▲                    │
//!     └── assemble ◄── plan┘                  from packs, from images that lie here, holes stay holes
//! parent image + delta ──► delta::apply ──► raw image
//! raw image + its block index + files at hand ──► block_index::Sharing ──► raw image, where it is published as it is
//! ```
//!
//! This crate knows files and bytes, no registry and no store: `port-ops` fetches what a plan names.
//!
//! Invariants: no byte of a frame is used before its SHA-256 was checked; an image is complete only if its own
//! SHA-256 was checked; a block that cannot be had is an error, never a hole; memory does not grow with the image
//! beyond eight bytes a block.

mod assemble;
pub mod block_index;
mod blocks;
mod control;
pub mod delta;
mod envelope;
mod error;
mod frame;
pub mod limit;
mod map;
mod matching;
mod output;
mod pack;
mod parallel;
mod plan;
mod segments;
mod sha256;
mod statistics;
mod table;
mod varint;
mod writer;

pub use assemble::Assembler;
pub use control::{Control, Step};
pub use error::PackedError;
pub use map::{Frame, Map, Pack};
pub use pack::{DEAD_PERCENT, GENERATIONS, Image, Options, PackSink, Packed, Parent, Statistics, pack};
pub use plan::{LocalImage, PackPlan, Plan, Source, plan};
pub use segments::Segment;
pub use statistics::{MapStatistics, PackStatistics};
