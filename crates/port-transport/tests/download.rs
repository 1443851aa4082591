//! Downloads from servers that behave and servers that do not.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]

use std::io::Read as _;
use std::time::Duration;

use port_content::hashing::digest_of;
use port_model::progress::Silent;
use port_testkit::http::{Answer, Server};
use port_transport::{Client, Downloaded, Failure, TransportError};

async fn fetch(url: &str, limit: u64) -> (Result<Downloaded, TransportError>, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let mut file = port_content::fs::create_new(&path).unwrap();
    let client = Client::default().with_pause(Duration::from_millis(1));
    let result = client.download(url, &mut file, limit, &Silent).await;
    let mut bytes = Vec::new();
    port_content::fs::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
    (result, bytes)
}

#[tokio::test]
async fn a_cut_answer_is_continued_where_it_broke() {
    let server = Server::start(vec![
        Answer::new("200 OK", b"kern").announce(10),
        Answer::new("503 Busy", b""),
        Answer::new("206 Partial Content", b"el").header("content-range: bytes 4-9/10").announce(6),
        Answer::new("206 Partial Content", b"1234").header("content-range: bytes 6-9/10"),
    ]);
    let (result, bytes) = fetch(&server.url("/vmlinux"), 100).await;
    assert_eq!(result.unwrap(), Downloaded { digest: digest_of(b"kernel1234"), size: 10 });
    assert_eq!(bytes, b"kernel1234");
    let requests = server.requests();
    assert!(!requests[0].contains("range:") && requests[1].contains("range: bytes=4-"));
    assert!(requests[3].contains("range: bytes=6-"), "{requests:?}");
    assert!(requests.iter().all(|request| !request.contains("accept-encoding")), "{requests:?}");
}

#[tokio::test]
async fn a_server_that_ignores_range_is_read_from_the_start_again() {
    let server =
        Server::start(vec![Answer::new("200 OK", b"wrong").announce(9), Answer::new("200 OK", b"kernel")]);
    let (result, bytes) = fetch(&server.url("/vmlinux"), 100).await;
    assert_eq!((result.unwrap().size, bytes.as_slice()), (6, b"kernel".as_slice()));
}

#[tokio::test]
async fn a_wrong_range_is_refused() {
    let server = Server::start(vec![
        Answer::new("200 OK", b"kern").announce(6),
        Answer::new("206 Partial Content", b"kernel").header("content-range: bytes 0-5/6"),
    ]);
    let failure = fetch(&server.url("/vmlinux"), 100).await.0.unwrap_err().failure;
    assert_eq!(failure.to_string(), "asked for the bytes from 4 on, the server sent `bytes 0-5/6`");
}

#[tokio::test]
async fn more_than_the_limit_is_refused_announced_or_not() {
    let server = Server::start(vec![Answer::new("200 OK", &[0; 200]), Answer::new("200 OK", &[0; 200])]);
    let failure = fetch(&server.url("/a"), 100).await.0.unwrap_err().failure;
    assert!(matches!(failure, Failure::TooLarge { limit: 100 }), "{failure}");
    let server = Server::start(vec![
        Answer::new("200 OK", &[0; 60]).announce(90),
        Answer::new("206 Partial Content", &[0; 60]).header("content-range: bytes 60-119/120"),
    ]);
    let failure = fetch(&server.url("/a"), 100).await.0.unwrap_err().failure;
    assert!(matches!(failure, Failure::TooLarge { limit: 100 }), "{failure}");
}

#[tokio::test]
async fn absence_is_told_apart_from_silence() {
    let server = Server::start(vec![Answer::new("404 Not Found", b"")]);
    let failure = fetch(&server.url("/a"), 100).await.0.unwrap_err().failure;
    assert!(matches!(failure, Failure::Status { not_found: true, .. }), "{failure}");
    assert_eq!(server.requests().len(), 1, "a plain no is not asked again");
    // Port 9 is `discard`: nothing listens there.
    let failure = fetch("http://127.0.0.1:9/a", 100).await.0.unwrap_err().failure;
    assert!(matches!(failure, Failure::Unreachable { tries: 2, .. }), "{failure}");
}

#[tokio::test]
async fn only_plain_web_addresses_are_fetched() {
    for url in ["file:///etc/passwd", "http://user:password@127.0.0.1/a", "vmlinux"] {
        let error = fetch(url, 100).await.0.unwrap_err();
        assert!(matches!(error.failure, Failure::BadUrl), "{url}");
    }
}

#[tokio::test]
async fn redirects_are_few() {
    let away = Answer::new("302 Found", b"").header("location: /again");
    let server = Server::start(vec![away; 40]);
    let failure = fetch(&server.url("/a"), 100).await.0.unwrap_err().failure;
    assert!(matches!(failure, Failure::Redirect { .. }), "{failure:?}");
    // An answer: nobody asks again.
    assert!(server.requests().len() <= 6, "{} requests", server.requests().len());
}
