//! The server's life: health, records, an end in good order.

use port_server::observe::Event;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{header, http, send};
use crate::running::Running;

#[tokio::test]
async fn health_needs_no_token_and_every_request_has_a_record() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http().get(server.url(path)).send().await.unwrap().status(), 200);
    }
    let response = send(&server, "GET", "/v2/_catalog?n=5&token=secret").await;
    let requests = server.told.requests.lock().unwrap().clone();
    let last = requests.last().unwrap();
    assert_eq!(header(&response, "x-request-id"), last.request_id);
    assert_eq!(
        (last.path.as_str(), last.status, last.principal.as_deref()),
        ("/v2/_catalog", 200, Some("token"))
    );
    let text = serde_json::to_string(&requests).unwrap();
    assert!(!text.contains(crate::running::TOKEN) && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let digest = port_content::hashing::digest_of(b"kernel");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 6\r\n\r\nker",
        crate::running::TOKEN
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The session is there when the request is under way.
    while !root.path().join("sessions").exists() {
        tokio::task::yield_now().await;
    }
    let told = std::sync::Arc::clone(&server.told);
    let stopping = tokio::spawn(server.stop());
    while !told.events.lock().unwrap().contains(&Event::Draining) {
        tokio::task::yield_now().await;
    }
    stream.write_all(b"nel").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(stopping.await.unwrap());
}

#[tokio::test]
async fn a_storage_that_cannot_be_written_is_not_ready_and_tells_clients_no_paths() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    // A file where a directory must be stops everybody, root too.
    std::fs::write(root.path().join("_locks"), "").unwrap();
    let response = http().get(server.url("/readyz")).send().await.unwrap();
    assert_eq!(response.status(), 503);
    let response = send(&server, "POST", "/v2/a/blobs/uploads/").await;
    assert_eq!(response.status(), 500);
    let body = response.text().await.unwrap();
    let place = root.path().display().to_string();
    assert!(!body.contains(&place), "{body}");
    let requests = server.told.requests.lock().unwrap();
    assert!(requests.last().unwrap().error.as_ref().unwrap().contains(&place), "the operator is told");
}
