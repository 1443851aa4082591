//! Reading every blob again, to find what changed below the file system's notice.
//!
//! The disk is read, not what memory holds of it. What is found damaged is believed nowhere any more: neither as a blob nor as a
//! file that was handed out (`doubt.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use port_content::fs::Context as _;
use port_content::hashing::Hasher;
use port_content::{fs, sparse};
use port_model::{Digest, Event, Reporter};
use serde::Serialize;

use crate::error::StoreError;
use crate::reach::Need;
use crate::store::Store;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many blobs were read.
    pub blobs: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// What is wrong.
    pub damaged: Vec<Damage>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The blob that should be there.
    pub digest: Digest,
    /// What was found instead.
    pub found: String,
    /// The names that lead to it.
    pub names: Vec<String>,
}

/// What verification is called in progress.
const TASK: &str = "verify the store";
/// How much is read before it is told, in bytes.
const STEP: u64 = 16 * 1024 * 1024;

impl Store {
    /// Hashes every blob and looks for blobs that names lead to and that are missing.
    pub fn verify(&self, reporter: &dyn Reporter) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        self.ensure()?;
        let blobs = self.blobs()?;
        let total =
            blobs.iter().filter_map(|(path, _)| fs::metadata(path).ok()).map(|found| found.len()).sum();
        reporter.event(Event::Started { task: TASK.to_owned(), total: Some(total) });
        for (path, expected) in blobs {
            self.verify_blob(&path, expected, &mut verified, reporter)?;
        }
        reporter.event(Event::Finished { task: TASK.to_owned() });
        let damaged: BTreeSet<Digest> = verified.damaged.iter().map(|damage| damage.digest.clone()).collect();
        // A store that cannot be written, of another user, is only looked at.
        let _ = self.doubt(&damaged);
        self.find_missing(&mut verified)?;
        Ok(verified)
    }

    /// What names need and have not: these damaged blobs, and what is not there. Nothing is read again.
    pub fn missing(&self, damaged: &BTreeSet<Digest>) -> Result<Vec<Damage>, StoreError> {
        let mut verified = Verified::default();
        for digest in damaged {
            self.damage(&mut verified, digest.clone(), "other bytes".to_owned())?;
        }
        self.find_missing(&mut verified)?;
        Ok(verified.damaged)
    }

    /// Every blob that is named as one.
    fn blobs(&self) -> Result<Vec<(PathBuf, Digest)>, StoreError> {
        let paths = fs::read_dir(&self.root().join("blobs/sha256")).map_err(|e| self.files(e))?;
        let named = |path: PathBuf| {
            let name = path.file_name()?.to_str()?;
            let digest = Digest::from_str(&format!("sha256:{name}")).ok()?;
            Some((path, digest))
        };
        Ok(paths.into_iter().filter_map(named).collect())
    }

    fn verify_blob(
        &self,
        path: &Path,
        expected: Digest,
        verified: &mut Verified,
        reporter: &dyn Reporter,
    ) -> Result<(), StoreError> {
        let found = match read_again(path, reporter) {
            // Collected, or replaced, meanwhile.
            Err(error) if error.is_not_found() => return Ok(()),
            // A disk that cannot read what it holds has damaged it.
            Err(error) => {
                verified.blobs += 1;
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                return self.damage(verified, expected, reason.unwrap_or_else(|| error.to_string()));
            }
            Ok(found) => found,
        };
        let (digest, size) = found;
        verified.blobs += 1;
        verified.bytes += size;
        if digest != expected {
            self.damage(verified, expected, format!("{size} bytes with {digest}"))?;
        }
        Ok(())
    }

    /// Looks for what the documents need. One that is itself damaged or missing leads no further.
    fn find_missing(&self, verified: &mut Verified) -> Result<(), StoreError> {
        for (_, need) in self.named_needs()? {
            let missing: Vec<Digest> = match need {
                Need::Either { file, .. } if self.has(&file) => continue,
                Need::Either { file, blobs, .. } if blobs.len() == 1 && blobs.contains(&file) => vec![file],
                Need::Either { blobs, .. } => blobs,
                Need::Blob(digest) => vec![digest],
            };
            for digest in missing {
                let known = verified.damaged.iter().any(|damage| damage.digest == digest);
                if !known && !self.has(&digest) {
                    self.damage(verified, digest, "nothing".to_owned())?;
                }
            }
        }
        Ok(())
    }

    fn damage(&self, verified: &mut Verified, digest: Digest, found: String) -> Result<(), StoreError> {
        let names = self.names_leading_to(&digest)?;
        verified.damaged.push(Damage { digest, found, names });
        Ok(())
    }

    /// The names that lead to a blob; entries without a name are in it as `(no name)`.
    pub fn names_leading_to(&self, digest: &Digest) -> Result<Vec<String>, StoreError> {
        let needs = self.named_needs()?.into_iter();
        let mut names: Vec<String> =
            needs.filter(|(_, need)| need.all().contains(&digest)).map(|(name, _)| name).collect();
        names.dedup();
        Ok(names)
    }

    /// Every (name, need) pair that can be followed.
    fn named_needs(&self) -> Result<Vec<(String, Need)>, StoreError> {
        let mut pairs = Vec::new();
        for entry in self.index()?.manifests {
            let name = port_layout::index::name_of(&entry).unwrap_or("(no name)").to_owned();
            pairs.push((name.clone(), Need::Blob(entry.digest.clone())));
            let mut waiting = vec![entry];
            let mut seen = BTreeSet::new();
            while let Some(descriptor) = waiting.pop() {
                if !seen.insert(descriptor.digest.clone()) {
                    continue;
                }
                let Ok(reached) = self.reach(&descriptor) else { continue };
                pairs.extend(reached.needs.into_iter().map(|need| (name.clone(), need)));
                let documents = reached.documents.iter();
                pairs.extend(documents.map(|found| (name.clone(), Need::Blob(found.digest.clone()))));
                waiting.extend(reached.documents);
            }
        }
        Ok(pairs)
    }
}

/// Digest and size of a file as it lies on the disk.
fn read_again(path: &Path, reporter: &dyn Reporter) -> Result<(Digest, u64), fs::FsError> {
    let (file, metadata) = fs::open_regular(path)?;
    fs::forget_cached(&file);
    let mut hasher = Hasher::default();
    while hasher.size() < metadata.len() {
        let before = hasher.size();
        sparse::hash_to(&file, &mut hasher, metadata.len().min(before + STEP)).context("read", path)?;
        reporter.event(Event::Advanced { task: TASK.to_owned(), bytes: hasher.size() - before });
    }
    let size = hasher.size();
    Ok((hasher.finish(), size))
}
