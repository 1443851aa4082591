//! Putting an image together from files that have parts of it, hashing behind.

use std::fs::File;
use std::sync::mpsc;

use port_content::flusher::Flusher;
use port_content::hashing::Hasher;
use port_content::sparse;

use super::sharing::Piece;
use super::{Sharing, byte_range};
use crate::PackedError;

/// How much is copied before it is told, in bytes.
const STEP: u64 = 16 * 1024 * 1024;

/// Bytes that came to their place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// From the files that have parts of it.
    pub found: u64,
    /// From the image where it is published.
    pub moved: u64,
}

impl Copied {
    /// Both.
    pub fn bytes(self) -> u64 {
        self.found + self.moved
    }
}

impl Sharing {
    /// Fills the empty file `target`: what was found from `sources`, by their numbers, and the others from `image`, the
    /// same image where it is published. Zeros stay holes. `tell` hears of the bytes that are in their place.
    ///
    /// # Errors
    /// [`PackedError::WrongImage`] where what came of it is another image: the index lies, or a file changed.
    pub fn assemble(
        &self,
        sources: &[&File],
        image: &File,
        target: &File,
        tell: &mut (dyn FnMut(Copied) + Send),
    ) -> Result<(), PackedError> {
        let found = target.metadata().map_err(PackedError::read("the target"))?.len();
        if found != 0 {
            return Err(PackedError::NotEmpty { found });
        }
        let size = self.wanted.image_size();
        target.set_len(size).map_err(PackedError::write("the image"))?;
        let (sender, arrived) = mpsc::channel();
        let digest = std::thread::scope(|scope| {
            let copying = scope.spawn(move || {
                self.copy(sources, image, target, &mut |frontier, copied| {
                    tell(copied);
                    // Nobody listens where hashing failed; that is the error that counts.
                    let _ = sender.send(frontier);
                })
            });
            let mut hasher = Hasher::default();
            for frontier in arrived {
                sparse::hash_to(target, &mut hasher, frontier).map_err(PackedError::read("the image"))?;
            }
            copying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok(hasher.finish())
        })?;
        let expected = self.wanted.image_digest();
        if &digest == expected {
            return Ok(());
        }
        Err(PackedError::WrongImage { expected: expected.clone(), found: digest })
    }

    /// Copies every piece; `tell` gets the end of what is complete and what came to it.
    fn copy(
        &self,
        sources: &[&File],
        image: &File,
        target: &File,
        tell: &mut dyn FnMut(u64, Copied),
    ) -> Result<(), PackedError> {
        let mut flusher = Flusher::start(target).map_err(PackedError::write("the image"))?;
        let mut untold = Copied::default();
        for piece in self.pieces() {
            let (file, from) = match piece.from {
                None => (image, piece.first),
                Some((source, block)) => {
                    let unknown = || PackedError::NotPlanned { subject: format!("source {source}") };
                    (*sources.get(source).ok_or_else(unknown)?, block)
                }
            };
            self.copy_piece(piece, file, from, target, &mut |frontier, bytes| {
                flusher.written(bytes);
                match piece.from {
                    None => untold.moved += bytes,
                    Some(_) => untold.found += bytes,
                }
                if untold.bytes() >= STEP {
                    tell(frontier, std::mem::take(&mut untold));
                }
            })?;
        }
        tell(self.wanted.image_size(), untold);
        flusher.finish().map_err(PackedError::write("the image"))
    }

    fn copy_piece(
        &self,
        piece: Piece,
        file: &File,
        from: u32,
        target: &File,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<(), PackedError> {
        let here = file.metadata().map_err(PackedError::read("a local image"))?.len();
        let source = byte_range(from, piece.length).start;
        let start = byte_range(piece.first, piece.length).start;
        // A last block that is short was matched as if zeros followed, which are there already.
        let length = self.wanted.bytes(piece.first, piece.length).min(here.saturating_sub(source));
        let mut done = 0;
        while done < length {
            let count = (length - done).min(STEP);
            sparse::copy_range(file, source + done, target, start + done, count)
                .map_err(PackedError::copy("the image"))?;
            done += count;
            tell(start + done, count);
        }
        Ok(())
    }
}
