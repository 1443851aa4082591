//! Servers that never stand still and never get anywhere.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use port_registry::{Anonymous, Kind, Options, media};

use crate::support::{chain, noise, options, pull, repository_with, tag};

/// How many bytes the server says that it has.
const SIZE: usize = 600_000;

/// A server that sends one byte every few milliseconds of whatever it is asked for; returns where it is. Its threads end
/// with their connections.
pub(crate) fn dripping() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || drip(stream));
        }
    });
    address
}

fn drip(mut stream: TcpStream) {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
    let range = head.split_once("range: bytes=").and_then(|(_, rest)| rest.lines().next());
    let (status, length) = match range.and_then(|range| range.split_once('-')) {
        Some((from, to)) => (206, to.parse::<usize>().unwrap() + 1 - from.parse::<usize>().unwrap()),
        None => (200, SIZE),
    };
    let range = range.map(|range| format!("content-range: bytes {range}/{SIZE}\r\n")).unwrap_or_default();
    let kind = media::OCI_MANIFEST;
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{range}\r\n");
    let mut alive = stream.write_all(head.as_bytes()).is_ok();
    while alive {
        std::thread::sleep(Duration::from_millis(20));
        alive = stream.write_all(b"x").is_ok();
    }
}

/// Never waits as long as people do.
fn quick() -> Options {
    let mut quick = options();
    quick.patience.stall = Duration::from_millis(500);
    quick
}

/// So long it may take at most, lest a test that fails never ends.
async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.unwrap()
}

#[tokio::test]
async fn a_registry_that_sends_a_byte_now_and_then_is_given_up() {
    let repository = repository_with(&dripping(), quick(), Arc::new(Anonymous));
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(SIZE);
    let error = in_time(pull(&repository, &bytes, &directory.path().join("p"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("it sends less than 1024 bytes per second"), "{}", chain(&error));
    // What came is kept for the next try.
    assert!(port_content::fs::exists(&directory.path().join("p")));
}

#[tokio::test]
async fn a_small_document_that_comes_byte_by_byte_is_given_up_too() {
    let repository = repository_with(&dripping(), quick(), Arc::new(Anonymous));
    let error = in_time(repository.manifest(&tag("v1"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{}", chain(&error));
    assert!(chain(&error).contains("it sends less than 1024 bytes per second"), "{}", chain(&error));
}
