//! The line protocol between Port and its guest agent: one JSON document per line, each way.
//!
//! ```text
//! host ──► agent   Request { id, operation }     then, inside a stream, HostFrame
//! agent ──► host   Response                      then, inside a stream, AgentFrame
//! ```
//!
//! Pure values and pure functions: nothing here opens a socket, reads a clock or spawns a thread, so a
//! blocking agent and an asynchronous host share every rule. `docs/formats/guest-protocol.md` is the
//! specification; a change here without a change there is a bug.
//!
//! What the host says is read strictly (an unknown field is refused, since ignoring it could run a command
//! with less care than was asked for); what the agent says is read tolerantly (a newer agent may tell more).

pub mod base64;
mod codec;
mod endpoint;
mod error;
mod frame;
mod guest_path;
mod line;
mod request;
mod request_id;
mod response;

pub use codec::{AgentLine, BadLine, HostLine, decode_agent_line, decode_host_line, encode_line};
pub use endpoint::{Endpoint, EndpointError};
pub use error::ProtocolError;
pub use frame::{AgentFrame, Channel, HostFrame};
pub use guest_path::{GuestPath, GuestPathError};
pub use line::{LineBuffer, LineReader, write_line};
pub use request::{CopyDirection, ForwardDirection, OPERATIONS, Operation, Request, ShutdownMode};
pub use request_id::RequestId;
pub use response::{ExecResult, PingResult, Response, StreamName};

/// The version of this protocol, told by `ping`.
pub const PROTOCOL_VERSION: u32 = 1;
/// The vsock port the agent listens on unless told otherwise.
pub const DEFAULT_VSOCK_PORT: u32 = 7000;
/// The name of the virtio-serial port that the agent looks for.
pub const VIRTIO_SERIAL_NAME: &str = "org.port.agent.0";
/// What a number follows in the names of all of the agent's ports: each is for one host process at a time.
pub const VIRTIO_SERIAL_PREFIX: &str = "org.port.agent.";
/// How many of them a guest has at most.
pub const MOST_VIRTIO_SERIAL_PORTS: u8 = 8;
/// The longest line a host may send, in bytes and without its newline.
pub const MAX_HOST_LINE: usize = 1024 * 1024;
/// The longest line an agent may send, in bytes and without its newline. Larger than a host's line because one
/// `completed` carries two captured outputs, and a control character takes six bytes in JSON.
pub const MAX_AGENT_LINE: usize = 16 * 1024 * 1024;
/// How much of each output a non-streaming `exec` keeps, in bytes.
pub const MAX_CAPTURE: usize = 1024 * 1024;
/// The most raw bytes a sender puts into one `data` or `input` frame.
pub const MAX_CHUNK: usize = 48 * 1024;
