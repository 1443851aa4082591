//! What a QEMU says of itself: its version, and whether it can filter its own system calls.
//!
//! One start of an empty machine answers both: with the filter asked for, QEMU either greets on its control
//! channel or ends with a message.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::error::{RuntimeError, Tail};
use crate::qemu::{SANDBOX, Sandbox};

/// An empty machine greets within 60 ms; a loaded host may need many times that.
const GREETING_TIME: Duration = Duration::from_secs(10);
/// A greeting has some 200 bytes.
const GREETING_LIMIT: u64 = 64 * 1024;

/// What a QEMU says of itself.
#[derive(Debug)]
pub(super) struct QemuFacts {
    pub(super) version: String,
    pub(super) sandbox: Sandbox,
}

/// Starts an empty machine, with the filter if it can be had.
pub(super) async fn ask(qemu: &Path) -> Result<QemuFacts, RuntimeError> {
    if let Ok(version) = greeting(qemu, Sandbox::On).await {
        return Ok(QemuFacts { version, sandbox: Sandbox::On });
    }
    let version = greeting(qemu, Sandbox::Unsupported).await?;
    Ok(QemuFacts { version, sandbox: Sandbox::Unsupported })
}

async fn greeting(qemu: &Path, sandbox: Sandbox) -> Result<String, RuntimeError> {
    let mut command = Command::new(qemu);
    command.args(["-M", "none", "-nodefaults", "-no-user-config", "-display", "none", "-qmp", "stdio"]);
    if sandbox == Sandbox::On {
        command.args(["-sandbox", SANDBOX]);
    }
    command
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|source| RuntimeError::Spawn { program: qemu.to_owned(), source })?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout.take(GREETING_LIMIT));
        // What cannot be read is no greeting; the messages say more.
        let _ = tokio::time::timeout(GREETING_TIME, reader.read_line(&mut line)).await;
    }
    let _ = child.start_kill();
    let mut messages = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(GREETING_LIMIT).read_to_end(&mut messages).await;
    }
    let _ = child.wait().await;
    parse(&line).ok_or_else(|| RuntimeError::Unusable {
        program: qemu.to_owned(),
        problem: "expected a QMP greeting from an empty machine, found none".to_owned(),
        messages: Tail::new("messages", &messages),
    })
}

fn parse(line: &str) -> Option<String> {
    let Greeting { qmp } = serde_json::from_str(line).ok()?;
    let Numbers { major, minor, micro } = qmp.version.qemu;
    Some(format!("{major}.{minor}.{micro}"))
}

#[derive(Deserialize)]
struct Greeting {
    #[serde(rename = "QMP")]
    qmp: Qmp,
}

#[derive(Deserialize)]
struct Qmp {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    qemu: Numbers,
}

#[derive(Deserialize)]
struct Numbers {
    major: u32,
    minor: u32,
    micro: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_greeting() {
        let line = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "x"}, "capabilities": ["oob"]}}"#;
        assert_eq!(parse(line).as_deref(), Some("7.2.22"));
        assert_eq!(parse("qemu-system-x86_64: -sandbox on: not supported"), None);
    }
}
