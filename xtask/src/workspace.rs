//! Where things are: the root, the member crates with their manifests, their Rust files in a fixed order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// A crate of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) manifest: toml::Table,
}

/// The workspace's root. cargo says at run time where this crate is, so a moved clone is not a stale path.
pub(crate) fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    xtask.parent().map_or_else(|| xtask.clone(), Path::to_path_buf)
}

/// The target directory in use, whatever set it: the one this program was built into
/// (`<target>/<profile>/xtask`, and below `deps` for its own tests).
pub(crate) fn target_directory() -> PathBuf {
    let program = std::env::current_exe().ok();
    let profile = program.as_deref().and_then(Path::parent);
    let profile = match profile {
        Some(directory) if directory.ends_with("deps") => directory.parent(),
        other => other,
    };
    profile.and_then(Path::parent).map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// Every crate, sorted by name.
pub(crate) fn members() -> Outcome<Vec<Member>> {
    let root = root();
    let mut directories = vec![root.join("xtask")];
    directories.extend(entries(&root.join("crates"))?);
    let mut members = Vec::new();
    for directory in directories {
        let path = directory.join("Cargo.toml");
        // A folder without a manifest is not a crate: what a removed crate leaves behind.
        if !path.is_file() {
            continue;
        }
        let manifest = read_text(&path)?
            .parse::<toml::Table>()
            .map_err(|error| Failure::new(format!("`{}` is not TOML: {error}", path.display())))?;
        let name =
            manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
        let name =
            name.ok_or_else(|| Failure::new(format!("`{}` has no package.name", path.display())))?.to_owned();
        members.push(Member { name, directory, manifest });
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

impl Member {
    /// Its Rust files below `folder` ("src", "tests"), by path relative to the crate.
    pub(crate) fn rust_files(&self, folder: &str) -> Outcome<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        let mut pending = vec![self.directory.join(folder)];
        while let Some(directory) = pending.pop() {
            if !directory.is_dir() {
                continue;
            }
            for path in entries(&directory)? {
                if path.is_dir() {
                    pending.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let relative = path.strip_prefix(&self.directory).unwrap_or(&path);
                    files.insert(relative.to_string_lossy().into_owned(), read_text(&path)?);
                }
            }
        }
        Ok(files)
    }

    /// Its directory as a reader knows it: relative to the root.
    pub(crate) fn shown_directory(&self) -> String {
        let root = root();
        self.directory.strip_prefix(&root).unwrap_or(&self.directory).display().to_string()
    }
}

pub(crate) fn read_text(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path).map_err(|error| Failure::io("read", path, &error))
}

pub(crate) fn write_text(path: &Path, text: &str) -> Outcome {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Failure::io("create", parent, &error))?;
    }
    std::fs::write(path, text).map_err(|error| Failure::io("write", path, &error))
}

/// What is in a directory, sorted: reports must not depend on the order of readdir.
pub(crate) fn entries(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let listing = std::fs::read_dir(directory).map_err(|error| Failure::io("list", directory, &error))?;
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(|error| Failure::io("list", directory, &error))?.path());
    }
    paths.sort();
    Ok(paths)
}
