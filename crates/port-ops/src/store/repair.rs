//! Repair: what is damaged or missing, and what a name needs, comes again from where the name came from.
//!
//! ```text
//! for each name:  document ─► what it leads to ─► config, layers, files
//!                    a file:   a copy at hand (cache, local path; hashed) ─► its packs ─► the registry
//!                    a blob:   the registry, by digest
//! then:           cache and local files that hold the damaged bytes are replaced
//! ```
//!
//! Everything goes through a partial file, is checked where it lies, and takes its place by a rename, as in a pull. What cannot be
//! repaired stays listed with the reasons, and is believed by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use port_model::Digest;
use port_store::{Damage, Verified};
use serde::Serialize;

use super::mend::Mend;
use crate::error::{OpsError, chain};
use crate::workspace::Workspace;

/// What a verification found, and what became of it.
#[derive(Debug, Serialize)]
pub struct RepairReport {
    /// What was found.
    #[serde(flatten)]
    pub verified: Verified,
    /// Blobs that are there and sound again.
    pub repaired: Vec<Repaired>,
    /// Cache and local files that held damaged bytes and were replaced.
    pub replaced: Vec<PathBuf>,
    /// Damaged blobs that are gone: no name needs them.
    pub removed: Vec<Digest>,
    /// What is still damaged or missing.
    pub unrepaired: Vec<Unrepaired>,
    /// Bytes that came from registries and directories.
    pub moved_bytes: u64,
}

/// One blob that is whole again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// Which.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where its bytes came from.
    pub from: String,
}

/// One blob that could not be repaired.
#[derive(Debug, Serialize)]
pub struct Unrepaired {
    /// Which.
    pub digest: Digest,
    /// The names that need it.
    pub names: Vec<String>,
    /// Why, one for each place that was tried.
    pub reasons: Vec<String>,
    /// The same, for whoever tells kinds of failures apart.
    #[serde(skip)]
    pub errors: Vec<Arc<OpsError>>,
}

/// Reads every blob again and repairs what can be repaired.
pub async fn repair_store(workspace: &Workspace) -> Result<RepairReport, OpsError> {
    let store = &workspace.store;
    let _operation = store.operation()?;
    let verified = store.verify(workspace.reporter.as_ref())?;
    let mut repair = Repair::new(workspace, &verified)?;
    let index = store.index()?;
    for entry in &index.manifests {
        Mend::new(&mut repair, &index, entry).all().await;
    }
    repair.remove_unneeded(&verified)?;
    let replaced = repair.replace_copies()?;
    let unrepaired = repair.left()?;
    let Repair { repaired, removed, moved, .. } = repair;
    Ok(RepairReport { verified, repaired, replaced, removed, unrepaired, moved_bytes: moved })
}

/// A repair under way.
pub(super) struct Repair<'a> {
    pub(super) workspace: &'a Workspace,
    /// Blobs that are there and damaged.
    damaged: BTreeSet<Digest>,
    /// Files that held them, found before anything is replaced: an inode tells some of them.
    copies: BTreeMap<Digest, Vec<PathBuf>>,
    repaired: Vec<Repaired>,
    removed: Vec<Digest>,
    failures: BTreeMap<Digest, Vec<Arc<OpsError>>>,
    moved: u64,
}

impl<'a> Repair<'a> {
    fn new(workspace: &'a Workspace, verified: &Verified) -> Result<Self, OpsError> {
        let mut repair = Self {
            workspace,
            damaged: BTreeSet::new(),
            copies: BTreeMap::new(),
            repaired: Vec::new(),
            removed: Vec::new(),
            failures: BTreeMap::new(),
            moved: 0,
        };
        for Damage { digest, .. } in &verified.damaged {
            if workspace.store.has(digest) {
                repair.damaged.insert(digest.clone());
            }
            repair.copies.insert(digest.clone(), workspace.store.handed_out(digest)?);
        }
        Ok(repair)
    }

    /// Whether the blob is damaged or missing.
    pub(super) fn lacks(&self, digest: &Digest) -> bool {
        self.is_damaged(digest) || !self.workspace.store.has(digest)
    }

    /// Whether it is there and damaged.
    pub(super) fn is_damaged(&self, digest: &Digest) -> bool {
        self.damaged.contains(digest)
    }

    /// The files that hold it, or held it.
    pub(super) fn copies(&mut self, digest: &Digest) -> Result<Vec<PathBuf>, OpsError> {
        if !self.copies.contains_key(digest) {
            self.copies.insert(digest.clone(), self.workspace.store.handed_out(digest)?);
        }
        Ok(self.copies.get(digest).cloned().unwrap_or_default())
    }

    /// Notes that a blob is whole again.
    pub(super) fn done(&mut self, digest: &Digest, bytes: u64, from: String, moved: u64) {
        self.workspace.note(format!("{digest} is repaired from {from}"));
        self.damaged.remove(digest);
        self.failures.remove(digest);
        self.moved += moved;
        self.repaired.push(Repaired { digest: digest.clone(), bytes, from });
    }

    /// Notes why a blob could not be had.
    pub(super) fn failed(&mut self, digest: &Digest, error: &Arc<OpsError>) {
        self.failures.entry(digest.clone()).or_default().push(Arc::clone(error));
    }

    /// A damaged blob that nothing needs goes.
    pub(super) fn remove(&mut self, digest: &Digest) -> Result<(), OpsError> {
        self.workspace.store.check_blob(digest)?;
        self.damaged.remove(digest);
        self.failures.remove(digest);
        self.removed.push(digest.clone());
        Ok(())
    }

    fn remove_unneeded(&mut self, verified: &Verified) -> Result<(), OpsError> {
        for damage in verified.damaged.iter().filter(|damage| damage.names.is_empty()) {
            if self.is_damaged(&damage.digest) {
                self.remove(&damage.digest)?;
            }
        }
        Ok(())
    }

    /// The files that hold what a repaired blob was. A blob may have gone in an earlier repair that could not end: then its
    /// other names in the caches, which are only read, are known by their records alone.
    fn holders(&self, digest: &Digest) -> Result<BTreeSet<PathBuf>, OpsError> {
        let mut holders: BTreeSet<PathBuf> = self.copies.get(digest).into_iter().flatten().cloned().collect();
        holders.extend(self.workspace.store.handed_out(digest)?);
        for artifact in self.workspace.project.artifacts.values() {
            let cache = &artifact.distribution.cache_root;
            holders.extend(self.workspace.store.handed_out_below(cache, digest)?);
        }
        Ok(holders)
    }

    fn replace_copies(&self) -> Result<Vec<PathBuf>, OpsError> {
        let mut replaced = Vec::new();
        for blob in &self.repaired {
            for path in self.holders(&blob.digest)? {
                match self.workspace.store.replace(&path, &blob.digest, blob.bytes) {
                    Ok(true) => replaced.push(path),
                    Ok(false) => {}
                    Err(error) => self.workspace.note(format!(
                        "`{}` is not replaced: {}",
                        path.display(),
                        chain(&error)
                    )),
                }
            }
        }
        Ok(replaced)
    }

    /// What is still damaged, and what names still need.
    fn left(&mut self) -> Result<Vec<Unrepaired>, OpsError> {
        let mut failures = std::mem::take(&mut self.failures);
        let left = self.workspace.store.missing(&self.damaged)?.into_iter().map(|damage| {
            let errors = failures.remove(&damage.digest).unwrap_or_default();
            let reasons = errors.iter().map(|error| chain(error)).collect();
            Unrepaired { digest: damage.digest, names: damage.names, reasons, errors }
        });
        Ok(left.collect())
    }
}
