//! A pointer behind a program of the operator's, for boot loaders that Port does not know (U-Boot, firmware of its own).
//!
//! ```text
//! HOOK read          a JSON object on standard output: {"running": "A", "kept": "A", "trial": null}
//! HOOK arm B 3 [ARGUMENTS]   tries B with the next three boots, its kernel with the arguments of its release, where it has any
//! HOOK keep B        keeps B
//! ```
//!
//! Invariant: the program is started directly, without a shell, and what it writes is bounded.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use port_layout::json;

use super::{BootPointer, BootState, Header, SlotError, SlotName};

const LARGEST: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub struct HookPointer {
    program: PathBuf,
}

impl HookPointer {
    /// Behind this program.
    pub fn new(program: &Path) -> Self {
        Self { program: program.to_owned() }
    }

    fn call(&self, arguments: &[&str]) -> Result<Vec<u8>, SlotError> {
        let failed = |how: String| SlotError::Hook { program: self.program.clone(), how };
        let child = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.map_err(|error| failed(format!("before it began: {error}")))?;
        let mut said = Vec::new();
        if let Some(output) = child.stdout.take() {
            let read = output.take(LARGEST + 1).read_to_end(&mut said);
            read.map_err(|error| failed(format!("without an answer: {error}")))?;
        }
        let status = child.wait().map_err(|error| failed(error.to_string()))?;
        if !status.success() {
            return Err(failed(format!("with {status}")));
        }
        if said.len() as u64 > LARGEST {
            return Err(failed(format!("with more than {LARGEST} bytes of answer")));
        }
        Ok(said)
    }
}

impl BootPointer for HookPointer {
    fn read(&self) -> Result<BootState, SlotError> {
        let said = self.call(&["read"])?;
        json::read(&said, "answer of the hook", "running, kept and trial").map_err(|error| SlotError::Hook {
            program: self.program.clone(),
            how: format!("with an answer that is none ({error})"),
        })
    }

    fn arm(&self, slot: SlotName, tries: u32, header: &Header) -> Result<(), SlotError> {
        let (tries, arguments) = (tries.to_string(), header.arguments_in(slot));
        let words = [Some("arm"), Some(slot.as_str()), Some(tries.as_str()), arguments.as_deref()];
        self.call(&words.into_iter().flatten().collect::<Vec<_>>()).map(drop)
    }

    fn keep(&self, slot: SlotName) -> Result<(), SlotError> {
        self.call(&["keep", slot.as_str()]).map(drop)
    }
}
