//! The event log: one JSON object on a line for each transition, in a file that is turned over when it is long.
//!
//! Invariant: it is for people and never read back; a line that a kill tore does not keep the next one from being whole.

use std::io::Write as _;
use std::path::Path;

use port_content::atomic;
use port_content::fs::{self, FsError};
use serde::Serialize;

use crate::failure::Class;
use crate::machine::{Event, Phase};
use crate::record::Record;

/// How long a log may be, in bytes; the one before is kept.
const LONGEST: u64 = 1 << 20;

#[derive(Serialize)]
struct Line<'a> {
    time: u64,
    from: Phase,
    to: Phase,
    event: String,
    attempt: Option<u64>,
    version: Option<&'a str>,
    digest: Option<String>,
    class: Option<Class>,
    error: Option<&'a str>,
}

/// Adds a line.
///
/// # Errors
/// The disk's.
pub fn append(path: &Path, record: &Record, from: Phase, event: &Event, time: u64) -> Result<(), FsError> {
    let attempt = record.state.attempt.as_ref();
    let line = Line {
        time,
        from,
        to: record.state.phase,
        event: format!("{event:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        attempt: attempt.map(|attempt| attempt.number),
        version: attempt.map(|attempt| attempt.target.version.as_str()),
        digest: attempt.map(|attempt| attempt.target.digest.to_string()),
        class: match event {
            Event::Failed(class) | Event::Refused(class) => Some(*class),
            _ => None,
        },
        error: matches!(event, Event::Failed(_) | Event::Refused(_))
            .then_some(record.last_error.as_deref())
            .flatten(),
    };
    if fs::try_metadata(path)?.is_some_and(|found| found.len() >= LONGEST) {
        drop(atomic::place(path, &path.with_extension("jsonl.1"))?);
    }
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    let mut file = fs::open_writable(path)?;
    let failed = |error| FsError::new("write", path, error);
    let end = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(failed)?;
    if end > 0 && !ends_a_line(&file, end) {
        bytes.insert(0, b'\n');
    }
    file.write_all(&bytes).map_err(failed)
}

fn ends_a_line(file: &std::fs::File, end: u64) -> bool {
    use std::os::unix::fs::FileExt as _;
    let mut last = [0];
    file.read_exact_at(&mut last, end.saturating_sub(1)).is_ok() && last == *b"\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_after_a_torn_one_and_a_long_log_is_turned_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let add = || append(&path, &Record::default(), Phase::Idle, &Event::Check, 7).unwrap();
        add();
        let mut torn = fs::read(&path, 10_000).unwrap();
        torn.extend_from_slice(b"{\"time\":");
        atomic::write(&path, &torn).unwrap();
        add();
        let text = fs::read_to_string(&path, 10_000).unwrap();
        let whole = text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
        assert_eq!((text.lines().count(), whole.count()), (3, 2));
        atomic::write(&path, &vec![b'\n'; 1 << 20]).unwrap();
        add();
        assert_eq!(fs::read_to_string(&path, 10_000).unwrap().lines().count(), 1);
        assert!(fs::exists(&directory.path().join("events.jsonl.1")));
    }
}
