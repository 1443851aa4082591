//! Reading every blob again, to find what changed below the file system's notice.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use port_content::{fs, hashing};
use port_model::Digest;
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

impl Store {
    /// Hashes every blob and looks for blobs that names lead to and that are missing.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        self.ensure()?;
        for path in fs::read_dir(&self.root().join("blobs/sha256")).map_err(|e| self.files(e))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(expected) = Digest::from_str(&format!("sha256:{name}")) else { continue };
            let (found, size) = hashing::digest_file(&path).map_err(|e| self.files(e))?;
            verified.blobs += 1;
            verified.bytes += size;
            if found != expected {
                self.damage(&mut verified, expected, format!("{size} bytes with {found}"))?;
            }
        }
        self.find_missing(&mut verified)?;
        Ok(verified)
    }

    /// Looks for what the documents need. One that is itself damaged or missing leads no further.
    fn find_missing(&self, verified: &mut Verified) -> Result<(), StoreError> {
        for (_, need) in self.named_needs()? {
            let missing: Vec<Digest> = match need {
                Need::Either { file, .. } if self.has(&file) => continue,
                Need::Either { file, blobs } if blobs.len() == 1 && blobs.contains(&file) => vec![file],
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
        let needs = self.named_needs()?.into_iter();
        let mut names: Vec<String> =
            needs.filter(|(_, need)| need.all().contains(&&digest)).map(|(name, _)| name).collect();
        names.dedup();
        verified.damaged.push(Damage { digest, found, names });
        Ok(())
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
