//! Why an agent did not do what it was asked, and its exit code.

use port_content::FsError;
use port_registry::{Failure, Kind, RegistryError};
use port_update::slots::SlotError;
use port_update::{Class, JournalError, ReleaseError};

use crate::copy::CopyError;
use crate::trust::TrustError;
use crate::update::UpdateError;

/// A failed verb of an agent. What runs, and what boots next, is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The place, or what is published there.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The signatures.
    #[error(transparent)]
    Trust(Box<TrustError>),
    /// The release statement.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// A release that is never taken here.
    #[error("refused ({class}): {reason}")]
    Refused {
        /// What kind of no.
        class: Class,
        /// Why.
        reason: String,
    },
    /// A published part that is not what was signed.
    #[error("{part} is {found} in the manifest: expected {expected}, as it was signed")]
    Parts {
        /// Which part.
        part: &'static str,
        /// As signed.
        expected: String,
        /// As published.
        found: String,
    },
    /// A file that is not what its document says.
    #[error("`{url}` is {found}: expected {expected}, as {part} of the release")]
    OtherBytes {
        /// Which part.
        part: &'static str,
        /// Where it came from.
        url: String,
        /// By the document.
        expected: String,
        /// As it came.
        found: String,
    },
    /// What runs did not get well.
    #[error("not well: {reason}")]
    Unhealthy {
        /// What is wrong.
        reason: String,
    },
    /// No slot is good.
    #[error("degraded: no slot is known to be good, and nothing is done without an operator")]
    Degraded,
    /// The slots.
    #[error(transparent)]
    Slots(#[from] SlotError),
    /// The record.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file.
    #[error(transparent)]
    Files(#[from] FsError),
}

impl From<TrustError> for AgentError {
    fn from(error: TrustError) -> Self {
        Self::Trust(Box::new(error))
    }
}

impl From<CopyError> for AgentError {
    fn from(error: CopyError) -> Self {
        Self::Update(error.into())
    }
}

impl From<RegistryError> for AgentError {
    fn from(error: RegistryError) -> Self {
        Self::Update(error.into())
    }
}

impl AgentError {
    /// What class of failure it is; none where nothing was tried.
    pub fn class(&self) -> Option<Class> {
        Some(match self {
            Self::Update(error) => update(error),
            Self::Trust(error) => trust(error),
            Self::Release(_) => Class::Signature,
            Self::Refused { class, .. } => *class,
            Self::Parts { .. } => Class::MixAndMatch,
            Self::OtherBytes { .. } => Class::Oversize,
            Self::Unhealthy { .. } | Self::Degraded => Class::Unhealthy,
            Self::Slots(error) => error.class(),
            Self::Files(error) | Self::Journal(JournalError::Files(error)) => files(error),
            Self::Journal(JournalError::Busy { .. } | JournalError::Illegal(_)) => return None,
        })
    }

    /// The exit code of a command that ends with it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(JournalError::Illegal(_)) => 40,
            Self::Journal(JournalError::Busy { .. }) => 41,
            _ => self.class().map_or(1, Class::exit_code),
        }
    }
}

fn files(error: &FsError) -> Class {
    if is_full(&error.source) { Class::DiskFull } else { Class::Io }
}

fn update(error: &UpdateError) -> Class {
    use port_layout::kubesolo::KubesoloError as K;
    match error {
        UpdateError::Files(error) => files(error),
        UpdateError::Registry(error) => registry(error),
        UpdateError::Documents(K::NoSuchArchitecture { .. } | K::ArchitectureDiffers { .. }) => {
            Class::WrongTarget
        }
        UpdateError::Documents(_) | UpdateError::Size { .. } | UpdateError::Differs { .. } => {
            Class::MixAndMatch
        }
        UpdateError::NoSuchTag { .. } | UpdateError::Gone { .. } => Class::Network,
        UpdateError::Media(error) => media(error),
        UpdateError::Web(error) => web(&error.failure),
        _ => Class::Gate,
    }
}

fn registry(error: &RegistryError) -> Class {
    match (error.kind(), &*error.failure) {
        (_, Failure::Corrupt(_) | Failure::CorruptAgain(_)) => Class::Oversize,
        (_, Failure::Local(error)) => files(error),
        (Kind::Local, _) => Class::Io,
        _ => Class::Network,
    }
}

fn media(error: &CopyError) -> Class {
    match error {
        CopyError::Registry(error) => registry(error),
        CopyError::Files(error) => files(error),
        CopyError::Mismatch { .. } => Class::Oversize,
        CopyError::NotFound { .. } | CopyError::NoLayout { .. } => Class::Io,
        _ => Class::MixAndMatch,
    }
}

fn web(failure: &port_transport::Failure) -> Class {
    use port_transport::Failure as F;
    match failure {
        F::TooLarge { .. } => Class::Oversize,
        F::Files(error) => files(error),
        F::Write { source } if is_full(source) => Class::DiskFull,
        F::Write { .. } => Class::Io,
        _ => Class::Network,
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

fn trust(error: &TrustError) -> Class {
    match error {
        TrustError::Copy(CopyError::Registry(error)) => registry(error),
        TrustError::Files(error) => files(error),
        _ => Class::Signature,
    }
}
