//! What can go wrong with containerd.

use std::io;

use tonic::Code;

/// A call that containerd did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum ContainerdError {
    /// A connection cannot be had.
    #[error("cannot reach containerd at `{address}`")]
    Connect {
        /// The socket.
        address: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A call that was refused, or broke.
    #[error("containerd at `{address}` could not {operation} {subject}")]
    Call {
        /// The socket.
        address: String,
        /// What was asked for.
        operation: &'static str,
        /// Of what.
        subject: String,
        /// What it said.
        #[source]
        source: Box<Refusal>,
    },
    /// Something of an answer is missing or senseless.
    #[error("containerd at `{address}` answered about {subject} with {found}: expected {expected}")]
    Answer {
        /// The socket.
        address: String,
        /// About what.
        subject: String,
        /// What would do.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// The local end of a copy.
    #[error("cannot {operation} the local copy of {subject}")]
    Local {
        /// Reading or writing.
        operation: &'static str,
        /// Of what.
        subject: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// containerd's own words.
    #[error("{} ({:?})", .0.message(), .0.code())]
    Status(tonic::Status),
    /// It took too long.
    #[error("no answer within {seconds} seconds")]
    Silence {
        /// How long was waited.
        seconds: u64,
    },
    /// The thread that makes calls is gone.
    #[error("the connection ended")]
    Ended,
}

/// What a failure means for whoever made the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such thing.
    NotFound,
    /// It is there already.
    AlreadyExists,
    /// Nobody listens, nobody answers, or nobody is let in.
    Unavailable,
    /// Everything else.
    Failed,
}

impl ContainerdError {
    /// What it means.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Connect { .. } => Kind::Unavailable,
            Self::Call { source, .. } => source.kind(),
            Self::Answer { .. } | Self::Local { .. } => Kind::Failed,
        }
    }
}

impl Refusal {
    fn kind(&self) -> Kind {
        match self {
            Self::Silence { .. } | Self::Ended => Kind::Unavailable,
            Self::Status(status) => match status.code() {
                Code::NotFound => Kind::NotFound,
                Code::AlreadyExists => Kind::AlreadyExists,
                Code::Unavailable | Code::DeadlineExceeded | Code::PermissionDenied => Kind::Unavailable,
                _ => Kind::Failed,
            },
        }
    }
}
