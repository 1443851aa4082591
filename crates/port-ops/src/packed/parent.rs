//! The version that a push packs against: named by the user, or found.
//!
//! ```text
//! what this version's tag names now ─► the versions in the store and the best one of the registry, the next below first
//! ```
//!
//! The parent's file is brought into the store if it is not there: without its bytes nobody can tell what is new.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use port_backend::ErrorKind;
use port_layout::Blob;
use port_layout::index::name_of;
use port_layout::native::{self, Stored};
use port_model::{Component, ComponentKind, Reference};
use port_packed::Map;
use port_registry::Kind;

use super::map_of;
use crate::copy::CopyError;
use crate::error::OpsError;
use crate::source::Source;

/// What to pack against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ParentChoice {
    /// What is found.
    #[default]
    Auto,
    /// Nothing: everything is packed anew.
    None,
    /// This version of the same repository and variant.
    Version(String),
}

/// A version whose file and map are in the store.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    /// The published name of the variant.
    pub(crate) name: String,
    pub(crate) component: Component,
    pub(crate) map: Arc<Map>,
}

/// Finds the parent of the component of this kind. `source` is the version that is being pushed.
///
/// # Errors
/// A version that the user named and that is not there, or is not packed.
pub(crate) async fn find(
    source: Source<'_>,
    choice: &ParentChoice,
    kind: ComponentKind,
) -> Result<Option<Parent>, OpsError> {
    match choice {
        ParentChoice::None => Ok(None),
        ParentChoice::Version(version) => {
            let reference = version_of(source.reference, version)?;
            let found = look(Source { reference: &reference, ..source }, kind).await?;
            found.map(Some).ok_or_else(|| OpsError::NotPacked {
                name: reference.variant_name(source.variant),
                variant: source.variant,
            })
        }
        ParentChoice::Auto => {
            for reference in candidates(source).await? {
                match look(Source { reference: &reference, ..source }, kind).await {
                    Ok(Some(parent)) => return Ok(Some(parent)),
                    Ok(None) => {}
                    // A parent is a saving, not a need.
                    Err(error) => {
                        let name = reference.variant_name(source.variant);
                        source.workspace.note(format!("not packing against {name}: {error}"));
                    }
                }
            }
            Ok(None)
        }
    }
}

fn version_of(reference: &Reference, version: &str) -> Result<Reference, OpsError> {
    Reference::new(reference.registry(), reference.repository(), version)
        .map_err(|error| OpsError::Taken { reason: format!("`--parent {version}`: {error}") })
}

/// The versions that may serve, best first.
async fn candidates(source: Source<'_>) -> Result<Vec<Reference>, OpsError> {
    let stored = stored_versions(source)?;
    let mut versions: Vec<String> = stored.iter().map(|known| known.version().to_owned()).collect();
    // Of the others one is enough: each that is looked at may be fetched for nothing.
    versions.extend(published_versions(source).await.into_iter().find(|version| !versions.contains(version)));
    let mut found = vec![source.reference.clone()];
    found.extend(references(source.reference, versions.iter().map(String::as_str)));
    Ok(found)
}

/// The versions of the same repository and variant that the registry lists, best first.
async fn published_versions(source: Source<'_>) -> Vec<String> {
    let Some(repository) = source.repository else { return Vec::new() };
    // A repository that does not exist yet, or a registry that lists nothing: a parent is a saving, not a need.
    let tags = repository.tags().await.unwrap_or_else(|error| {
        if error.kind() != Kind::NotFound {
            let reason = crate::error::chain(&error);
            source.workspace.note(format!("no parent is looked for in the registry: {reason}"));
        }
        Vec::new()
    });
    let suffix = format!("-{}", source.variant.tag_suffix());
    let versions = tags.iter().filter_map(|tag| tag.as_str().strip_suffix(&suffix));
    by_nearness(versions, source.reference.version()).map(str::to_owned).collect()
}

/// The versions of the same repository and variant that the store has, best first, without the one itself.
pub(crate) fn stored_versions(source: Source<'_>) -> Result<Vec<Reference>, OpsError> {
    let of = source.reference;
    let (prefix, suffix) =
        (format!("{}/{}:", of.registry(), of.repository()), format!("-{}", source.variant.tag_suffix()));
    let stored = source.workspace.store.index()?.manifests;
    let versions = stored.iter().filter_map(name_of).filter_map(|name| name.strip_prefix(&prefix));
    Ok(references(of, versions.filter_map(|tag| tag.strip_suffix(&suffix))))
}

fn references<'a>(of: &Reference, versions: impl Iterator<Item = &'a str>) -> Vec<Reference> {
    let ordered = by_nearness(versions, of.version());
    ordered.filter_map(|version| Reference::new(of.registry(), of.repository(), version).ok()).collect()
}

/// The versions below `version`, greatest first; behind them those above, greatest first.
fn by_nearness<'a>(versions: impl Iterator<Item = &'a str>, version: &str) -> impl Iterator<Item = &'a str> {
    let mut others: Vec<&str> = versions.filter(|other| *other != version).collect();
    others.sort_by(|a, b| {
        let above = |other: &str| natural(other, version) == Ordering::Greater;
        above(a).cmp(&above(b)).then_with(|| natural(b, a))
    });
    others.into_iter()
}

/// Numbers by value, everything else by its bytes: `v9` stands before `v10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let number = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits_a, digits_b) = (number(a), number(b));
        if digits_a > 0 && digits_b > 0 {
            let (number_a, number_b) = (trimmed(&a[..digits_a]), trimmed(&b[..digits_b]));
            let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[digits_a..], &b[digits_b..]);
            continue;
        }
        match (a.split_first(), b.split_first()) {
            (Some((first_a, rest_a)), Some((first_b, rest_b))) => match first_a.cmp(first_b) {
                Ordering::Equal => (a, b) = (rest_a, rest_b),
                order => return order,
            },
            (first_a, first_b) => return first_a.is_some().cmp(&first_b.is_some()),
        }
    }
}

fn trimmed(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

/// The version's file and map, brought into the store; `None` where it is not published, or not packed.
async fn look(source: Source<'_>, kind: ComponentKind) -> Result<Option<Parent>, OpsError> {
    let documents = match source.backend.resolve(source.reference, source.variant).await {
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        other => other?.documents,
    };
    let Some(documents) = documents else { return Ok(None) };
    let Ok(decoded) = native::decode_stored(&documents.manifest, &documents.config) else { return Ok(None) };
    let found = decoded.bundle.components.iter().zip(&decoded.stored).find(|(found, _)| found.kind == kind);
    let Some((component, stored @ Stored::Packed { map, packs })) = found else { return Ok(None) };
    let name = source.reference.variant_name(source.variant);
    source.workspace.note(format!("packing against {name}"));
    source.blob(component, map).await?;
    let read = map_of(source.workspace, component, map, packs)?;
    check_packs(source, component, map, packs).await?;
    let manifest = port_content::hashing::digest_of(&documents.manifest);
    source.bring(component, stored, &manifest, Path::new("")).await?;
    Ok(Some(Parent { name, component: component.clone(), map: Arc::new(read) }))
}

/// What the new map takes from the parent's packs must be there for whoever pulls it: at the registry, or here to be sent.
async fn check_packs(
    source: Source<'_>,
    component: &Component,
    map: &Blob,
    packs: &[Blob],
) -> Result<(), OpsError> {
    let Some(repository) = source.repository else { return Ok(()) };
    for pack in packs {
        if !source.workspace.store.has_sound(&pack.digest)?
            && !repository.has_blob(&pack.digest).await.map_err(CopyError::from)?
        {
            return Err(OpsError::WrongMap {
                file_name: component.file_name.clone(),
                digest: map.digest.clone(),
                reason: format!("its pack {} is neither at the registry nor here", pack.digest),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_next_below_comes_first() {
        for (version, expected) in [
            ("v10", ["v9-rc1", "v2", "v1", "v11"]),
            ("v2", ["v1", "v11", "v10", "v9-rc1"]),
            ("v0", ["v11", "v10", "v9-rc1", "v2"]),
        ] {
            let versions = ["v1", "v2", "v10", "v11", "v9-rc1"];
            let found: Vec<&str> = by_nearness(versions.into_iter(), version).take(4).collect();
            assert_eq!(found, expected, "{version}");
        }
        assert_eq!(natural("1.02", "1.2"), Ordering::Equal);
        assert_eq!(natural("1.2", "1.2.1"), Ordering::Less);
    }
}
