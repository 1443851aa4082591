//! What a thread does to files, as its witness sees it: each step is told before it happens, and the witness may make it fail.
//!
//! Tests record steps here, to try every order in which a power cut may leave them on a disk, and let the n-th one fail. Without a
//! witness a step costs one atomic load. Told are the steps of [`crate::fs`] and [`crate::atomic`] that open, make, write, flush,
//! rename and remove; not those of directories that are swapped whole, nor what is written through a file that somebody opened.
//!
//! Invariant: a step that its witness refuses does not happen.

mod breaker;

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use breaker::{Breaker, Fault};

/// How many threads have a witness, and one more where the process has.
static WITNESSES: AtomicUsize = AtomicUsize::new(0);
/// Whom every thread tells.
static OF_ALL: OnceLock<Breaker> = OnceLock::new();

thread_local! {
    static WITNESS: RefCell<Option<Rc<dyn Witness>>> = const { RefCell::new(None) };
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Something that is there is opened.
    Open(&'a Path),
    /// A directory is made, with those above it.
    MakeDirectory(&'a Path),
    /// An empty file is made.
    Create(&'a Path),
    /// Bytes are added at the end of a file.
    Append(&'a Path, &'a [u8]),
    /// The beginning of a file is overwritten where it lies.
    Overwrite(&'a Path, &'a [u8]),
    /// A file's content is flushed.
    Flush(&'a Path),
    /// A directory's names are flushed.
    FlushDirectory(&'a Path),
    /// A name becomes another.
    Rename(&'a Path, &'a Path),
    /// A name goes, with all below it.
    Remove(&'a Path),
}

/// Who is told.
pub trait Witness {
    /// Says how many bytes of a step that writes are written; all where it says nothing.
    ///
    /// # Errors
    /// What the step is to fail with.
    fn sees(&self, step: &Step<'_>) -> io::Result<Option<usize>>;
}

/// Runs `work` with a witness of what this thread does to files.
pub fn seen_by<T>(witness: Rc<dyn Witness>, work: impl FnOnce() -> T) -> T {
    struct Gone(Option<Rc<dyn Witness>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            WITNESSES.fetch_sub(1, Ordering::Relaxed);
            let before = self.0.take();
            WITNESS.with(|it| it.replace(before));
        }
    }
    WITNESSES.fetch_add(1, Ordering::Relaxed);
    let _gone = Gone(WITNESS.with(|it| it.replace(Some(witness))));
    work()
}

/// Breaks a step of this process, whichever thread takes it; says whether it is the first to be asked for.
pub(crate) fn break_any(breaker: Breaker) -> bool {
    let is_first = OF_ALL.set(breaker).is_ok();
    WITNESSES.fetch_add(usize::from(is_first), Ordering::Relaxed);
    is_first
}

/// Tells this thread's witness; says how many bytes are to be written, where it is not all.
pub(crate) fn tell(step: &Step<'_>) -> io::Result<Option<usize>> {
    if WITNESSES.load(Ordering::Relaxed) == 0 {
        return Ok(None);
    }
    if let Some(witness) = WITNESS.with(|it| it.borrow().clone()) {
        return witness.sees(step);
    }
    OF_ALL.get().map_or(Ok(None), |breaker| breaker.sees(step))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{atomic, fs};

    /// Keeps the words of what it sees; the step of this number fails, and writes are of 2 bytes.
    struct Clerk(RefCell<Vec<String>>, usize);

    impl Witness for Clerk {
        fn sees(&self, step: &Step<'_>) -> io::Result<Option<usize>> {
            let word = format!("{step:?}").split('(').next().unwrap_or_default().to_owned();
            self.0.borrow_mut().push(word);
            if self.0.borrow().len() == self.1 { Err(io::Error::other("no")) } else { Ok(Some(2)) }
        }
    }

    fn write(target: &Path, failing: usize) -> (Vec<String>, bool) {
        let clerk = Rc::new(Clerk(RefCell::default(), failing));
        let worked = seen_by(Rc::clone(&clerk) as Rc<dyn Witness>, || atomic::write(target, b"four")).is_ok();
        (clerk.0.borrow().clone(), worked)
    }

    #[test]
    fn each_step_is_seen_and_what_is_refused_does_not_happen() {
        let directory = tempfile::tempdir().unwrap();
        let target: PathBuf = directory.path().join("file");
        let all = ["MakeDirectory", "Create", "Append", "Append", "Flush", "Rename", "FlushDirectory"]
            .map(str::to_owned);
        assert_eq!(write(&target, 0), (all.to_vec(), true));
        assert_eq!(fs::read(&target, 10).unwrap(), b"four");
        atomic::write(&target, b"old").unwrap();
        for failing in 1..=all.len() {
            let (seen, worked) = write(&target, failing);
            assert_eq!((seen.len(), worked), (failing, false));
            let expected: &[u8] = if failing == all.len() { b"four" } else { b"old" };
            assert_eq!(fs::read(&target, 10).unwrap(), expected, "{failing}");
            assert_eq!(fs::read_dir(directory.path()).unwrap().len(), 1, "{failing}");
        }
        assert!(atomic::write(&target, b"unseen").is_ok());
    }
}
