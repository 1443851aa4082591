//! Files in parts, small documents, and where addresses lead, from servers that behave and servers that do not.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]

use std::path::Path;
use std::time::Duration;

use port_content::hashing::digest_of;
use port_model::progress::Silent;
use port_testkit::http::{Answer, Server};
use port_testkit::mirror::{Fault, Mirror};
use port_transport::{Client, Downloaded, Failure, TransportError, Wanted};

fn client() -> Client {
    Client::default().with_pause(Duration::from_millis(1))
}

async fn gather(server: &Server, path: &Path, wanted: Wanted) -> Result<Downloaded, TransportError> {
    client().gather(&server.url("/root"), path, wanted, &Silent).await
}

const ANY: Wanted = Wanted { size: None, limit: 100 };

/// What a server says of one byte, to tell how large the file is.
fn probe(total: usize) -> Answer {
    Answer::new("206 Partial Content", b"k")
        .header(format!("content-range: bytes 0-0/{total}"))
        .header("etag: \"one\"")
}

fn part(bytes: &[u8], from: usize, total: usize) -> Answer {
    Answer::new("206 Partial Content", bytes)
        .header(format!("content-range: bytes {from}-{}/{total}", total - 1))
}

fn downloaded(bytes: &[u8]) -> Downloaded {
    Downloaded { digest: digest_of(bytes), size: bytes.len() as u64 }
}

#[tokio::test]
async fn a_file_comes_in_parts_and_a_cut_one_goes_on_where_it_broke() {
    let server = Server::start(vec![
        probe(10),
        part(b"kern", 0, 10).announce(10),
        Answer::new("503 Busy", b""),
        part(b"el1234", 4, 10),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    assert_eq!(gather(&server, &path, ANY).await.unwrap(), downloaded(b"kernel1234"));
    assert_eq!(std::fs::read(&path).unwrap(), b"kernel1234");
    let requests = server.requests();
    let ranges = ["bytes=0-0", "bytes=0-9", "bytes=4-9", "bytes=4-9"];
    for (request, range) in requests.iter().zip(ranges) {
        assert!(request.contains(&format!("range: {range}\r\n")), "{range}: {requests:?}");
    }
    assert!(requests[1..].iter().all(|request| request.contains("if-range: \"one\"")), "{requests:?}");
}

#[tokio::test]
async fn a_server_that_cuts_every_answer_at_a_third_sends_each_byte_once() {
    let bytes: Vec<u8> =
        (0..9_u32 << 20).map(|number| number.to_le_bytes()[usize::from(number % 3 == 0)]).collect();
    let (mirror, directory) = (Mirror::start("v1"), tempfile::tempdir().unwrap());
    let url = mirror.put_file("root", &bytes);
    mirror.fault("root", Fault::Third);
    let wanted = Wanted { size: None, limit: bytes.len() as u64 };
    let found = client().gather(&url, &directory.path().join("file"), wanted, &Silent).await.unwrap();
    assert_eq!(found, downloaded(&bytes));
    // One byte more was sent to tell how large the file is.
    assert_eq!(mirror.sent(), bytes.len() as u64 + 1);
    // Two parts, of which two thirds are left each time.
    let requests = mirror.take_requests().len();
    assert!(requests < 100, "{requests}");
}

#[tokio::test]
async fn what_an_earlier_process_left_is_not_fetched_again_until_it_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let server = Server::start(vec![probe(6), part(b"kernel", 0, 6)]);
    gather(&server, &path, ANY).await.unwrap();
    let url = server.url("/root");
    // Another server says the same of the file: the journal is about the address, so the address has to be the same.
    let again = client().gather(&url, &path, ANY, &Silent).await.unwrap_err();
    assert!(matches!(again.failure, Failure::Status { .. } | Failure::Unreachable { .. }), "{again:?}");
    let server =
        Server::start(vec![probe(6), part(b"kernel", 0, 6), probe(6), probe(6), part(b"kernel", 0, 6)]);
    gather(&server, &path, ANY).await.unwrap();
    assert_eq!(gather(&server, &path, ANY).await.unwrap(), downloaded(b"kernel"));
    assert_eq!(server.requests().len(), 3, "the second time one byte tells that all is there");
    port_transport::forget(&path).unwrap();
    assert_eq!(gather(&server, &path, ANY).await.unwrap(), downloaded(b"kernel"));
    assert_eq!(server.requests().len(), 5);
}

#[tokio::test]
async fn a_file_that_changes_is_begun_again_once_and_then_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let other = Answer::new("200 OK", b"another");
    let server = Server::start(vec![probe(6), other.clone(), probe(7), part(b"another", 0, 7)]);
    assert_eq!(gather(&server, &path, ANY).await.unwrap(), downloaded(b"another"));
    // Once the whole came in place of a part, once a part of a file of another size.
    let server = Server::start(vec![probe(6), other, probe(7), part(b"another one", 0, 11)]);
    let error = gather(&server, &directory.path().join("second"), ANY).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Changed), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot fetch `{}`", server.url("/root")));
}

#[tokio::test]
async fn a_server_without_ranges_is_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let whole = || Answer::new("200 OK", b"kernel");
    let server = Server::start(vec![whole(), whole()]);
    let path = directory.path().join("file");
    assert_eq!(gather(&server, &path, ANY).await.unwrap(), downloaded(b"kernel"));
    assert_eq!(std::fs::read(&path).unwrap(), b"kernel");
}

#[tokio::test]
async fn a_size_that_is_not_the_named_one_or_too_large_ends_it_before_it_begins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let server = Server::start(vec![probe(10), probe(101)]);
    let named = Wanted { size: Some(9), limit: 100 };
    let failure = gather(&server, &path, named).await.unwrap_err().failure;
    assert!(matches!(failure, Failure::OtherSize { expected: 9, found: 10 }), "{failure}");
    let failure = gather(&server, &path, ANY).await.unwrap_err().failure;
    assert!(matches!(failure, Failure::TooLarge { limit: 100 }), "{failure}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_document_is_read_whole_within_its_limit() {
    let server = Server::start(vec![
        Answer::new("200 OK", b"{").announce(2),
        Answer::new("200 OK", b"{}"),
        Answer::new("200 OK", &[0; 11]),
        Answer::new("404 Not Found", b"{}"),
    ]);
    let url = server.url("/m.json");
    let client = client();
    assert_eq!(client.read(&url, 10).await.unwrap(), b"{}", "a cut answer is asked for again");
    let failure = client.read(&url, 10).await.unwrap_err().failure;
    assert!(matches!(failure, Failure::TooLarge { limit: 10 }), "{failure}");
    let failure = client.read(&url, 10).await.unwrap_err().failure;
    assert!(matches!(failure, Failure::Status { not_found: true, .. }), "{failure}");
}

#[tokio::test]
async fn an_address_leads_to_where_its_redirects_end() {
    let server = Server::start(vec![
        Answer::new("302 Found", b"").header("location: /releases/tag/v1.15.1"),
        Answer::new("503 Busy", b""),
        Answer::new("302 Found", b"").header("location: /releases/tag/v1.15.1"),
        Answer::new("200 OK", b""),
        Answer::new("403 Forbidden", b""),
    ]);
    let url = server.url("/releases/latest");
    let client = client();
    assert_eq!(client.final_address(&url).await.unwrap(), server.url("/releases/tag/v1.15.1"));
    assert!(server.requests().iter().all(|request| request.starts_with("HEAD ")), "no page is fetched");
    let failure = client.final_address(&url).await.unwrap_err().failure;
    assert!(matches!(failure, Failure::Status { not_found: false, .. }), "{failure}");
    assert!(client.final_address("ftp://host/x").await.is_err());
}
