//! Documents that people write, TOML or JSON: typed reading that finds everything at once, each with its place.
//!
//! Nothing here does I/O or knows any format's keys: `port-config` and `port-workload` do. The invariant: a reader
//! that gives no value has said why, and what is said is bounded and safe to print.
//!
//! ```text
//! text ─► read ─► Table, Node (what a format's reader asks) ─► value
//!                     └── Findings, by byte range ─► Finding, with line, column, snippet
//! ```

mod error;
mod findings;
mod json;
mod node;
mod reading;

pub use error::{DocumentError, Finding, Severity};
pub use findings::{Findings, Gathered, Place, UnknownKeys, locate};
pub use node::{Node, Table};
pub use reading::{LARGEST_TEXT, Reading, Syntax, read, read_bytes};
