//! The client against an agent of the tests' own, over a pipe: every rule of the protocol that the client relies on.

use std::time::Duration;

use port_content::atomic;
use port_guest_protocol::{
    AgentFrame, CopyDirection, HostFrame, HostLine, LineBuffer, MAX_HOST_LINE, Request, decode_host_line,
    encode_line,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::UnixListener;

use super::*;

/// As much of an agent as the tests need.
struct FakeAgent {
    stream: DuplexStream,
    lines: LineBuffer,
    received: Vec<u8>,
}

impl FakeAgent {
    fn start() -> AgentClient {
        // Small, so that a side which only writes gets stuck.
        let (host, guest) = tokio::io::duplex(4096);
        let mut agent = Self { stream: guest, lines: LineBuffer::new(MAX_HOST_LINE), received: Vec::new() };
        tokio::spawn(async move { while agent.serve().await.is_some() {} });
        AgentClient::over(Box::new(host))
    }

    async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.lines.next_line() {
                return line.ok();
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await.ok()? {
                0 => return None,
                length => self.lines.push(&chunk[..length]),
            }
        }
    }

    async fn send(&mut self, message: impl serde::Serialize) -> Option<()> {
        self.stream.write_all(&encode_line(&message).ok()?).await.ok()
    }

    async fn data(&mut self, channel: Channel, bytes: &[u8]) -> Option<()> {
        self.send(AgentFrame::Data { channel, data: bytes.to_vec() }).await
    }

    async fn serve(&mut self) -> Option<()> {
        let line = self.line().await?;
        match decode_host_line(&line) {
            Ok(HostLine::Request(request)) => self.perform(request).await,
            Ok(HostLine::Frame(_)) => Some(()),
            Err(bad) => {
                let message = bad.error.to_message();
                self.send(Response::Failed { id: bad.id, message, exit_code: None }).await
            }
        }
    }

    async fn perform(&mut self, Request { id, operation }: Request) -> Option<()> {
        match operation {
            Operation::Ping {} => {
                self.complete(id, 0, json!({"protocol_version": 1, "agent_version": "9"})).await
            }
            Operation::Shutdown { .. } => {
                self.complete(id, 0, json!({})).await?;
                None
            }
            Operation::Exec { command, stream: false, .. } => {
                self.complete(id, 3, json!({"stdout": command.join(" "), "future": true})).await
            }
            Operation::Exec { command, .. } => self.exec(id, &command[0]).await,
            Operation::Pty { cols, .. } => {
                self.accept(id, None).await?;
                while let HostLine::Frame(frame) = decode_host_line(&self.line().await?).ok()? {
                    match frame {
                        HostFrame::Input { data } => self.data(Channel::Stdout, &data).await?,
                        HostFrame::Resize { cols, .. } => {
                            self.data(Channel::Stdout, &cols.to_string().into_bytes()).await?;
                        }
                        HostFrame::Close {} => break,
                    }
                }
                self.send(AgentFrame::Exit { code: i32::from(cols) }).await
            }
            Operation::Copy { direction: CopyDirection::HostToGuest, size_bytes, .. } => {
                self.accept(id, None).await?;
                self.receive(size_bytes?).await?;
                self.send(AgentFrame::Eof {}).await
            }
            Operation::Copy { source, .. } => self.copy_out(id, &source).await,
            Operation::Logs { .. } => {
                self.accept(id, None).await?;
                self.data(Channel::Stdout, b"log\n").await?;
                self.send(AgentFrame::Eof {}).await
            }
            Operation::Forward { .. } => {
                self.accept(id, None).await?;
                self.echo().await?;
                self.send(AgentFrame::Eof {}).await
            }
        }
    }

    async fn complete(&mut self, id: RequestId, exit_code: i32, result: serde_json::Value) -> Option<()> {
        self.send(Response::Completed { id, exit_code, result }).await
    }

    async fn accept(&mut self, id: RequestId, size_bytes: Option<u64>) -> Option<()> {
        self.send(Response::Accepted { id, stream: "x".into(), size_bytes }).await
    }

    async fn echo(&mut self) -> Option<()> {
        while let HostLine::Frame(HostFrame::Input { data }) = decode_host_line(&self.line().await?).ok()? {
            self.data(Channel::Stdout, &data).await?;
        }
        Some(())
    }

    async fn receive(&mut self, size: u64) -> Option<()> {
        while (self.received.len() as u64) < size {
            if let HostLine::Frame(HostFrame::Input { data }) = decode_host_line(&self.line().await?).ok()? {
                self.received.extend(data);
            }
        }
        Some(())
    }

    async fn exec(&mut self, id: RequestId, word: &str) -> Option<()> {
        match word {
            "missing" => {
                let message = "command `missing`: expected a program, found none".to_owned();
                return self.send(Response::Failed { id: Some(id), message, exit_code: Some(127) }).await;
            }
            "cat" => {
                self.accept(id, None).await?;
                self.echo().await?;
                return self.send(AgentFrame::Exit { code: 0 }).await;
            }
            "both" => {
                self.accept(id, None).await?;
                self.data(Channel::Stdout, b"out").await?;
                self.data(Channel::Stderr, b"err").await?;
                return self.send(AgentFrame::Exit { code: 3 }).await;
            }
            "broken" => {
                self.accept(id, None).await?;
                return self.send(AgentFrame::Error { message: "disk full".to_owned() }).await;
            }
            _ => {}
        }
        // Talks until a line comes that is no frame, as the real agent does.
        self.accept(id, None).await?;
        loop {
            self.data(Channel::Stdout, &[b'x'; 1000]).await?;
            if let Ok(line) = tokio::time::timeout(Duration::from_millis(1), self.line()).await
                && decode_host_line(&line?).is_err()
            {
                return self.send(AgentFrame::Error { message: "cancelled".to_owned() }).await;
            }
        }
    }

    async fn copy_out(&mut self, id: RequestId, source: &str) -> Option<()> {
        let told = match source {
            "/told-too-much" => Some(100),
            "/huge" => Some(1 << 40),
            _ => None,
        };
        self.accept(id, told).await?;
        let bytes = if source == "/received" { std::mem::take(&mut self.received) } else { vec![7; 10] };
        self.data(Channel::Stdout, &bytes).await?;
        self.send(AgentFrame::Eof {}).await
    }
}

fn command(word: &str) -> GuestCommand {
    GuestCommand::new([word])
}

async fn run(client: &AgentClient, word: &str, stdin: &[u8]) -> (Result<i32, String>, Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut take = |channel: Channel, bytes: &[u8]| {
        match channel {
            Channel::Stdout => out.extend_from_slice(bytes),
            Channel::Stderr => err.extend_from_slice(bytes),
        }
        Ok(())
    };
    let mut stdin = stdin;
    let code = client.exec_streaming(command(word), &mut stdin, &mut take).await;
    (code.map_err(|error| error.to_string()), out, err)
}

#[tokio::test]
async fn pu_43_pu_44_a_command_streams_its_outputs_and_its_exit_code() {
    let client = FakeAgent::start();
    assert_eq!(client.ready().await.unwrap().agent_version, "9");
    assert_eq!(run(&client, "both", b"").await, (Ok(3), b"out".to_vec(), b"err".to_vec()));
    let (code, result) = client.exec(GuestCommand::new(["uname", "-r"])).await.unwrap();
    assert_eq!((code, result.stdout.as_str()), (3, "uname -r"));
}

#[tokio::test]
async fn input_far_larger_than_the_pipe_goes_through_while_output_comes_back() {
    let client = FakeAgent::start();
    let input: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (code, out, _) = run(&client, "cat", &input).await;
    assert_eq!(code, Ok(0));
    assert!(out == input, "{} bytes came back", out.len());
}

#[tokio::test]
async fn what_the_agent_says_against_a_command_is_said() {
    let client = FakeAgent::start();
    let error = client.exec_streaming(command("missing"), &mut tokio::io::empty(), &mut |_, _| Ok(())).await;
    let Err(AgentError::Failed { exit_code, .. }) = &error else { panic!("{error:?}") };
    assert_eq!(*exit_code, Some(127));
    assert_eq!(
        error.unwrap_err().to_string(),
        "`exec` in the guest failed: command `missing`: expected a program, found none"
    );
    assert_eq!(run(&client, "broken", b"").await.0, Err("`exec` in the guest failed: disk full".to_owned()));
}

#[tokio::test]
async fn a_dropped_request_leaves_a_single_stream_usable() {
    let client = FakeAgent::start();
    for _ in 0..3 {
        let endless = run(&client, "endless", &[b'i'; 100_000]);
        assert!(tokio::time::timeout(Duration::from_millis(20), endless).await.is_err());
        assert_eq!(run(&client, "both", b"").await.0, Ok(3));
    }
    // An output that cannot be written breaks the operation off, with the same consequence.
    let mut full = |_: Channel, _: &[u8]| Err(std::io::ErrorKind::StorageFull.into());
    let broken = client.exec_streaming(command("endless"), &mut tokio::io::empty(), &mut full).await;
    assert_eq!(broken.unwrap_err().to_string(), "cannot write the output of `exec`");
    assert_eq!(client.ping().await.unwrap().protocol_version, 1);
}

#[tokio::test]
async fn requests_on_a_single_stream_wait_for_each_other() {
    let client = FakeAgent::start();
    let (a, b, c) = tokio::join!(run(&client, "both", b""), client.ping(), run(&client, "cat", b"hello"));
    assert_eq!((a.0, b.is_ok(), c.1), (Ok(3), true, b"hello".to_vec()));
}

#[tokio::test]
async fn files_go_in_and_come_out_whole_and_never_larger_than_allowed() {
    let client = FakeAgent::start();
    let directory = tempfile::tempdir().unwrap();
    let (source, target) = (directory.path().join("in"), directory.path().join("out"));
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
    atomic::write(&source, &bytes).unwrap();
    assert_eq!(client.copy_in(&source, "/received").await.unwrap(), 300_000);
    assert_eq!(client.copy_out("/received", &target, 1 << 20).await.unwrap(), 300_000);
    assert!(port_content::fs::read(&target, 1 << 20).unwrap() == bytes);
    let refused = directory.path().join("refused");
    for (path, limit) in [("/ten", 9), ("/huge", 100), ("/told-too-much", 1000)] {
        assert!(client.copy_out(path, &refused, limit).await.is_err(), "{path}");
        assert!(!port_content::fs::exists(&refused), "{path}");
    }
    assert!(client.ping().await.is_ok());
}

#[tokio::test]
async fn terminals_logs_and_forwards_are_streams_too() {
    let client = FakeAgent::start();
    let (sender, mut frames) = mpsc::channel(4);
    sender.send(HostFrame::Input { data: b"typed ".to_vec() }).await.unwrap();
    sender.send(HostFrame::Resize { cols: 132, rows: 50 }).await.unwrap();
    drop(sender);
    let mut out = Vec::new();
    let mut take = |_: Channel, bytes: &[u8]| {
        out.extend_from_slice(bytes);
        Ok(())
    };
    assert_eq!(client.pty(command("sh"), (80, 24), &mut frames, &mut take).await.unwrap(), 80);
    client.logs("/var/log/x", false, None, &mut take).await.unwrap();
    assert_eq!(out, b"typed 132log\n");
    let (here, mut there) = tokio::io::duplex(64);
    let endpoint = |text: &str| text.parse::<Endpoint>().unwrap();
    let talk = async {
        there.write_all(b"GET /").await.unwrap();
        let mut answer = [0; 5];
        there.read_exact(&mut answer).await.unwrap();
        drop(there);
        answer
    };
    let (carried, answer) =
        tokio::join!(client.forward(endpoint("127.0.0.1:0"), endpoint("127.0.0.1:80"), here), talk);
    carried.unwrap();
    assert_eq!(&answer, b"GET /");
}

#[tokio::test]
async fn an_agent_that_goes_away_is_a_broken_stream() {
    let client = FakeAgent::start();
    client.shutdown(ShutdownMode::PowerOff).await.unwrap();
    let error = client.ping().await.unwrap_err();
    assert!(error.is_broken_off());
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert!(source.is_some_and(|text| text.contains("found the end of the stream") || text.contains("cannot write")));
}

/// An agent behind a vsock helper: not there at first, then greeted with `CONNECT` for every request.
#[tokio::test]
async fn a_vsock_agent_is_tried_until_it_is_there_and_each_request_connects() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("vsock");
    let client = AgentClient::over_vsock_socket(&socket, 7000);
    let helper = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let listener = UnixListener::bind(&socket).unwrap();
        // As long as nobody listens in the guest, the helper closes.
        drop(listener.accept().await.unwrap());
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut greeting = [0; 13];
            stream.read_exact(&mut greeting).await.unwrap();
            assert_eq!(&greeting, b"CONNECT 7000\n");
            stream.write_all(b"OK 1073741824\n").await.unwrap();
            let mut line = vec![0; 200];
            let length = stream.read(&mut line).await.unwrap();
            let Ok(HostLine::Request(request)) = decode_host_line(line[..length].trim_ascii_end()) else {
                panic!()
            };
            let result = json!({"protocol_version": 1});
            let pong = Response::Completed { id: request.id, exit_code: 0, result };
            stream.write_all(&encode_line(&pong).unwrap()).await.unwrap();
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"NO\n").await.unwrap();
    };
    let asking = async {
        client.ready().await.unwrap();
        client.ping().await.unwrap();
        let refused = client.ping().await.unwrap_err();
        let source = std::error::Error::source(&refused).unwrap().to_string();
        assert_eq!(source, "the vsock helper answered `NO`: expected `OK <port>`");
    };
    tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(helper, asking) }).await.unwrap();
}

#[tokio::test]
async fn an_endless_wait_for_an_agent_repeats_its_ping() {
    let (host, mut guest) = tokio::io::duplex(4096);
    let client = AgentClient::over(Box::new(host));
    let agent = async {
        // The first ping is lost, as when an agent closes the port again.
        let mut lines = LineBuffer::new(MAX_HOST_LINE);
        let mut seen = 0;
        loop {
            let mut chunk = [0; 200];
            let length = guest.read(&mut chunk).await.unwrap();
            lines.push(&chunk[..length]);
            while let Some(line) = lines.next_line() {
                // The empty line before each ping.
                let Ok(HostLine::Request(request)) = decode_host_line(&line.unwrap()) else { continue };
                seen += 1;
                if seen == 2 {
                    guest.write_all(b"noise\n").await.unwrap();
                    let result = json!({"protocol_version": 1});
                    let pong = Response::Completed { id: request.id, exit_code: 0, result };
                    guest.write_all(&encode_line(&pong).unwrap()).await.unwrap();
                    return;
                }
            }
        }
    };
    let (ready, ()) = tokio::join!(client.ready(), agent);
    assert_eq!(ready.unwrap().protocol_version, 1);
}
