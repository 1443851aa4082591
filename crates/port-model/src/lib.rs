//! The vocabulary of Port: pure values that parse once and are trusted after.
//!
//! Nothing here does I/O, reads a clock or knows the host. A value of one of these types is valid by
//! construction, so every path, tag and URL built from it is safe: see [`path_part`] for the rule.
//!
//! ```text
//! reference  registry/repository:version[@digest]     what it is called
//! variant    architecture × substrate × protection    exactly one choice
//! selector   what a caller asks for  ──resolve──►  one variant, or a refusal
//! component  one file with a role, a format, a size and a digest
//! encoding   how its bytes are published: raw, zstd, packed
//! bundle     the components that boot together
//! ```

pub mod bundle;
pub mod cmdline;
pub mod component;
pub mod digest;
pub mod encoding;
pub mod file_name;
mod path_part;
pub mod progress;
pub mod reference;
pub mod selector;
pub mod suggest;
pub mod variant;

pub use bundle::{Bundle, KernelFacts};
pub use cmdline::{Cmdline, CmdlineError};
pub use component::{ArtifactClass, Component, ComponentFormat, ComponentKind, INITRD_FILE_NAME};
pub use digest::{Digest, DigestError};
pub use encoding::Encoding;
pub use file_name::{FileName, FileNameError};
pub use progress::{Event, Reporter};
pub use reference::{Reference, ReferenceError, ReferencePart};
pub use selector::{ArchitectureSelector, NoSuchVariant, Selector};
pub use variant::{Architecture, ProtectionMode, Substrate, UnknownWord, Variant};
