//! Package names: one canonical form, registry and tag always written out (acceptance K-6, K-45, C-10).

use port_model::Reference;

use super::{DEFAULT_REGISTRY, DEFAULT_TAG, KraftkitError};

/// Parses `[registry/]repository[:tag][@digest]`. What stands before the first `/` is a registry where it has a
/// dot or a colon or is `localhost`.
///
/// # Errors
/// [`KraftkitError`] where there is no name, or a part breaks the grammar.
pub fn parse_name(name: &str) -> Result<Reference, KraftkitError> {
    if name.is_empty() {
        return Err(KraftkitError::NoName);
    }
    let (plain, digest) = match name.split_once('@') {
        Some((plain, digest)) => (plain, Some(digest)),
        None => (name, None),
    };
    let (registry, rest) = match plain.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => (DEFAULT_REGISTRY, plain),
    };
    let (repository, tag) = rest.split_once(':').unwrap_or((rest, DEFAULT_TAG));
    let named = |source| KraftkitError::Name { name: name.to_owned(), source };
    let reference = Reference::new(registry, repository, tag).map_err(named)?;
    match digest {
        None => Ok(reference),
        Some(text) => match text.parse() {
            Ok(digest) => Ok(reference.with_digest(digest)),
            Err(source) => Err(KraftkitError::NameDigest { name: name.to_owned(), source }),
        },
    }
}
