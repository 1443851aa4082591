//! What verbs write must be nobody else's: a variant's path is no input, no configuration and not inside a store, and
//! no two artifacts publish the same variant under one reference.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use port_config::{Artifact, Backend, KernelSource, Project};

use crate::error::OpsError;
use crate::lock_file;

/// A path, and what it is.
type Named = (String, PathBuf);

/// Checks the whole project.
///
/// # Errors
/// [`OpsError::Taken`] naming the first path or reference that is wanted twice.
pub(crate) fn check(project: &Project, project_path: &Path) -> Result<(), OpsError> {
    let lock = lock_file::path(project_path);
    if lock == project_path {
        let reason = format!("`{}` is the name of its own lock file; give it another ending", lock.display());
        return Err(OpsError::Taken { reason });
    }
    let mut inputs: Vec<Named> =
        vec![("the configuration".to_owned(), project_path.to_owned()), ("the lock file".to_owned(), lock)];
    let mut roots: Vec<Named> = vec![("the store".to_owned(), project.store_root.clone())];
    for artifact in project.artifacts.values() {
        inputs.extend(inputs_of(artifact));
        roots.extend(roots_of(artifact));
    }
    for artifact in project.artifacts.values() {
        let cache = &artifact.distribution.cache_root;
        if plain(cache).starts_with(plain(&project.store_root)) {
            let (name, cache, store) = (&artifact.name, cache.display(), project.store_root.display());
            let reason = format!("the cache root `{cache}` of `{name}` lies inside the store (`{store}`)");
            return Err(OpsError::Taken { reason });
        }
        for config in &artifact.variants {
            check_path(artifact, &config.path, &inputs, &roots)?;
        }
    }
    check_references(project)
}

fn check_path(artifact: &Artifact, path: &Path, inputs: &[Named], roots: &[Named]) -> Result<(), OpsError> {
    let written = plain(path);
    let clash = inputs.iter().find(|(_, input)| plain(input) == written);
    let inside = roots.iter().find(|(_, root)| written.starts_with(plain(root)));
    let Some((what, found)) = clash.or(inside) else { return Ok(()) };
    let (name, path, found) = (&artifact.name, path.display(), found.display());
    Err(OpsError::Taken {
        reason: format!("the path `{path}` of `{name}` would overwrite {what} (`{found}`)"),
    })
}

/// Files that builds read.
fn inputs_of(artifact: &Artifact) -> Vec<Named> {
    let name = &artifact.name;
    let mut inputs = Vec::new();
    for config in &artifact.variants {
        for source in &config.sources {
            if let KernelSource::Path { path, .. } | KernelSource::DebianFile { path, .. } = source {
                inputs.push((format!("a source of `{name}`"), path.clone()));
            }
        }
        let programs = config.recipe.iter().flat_map(|recipe| recipe.agent.iter().chain(&recipe.busybox));
        inputs.extend(programs.map(|path| (format!("a program in `{name}`"), path.clone())));
    }
    inputs
}

/// Directories that Port manages, or reads as a whole.
fn roots_of(artifact: &Artifact) -> Vec<Named> {
    let name = &artifact.name;
    let distribution = &artifact.distribution;
    let mut roots = vec![(format!("the cache of `{name}`"), distribution.cache_root.clone())];
    for backend in [&distribution.push, &distribution.pull].into_iter().flatten() {
        if let Backend::FileSystem { root } = backend {
            roots.push((format!("what `{name}` publishes"), root.clone()));
        }
    }
    let recipes = artifact.variants.iter().filter_map(|config| config.recipe.as_ref());
    let directories = recipes.filter_map(|recipe| recipe.directory.clone());
    roots.extend(directories.map(|path| (format!("the files of `{name}`"), path)));
    roots
}

/// The path without `.`; a path that goes up is compared as it is.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}

fn check_references(project: &Project) -> Result<(), OpsError> {
    let mut published = BTreeMap::new();
    for artifact in project.artifacts.values() {
        for config in &artifact.variants {
            let name = artifact.reference.variant_name(config.variant);
            if let Some(other) = published.insert(name.clone(), &artifact.name) {
                let reason = format!("`{other}` and `{}` both publish `{name}`", artifact.name);
                return Err(OpsError::Taken { reason });
            }
        }
    }
    Ok(())
}
