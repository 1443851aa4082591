//! What keeps a server from beginning.

use port_content::FsError;
use port_server::ServeError;

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
