//! Where the last lines of a file begin, found from its end: a log may be larger than the guest's memory.

use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: u64 = 64 * 1024;
/// How far back to look; a file with fewer newlines than this is begun here, in the middle of a line.
const MAX_SCAN: u64 = 64 * 1024 * 1024;

/// The offset of the last `lines` lines in the first `size` bytes of `file`. A last line without a newline counts.
pub(crate) fn tail_offset(file: &impl FileExt, size: u64, lines: u64) -> io::Result<u64> {
    if lines == 0 {
        return Ok(size);
    }
    let mut block = vec![0; usize::try_from(BLOCK).unwrap_or_default()];
    let mut end = size;
    let mut newlines = 0;
    while end > size.saturating_sub(MAX_SCAN) {
        let start = end.saturating_sub(BLOCK);
        let length = usize::try_from(end - start).unwrap_or_default();
        let part = block.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, start)?;
        for (offset, byte) in (start..end).rev().zip(part.iter().rev()) {
            // The newline that ends the last line separates nothing.
            if *byte == b'\n' && offset + 1 < size {
                newlines += 1;
                if newlines == lines {
                    return Ok(offset + 1);
                }
            }
        }
        end = start;
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn pu_43_the_last_lines_are_those_of_tail() {
        let long = "x".repeat(200_000);
        let long_tail = format!("a\n{long}\nb\n");
        for (text, lines, expected) in [
            ("", 3, ""),
            ("a", 1, "a"),
            ("a\nb\nc\n", 0, ""),
            ("a\nb\nc\n", 1, "c\n"),
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc\n", 3, "a\nb\nc\n"),
            ("a\nb\nc\n", 9, "a\nb\nc\n"),
            ("a\nb\nc", 1, "c"),
            ("a\n\n\n", 2, "\n\n"),
            (&long_tail, 2, &long_tail[2..]),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let size = u64::try_from(text.len()).unwrap();
            let offset = tail_offset(&file, size, lines).unwrap();
            assert_eq!(&text[usize::try_from(offset).unwrap()..], expected);
        }
    }
}
