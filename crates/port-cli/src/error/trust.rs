//! Advice about trust. Not trusted has an exit code of its own, and is never tried again by itself.

use port_ops::OpsError;
use port_ops::trust::TrustError;

use super::{Exit, NOTHING_CHANGED};

/// Exit code and hints.
pub(super) fn advice(error: &TrustError) -> (Exit, Vec<String>) {
    let one = |exit, hint: &str| (exit, vec![hint.to_owned()]);
    match error {
        TrustError::NotTrusted { .. } => one(Exit::NotTrusted, NOTHING_CHANGED),
        TrustError::NoSignatures { remedy, .. } => one(Exit::NotTrusted, remedy),
        TrustError::Policy(_) => one(Exit::Usage, "nothing is trusted by a policy that cannot be read"),
        TrustError::Key { source: port_trust::KeyError::WrongPassphrase, .. } => {
            one(Exit::Failed, "the passphrase is asked for, or comes from `PORT_KEY_PASSPHRASE`")
        }
        TrustError::Key { .. } => one(Exit::Usage, "make a key pair with `port keys generate`"),
        TrustError::KeyExists { .. } => one(Exit::Usage, "name another file with `--output FILE`"),
        TrustError::Usage(_) => (Exit::Usage, vec![]),
        TrustError::NoStatement { .. } => {
            one(Exit::Failed, "build it with `port artifacts build`, push it, and attest what was pushed")
        }
        TrustError::Files(error) if error.is_not_found() => (Exit::NotFound, vec![]),
        TrustError::Unsignable { .. }
        | TrustError::NoRandomness { .. }
        | TrustError::Copy(_)
        | TrustError::Files(_) => (Exit::Failed, vec![]),
    }
}

/// Why a verdict is what it is, line by line; nothing of other failures.
pub(super) fn why(error: &OpsError) -> Vec<String> {
    match error {
        OpsError::Trust(error) => why_not(error),
        _ => Vec::new(),
    }
}

/// The same.
pub(super) fn why_not(error: &TrustError) -> Vec<String> {
    match error {
        TrustError::NotTrusted { verdict, .. } => verdict.explanation(),
        _ => Vec::new(),
    }
}
