//! Who signed what, and is it enough.
//!
//! Pure: bytes in, verdicts out. Nothing here reads a file, asks a registry or knows the time.

mod base64;
mod error;
pub mod key;
mod pem;
pub mod sealed;
pub mod secret_key;

pub use error::KeyError;
pub use key::{KeyKind, PublicKey};
pub use pem::LARGEST_KEY;
pub use sealed::SealEntropy;
pub use secret_key::SecretKey;
