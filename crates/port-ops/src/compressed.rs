//! The `zstd` encoding: a component's file, compressed as a whole.
//!
//! Level and number of threads are fixed, so that the same file gives the same blob. What it expands to is checked like any
//! file. Both ways run off the async threads, and say how far they are.
//!
//! Invariant: bytes are hashed as they are written, and named by that; they are not read again.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use port_content::fs::Context as _;
use port_content::hashing::HashingWriter;
use port_content::{FsError, sparse};
use port_layout::Blob;
use port_layout::native::Stored;
use port_model::{Component, Event, Reporter};
use port_store::Store;

use crate::error::OpsError;
use crate::workspace::Workspace;

/// Above what `zstd` itself takes unless told otherwise, which is 3: a file is compressed once and fetched often.
const LEVEL: i32 = 9;
/// The largest window that a stream may ask for, as a power of two: 128 MiB, what `zstd --long` writes and `zstd -d` accepts. It
/// bounds the memory that a stranger's blob can claim.
const WINDOW_LOG: u32 = 27;
/// How much is done before it is told, in bytes.
const STEP: u64 = 16 * 1024 * 1024;

/// Compresses a component that is in the store.
pub(crate) async fn compress(workspace: &Workspace, component: &Component) -> Result<Stored, OpsError> {
    let (job, component) = (Job::new(workspace, "compress", component), component.clone());
    apart(move || {
        let file = job.store.open_blob(&component.digest, component.size)?;
        let mut ingest = job.store.ingest(component.file_name.as_str())?;
        let path = ingest.path().to_owned();
        let mut out = HashingWriter::new(ingest.file());
        job.told(component.size, |progress| {
            copy_compressed(WithHoles::new(&file, component.size), &mut out, component.size, progress)
        })
        .context("compress into", &path)?;
        let hasher = out.into_parts().1;
        let size = hasher.size();
        let blob = ingest.commit_hashed(&hasher.finish(), size)?;
        Ok(Stored::Zstd(Blob { digest: blob.digest, size: blob.size }))
    })
    .await
}

/// Makes the component's file from its compressed blob, both in the store.
pub(crate) async fn expand(
    workspace: &Workspace,
    component: &Component,
    blob: &Blob,
) -> Result<(), OpsError> {
    let (job, component, blob) = (Job::new(workspace, "expand", component), component.clone(), blob.clone());
    apart(move || {
        let compressed = job.store.open_blob(&blob.digest, blob.size)?;
        let mut ingest = job.store.ingest(component.file_name.as_str())?;
        let path = ingest.path().to_owned();
        job.told(component.size, |progress| {
            copy_expanded(compressed, ingest.file(), component.size, progress)
        })
        .map_err(|source| FsError::new("expand into", &path, source))?;
        ingest.commit(Some((&component.digest, component.size)))?;
        Ok(())
    })
    .await
}

async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpsError> + Send + 'static,
) -> Result<T, OpsError> {
    let working = tokio::task::spawn_blocking(work);
    working.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// What the thread needs.
struct Job {
    store: Store,
    reporter: Arc<dyn Reporter>,
    task: String,
}

impl Job {
    fn new(workspace: &Workspace, verb: &str, component: &Component) -> Self {
        let task = format!("{verb} {}", component.file_name);
        Self { store: workspace.store.clone(), reporter: Arc::clone(&workspace.reporter), task }
    }

    /// Runs one of the copies; it tells of bytes of the plain file.
    fn told<T>(&self, total: u64, copy: impl FnOnce(&mut dyn FnMut(u64)) -> T) -> T {
        let task = || self.task.clone();
        self.reporter.event(Event::Started { task: task(), total: Some(total) });
        let mut untold = 0;
        let result = copy(&mut |bytes| {
            untold += bytes;
            if untold >= STEP {
                let bytes = std::mem::take(&mut untold);
                self.reporter.event(Event::Advanced { task: task(), bytes });
            }
        });
        self.reporter.event(Event::Advanced { task: task(), bytes: untold });
        self.reporter.event(Event::Finished { task: task() });
        result
    }
}

/// Tells of what goes by.
struct Telling<'a, R> {
    inner: R,
    progress: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Telling<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.progress)(count as u64);
        Ok(count)
    }
}

/// A file from its start, whose holes are not read.
struct WithHoles<'a> {
    file: &'a File,
    position: u64,
    size: u64,
    /// The run of data that is next, or that `position` is in.
    data: (u64, u64),
}

impl<'a> WithHoles<'a> {
    fn new(file: &'a File, size: u64) -> Self {
        Self { file, position: 0, size, data: (0, 0) }
    }
}

impl Read for WithHoles<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.data.1 && self.position < self.size {
            let next = sparse::next_data(self.file, self.position, self.size)?;
            self.data = next.unwrap_or((self.size, self.size));
        }
        let in_hole = self.position < self.data.0;
        let end = if in_hole { self.data.0 } else { self.data.1 };
        let left = usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        let Some(part) = buffer.get_mut(..count) else { return Ok(0) };
        let count = if in_hole {
            part.fill(0);
            count
        } else {
            self.file.read_at(part, self.position)?
        };
        self.position += count as u64;
        Ok(count)
    }
}

fn copy_compressed(
    from: impl Read,
    to: impl Write,
    size: u64,
    progress: &mut dyn FnMut(u64),
) -> io::Result<()> {
    let mut encoder = zstd::Encoder::new(to, LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(size))?;
    io::copy(&mut Telling { inner: from, progress }, &mut encoder)?;
    encoder.finish()?.flush()
}

/// Never writes more than one byte beyond `size`: the check that follows tells what is wrong.
fn copy_expanded(from: impl Read, to: &File, size: u64, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
    let mut decoder = zstd::Decoder::new(from)?;
    decoder.window_log_max(WINDOW_LOG)?;
    let mut decoder = Telling { inner: decoder.take(size.saturating_add(1)), progress };
    let mut writer = sparse::SparseWriter::new(to);
    io::copy(&mut decoder, &mut writer)?;
    writer.flush()?;
    writer.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        copy_compressed(bytes, &mut out, bytes.len() as u64, &mut |_| {}).unwrap();
        out
    }

    #[test]
    fn holes_are_compressed_as_the_zeros_that_they_are() {
        const MIB: usize = 1 << 20;
        for runs in [&[][..], &[(0, 5)], &[(MIB, 4096), (3 * MIB, 10)], &[(4 * MIB - 1, 1)]] {
            let mut bytes = vec![0; if runs.is_empty() { 0 } else { 4 * MIB }];
            let file = tempfile::tempfile().unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            for (start, length) in runs {
                bytes[*start..start + length].fill(7);
                file.write_all_at(&bytes[*start..start + length], *start as u64).unwrap();
            }
            let (size, mut told, mut out) = (bytes.len() as u64, 0, Vec::new());
            copy_compressed(WithHoles::new(&file, size), &mut out, size, &mut |n| told += n).unwrap();
            assert_eq!(told, size);
            assert!(out == compressed(&bytes), "{runs:?}");
            let back = tempfile::tempfile().unwrap();
            copy_expanded(&out[..], &back, size, &mut |_| {}).unwrap();
            let mut found = vec![1; bytes.len()];
            back.read_exact_at(&mut found, 0).unwrap();
            assert!(found == bytes && back.metadata().unwrap().len() == size, "{runs:?}");
        }
    }

    #[test]
    fn a_stream_that_wants_too_much_memory_is_refused_and_one_that_is_too_long_is_cut() {
        let expand = |bytes: &[u8]| {
            let file = tempfile::tempfile().unwrap();
            copy_expanded(bytes, &file, 4, &mut |_| {}).map(|()| file.metadata().unwrap().len())
        };
        assert_eq!(expand(&compressed(b"four")).unwrap(), 4);
        assert_eq!(expand(&compressed(b"far too much")).unwrap(), 5);
        // Magic, a descriptor with a window and no size, the window's exponent (10 + n), and a raw block of four bytes.
        let asking = |window_log: u8| {
            let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3, 0x21, 0, 0];
            bytes.extend_from_slice(b"four");
            bytes
        };
        assert_eq!(expand(&asking(27)).unwrap(), 4);
        expand(&asking(28)).unwrap_err();
    }
}
