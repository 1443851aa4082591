//! Who signed what, and is it enough.
//!
//! ```text
//! trust.toml ─► Policy ─ answer(name) ─► Requirement ─┐
//!                                                     ├─► verify ─► Verdict (why), Verified<Digest>, Verified<Statement>
//! registry, files ─► Candidate (bytes, unbelieved) ───┘        └─ threshold: the one place that counts
//! ```
//!
//! Pure: bytes in, verdicts out. Nothing here reads a file, asks a registry, knows the time or makes randomness.
//!
//! Invariant: [`Verified`] is made in one function, [`verify()`], from the digest that the caller resolved and uses afterwards.

mod base64;
pub mod bundle;
pub mod dsse;
mod error;
pub mod evidence;
pub mod key;
pub mod name;
mod pem;
pub mod policy;
pub mod requirement;
pub mod sealed;
pub mod secret_key;
pub mod simple_signing;
pub mod statement;
mod threshold;
pub mod verdict;
pub mod verify;

pub use error::KeyError;
pub use evidence::Evidence;
pub use key::{KeyKind, PublicKey};
pub use name::{Pattern, SignedName};
pub use pem::LARGEST_KEY;
pub use policy::{Answer, Asks, Policy, PolicyError};
pub use requirement::{Identities, NamedKey, Requirement};
pub use sealed::SealEntropy;
pub use secret_key::SecretKey;
pub use statement::Statement;
pub use verdict::{Decision, Finding, Form, Outcome, Verdict};
pub use verify::{About, Candidate, Judgement, Question, Signed, Verified, verify};
