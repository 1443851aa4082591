//! Files between host and guest. A file from the guest appears whole or not at all, and is never larger than the
//! caller allows: the guest decides what it sends.

use std::io::Write;
use std::path::Path;

use port_content::atomic::AtomicFile;
use port_content::fs;
use port_guest_protocol::{Channel, CopyDirection, Operation, Response};
use tokio::io::AsyncReadExt;

use super::stream::{Input, Output, carry};
use super::{AgentClient, AgentError};

pub(super) const NAME: &str = "copy";

pub(super) async fn into_guest(
    client: &AgentClient,
    source: &Path,
    destination: &str,
) -> Result<u64, AgentError> {
    let (file, metadata) = fs::open_regular(source)?;
    let size = metadata.len();
    let operation = Operation::Copy {
        source: source.display().to_string(),
        destination: destination.to_owned(),
        direction: CopyDirection::HostToGuest,
        size_bytes: Some(size),
    };
    // A file that grows meanwhile is sent as it was told; one that shrinks is the agent's to refuse.
    let mut bytes = tokio::fs::File::from_std(file).take(size);
    client.stream(NAME, operation, Input::Reader(&mut bytes), Output::Call(&mut |_, _| Ok(()))).await?;
    Ok(size)
}

pub(super) async fn out_of_guest(
    client: &AgentClient,
    source: &str,
    destination: &Path,
    limit: u64,
) -> Result<u64, AgentError> {
    let operation = Operation::Copy {
        source: source.to_owned(),
        destination: destination.display().to_string(),
        direction: CopyDirection::GuestToHost,
        size_bytes: None,
    };
    let (mut session, (id, response)) = client.ask(NAME, operation, super::Patience::OfPulse).await?;
    let Response::Accepted { size_bytes, .. } = response else {
        return Err(AgentError::refused(NAME, response));
    };
    if let Some(told) = size_bytes.filter(|told| *told > limit) {
        return Err(AgentError::Local {
            operation: NAME,
            what: "write the output",
            source: too_big(told, limit),
        });
    }
    let mut file = AtomicFile::create(destination)?;
    let mut size = 0;
    let mut take = |_: Channel, bytes: &[u8]| {
        size += bytes.len() as u64;
        if size > limit { Err(too_big(size, limit)) } else { file.write_all(bytes) }
    };
    carry(session.connection(), NAME, &id, Input::Unused, Output::Call(&mut take), client.pulse_of(NAME))
        .await?;
    if let Some(told) = size_bytes.filter(|told| *told != size) {
        let (expected, found) = (format!("{told} bytes as told"), format!("{size} bytes"));
        return Err(AgentError::Unexpected { operation: NAME, expected, found });
    }
    file.commit()?;
    Ok(size)
}

fn too_big(size: u64, limit: u64) -> std::io::Error {
    std::io::Error::other(format!("the guest's file has {size} bytes or more: expected at most {limit}"))
}
