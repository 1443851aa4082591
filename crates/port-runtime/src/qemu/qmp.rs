//! As much of QEMU's control protocol as ends a machine: the capabilities exchange and `quit`.
//!
//! QEMU connects to Port's socket, greets, and takes one JSON command per line. Nothing it says is needed, so
//! nothing is parsed; it is read away for QEMU never to wait for a reader.

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::net::unix::OwnedWriteHalf;
use tokio::task::JoinHandle;

use crate::error::{RuntimeError, channel_error};

/// A connected control channel.
#[derive(Debug)]
pub(crate) struct QmpClient {
    writer: OwnedWriteHalf,
    reading: JoinHandle<()>,
}

impl QmpClient {
    /// Takes QEMU's connection and ends the greeting.
    pub(crate) async fn accept(listener: UnixListener) -> Result<Self, RuntimeError> {
        let (stream, _) = listener.accept().await.map_err(channel_error("accept QEMU's control channel"))?;
        let (mut reader, writer) = stream.into_split();
        let reading = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
        });
        let mut client = Self { writer, reading };
        client.send(r#"{"execute":"qmp_capabilities"}"#).await?;
        Ok(client)
    }

    /// Tells QEMU to end.
    pub(crate) async fn quit(&mut self) -> Result<(), RuntimeError> {
        self.send(r#"{"execute":"quit"}"#).await
    }

    async fn send(&mut self, command: &str) -> Result<(), RuntimeError> {
        let line = format!("{command}\n");
        self.writer.write_all(line.as_bytes()).await.map_err(channel_error("send a command to QEMU"))
    }
}

impl Drop for QmpClient {
    fn drop(&mut self) {
        self.reading.abort();
    }
}
