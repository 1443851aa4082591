//! Names: `index.json`, changed under a lock and replaced whole.

use std::path::PathBuf;

use port_content::{atomic, fs, limit, lock};
use port_layout::{Descriptor, Index, index, oci};

use crate::error::StoreError;
use crate::store::Store;

impl Store {
    /// The manifest that `name` stands for.
    pub fn resolve(&self, name: &str) -> Result<Option<Descriptor>, StoreError> {
        Ok(index::find(&self.index()?, name).cloned())
    }

    /// Gives `descriptor` the name, taking it from whatever had it.
    pub fn tag(&self, name: &str, descriptor: Descriptor) -> Result<(), StoreError> {
        self.change_index(|index| {
            index::put(index, name, descriptor);
        })
    }

    /// Takes the name away; says whether it was there. The blobs stay until garbage collection.
    pub fn untag(&self, name: &str) -> Result<bool, StoreError> {
        self.change_index(|index| index::remove(index, name))
    }

    /// All names and what they stand for.
    pub fn index(&self) -> Result<Index, StoreError> {
        let path = self.index_path();
        let bytes = match fs::read(&path, limit::DOCUMENT) {
            Err(error) if error.is_not_found() => return Ok(Index::default()),
            other => other.map_err(|e| self.files(e))?,
        };
        let malformed =
            |source| StoreError::Malformed { path: path.clone(), expected: "an OCI image index", source };
        let index: Index = serde_json::from_slice(&bytes).map_err(malformed)?;
        match index.schema_version {
            2 => Ok(index),
            other => {
                Err(malformed(serde::de::Error::custom(format!("schemaVersion is {other}, expected 2"))))
            }
        }
    }

    fn change_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> Result<T, StoreError> {
        self.ensure()?;
        let lock = lock::lock(&self.root().join("index.lock"), lock::Mode::Exclusive);
        let _lock = lock.map_err(|e| self.files(e))?;
        let before = self.index()?;
        let mut after = before.clone();
        let result = change(&mut after);
        if after != before || !fs::exists(&self.index_path()) {
            atomic::write(&self.index_path(), &oci::to_bytes(&after)).map_err(|e| self.files(e))?;
        }
        Ok(result)
    }

    fn index_path(&self) -> PathBuf {
        self.root().join("index.json")
    }
}
