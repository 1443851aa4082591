//! Deltas: one image from one parent image, smaller than packs and good for that parent only.
//!
//! A delta is one blob: an index, then its frames. Blocks that the parent has are named; the others are in frames,
//! each compressed as if the parent's bytes around the place of the change stood before it.
//!
//! Invariant: what comes out has the digest that the delta names, or there is an error.

mod apply;
mod encode;
mod index;
mod references;

use std::fs::File;

use port_model::Digest;

pub use apply::apply;
pub use encode::{Delta, Options, encode};
pub use index::{DeltaFrame, Index};

/// An image with its SHA-256, which the caller vouches for.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// At rest, opened for reading.
    pub file: &'a File,
    /// Its digest.
    pub digest: &'a Digest,
}
