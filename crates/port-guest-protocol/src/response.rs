//! What the agent answers to a request, tagged by `status`, and the results of the operations that complete at
//! once. Read tolerantly: fields this version does not know are ignored.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::RequestId;

/// The agent's answer to one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Response {
    /// The operation runs; frames follow until `exit`, `eof` or `error`.
    Accepted {
        /// Of the request.
        id: RequestId,
        /// Which stream follows.
        stream: StreamName,
        /// How many bytes of data will come, where the agent knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size_bytes: Option<u64>,
    },
    /// The operation is over; nothing follows.
    Completed {
        /// Of the request.
        id: RequestId,
        /// The command's exit code, or 128 and the signal that ended it; 0 where there is no command.
        exit_code: i32,
        /// See [`ExecResult`] and [`PingResult`]; an empty object for the rest.
        #[serde(default)]
        result: Value,
    },
    /// The operation did not begin; the connection stays usable.
    Failed {
        /// Of the request; null when the line had none that could be read.
        id: Option<RequestId>,
        /// What was expected and what was found.
        message: String,
        /// Extension: what a shell would report; 127 for a command not found, 126 for one that cannot run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    },
}

impl Response {
    /// The request answered; none for a line that could not be read.
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Accepted { id, .. } | Self::Completed { id, .. } => Some(id),
            Self::Failed { id, .. } => id.as_ref(),
        }
    }
}

/// What follows an `accepted`: the operation's `type`. Published as a bare `stream`; other agents may send a
/// boolean or a number, which is kept as its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct StreamName(pub String);

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            other => other.to_string(),
        }))
    }
}

impl From<&str> for StreamName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// The result of a non-streaming `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExecResult {
    /// What the command wrote, with U+FFFD for what is not UTF-8.
    #[serde(default)]
    pub stdout: String,
    /// The same for its errors.
    #[serde(default)]
    pub stderr: String,
    /// Extension: the exact bytes in Base64, present only when `stdout` could not hold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_base64: Option<String>,
    /// Extension: the same for `stderr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_base64: Option<String>,
    /// Extension: there was more than [`MAX_CAPTURE`](crate::MAX_CAPTURE), which is lost.
    #[serde(default)]
    pub stdout_truncated: bool,
    /// Extension: the same for `stderr`.
    #[serde(default)]
    pub stderr_truncated: bool,
}

impl ExecResult {
    /// The result for captured bytes and whether each of them was cut.
    pub fn new(stdout: (Vec<u8>, bool), stderr: (Vec<u8>, bool)) -> Self {
        let (stdout_text, stdout_base64) = text_or_base64(stdout.0);
        let (stderr_text, stderr_base64) = text_or_base64(stderr.0);
        Self {
            stdout: stdout_text,
            stderr: stderr_text,
            stdout_base64,
            stderr_base64,
            stdout_truncated: stdout.1,
            stderr_truncated: stderr.1,
        }
    }

    /// The exact bytes of standard output.
    pub fn stdout_bytes(&self) -> Result<Vec<u8>, crate::base64::Base64Error> {
        exact(&self.stdout, self.stdout_base64.as_deref())
    }

    /// The exact bytes of standard error.
    pub fn stderr_bytes(&self) -> Result<Vec<u8>, crate::base64::Base64Error> {
        exact(&self.stderr, self.stderr_base64.as_deref())
    }
}

fn text_or_base64(bytes: Vec<u8>) -> (String, Option<String>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let bytes = error.as_bytes();
            (String::from_utf8_lossy(bytes).into_owned(), Some(crate::base64::encode(bytes)))
        }
    }
}

fn exact(text: &str, base64: Option<&str>) -> Result<Vec<u8>, crate::base64::Base64Error> {
    base64.map_or_else(|| Ok(text.as_bytes().to_vec()), crate::base64::decode)
}

/// The result of `ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PingResult {
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION) of the agent.
    pub protocol_version: u32,
    /// The agent's own version.
    #[serde(default)]
    pub agent_version: String,
    /// The operations it knows, by `type`.
    #[serde(default)]
    pub operations: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_that_are_not_text_lose_no_byte() {
        let result = ExecResult::new((b"plain\n".to_vec(), false), (vec![b'a', 0xff, 0], true));
        assert_eq!(result.stdout_base64, None);
        assert_eq!(result.stderr, "a\u{fffd}\0");
        assert_eq!(result.stdout_bytes().unwrap(), b"plain\n");
        assert_eq!(result.stderr_bytes().unwrap(), [b'a', 0xff, 0]);
        assert!(result.stderr_truncated && !result.stdout_truncated);
    }

    #[test]
    fn a_stream_of_another_agent_may_be_no_text() {
        for (value, name) in [("\"pty\"", "pty"), ("true", "true"), ("7", "7")] {
            assert_eq!(serde_json::from_str::<StreamName>(value).unwrap().0, name);
        }
    }
}
