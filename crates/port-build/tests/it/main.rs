//! Builds as a caller sees them: sources, lock, refusals, images. No network but loopback, no root.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code: a panic is the report, and tests look at files the plain way"
)]

mod debian;
mod guest_image;
mod kernel;
mod lock;
mod pvm;
mod samples;
mod visitor;
mod world;
