//! What can stop a build. Every message names the artifact or file, what was expected and what was found;
//! causes are in `source` and are not repeated.

use std::path::PathBuf;

use port_content::FsError;
use port_image::ImageError;
use port_kernel::KernelError;
use port_model::{Architecture, Digest, Variant};

/// A build that cannot be done, or was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// PVM outside x86_64/firecracker (acceptance P-84).
    #[error(
        "`{artifact}` cannot be built for `{variant}`: PVM is research-only there; expected `x86_64/firecracker/pvm`"
    )]
    ResearchOnly {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
    },
    /// The configuration does not say how.
    #[error("`{artifact}` cannot be built for `{variant}`: its configuration has no {missing}")]
    NotBuildable {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// The key that is missing: `sources` or `recipe`.
        missing: &'static str,
    },
    /// The source that was asked for is not one of those configured.
    #[error(
        "`{artifact}` has no source `{asked}` for `{variant}`: expected a kind or a number of\n  {}",
        available.join("\n  ")
    )]
    NoSuchSource {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// What was asked for.
        asked: String,
        /// What exists, numbered.
        available: Vec<String>,
    },
    /// No source answered.
    #[error("no source of `{artifact}` for `{variant}` can be reached\n  {}", reasons.join("\n  "))]
    NoneReached {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// Each source with its reason.
        reasons: Vec<String>,
    },
    /// All sources are files of this machine, and none is there.
    #[error("no source of `{artifact}` for `{variant}` is there\n  {}", reasons.join("\n  "))]
    NoneThere {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// Each source with its reason.
        reasons: Vec<String>,
    },
    /// A source answered with other bytes than the pinned ones. Never a reason to try the next.
    #[error(
        "`{source_text}` does not have the pinned bytes: expected {expected}, found {found} after {size} bytes"
    )]
    WrongBytes {
        /// The source, or the file.
        source_text: String,
        /// The pinned digest.
        expected: Digest,
        /// What came.
        found: Digest,
        /// How many bytes came.
        size: u64,
    },
    /// A source that a PVM kernel cannot come from (acceptance P-69, P-82).
    #[error(
        "`{artifact}` for `{variant}` cannot come from `{source_text}`: expected a PVM kernel, found {found}; \
         protection modes never fall back"
    )]
    StandardKernel {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// Which source.
        source_text: String,
        /// Why it is a standard kernel.
        found: String,
    },
    /// The lock has no entry, and it may not change.
    #[error("`{artifact}` for `{variant}` is not in port.lock: it would be added")]
    LockMissing {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
    },
    /// The lock's entry would change, and it may not.
    #[error("port.lock would change for `{artifact}`, `{variant}`\n  {}", changes.join("\n  "))]
    LockChanged {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// What would change, one line each.
        changes: Vec<String>,
    },
    /// A program that goes into the image is not there.
    #[error("there is no {what} for {architecture}\n  {}", looked.join("\n  "))]
    NoProgram {
        /// Guest agent or BusyBox.
        what: &'static str,
        /// For which architecture.
        architecture: Architecture,
        /// Where it was looked for, and what was found there.
        looked: Vec<String>,
    },
    /// A program that cannot go into the image.
    #[error("{what} `{}` is not usable: expected {expected}, found {found}", path.display())]
    BadProgram {
        /// Guest agent, BusyBox or library.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A shared library of the guest agent is not on this machine.
    #[error("`{}` needs the library `{library}`, which is not on this machine: looked in {}", program.display(), looked.join(", "))]
    NoLibrary {
        /// Who needs it.
        program: PathBuf,
        /// Its name.
        library: String,
        /// Where it was looked for.
        looked: Vec<String>,
    },
    /// The image's kernel is of another variant.
    #[error(
        "`{artifact}` for `{variant}` cannot use the modules of `{kernel}` for `{found}`: variants are never mixed"
    )]
    MixedVariants {
        /// The guest image.
        artifact: String,
        /// Its variant.
        variant: Variant,
        /// The kernel artifact.
        kernel: String,
        /// The kernel's variant.
        found: Variant,
    },
    /// The recipe names a kernel and the caller brought none: the initrd would lack its modules.
    #[error(
        "`{artifact}` for `{variant}` needs the modules of the kernel `{kernel}`: expected it to be built, found none"
    )]
    KernelNotBuilt {
        /// The guest image.
        artifact: String,
        /// Its variant.
        variant: Variant,
        /// The kernel artifact.
        kernel: String,
    },
    /// A module that a guest cannot do without is not among those of the kernel.
    #[error("the kernel `{kernel}` cannot boot a guest\n  {}", missing.join("\n  "))]
    NoModule {
        /// The kernel artifact.
        kernel: String,
        /// What is missing, one line each.
        missing: Vec<String>,
    },
    /// A program that Port ran did not do what was asked.
    #[error("`{command}` failed: {found}")]
    Command {
        /// The command line.
        command: String,
        /// Status and the last lines of what it said.
        found: String,
    },
    /// A program could not be started or waited for.
    #[error("cannot run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A value that cannot be what it should be.
    #[error("`{subject}` is not usable: expected {expected}, found `{found}`")]
    BadValue {
        /// Which value.
        subject: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A download that broke for a reason of this machine.
    #[error(transparent)]
    Transport(#[from] port_transport::TransportError),
    /// A kernel file or package that cannot be used.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// An image that cannot be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A file operation.
    #[error(transparent)]
    File(#[from] FsError),
}
