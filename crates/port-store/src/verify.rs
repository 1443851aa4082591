//! Reading every blob again, to find what changed below the file system's notice.

use std::str::FromStr as _;

use port_content::{fs, hashing};
use port_model::Digest;
use serde::Serialize;

use crate::error::StoreError;
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

    fn find_missing(&self, verified: &mut Verified) -> Result<(), StoreError> {
        for (_, digest) in self.named_blobs()? {
            let known = verified.damaged.iter().any(|damage| damage.digest == digest);
            if !known && !self.has(&digest) {
                self.damage(verified, digest, "nothing".to_owned())?;
            }
        }
        Ok(())
    }

    fn damage(&self, verified: &mut Verified, digest: Digest, found: String) -> Result<(), StoreError> {
        let names = self.named_blobs()?;
        let names = names.into_iter().filter(|(_, blob)| *blob == digest).map(|(name, _)| name).collect();
        verified.damaged.push(Damage { digest, found, names });
        Ok(())
    }

    /// Every (name, blob) pair that can be followed; a manifest that is itself damaged leads no further.
    fn named_blobs(&self) -> Result<Vec<(String, Digest)>, StoreError> {
        let mut pairs = Vec::new();
        for entry in self.index()?.manifests {
            let name = port_layout::index::name_of(&entry).unwrap_or("(no name)").to_owned();
            pairs.push((name.clone(), entry.digest.clone()));
            let Ok(bytes) = self.read_document(&entry) else { continue };
            let Ok(manifest) = serde_json::from_slice::<port_layout::Manifest>(&bytes) else { continue };
            let blobs = manifest.layers.into_iter().chain([manifest.config]);
            pairs.extend(blobs.map(|blob| (name.clone(), blob.digest)));
        }
        Ok(pairs)
    }
}
