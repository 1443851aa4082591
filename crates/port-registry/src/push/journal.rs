//! Upload sessions, written down so that a rerun after a kill goes on with them.
//!
//! One file per registry, repository and blob; it is locked while its upload runs. Its first line is the record.
//! A Location can be a secret (some registries sign states into it), so the file is for its owner only.
//!
//! CRASH: a kill between a part and its record leaves the record of the part before. The registry is asked how much it
//! has before anything is sent, so that the record only has to lead to the session.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use port_content::fs::{self, Context as _, FsError};
use port_content::hashing::digest_of;
use port_model::Digest;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::locked;
use crate::name::{RegistryHost, RepositoryName};

/// The version of the file's format.
const VERSION: u32 = 1;
/// The largest record that is read, in bytes.
const LARGEST: usize = 64 * 1024;

/// One upload session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    registry: String,
    repository: String,
    digest: Digest,
    size: u64,
    location: String,
    /// What the registry has confirmed, in bytes.
    pub(crate) offset: u64,
}

/// The journal of one upload; without a state directory it remembers nothing.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Option<(File, PathBuf)>,
    empty: Record,
}

impl Journal {
    /// Opens the journal of one upload. Where another process has the same upload under way, this one is on its own.
    pub(crate) fn open(
        directory: Option<&Path>,
        registry: &RegistryHost,
        repository: &RepositoryName,
        digest: &Digest,
        size: u64,
    ) -> Result<Self, FsError> {
        let empty = Record {
            version: VERSION,
            registry: registry.to_string(),
            repository: repository.to_string(),
            digest: digest.clone(),
            size,
            location: String::new(),
            offset: 0,
        };
        let Some(directory) = directory else { return Ok(Self { file: None, empty }) };
        let path = place(directory, registry, repository, digest);
        let file = locked::now(&path)?;
        if file.is_some() {
            fs::set_mode(&path, 0o600)?;
        }
        Ok(Self { file: file.map(|file| (file, path)), empty })
    }

    /// Removes what a run left that was killed after the registry had all, before it could say so here.
    pub(crate) fn sweep(
        directory: Option<&Path>,
        registry: &RegistryHost,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), FsError> {
        let Some(path) = directory.map(|directory| place(directory, registry, repository, digest)) else {
            return Ok(());
        };
        if !fs::exists(&path) {
            return Ok(());
        }
        // Held by whoever uploads at this moment: then it is his.
        match locked::now(&path)? {
            Some(_held) => fs::remove_file(&path),
            None => Ok(()),
        }
    }

    /// The session of an earlier run, if there is one of this very upload.
    pub(crate) fn session(&self) -> Option<(Url, u64)> {
        let (file, _) = self.file.as_ref()?;
        let mut buffer = vec![0; LARGEST];
        let count = file.read_at(&mut buffer, 0).ok()?;
        let line = buffer.get(..count)?.split(|byte| *byte == b'\n').next()?;
        let record: Record = serde_json::from_slice(line).ok()?;
        let known = &self.empty;
        let same = record.version == VERSION
            && record.registry == known.registry
            && record.repository == known.repository
            && record.digest == known.digest
            && record.size == known.size
            && record.offset <= known.size;
        same.then(|| Url::parse(&record.location).ok().map(|url| (url, record.offset)))?
    }

    /// Writes down where the session is and what the registry has.
    pub(crate) fn record(&self, location: &Url, offset: u64) -> Result<(), FsError> {
        let Some((file, path)) = &self.file else { return Ok(()) };
        let record = Record { location: location.to_string(), offset, ..self.empty.clone() };
        let mut line = serde_json::to_vec(&record).map_err(io::Error::other).context("write", path)?;
        line.push(b'\n');
        file.write_all_at(&line, 0).context("write", path)
    }

    /// Forgets the session: it is done, or gone.
    pub(crate) fn forget(&self) -> Result<(), FsError> {
        match &self.file {
            Some((file, path)) => file.set_len(0).context("empty", path),
            None => Ok(()),
        }
    }

    /// Removes the journal: the upload is done.
    pub(crate) fn remove(self) -> Result<(), FsError> {
        match &self.file {
            Some((_, path)) => fs::remove_file(path),
            None => Ok(()),
        }
    }
}

fn place(directory: &Path, registry: &RegistryHost, repository: &RepositoryName, digest: &Digest) -> PathBuf {
    let key = digest_of(format!("{registry}/{repository}@{digest}").as_bytes());
    directory.join("uploads").join(format!("{}.json", key.hex()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_again_and_only_by_its_own_upload() {
        let directory = tempfile::tempdir().unwrap();
        let open = |repository: &str, size| {
            let (registry, repository) = ("r:5000".parse().unwrap(), repository.parse().unwrap());
            Journal::open(Some(directory.path()), &registry, &repository, &digest_of(b"x"), size).unwrap()
        };
        let journal = open("a", 10);
        assert!(journal.session().is_none());
        let long = Url::parse("http://r:5000/v2/a/blobs/uploads/1?_state=looooong").unwrap();
        let short = Url::parse("http://r:5000/u").unwrap();
        journal.record(&long, 4).unwrap();
        journal.record(&short, 8).unwrap();
        assert!(open("a", 10).session().is_none(), "locked by the first");
        drop(journal);
        assert_eq!(open("a", 10).session(), Some((short, 8)));
        assert!(open("a", 11).session().is_none());
        assert!(open("b", 10).session().is_none());
        open("a", 10).remove().unwrap();
        assert!(open("a", 10).session().is_none());
    }
}
