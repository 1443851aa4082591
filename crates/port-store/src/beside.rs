//! A blob's file of its own, written while the blob is still being gathered, so that the second copy of gigabytes is no second
//! wait.
//!
//! Nobody has checked what is copied, and the copy has no name: it gets one by [`Store::materialise`], which asks first whether
//! the blob is here and sound, or none, and then nothing is left of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use port_content::aside::{self, Aside};
use port_content::{atomic, fs, sparse};
use port_model::Digest;

use crate::error::StoreError;
use crate::store::Store;

/// What a try at gathering a blob tells of itself: which try it is, and up to where the file holds its bytes.
type News = (u64, u64);

/// Who is to be told by one try how far it is.
pub type Told = Box<dyn Fn(u64) + Send>;

/// Copies under way, by the place that they are for.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<BTreeMap<PathBuf, Copying>>);

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Copying>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up what nobody asked for.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }
}

/// Where the thread takes its news from. Without it, no more comes.
type Speaker = Arc<Mutex<Option<Sender<News>>>>;

#[derive(Debug)]
struct Copying {
    digest: Digest,
    speaker: Speaker,
    copied: Receiver<File>,
}

impl Store {
    /// Begins to copy what is gathered at the blob's [`Store::partial_path`], which must be there, for `target`. Gives what every
    /// try at gathering asks for whom to tell.
    ///
    /// `None` where there is nothing to gain: the file is small or there, or the file system makes copies in no time. What fails
    /// later costs the gain, and nothing else.
    pub fn materialise_beside(
        &self,
        digest: &Digest,
        size: u64,
        target: &Path,
    ) -> Result<Option<impl Fn() -> Told + Send + Sync + use<>>, StoreError> {
        if size < aside::LARGE || self.holds(target, digest) {
            return Ok(None);
        }
        let (source, _) = fs::open_regular(&self.partial_path(digest)?).map_err(|e| self.files(e))?;
        let Ok(copy) = atomic::unnamed(target) else { return Ok(None) };
        if sparse::reflink(&source, &copy) {
            return Ok(None);
        }
        let (sender, news) = mpsc::channel();
        let (finished, copied) = mpsc::channel();
        std::thread::spawn(move || {
            // The caller has gone where it is not wanted any more.
            let _ = follow(&source, &copy, size, &news).map(|()| finished.send(copy));
        });
        let speaker = Arc::new(Mutex::new(Some(sender)));
        let copying = Copying { digest: digest.clone(), speaker: Arc::clone(&speaker), copied };
        self.under_way.lock().insert(target.to_owned(), copying);
        let tries = AtomicU64::new(0);
        Ok(Some(move || {
            let number = tries.fetch_add(1, Ordering::Relaxed) + 1;
            let speaker = Arc::clone(&speaker);
            Box::new(move |frontier: u64| tell(&speaker, (number, frontier))) as Told
        }))
    }

    /// The whole copy that was made for `target`, where there is one.
    pub(crate) fn copied_beside(&self, target: &Path, digest: &Digest) -> Option<File> {
        let copying = self.under_way.lock().remove(target).filter(|copying| &copying.digest == digest)?;
        speaker(&copying.speaker).take();
        copying.copied.recv().ok()
    }
}

fn speaker(speaker: &Speaker) -> MutexGuard<'_, Option<Sender<News>>> {
    speaker.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(speaker_of: &Speaker, news: News) {
    if let Some(sender) = &*speaker(speaker_of) {
        // Nobody listens where copying failed.
        let _ = sender.send(news);
    }
}

/// Copies what is there, as far as it is there, until no more comes. An error where that is not the whole.
fn follow(source: &File, copy: &File, size: u64, news: &Receiver<News>) -> io::Result<()> {
    let mut aside = Aside::start(source, copy, size)?;
    let (mut newest, mut done) = (0, 0);
    for (number, frontier) in news {
        if number < newest {
            // A try that was given up may not have heard of it.
            continue;
        }
        if number > newest && done > 0 {
            aside.restart()?;
            done = 0;
        }
        newest = number;
        let end = if frontier < size { frontier - frontier % aside::BLOCK } else { size };
        if end > done {
            aside.copy(done, end)?;
            done = end;
        }
    }
    aside.finish()?;
    if done < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    copy.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use port_content::{hashing, sparse};

    use super::*;

    const SIZE: u64 = aside::LARGE + 5000;

    fn fill(file: &File, from: u64, to: u64, byte: u8) {
        let block = vec![byte; 1 << 20];
        let mut position = from;
        while position < to {
            let count = usize::try_from(to - position).unwrap().min(block.len());
            file.write_all_at(&block[..count], position).unwrap();
            position += count as u64;
        }
    }

    /// A store, the file of a blob that is gathered, and who is told of it.
    fn gathering(directory: &Path) -> (Store, File, Digest, PathBuf, Option<impl Fn() -> Told + use<>>) {
        let store = Store::open(&directory.join("store")).unwrap();
        let right = fs::open_writable(&directory.join("right")).unwrap();
        fill(&right, 0, SIZE, 7);
        let (digest, _) = sparse::digest(&right).unwrap();
        let partial = fs::open_writable(&store.partial_path(&digest).unwrap()).unwrap();
        let target = directory.join("artifacts/rootfs.img");
        let told = store.materialise_beside(&digest, SIZE, &target).unwrap();
        (store, partial, digest, target, told)
    }

    #[test]
    fn what_was_copied_on_the_way_is_what_the_last_try_gathered() {
        let directory = tempfile::tempdir().unwrap();
        let (store, partial, digest, target, told) = gathering(directory.path());
        let Some(told) = told else { return eprintln!("skipped: copies take no time here") };
        let first = told();
        fill(&partial, 0, 9 << 20, 1);
        first(9 << 20);
        let second = told();
        partial.set_len(0).unwrap();
        partial.set_len(SIZE).unwrap();
        fill(&partial, 0, 30 << 20, 7);
        second(30 << 20);
        first(10 << 20);
        fill(&partial, 30 << 20, SIZE, 7);
        second(SIZE);
        let copy = store.copied_beside(&target, &digest).unwrap();
        assert_eq!(sparse::digest(&copy).unwrap(), (digest, SIZE));
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn half_a_copy_is_none_and_another_blob_is_none() {
        let other = hashing::digest_of(b"other");
        for asked_for_other in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let (store, partial, digest, target, told) = gathering(directory.path());
            let Some(told) = told else { return eprintln!("skipped: copies take no time here") };
            fill(&partial, 0, SIZE, 7);
            told()(if asked_for_other { SIZE } else { SIZE - 1 });
            let asked = if asked_for_other { &other } else { &digest };
            assert!(store.copied_beside(&target, asked).is_none());
        }
    }

    #[test]
    fn a_pull_takes_the_copy_and_only_with_the_blob() {
        let directory = tempfile::tempdir().unwrap();
        let (store, partial, digest, target, told) = gathering(directory.path());
        fill(&partial, 0, SIZE, 7);
        if let Some(told) = told {
            told()(SIZE);
        }
        assert!(store.materialise_aside(&digest, SIZE, &target).is_err(), "the blob is not here yet");
        assert!(!fs::exists(&target));
        store.adopt(&digest, SIZE).unwrap();
        assert!(store.materialise_aside(&digest, SIZE, &target).unwrap());
        assert_eq!(hashing::digest_file(&target).unwrap(), (digest.clone(), SIZE));
        assert!(!store.materialise_aside(&digest, SIZE, &target).unwrap(), "it is known");
        assert!(store.materialise_beside(&digest, SIZE, &target).unwrap().is_none());
    }
}
