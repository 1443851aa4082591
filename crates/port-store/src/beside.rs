//! A blob's file of its own, written while the blob is still being gathered, so that the second copy of gigabytes is no second
//! wait.
//!
//! Nobody has checked what is copied, and the copy has no name: it gets one by [`Store::materialise`], which asks first whether
//! the blob is here and sound, or none, and then nothing is left of it.
//!
//! It must cost no download: where there is no room for both, or no way to name it in the end, nothing is copied, and where the disk
//! fills up all the same, [it is given up](Store::give_up_beside).

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use port_content::aside::{self, Aside};
use port_content::{Told, atomic, fs, sparse};
use port_model::Digest;

use crate::error::StoreError;
use crate::store::Store;

/// What a try at gathering a blob tells of itself: which try it is, and up to where the file holds its bytes.
type News = (u64, u64);

/// Copies under way, by the place that they are for.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    copies: Mutex<BTreeMap<PathBuf, Copying>>,
    /// Operations of this process that may ask for them.
    operations: AtomicU64,
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Copying>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation begins.
    pub(crate) fn enter(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// An operation ends. The last one gives up what nobody asked for.
    pub(crate) fn leave(&self) {
        let mut copies = self.lock();
        if self.operations.fetch_sub(1, Ordering::Relaxed) == 1 {
            copies.clear();
        }
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
    /// `None` where there is nothing to gain: the file is small or there, or the file system makes copies in no time; and where it
    /// may cost something: there is no room for both. What fails later costs the gain, and nothing else.
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
        if sparse::reflink(&source, &copy) || !has_room(&source, &copy, size).unwrap_or(false) {
            return Ok(None);
        }
        let (sender, news) = mpsc::channel();
        let (finished, copied) = mpsc::channel();
        let copying = std::thread::Builder::new().spawn(move || {
            let followed = follow(&source, &copy, size, &news);
            // The caller has gone where it is not wanted any more.
            let _ = followed.map(|()| finished.send(copy));
        });
        if copying.is_err() {
            return Ok(None);
        }
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

    /// Gives up the copy that is made for `target`, as when the disk is full; says whether there was one. Its space is free then.
    pub fn give_up_beside(&self, target: &Path) -> bool {
        let copying = self.under_way.lock().remove(target);
        let Some(Copying { speaker: told, copied, .. }) = copying else { return false };
        speaker(&told).take();
        // The thread lets go of the file before it lets go of this channel.
        drop(copied.recv());
        true
    }

    /// The whole copy that was made for `target`, where there is one.
    pub(crate) fn copied_beside(&self, target: &Path, digest: &Digest) -> Option<File> {
        let copying = self.under_way.lock().remove(target).filter(|copying| &copying.digest == digest)?;
        speaker(&copying.speaker).take();
        copying.copied.recv().ok()
    }
}

/// Whether there is room for the copy and for the rest of the blob.
fn has_room(source: &File, copy: &File, size: u64) -> io::Result<bool> {
    let (blob, place) = (source.metadata()?, copy.metadata()?);
    let rest = if blob.dev() == place.dev() { size.saturating_sub(blob.blocks() * 512) } else { 0 };
    Ok(fs::available(copy)? >= size.saturating_add(rest))
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

    /// The inode of the finished copy, which stays where it is.
    fn look_at_copy(store: &Store, target: &Path) -> Option<u64> {
        let mut copies = store.under_way.lock();
        let copying = copies.get_mut(target)?;
        // Told all, it ends; told nothing more, it does so now.
        speaker(&copying.speaker).take();
        let copy = copying.copied.recv().unwrap();
        let inode = copy.metadata().unwrap().ino();
        let (again, copied) = mpsc::channel();
        again.send(copy).unwrap();
        copying.copied = copied;
        Some(inode)
    }

    #[test]
    fn a_copy_for_which_there_is_no_room_is_not_begun() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let digest = hashing::digest_of(b"huge");
        let partial = fs::open_writable(&store.partial_path(&digest).unwrap()).unwrap();
        let target = directory.path().join("artifacts/rootfs.img");
        // Room for one, not for two.
        let size = fs::available(&partial).unwrap() / 4 * 3;
        assert!(store.materialise_beside(&digest, size, &target).unwrap().is_none());
        assert!(!store.give_up_beside(&target), "nothing is under way");
    }

    #[test]
    fn what_is_given_up_is_gone_and_another_operation_gives_up_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (store, partial, digest, target, told) = gathering(directory.path());
        let Some(told) = told else { return eprintln!("skipped: copies take no time here") };
        let (mine, other) = (store.operation().unwrap(), store.clone().operation().unwrap());
        fill(&partial, 0, SIZE, 7);
        let first = told();
        first(SIZE / 2);
        drop(other);
        assert!(store.give_up_beside(&target), "the end of another operation took it away");
        assert!(!store.give_up_beside(&target));
        // Who tells more is not heard.
        first(SIZE);
        assert!(store.copied_beside(&target, &digest).is_none());
        let _again = store.materialise_beside(&digest, SIZE, &target).unwrap().unwrap();
        drop(mine);
        assert!(!store.give_up_beside(&target), "the last operation left it");
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
        let copied = look_at_copy(&store, &target);
        assert!(store.materialise_aside(&digest, SIZE, &target).unwrap());
        let taken = fs::metadata(&target).unwrap().ino();
        assert!(copied.is_none_or(|copied| copied == taken), "it was copied once more");
        assert_eq!(hashing::digest_file(&target).unwrap(), (digest.clone(), SIZE));
        assert!(!store.materialise_aside(&digest, SIZE, &target).unwrap(), "it is known");
        assert!(store.materialise_beside(&digest, SIZE, &target).unwrap().is_none());
    }
}
