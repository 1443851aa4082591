//! Bytes to lines, with a limit: the buffer that an asynchronous host and the agent feed by hand, and a reader
//! for blocking streams.
//!
//! Invariant: memory stays under the limit plus one chunk, whatever comes; after a line that was too long the
//! next one is read as if nothing had happened.

use std::io::{self, BufRead, Write};

use serde::Serialize;

use crate::{ProtocolError, encode_line};

/// Takes bytes in any pieces, gives whole lines.
#[derive(Debug)]
pub struct LineBuffer {
    limit: usize,
    bytes: Vec<u8>,
    /// Where the first line that was not given out yet begins.
    start: usize,
    /// How far a newline was searched for; never searched twice.
    searched: usize,
    /// Inside a line that is too long, of which only the newline still matters.
    skipping: bool,
}

impl LineBuffer {
    /// A buffer for lines of at most `limit` bytes, newline not counted.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: Vec::new(), start: 0, searched: 0, skipping: false }
    }

    /// Adds what was read.
    pub fn push(&mut self, chunk: &[u8]) {
        // What was given out is dropped before the buffer would grow: copying is then amortised.
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.bytes.extend_from_slice(chunk);
    }

    /// The next whole line without its newline (and without a carriage return before it); none until more bytes
    /// came. [`ProtocolError::LineTooLong`] is given once for each such line, as soon as it is certain.
    pub fn next_line(&mut self) -> Option<Result<Vec<u8>, ProtocolError>> {
        loop {
            let fresh = self.bytes.get(self.searched..).unwrap_or_default();
            let newline = fresh.iter().position(|byte| *byte == b'\n').map(|offset| self.searched + offset);
            let Some(end) = newline else {
                self.searched = self.bytes.len();
                return self.refuse_overlong();
            };
            let line = self.bytes.get(self.start..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            self.start = end + 1;
            self.searched = self.start;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if line.len() > self.limit {
                return Some(Err(ProtocolError::LineTooLong { limit: self.limit }));
            }
            return Some(Ok(line));
        }
    }

    fn refuse_overlong(&mut self) -> Option<Result<Vec<u8>, ProtocolError>> {
        // One byte more for a carriage return that may belong to the line's end.
        let over = self.partial() > self.limit + 1;
        if over || self.skipping {
            self.bytes.clear();
            (self.start, self.searched) = (0, 0);
        }
        let first = over && !self.skipping;
        self.skipping |= over;
        first.then_some(Err(ProtocolError::LineTooLong { limit: self.limit }))
    }

    /// How many bytes of an unfinished line are held.
    pub fn partial(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Whether a line has begun and not ended.
    pub fn is_mid_line(&self) -> bool {
        self.skipping || self.partial() > 0
    }

    /// Forgets everything: for a pipe whose other side was replaced.
    pub fn clear(&mut self) {
        *self = Self::new(self.limit);
    }
}

/// Reads lines from a blocking stream.
#[derive(Debug)]
pub struct LineReader<R> {
    inner: R,
    lines: LineBuffer,
}

impl<R: BufRead> LineReader<R> {
    /// A reader of lines of at most `limit` bytes.
    pub fn new(inner: R, limit: usize) -> Self {
        Self { inner, lines: LineBuffer::new(limit) }
    }

    /// The next line. An empty line and the end of the stream are errors, as published.
    pub fn read_line(&mut self) -> Result<Vec<u8>, ProtocolError> {
        loop {
            match self.lines.next_line() {
                Some(Ok(line)) if line.is_empty() => return Err(ProtocolError::EmptyLine),
                Some(result) => return result,
                None => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), ProtocolError> {
        let chunk = match self.inner.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(source) => return Err(ProtocolError::Stream { operation: "read", source }),
        };
        if chunk.is_empty() {
            return Err(ProtocolError::EndOfStream { partial: self.lines.partial() });
        }
        let length = chunk.len();
        self.lines.push(chunk);
        self.inner.consume(length);
        Ok(())
    }
}

/// Writes one message as one line to a blocking stream and flushes it.
pub fn write_line<W: Write, T: Serialize>(writer: &mut W, message: &T) -> Result<(), ProtocolError> {
    let line = encode_line(message)?;
    let written = writer.write_all(&line).and_then(|()| writer.flush());
    written.map_err(|source| ProtocolError::Stream { operation: "write", source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(buffer: &mut LineBuffer) -> Vec<Option<Vec<u8>>> {
        std::iter::from_fn(|| buffer.next_line()).map(Result::ok).collect()
    }

    #[test]
    fn lines_come_whole_from_partial_reads() {
        let mut buffer = LineBuffer::new(10);
        buffer.push(b"ab");
        assert!(buffer.next_line().is_none() && buffer.is_mid_line());
        buffer.push(b"c\r\n\nde\nf");
        let lines = [Some(b"abc".to_vec()), Some(Vec::new()), Some(b"de".to_vec())];
        assert_eq!(drain(&mut buffer), lines);
        assert_eq!(buffer.partial(), 1);
        buffer.clear();
        assert!(!buffer.is_mid_line());
    }

    #[test]
    fn a_line_over_the_limit_is_reported_once_and_skipped_in_bounded_memory() {
        let mut buffer = LineBuffer::new(10);
        let mut refusals = 0;
        for _ in 0..1000 {
            buffer.push(&[b'x'; 100]);
            refusals += drain(&mut buffer).len();
            assert!(buffer.bytes.capacity() <= 256);
        }
        assert_eq!(refusals, 1);
        buffer.push(b"xx\n0123456789\n01234567890\nok\n");
        assert_eq!(drain(&mut buffer), [Some(b"0123456789".to_vec()), None, Some(b"ok".to_vec())]);
    }

    #[test]
    fn pu_42_an_empty_line_and_the_end_are_errors() {
        let mut reader = LineReader::new(&b"{}\n\n{\"a\"\npart"[..], 100);
        assert_eq!(reader.read_line().unwrap(), b"{}");
        assert!(matches!(reader.read_line(), Err(ProtocolError::EmptyLine)));
        assert_eq!(reader.read_line().unwrap(), b"{\"a\"");
        assert!(matches!(reader.read_line(), Err(ProtocolError::EndOfStream { partial: 4 })));
    }

    proptest! {
        #[test]
        fn the_lines_do_not_depend_on_the_pieces(
            text in "[ab\r\n]{0,60}",
            cuts in proptest::collection::vec(1_usize..8, 1..60),
        ) {
            let bytes = text.as_bytes();
            let mut whole = LineBuffer::new(5);
            whole.push(bytes);
            let expected = drain(&mut whole);
            let mut pieces = LineBuffer::new(5);
            let (mut found, mut rest) = (Vec::new(), bytes);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                found.extend(drain(&mut pieces));
                rest = after;
            }
            prop_assert_eq!(found, expected);
        }
    }
}
