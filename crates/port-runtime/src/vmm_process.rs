//! The VMM's process: its end and the last lines of what it said.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tokio::io::AsyncReadExt;
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::error::{RuntimeError, Tail, channel_error};

/// How much of a VMM's messages is kept.
const KEPT: usize = 8 * 1024;

/// A VMM that was started.
#[derive(Debug)]
pub(crate) struct VmmProcess {
    program: PathBuf,
    child: Child,
    messages: Option<JoinHandle<Vec<u8>>>,
    known: Tail,
}

impl VmmProcess {
    /// Takes over a child whose errors are piped.
    pub(crate) fn new(program: &Path, mut child: Child) -> Self {
        // Read all along: a VMM that fills the pipe would stall.
        let messages = child.stderr.take().map(|mut stderr| {
            tokio::spawn(async move {
                let (mut kept, mut chunk) = (Vec::new(), vec![0; 4096]);
                while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
                    kept.extend_from_slice(chunk.get(..length).unwrap_or_default());
                    let over = kept.len().saturating_sub(KEPT);
                    kept.drain(..over);
                }
                kept
            })
        });
        Self { program: program.to_owned(), child, messages, known: Tail::default() }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end; afterwards it returns at once.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus, RuntimeError> {
        self.child.wait().await.map_err(channel_error("wait for the VMM"))
    }

    pub(crate) fn has_ended(&mut self) -> Result<bool, RuntimeError> {
        self.child.try_wait().map(|status| status.is_some()).map_err(channel_error("look after the VMM"))
    }

    pub(crate) async fn kill(&mut self) -> Result<(), RuntimeError> {
        self.child.kill().await.map_err(channel_error("kill the VMM"))
    }

    /// What it said last. Call it after its end.
    pub(crate) async fn messages(&mut self) -> Tail {
        if let Some(task) = self.messages.take() {
            let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.known = Tail::new(format!("messages of {name}"), &task.await.unwrap_or_default());
        }
        self.known.clone()
    }
}
