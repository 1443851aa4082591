//! The n-th step fails, or is the last of the process.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::{Step, Witness};

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Any step: the disk says EIO.
    Io,
    /// What needs room: ENOSPC.
    Full,
    /// What writes: only half is taken, and the rest not at all.
    Short,
    /// A flush: EIO, and what was written may be gone.
    Unflushed,
    /// Any step: the process is killed before it.
    Kill,
}

impl Fault {
    /// Those of a disk.
    pub const OF_DISKS: [Self; 4] = [Self::Io, Self::Full, Self::Short, Self::Unflushed];

    /// From its word: `io`, `full`, `short`, `flush`, `kill`.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "io" => Self::Io,
            "full" => Self::Full,
            "short" => Self::Short,
            "flush" => Self::Unflushed,
            "kill" => Self::Kill,
            _ => return None,
        })
    }

    fn concerns(self, step: &Step<'_>) -> bool {
        let writes = matches!(step, Step::Append(..) | Step::Overwrite(..));
        match self {
            Self::Io | Self::Kill => true,
            Self::Full => {
                writes || matches!(step, Step::Create(_) | Step::MakeDirectory(_) | Step::Rename(..))
            }
            Self::Short => writes,
            Self::Unflushed => matches!(step, Step::Flush(_) | Step::FlushDirectory(_)),
        }
    }
}

/// Lets one step fail, and the ones after it succeed; a short write is followed by one for which there is no room.
#[derive(Debug)]
pub struct Breaker {
    fault: Fault,
    state: Mutex<Next>,
}

/// What the next step is to meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The fault, after so many steps more.
    Fault(usize),
    /// No room for the rest.
    Rest,
    Nothing,
}

impl Breaker {
    /// Breaks the `number`th step, from 1, that this fault concerns.
    pub fn new(fault: Fault, number: usize) -> Self {
        Self { fault, state: Mutex::new(Next::Fault(number)) }
    }

    /// Whether there was such a step.
    pub fn has_broken(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(*state, Next::Fault(_))
    }

    fn breaks(&self, step: &Step<'_>) -> Result<Option<usize>, rustix::io::Errno> {
        use rustix::io::Errno;
        match (self.fault, step) {
            (Fault::Short, Step::Append(_, bytes) | Step::Overwrite(_, bytes)) => Ok(Some(bytes.len() / 2)),
            (Fault::Full, _) => Err(Errno::NOSPC),
            (Fault::Kill, _) => {
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
                Ok(None)
            }
            _ => Err(Errno::IO),
        }
    }
}

impl Witness for Breaker {
    fn sees(&self, step: &Step<'_>) -> io::Result<Option<usize>> {
        if !self.fault.concerns(step) {
            return Ok(None);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, answer) = match *state {
            Next::Fault(left @ 2..) => (Next::Fault(left - 1), Ok(None)),
            Next::Fault(_) if self.fault == Fault::Short => (Next::Rest, self.breaks(step)),
            Next::Fault(_) => (Next::Nothing, self.breaks(step)),
            Next::Rest => (Next::Nothing, Err(rustix::io::Errno::NOSPC)),
            Next::Nothing => (Next::Nothing, Ok(None)),
        };
        *state = next;
        Ok(answer?)
    }
}
