//! What flows inside a stream, tagged by `type`: the host's `input`, `close` and `resize`, the agent's `data`,
//! `exit`, `eof` and `error`. The bytes travel in Base64, so any byte may.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base64;

/// A frame from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HostFrame {
    /// Bytes for the command, the file or the endpoint.
    Input {
        /// Any bytes.
        #[serde(serialize_with = "serialize_bytes", deserialize_with = "deserialize_bytes")]
        data: Vec<u8>,
    },
    /// No more input. On streams that take none, the end of the operation.
    Close {},
    /// Extension: the terminal of a `pty` has another size.
    Resize {
        /// Width in characters.
        cols: u16,
        /// Height in lines.
        rows: u16,
    },
}

/// A frame from the agent. All but `data` end the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum AgentFrame {
    /// Bytes from the command, the file or the endpoint.
    Data {
        /// Which of the command's outputs; `stdout` for everything that has only one.
        #[serde(default)]
        channel: Channel,
        /// Any bytes.
        #[serde(serialize_with = "serialize_bytes", deserialize_with = "deserialize_bytes")]
        data: Vec<u8>,
    },
    /// The command ended.
    Exit {
        /// Its exit code, or 128 and the signal that ended it.
        code: i32,
    },
    /// Everything was carried.
    Eof {},
    /// The operation broke off.
    Error {
        /// What was expected and what was found.
        message: String,
    },
}

/// An output of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// Standard output, a terminal, a file or a socket.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
}

impl AgentFrame {
    /// Whether the stream is over after this frame.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Data { .. })
    }
}

fn serialize_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base64::encode(bytes))
}

fn deserialize_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    deserializer.deserialize_str(Base64Visitor)
}

/// Decodes from the borrowed text: a frame's payload is copied once, not twice.
struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes in base64")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        base64::decode(text).map_err(E::custom)
    }
}
