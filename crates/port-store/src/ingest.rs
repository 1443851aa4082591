//! Adding blobs: bytes are written beside their place, hashed, and only then named: where they lie, or, of what this process
//! makes itself, by whoever writes them, on their way ([`Ingest::commit_hashed`]).

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use port_content::atomic::{self, AtomicFile};
use port_content::fs::Context as _;
use port_content::verify::Mismatch;
use port_content::{FsError, aside, fs, hashing, lock, sparse};
use port_model::Digest;

use crate::error::StoreError;
use crate::known::{self, Knowledge, Written};
use crate::store::Store;

/// A blob that is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// A blob on its way in. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Ingest<'a> {
    store: &'a Store,
    file: AtomicFile,
    subject: String,
}

impl Store {
    /// Starts a blob; `subject` names it in errors.
    pub fn ingest(&self, subject: &str) -> Result<Ingest<'_>, StoreError> {
        self.ensure()?;
        // The final name is known only after hashing; the first name just has to lie in the same directory.
        let place = self.root().join("blobs/sha256/incoming");
        let file = AtomicFile::create(&place).map_err(|e| self.files(e))?.mode(0o444);
        Ok(Ingest { store: self, file, subject: subject.to_owned() })
    }

    /// Adds bytes from memory.
    pub fn ingest_bytes(&self, subject: &str, bytes: &[u8]) -> Result<Blob, StoreError> {
        let digest = hashing::digest_of(bytes);
        let size = bytes.len() as u64;
        if self.has_sound(&digest)? {
            return Ok(Blob { digest, size });
        }
        let mut ingest = self.ingest(subject)?;
        ingest.file.write_all(bytes).context("write", &self.blob_path(&digest)).map_err(|e| self.files(e))?;
        ingest.commit(Some((&digest, size)))
    }

    /// Adds a copy of a file outside the store: a reflink where possible. A file that is known and whose
    /// blob is here costs nothing.
    pub fn ingest_file(&self, path: &Path) -> Result<Blob, StoreError> {
        self.ingest_by(sparse::copy_flushing, path, None)
    }

    /// As [`Store::ingest_file`], for a file whose digest somebody else goes by already.
    ///
    /// # Errors
    /// [`StoreError::ChangedMeanwhile`] where the file has another digest by now; then nothing is added.
    pub fn ingest_expected(&self, path: &Path, digest: &Digest) -> Result<Blob, StoreError> {
        self.ingest_by(sparse::copy_flushing, path, Some(digest))
    }

    /// As [`Store::ingest_expected`], where nobody reads the blob at once: a large copy takes no memory.
    pub fn ingest_aside(&self, path: &Path, digest: &Digest) -> Result<Blob, StoreError> {
        self.ingest_by(aside::copy, path, Some(digest))
    }

    fn ingest_by(
        &self,
        copy: fn(&File, &File, &Path) -> Result<u64, FsError>,
        path: &Path,
        expected: Option<&Digest>,
    ) -> Result<Blob, StoreError> {
        let changed = || StoreError::ChangedMeanwhile { path: path.to_owned() };
        let other = |found: &Digest| expected.is_some_and(|expected| expected != found);
        let (source, before) = fs::open_regular(path).map_err(StoreError::Outside)?;
        let knowledge = self.knowledge(path, &before);
        if let Knowledge::Known(digest, size) = &knowledge {
            if other(digest) {
                return Err(changed());
            }
            if self.has_sound(digest)? {
                return Ok(Blob { digest: digest.clone(), size: *size });
            }
        }
        let note = self.begin_note(path)?;
        let mut ingest = self.ingest(&path.display().to_string())?;
        let place = ingest.file.path().to_owned();
        let hashed = match &knowledge {
            // What is known is not hashed again: the kernel copies, and the file is the same afterwards.
            Knowledge::Known(digest, size) => {
                let copied = copy(&source, ingest.file.file(), &place);
                copied.map(|_| (digest.clone(), *size))
            }
            _ => sparse::copy_hashing(&source, ingest.file.file(), &place),
        };
        // Before the copy's own error: a file that got shorter ends too early.
        let after = source.metadata().context("inspect", path).map_err(StoreError::Outside)?;
        if known::content_stamp(&before) != known::content_stamp(&after) {
            return Err(changed());
        }
        let hashed = hashed.map_err(|e| self.files(e))?;
        if let Knowledge::Rotten(expected) = knowledge
            && expected != hashed.0
        {
            return Err(StoreError::Rotten { path: path.to_owned(), expected, found: hashed.0 });
        }
        if other(&hashed.0) {
            return Err(changed());
        }
        let blob = ingest.place(hashed)?;
        self.finish_note(note, &source, &before, &blob.digest)?;
        Ok(blob)
    }
}

impl Store {
    /// Where a blob of this digest is gathered before it is complete; what a killed process left there is continued.
    pub fn partial_path(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        self.ensure()?;
        let directory = self.root().join("partial");
        fs::create_dir_all(&directory).map_err(|e| self.files(e))?;
        Ok(directory.join(digest.hex()))
    }

    /// Waits until nobody else gathers this blob at its [`Store::partial_path`]. Whoever gathers there has a claim until the
    /// blob is adopted or left to be continued, and looks once more whether the blob is here when it has it.
    ///
    /// Blocks for as long as another download takes.
    pub fn claim(&self, digest: &Digest) -> Result<lock::Claim, StoreError> {
        lock::claim(&self.partial_path(digest)?).map_err(|e| self.files(e))
    }

    /// Makes the file at [`Store::partial_path`] the blob, where whoever wrote it has checked it where it lies.
    pub fn adopt(&self, digest: &Digest, size: u64) -> Result<Blob, StoreError> {
        let partial = self.partial_path(digest)?;
        let place = self.blob_path(digest);
        let (file, _) = fs::open_regular(&partial).map_err(|e| self.files(e))?;
        let written = Written::of(&file, &partial)?;
        let file = atomic::place(&partial, &place).map_err(|e| self.files(e))?;
        // CRASH: read-only only now. Whoever continues what a kill left opens it for writing; a blob that stays writable is
        // as good, and `share` makes up for it.
        fs::set_mode(&place, 0o444).map_err(|e| self.files(e))?;
        self.remember(&place, &file, written, digest)?;
        Ok(Blob { digest: digest.clone(), size })
    }

    /// As [`Store::adopt`], checking it first. Something else is removed, and nothing is added.
    pub fn adopt_unchecked(&self, subject: &str, digest: &Digest, size: u64) -> Result<Blob, StoreError> {
        let partial = self.partial_path(digest)?;
        let (file, _) = fs::open_regular(&partial).map_err(|e| self.files(e))?;
        let found = sparse::digest(&file).context("read", &partial).map_err(|e| self.files(e))?;
        if let Err(source) = check(found, digest, size) {
            fs::remove_file(&partial).map_err(|e| self.files(e))?;
            return Err(StoreError::Mismatch { subject: subject.to_owned(), source });
        }
        self.adopt(digest, size)
    }
}

fn check((found, found_size): (Digest, u64), expected: &Digest, size: u64) -> Result<(), Mismatch> {
    if found_size != size {
        return Err(Mismatch::Size { expected: size, found: found_size, more: false });
    }
    if &found != expected {
        return Err(Mismatch::Digest { expected: expected.clone(), found, size });
    }
    Ok(())
}

impl Ingest<'_> {
    /// The open file to write to. With [`Ingest::commit`] its content counts, not what was passed by.
    pub fn file(&mut self) -> &mut File {
        self.file.file()
    }

    /// Where it is, for whoever writes by path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Hashes what lies there, compares it with what was expected, and names it.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] where it is something else; then nothing is added.
    pub fn commit(mut self, expected: Option<(&Digest, u64)>) -> Result<Blob, StoreError> {
        let hashed = sparse::digest(self.file.file())
            .context("read", self.file.path())
            .map_err(|e| self.store.files(e))?;
        if let Some((expected, expected_size)) = expected {
            check(hashed.clone(), expected, expected_size)
                .map_err(|source| StoreError::Mismatch { subject: self.subject.clone(), source })?;
        }
        self.place(hashed)
    }

    /// Names what whoever wrote it has hashed, where it lies or on its way there: as [`Ingest::commit`], without reading it
    /// again.
    pub fn commit_hashed(self, digest: &Digest, size: u64) -> Result<Blob, StoreError> {
        self.place((digest.clone(), size))
    }

    /// Names what was hashed.
    fn place(mut self, (digest, size): (Digest, u64)) -> Result<Blob, StoreError> {
        let place = self.store.blob_path(&digest);
        let written = Written::of(self.file.file(), &place)?;
        let file = self.file.commit_as(&place).map_err(|e| self.store.files(e))?;
        self.store.remember(&place, &file, written, &digest)?;
        Ok(Blob { digest, size })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    /// Fails as a copy does whose source was cut meanwhile.
    fn cut(source: &File, _: &File, place: &Path) -> Result<u64, FsError> {
        let again = PathBuf::from(format!("/proc/self/fd/{}", source.as_raw_fd()));
        fs::open_writable(&again)?.set_len(1).context("cut", place)?;
        Err(FsError::new("copy", place, std::io::ErrorKind::UnexpectedEof.into()))
    }

    #[test]
    fn a_file_that_gets_shorter_while_it_is_taken_in_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let path = directory.path().join("rootfs.ext4");
        fs::open_writable(&path).unwrap().write_all(b"whole").unwrap();
        let file = fs::open(&path).unwrap();
        // What is known is copied, and not hashed.
        let (written, digest) = (Written::of(&file, &path).unwrap(), hashing::digest_of(b"whole"));
        store.remember(&path, &file, written, &digest).unwrap();
        let error = store.ingest_by(cut, &path, Some(&digest)).unwrap_err();
        assert!(matches!(error, StoreError::ChangedMeanwhile { .. }), "{error}");
        assert!(!store.has(&digest));
    }
}
