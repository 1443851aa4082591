//! The `hosted-api` backend against servers that lie, drip, say nothing, or take long.

use std::time::Duration;

use port_backend::{Backend as _, ErrorKind, HostedAccess, HostedApi, HostedPatience};
use port_model::progress::Silent;
use port_registry::Secret;
use port_testkit::backend_contract::{self as contract, publication, reference, variant};
use port_testkit::http::{Answer, Server as Scripted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const OURS: &str = "x-port-control-plane: demo";

fn backend(endpoint: String, stall: Duration) -> HostedApi {
    let access = HostedAccess {
        endpoint,
        audience: "port-demo".to_owned(),
        header: "authorization".to_owned(),
        token: Secret::new("secret"),
        artifact_name: "demo-kernel".to_owned(),
        main_file: "vmlinux".parse().unwrap(),
        pause: Duration::from_millis(1),
    };
    let patience = HostedPatience { stall, commit: stall, ..HostedPatience::default() };
    HostedApi::new(access).unwrap().with_patience(patience)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_files_and_keeps_none_is_not_fed_for_ever() {
    let scratch = tempfile::tempdir().unwrap();
    let status = Answer::new("200 OK", br#"{"result": {"held": false, "offset": 0}}"#).header(OURS);
    let taken = Answer::new("200 OK", br#"{"result": {}}"#).header(OURS);
    let script: Vec<Answer> = (0..50).flat_map(|_| [status.clone(), taken.clone()]).collect();
    let server = Scripted::start(script);
    let publication = publication(scratch.path(), &[("vmlinux", b"kernel")]);
    let backend = backend(server.url(""), Duration::from_secs(60));
    let error = backend.push(&publication, &contract::unlisted, &Silent).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}: {}", error.source);
    assert!(server.requests().len() < 20, "{} requests", server.requests().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cuts_after_each_byte_is_not_asked_for_ever() {
    let scratch = tempfile::tempdir().unwrap();
    let resolved = format!(
        r#"{{"result": {{"files": [{{"filename": "vmlinux", "size": 40, "digest": "{}"}}], "documents": null}}}}"#,
        port_content::hashing::digest_of(&[b'x'; 40])
    );
    let mut script = vec![Answer::new("200 OK", resolved.as_bytes()).header(OURS)];
    script.push(Answer::new("200 OK", b"x").announce(40));
    script.extend((1..40).map(|at| {
        let range = format!("content-range: bytes {at}-39/40");
        Answer::new("206 Partial Content", b"x").header(range).announce(40 - at)
    }));
    let server = Scripted::start(script);
    let backend = backend(server.url(""), Duration::from_secs(60));
    let found = backend.resolve(&reference(), variant()).await.unwrap();
    let target = scratch.path().join("target");
    let result = backend.fetch(&reference(), variant(), &found.files[0], &[], &target, &Silent).await;
    assert_eq!(result.unwrap_err().kind, ErrorKind::Unavailable);
    assert!(server.requests().len() < 10, "{} requests", server.requests().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_takes_longer_than_the_stall_as_long_as_it_moves() {
    let scratch = tempfile::tempdir().unwrap();
    let content = vec![7; 24 << 20];
    let publication = publication(scratch.path(), &[("vmlinux", &content)]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let stall = Duration::from_millis(400);
    let server = tokio::spawn(async move {
        let (mut status, _) = listener.accept().await.unwrap();
        let _ = status.read(&mut [0; 4096]).await.unwrap();
        status
            .write_all(b"HTTP/1.1 404 None\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        drop(status);
        let (mut push, _) = listener.accept().await.unwrap();
        let (mut bytes, mut piece) = (0, vec![0; 1 << 20]);
        let began = std::time::Instant::now();
        // Slow, and never as slow as a stall.
        while bytes < 24 << 20 {
            bytes += push.read(&mut piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        push.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        began.elapsed()
    });
    let moved = backend(endpoint, stall).push(&publication, &contract::unlisted, &Silent).await.unwrap();
    assert_eq!(moved, content.len() as u64);
    assert!(server.await.unwrap() > stall, "the push was too fast to show anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let error =
        backend(endpoint, Duration::from_millis(50)).resolve(&reference(), variant()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    silent.abort();
}
