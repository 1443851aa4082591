//! What keeps a server from beginning.

use port_content::FsError;
use port_server::audit::AuditError;
use port_server::gate::TokenError;
use port_server::storage::{AddressError, OpenError, StorageError};
use port_server::{ServeError, TlsError};

use super::{CommandError, Exit};

impl From<ServeError> for CommandError {
    fn from(error: ServeError) -> Self {
        let hints = match &error {
            ServeError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                vec!["something answers there already; `--bind 127.0.0.1:0` takes any free port".to_owned()]
            }
            _ => vec![],
        };
        Self::of(&error, Exit::Failed, hints)
    }
}

impl From<FsError> for CommandError {
    fn from(error: FsError) -> Self {
        Self::of(&error, Exit::Failed, vec![])
    }
}

impl From<StorageError> for CommandError {
    fn from(error: StorageError) -> Self {
        Self::of(&error, Exit::Failed, vec![])
    }
}

impl From<AddressError> for CommandError {
    fn from(error: AddressError) -> Self {
        let hints = match &error {
            AddressError::Plain { .. } => {
                vec!["on a network that only this server is on, `--s3-plain-http` allows it".to_owned()]
            }
            _ => vec![],
        };
        Self::of(&error, Exit::Usage, hints)
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        let hints = match &error {
            OpenError::Unsafe { .. } => {
                vec!["a server with conditional writes is needed (docs/control-plane.md, \"Storage in a bucket\")".to_owned()]
            }
            _ => vec![],
        };
        Self::of(&error, Exit::Failed, hints)
    }
}

impl From<TokenError> for CommandError {
    fn from(error: TokenError) -> Self {
        let exit = match error {
            TokenError::Name(_) | TokenError::NoScope | TokenError::Ended { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        Self::of(&error, exit, vec![])
    }
}

impl From<TlsError> for CommandError {
    fn from(error: TlsError) -> Self {
        Self::of(&error, Exit::Failed, vec![])
    }
}

impl From<AuditError> for CommandError {
    fn from(error: AuditError) -> Self {
        let hints = match &error {
            AuditError::Broken { .. } => {
                vec!["keep the file as it is and find out who wrote to it; a server begins a new one elsewhere".to_owned()]
            }
            _ => vec![],
        };
        Self::of(&error, Exit::Failed, hints)
    }
}
