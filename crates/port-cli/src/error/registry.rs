//! Advice on failures of registries, wherever in a chain of causes they are.

use std::error::Error;

use port_backend::{BackendError, ErrorKind, NothingPublished};
use port_registry::{Failure, Kind, Operation, RegistryError, Subject};

use super::{Exit, NOTHING_CHANGED};

/// Where bytes arrive that are not the ones that were named, nobody here knows which side changed them.
pub(super) const OTHER_BYTES: &str = "the registry or the link to it changes bytes (try another link), or what was published is damaged (push the artifact again)";

/// The limits of proxies are below what kernels and images need.
const TOO_LARGE: &str = "raise the limit of the registry or of the proxy before it (nginx: `client_max_body_size`), or the quota of the repository";

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

/// One sentence for a name under which nothing is published, which is no failure of anything.
pub(super) fn nothing_published(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<RegistryError>() {
        let looks = matches!(error.operation, Operation::Resolve | Operation::FetchManifest);
        let Subject::Tag(tag) = &error.subject else { return None };
        return (looks && error.kind() == Kind::NotFound).then(|| {
            format!(
                "nothing is published as `{}/{}:{tag}`: {}",
                error.registry, error.repository, error.failure
            )
        });
    }
    let error = error.downcast_ref::<BackendError>()?;
    error.source.is::<NothingPublished>().then(|| format!("nothing is published at `{}`", error.location))
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
        (failure, _) if failure.is_too_large() => Some(TOO_LARGE.to_owned()),
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

/// The exit code for a failure of a registry.
pub(super) fn exit(kind: Kind) -> Exit {
    match kind {
        Kind::NotFound => Exit::NotFound,
        Kind::Unavailable => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

pub(super) fn backend(error: &BackendError) -> (Exit, Vec<String>) {
    let registry = behind(error);
    let known: Vec<String> = registry.and_then(hint).into_iter().collect();
    match error.kind {
        ErrorKind::NotFound if known.is_empty() => {
            (Exit::NotFound, vec!["push it first with `port artifacts push`".to_owned()])
        }
        ErrorKind::NotFound => (Exit::NotFound, known),
        ErrorKind::Unavailable => (Exit::Unreachable, known),
        ErrorKind::Unsupported => (Exit::Usage, vec![]),
        ErrorKind::Corrupt => (Exit::Failed, vec![NOTHING_CHANGED.to_owned(), OTHER_BYTES.to_owned()]),
        ErrorKind::Denied if registry.is_some_and(|error| error.variables.is_none()) => {
            let or = |hint| format!("{hint}, or name the variables: `auth = {{ kind = \"basic-env\", … }}`");
            (Exit::Failed, known.into_iter().map(or).collect())
        }
        ErrorKind::Denied | ErrorKind::Conflict | ErrorKind::Failed => (Exit::Failed, known),
    }
}
