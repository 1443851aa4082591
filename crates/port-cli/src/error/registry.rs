//! Advice on failures of registries, wherever in a chain of causes they are.

use std::error::Error;

use port_registry::{Failure, Kind, Operation, RegistryError, Subject};

/// Where bytes arrive that are not the ones that were named, nobody here knows which side changed them.
pub(super) const OTHER_BYTES: &str = "the registry or the link to it changes bytes (try another link), or what was published is damaged (push the artifact again)";

/// The registry's failure behind an error.
pub(super) fn behind<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a RegistryError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What may help.
pub(super) fn hint(error: &RegistryError) -> Option<String> {
    match (&*error.failure, error.kind()) {
        (Failure::NoTls { .. }, _) => Some(
            "if it is meant to: `transport = \"plain-http\"` in `port.toml`, or `--plain-http`".to_owned(),
        ),
        (_, Kind::Unauthenticated | Kind::Forbidden) => Some(sign_in(error)),
        (_, Kind::NotFound) if is_blob(error) => {
            Some("the publication is incomplete: push it again".to_owned())
        }
        (failure, _) if failure.is_other_bytes() => Some(OTHER_BYTES.to_owned()),
        _ => None,
    }
}

/// A blob that is asked for was named by a document that is there.
fn is_blob(error: &RegistryError) -> bool {
    error.operation == Operation::FetchBlob && matches!(error.subject, Subject::Digest(_))
}

fn sign_in(error: &RegistryError) -> String {
    if let Some(variables) = &error.variables {
        return format!(
            "`auth` takes the user name and the password from the variables {variables}: are they right?"
        );
    }
    let plain = if error.plain_http { " --plain-http" } else { "" };
    format!("sign in with `port login {} --username …{plain}`", error.registry)
}
