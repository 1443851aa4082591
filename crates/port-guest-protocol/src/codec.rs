//! One line to one message and back, as pure functions: what a blocking agent and an asynchronous host share.
//!
//! A line is told apart by a key, never by trying one type after the other, so the error names the field of the
//! message that was meant.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::{AgentFrame, HostFrame, OPERATIONS, ProtocolError, Request, RequestId, Response};

/// A line from the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum HostLine {
    /// It has `operation`.
    Request(Request),
    /// It has `type`.
    Frame(HostFrame),
}

/// A line from the agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AgentLine {
    /// It has `status`.
    Response(Response),
    /// It has `type`.
    Frame(AgentFrame),
}

impl From<Response> for AgentLine {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl From<AgentFrame> for AgentLine {
    fn from(frame: AgentFrame) -> Self {
        Self::Frame(frame)
    }
}

impl From<Request> for HostLine {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<HostFrame> for HostLine {
    fn from(frame: HostFrame) -> Self {
        Self::Frame(frame)
    }
}

/// A host's line that is no message, with the id to answer to where it could be read.
#[derive(Debug, thiserror::Error)]
#[error("bad line from the host")]
pub struct BadLine {
    /// The request's id.
    pub id: Option<RequestId>,
    /// What is wrong.
    #[source]
    pub error: ProtocolError,
}

impl From<ProtocolError> for BadLine {
    fn from(error: ProtocolError) -> Self {
        Self { id: None, error }
    }
}

/// The keys that tell the host's messages apart. Unknown keys are skipped here and judged by the message.
#[derive(Deserialize)]
struct HostKeys {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<RequestId>,
    #[serde(default, deserialize_with = "lenient")]
    operation: Option<OperationKey>,
    #[serde(default, rename = "type")]
    kind: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OperationKey {
    Typed {
        #[serde(rename = "type")]
        name: String,
    },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct AgentKeys {
    #[serde(default)]
    status: Option<IgnoredAny>,
    #[serde(default, rename = "type")]
    kind: Option<IgnoredAny>,
}

/// A value of the wrong shape counts as absent here: the message's own type reports it better.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        Good(T),
        Bad(IgnoredAny),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Good(value) => Some(value),
        Either::Bad(IgnoredAny) => None,
    })
}

/// The message with its newline. JSON escapes every newline inside, so one message is always one line.
pub fn encode_line<T: Serialize>(message: &T) -> Result<Vec<u8>, ProtocolError> {
    let mut line = serde_json::to_vec(message).map_err(|source| ProtocolError::Encode { source })?;
    line.push(b'\n');
    Ok(line)
}

/// The host's message in a line (without its newline). Strict: unknown fields and operations are refused.
pub fn decode_host_line(line: &[u8]) -> Result<HostLine, BadLine> {
    require_object(line)?;
    let keys: HostKeys = parse(line, "a JSON object with `operation` or `type`")?;
    if let Some(operation) = keys.operation {
        if let OperationKey::Typed { name } = operation
            && !OPERATIONS.contains(&name.as_str())
        {
            return Err(BadLine { id: keys.id, error: ProtocolError::UnknownOperation { found: name } });
        }
        return parse(line, "a request {id, operation}")
            .map(HostLine::Request)
            .map_err(|error| BadLine { id: keys.id, error });
    }
    if keys.kind.is_some() && keys.id.is_none() {
        return Ok(HostLine::Frame(parse(line, "a frame of type `input`, `close` or `resize`")?));
    }
    Err(BadLine { id: keys.id, error: ProtocolError::Unrecognised { expected: "`operation` or `type`" } })
}

/// The agent's message in a line (without its newline). Tolerant: unknown fields are ignored.
pub fn decode_agent_line(line: &[u8]) -> Result<AgentLine, ProtocolError> {
    require_object(line)?;
    let keys: AgentKeys = parse(line, "a JSON object with `status` or `type`")?;
    if keys.status.is_some() {
        return Ok(AgentLine::Response(parse(line, "a response `accepted`, `completed` or `failed`")?));
    }
    if keys.kind.is_some() {
        return Ok(AgentLine::Frame(parse(line, "a frame of type `data`, `exit`, `eof` or `error`")?));
    }
    Err(ProtocolError::Unrecognised { expected: "`status` or `type`" })
}

/// The JSON reader would also take an array for an object, field by field.
fn require_object(line: &[u8]) -> Result<(), ProtocolError> {
    match line.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(()),
        Some(found) => Err(ProtocolError::NotAnObject { found: *found }),
        None => Err(ProtocolError::EmptyLine),
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8], expected: &'static str) -> Result<T, ProtocolError> {
    serde_json::from_slice(line).map_err(|source| ProtocolError::Malformed { expected, source })
}
