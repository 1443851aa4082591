//! Advice for the agent of a machine. Its exit codes are its own (docs/update.md): see `commands/update/agent.rs`.

use port_ops::update::agent::AgentError;
use port_update::{Class, JournalError};

use super::{CommandError, Exit};

impl From<AgentError> for CommandError {
    fn from(error: AgentError) -> Self {
        let hint = match &error {
            AgentError::Journal(JournalError::Busy { .. }) => Some("wait until it is done"),
            AgentError::Journal(JournalError::Illegal(_)) => Some("`port update status` says where it is"),
            _ => error.class().and_then(hint),
        };
        Self::of(&error, Exit::Failed, hint.map(str::to_owned).into_iter().collect())
    }
}

fn hint(class: Class) -> Option<&'static str> {
    Some(match class {
        Class::Signature => {
            "nothing was changed; sign it with `port update sign`, or correct `pubkey` or `trust_policy`"
        }
        Class::Rollback => "nothing was changed; publish the release anew under a higher number",
        Class::Expired => "nothing was changed; sign it anew, and see that this machine's clock is right",
        Class::DiskFull => "make room beside the slots and the state; what was fetched was given up",
        Class::Unhealthy => "`port update status` says what is tried, and what is left",
        Class::Gate
        | Class::WrongTarget
        | Class::MixAndMatch
        | Class::Oversize
        | Class::Network
        | Class::Io => return None,
    })
}
