//! Packing, planning and assembling through the public interface.
#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

mod block_index;
mod damage;
mod delta;
mod round_trip;
mod support;
