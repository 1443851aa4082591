//! What can go wrong between a byte stream and a message.

use std::io;

use crate::OPERATIONS;

/// A line that is no message of this protocol, or no line at all.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// Two newlines in a row.
    #[error("expected one JSON document per line, found an empty line")]
    EmptyLine,
    /// The other side is gone.
    #[error("expected a line, found the end of the stream after {partial} bytes of it")]
    EndOfStream {
        /// How much of a line had come.
        partial: usize,
    },
    /// A line over the limit. Its rest is skipped, so the next line can be read.
    #[error("expected a line of at most {limit} bytes, found a longer one")]
    LineTooLong {
        /// The limit.
        limit: usize,
    },
    /// The stream broke.
    #[error("cannot {operation} a line")]
    Stream {
        /// `read` or `write`.
        operation: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line that cannot be an object, by its first byte.
    #[error("expected a JSON object, found byte 0x{found:02x}")]
    NotAnObject {
        /// The first byte that is no white space.
        found: u8,
    },
    /// Not JSON, or not the JSON of the message it claims to be.
    #[error("expected {expected}")]
    Malformed {
        /// The kind of message.
        expected: &'static str,
        /// What was found, with its place.
        #[source]
        source: serde_json::Error,
    },
    /// JSON, but neither of the two kinds of message that may come.
    #[error("expected {expected}, found an object with neither")]
    Unrecognised {
        /// The keys of which one must be there.
        expected: &'static str,
    },
    /// A request for something this version does not do.
    #[error("expected an operation of type {}, found `{found}`", OPERATIONS.map(|name| format!("`{name}`")).join(", "))]
    UnknownOperation {
        /// The `type`.
        found: String,
    },
    /// A message that has no JSON form.
    #[error("cannot encode a message as JSON")]
    Encode {
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl ProtocolError {
    /// The message with its causes, for a `failed` response: the other side sees one text, not a chain.
    pub fn to_message(&self) -> String {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        message
    }
}
