//! What a verb can fail with. Each library's error stays whole, so that the command line can tell it apart.

use std::path::PathBuf;

use port_config::UnknownName;
use port_content::FsError;
use port_model::{ArtifactClass, Digest, FileName, NoSuchVariant, Variant};

/// A failed verb.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// `port.toml` or `port.lock` cannot be used.
    #[error(transparent)]
    Config(#[from] port_config::ConfigError),
    /// The configuration file cannot be read.
    #[error("the configuration cannot be read")]
    ProjectFile(#[source] FsError),
    /// A path or a name that is wanted for two things.
    #[error("the configuration cannot be used: {reason}")]
    Taken {
        /// Which, and by whom.
        reason: String,
    },
    /// Something about trust: not trusted, or a key or policy that cannot be used.
    #[error(transparent)]
    Trust(Box<crate::trust::TrustError>),
    /// A name that the configuration does not have.
    #[error(transparent)]
    UnknownName(#[from] UnknownName),
    /// A variant that the artifact does not have.
    #[error(transparent)]
    NoSuchVariant(#[from] NoSuchVariant),
    /// An artifact of the other class was expected.
    #[error("`{name}` is a {found}: expected a {expected}")]
    WrongClass {
        /// Its name.
        name: String,
        /// What it is.
        found: ArtifactClass,
        /// What was expected.
        expected: ArtifactClass,
    },
    /// Build and validate run only on the variant's own architecture (acceptance P-26).
    #[error("cannot {verb} `{artifact}` for `{variant}` on this {host} host: {verb} runs natively only")]
    ForeignArchitecture {
        /// The verb.
        verb: &'static str,
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// The host's architecture.
        host: port_model::Architecture,
    },
    /// A lane that exists for research only (acceptance P-29).
    #[error(
        "cannot {verb} `{artifact}` for `{variant}`: PVM is research-only there; it exists for x86_64/firecracker/pvm"
    )]
    ResearchOnly {
        /// The verb.
        verb: &'static str,
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
    },
    /// A PVM lane holds a standard artifact (acceptance P-69, P-82).
    #[error(
        "`{artifact}` for `{variant}` is byte for byte a standard artifact ({digest}): PVM is never served by \
         standard artifacts"
    )]
    StandardInPvm {
        /// Which artifact.
        artifact: String,
        /// The PVM variant.
        variant: Variant,
        /// The digest.
        digest: Digest,
    },
    /// The local file is not there (acceptance Pu-18).
    #[error("there is no `{}`, the local file of `{artifact}` for `{variant}`", path.display())]
    NoLocalFile {
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// Where it should be.
        path: PathBuf,
    },
    /// Somebody else wrote where a build had just written.
    #[error("`{}` changed while it was built: expected {expected}, found {found}", path.display())]
    ChangedMeanwhile {
        /// Which file.
        path: PathBuf,
        /// What was built.
        expected: Digest,
        /// What lies there.
        found: Digest,
    },
    /// Somebody wrote to a local file while it went out.
    #[error("`{}` changed while it was pushed; nothing was published", path.display())]
    ChangedOnItsWay {
        /// Which file.
        path: PathBuf,
    },
    /// The artifact has no backend for this direction.
    #[error("`{artifact}` has no `distribution.{direction}`")]
    NoBackend {
        /// Which artifact.
        artifact: String,
        /// `push` or `pull`.
        direction: &'static str,
    },
    /// The token of a control plane is not in the environment.
    #[error(
        "no token for the control plane `{control_plane}`: the environment variable `{variable}` is not set"
    )]
    NoToken {
        /// Its name in `port.toml`.
        control_plane: String,
        /// Which variable.
        variable: String,
    },
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] port_backend::BackendError),
    /// What the backend has is not this variant.
    #[error("what `{location}` holds is not `{artifact}` for `{variant}`: {reason}")]
    WrongContent {
        /// Where.
        location: String,
        /// Which artifact.
        artifact: String,
        /// Which variant.
        variant: Variant,
        /// What is wrong.
        reason: String,
    },
    /// The documents at the backend cannot be read.
    #[error("the documents at `{location}` cannot be read")]
    Documents {
        /// Where.
        location: String,
        /// Why.
        #[source]
        source: port_layout::DecodeError,
    },
    /// A variable that `basic-env` names.
    #[error(transparent)]
    BasicEnv(#[from] port_registry::credentials::BasicEnvError),
    /// The variant is published already, with other content.
    #[error("`{artifact}` cannot be published as `{reference}`")]
    AlreadyPublished {
        /// Which artifact.
        artifact: String,
        /// Where.
        reference: String,
        /// What is there.
        #[source]
        source: Box<port_layout::index::Conflict>,
    },
    /// What a registry holds under the published tag is no variant of this artifact.
    #[error("what `{location}` holds cannot be read as `{artifact}`")]
    ForeignDocuments {
        /// Where.
        location: String,
        /// Which artifact.
        artifact: String,
        /// Why.
        #[source]
        source: Box<port_layout::port_v1::PortV1Error>,
    },
    /// A registry that has a manifest and not what it names.
    #[error("`{name}` is not whole: its blob {digest} is not there")]
    Incomplete {
        /// The published name.
        name: String,
        /// Of the blob.
        digest: Digest,
        /// What the registry said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Only registries know what refers to a manifest.
    #[error(
        "`{artifact}` is pulled from the backend `{kind}`, which knows of no referrers: expected `oci-registry`"
    )]
    NoReferrers {
        /// Which artifact.
        artifact: String,
        /// The backend's word.
        kind: &'static str,
    },
    /// A copy, or a look at what a registry has.
    #[error(transparent)]
    Copy(Box<crate::copy::CopyError>),
    /// The version that was named as parent cannot be one.
    #[error("`{name}` cannot be the parent for `{variant}`: it is not published there as a packed image")]
    NotPacked {
        /// The published name.
        name: String,
        /// Which variant.
        variant: Variant,
    },
    /// Documents name a map and packs where no registry is.
    #[error(
        "`{name}` is packed, and `{backend}` holds no packs: expected an `oci-registry` or a control plane"
    )]
    PackedElsewhere {
        /// The published name.
        name: String,
        /// The backend.
        backend: String,
    },
    /// A name of the store that leads to no place.
    #[error("nobody knows where `{name}` came from: {reason}")]
    NoOrigin {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory that holds another version by now.
    #[error("`{place}` does not hold {digest} as `{name}`")]
    OtherPublished {
        /// Where.
        place: String,
        /// Which artifact.
        name: String,
        /// What is wanted.
        digest: Digest,
    },
    /// A map that does not belong to its manifest.
    #[error("the map {digest} of `{file_name}` does not fit its manifest: {reason}")]
    WrongMap {
        /// The component's.
        file_name: FileName,
        /// Of the map.
        digest: Digest,
        /// What was expected and what was found.
        reason: String,
    },
    /// A delta that does not belong where it was found.
    #[error("the delta {digest} cannot be used: {reason}")]
    WrongDelta {
        /// Of its manifest.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// A delta's manifest is none.
    #[error(transparent)]
    Delta(#[from] port_layout::delta::DeltaError),
    /// Packing or assembling failed.
    #[error(transparent)]
    Packed(#[from] port_packed::PackedError),
    /// The components cannot be published like this.
    #[error("the bundle cannot be published")]
    Layers(#[from] port_layout::native::LayersError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] port_store::StoreError),
    /// A build failed.
    #[error(transparent)]
    Build(#[from] port_build::BuildError),
    /// A kernel file is not one.
    #[error(transparent)]
    Kernel(#[from] port_kernel::KernelError),
    /// An image is not one.
    #[error(transparent)]
    Image(#[from] port_image::ImageError),
    /// Kernel and guest image do not fit.
    #[error("the guest image `{guest_image}` carries modules for kernel {wanted}, `{kernel}` is {found}")]
    KernelMismatch {
        /// The guest image.
        guest_image: String,
        /// The release that its modules fit.
        wanted: String,
        /// The kernel.
        kernel: String,
        /// The kernel's release.
        found: String,
    },
    /// A machine asks for something that contradicts itself.
    #[error("the machine `{machine}` cannot boot: {reason}")]
    Machine {
        /// Which machine.
        machine: String,
        /// What is wrong.
        reason: String,
    },
    /// This host cannot run the variant.
    #[error("cannot run `{variant}` on this host: {}", reasons.join("; "))]
    CannotRun {
        /// Which variant.
        variant: Variant,
        /// Everything that is in the way.
        reasons: Vec<String>,
    },
    /// The guest's agent.
    #[error(transparent)]
    Agent(#[from] port_runtime::AgentError),
    /// The machine could not be run.
    #[error(transparent)]
    Runtime(Box<port_runtime::RuntimeError>),
    /// A file operation failed.
    #[error(transparent)]
    Files(#[from] FsError),
}

/// An error with everything behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<crate::trust::TrustError> for OpsError {
    fn from(error: crate::trust::TrustError) -> Self {
        match error {
            // Where it was met says nothing: it is one and the same failure.
            crate::trust::TrustError::Copy(error) => error.into(),
            other => Self::Trust(Box::new(other)),
        }
    }
}

impl From<crate::copy::CopyError> for OpsError {
    fn from(error: crate::copy::CopyError) -> Self {
        Self::Copy(Box::new(error))
    }
}

impl From<port_runtime::RuntimeError> for OpsError {
    fn from(error: port_runtime::RuntimeError) -> Self {
        Self::Runtime(Box::new(error))
    }
}
