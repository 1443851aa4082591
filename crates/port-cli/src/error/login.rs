//! Advice for logins.

use port_ops::login::LoginError;
use port_registry::Failure;

use super::{CommandError, Exit, registry};

const NOTHING_STORED: &str = "nothing was stored";

impl From<LoginError> for CommandError {
    fn from(error: LoginError) -> Self {
        let (exit, hints) = match &error {
            LoginError::Unusable { .. } => (Exit::Usage, vec![]),
            LoginError::Refused { .. } => (Exit::Failed, vec![NOTHING_STORED.to_owned()]),
            LoginError::Unchecked { source, .. } => {
                let no_tls = matches!(**source, Failure::NoTls { .. });
                let plain = no_tls.then(|| "if it is meant to: `--plain-http`".to_owned());
                (
                    registry::exit(source.kind()),
                    [NOTHING_STORED.to_owned()].into_iter().chain(plain).collect(),
                )
            }
            LoginError::NotStored { .. } | LoginError::NotRemoved { .. } => (Exit::Failed, vec![]),
        };
        Self::of(&error, exit, hints)
    }
}
