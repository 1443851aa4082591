//! The `hosted-api` backend against the server: the contract of backends, cuts and resumption.

use std::time::Duration;

use port_backend::{Backend as _, Check, ErrorKind, HostedAccess, HostedApi};
use port_model::progress::Silent;
use port_registry::Secret;
use port_testkit::backend_contract::{self as contract, publication, reference, variant};

use port_testkit::http::{Answer, Server as Scripted};

use crate::client;
use crate::running::{Running, TOKEN};

fn access(server: &Running) -> HostedAccess {
    access_to(server.url(""))
}

fn access_to(endpoint: String) -> HostedAccess {
    HostedAccess {
        endpoint,
        audience: "port-demo".to_owned(),
        header: "authorization".to_owned(),
        token: Secret::new(TOKEN),
        artifact_name: "demo-kernel".to_owned(),
        main_file: "vmlinux".parse().unwrap(),
        pause: Duration::from_millis(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p_63_the_hosted_api_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    contract::run(|| HostedApi::new(access(&server)).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p_39_p_48_files_lie_where_the_documents_say() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Running::over(root.path()).await;
    let backend = HostedApi::new(access(&server)).unwrap();
    let publication = publication(scratch.path(), &[("vmlinux", b"kernel")]);
    backend.push(&publication, &contract::unlisted, &Silent).await.unwrap();
    let path = "artifacts/demo-fs/port/demo-kernel/v1/x86_64/firecracker/standard/vmlinux";
    assert_eq!(std::fs::read(root.path().join(path)).unwrap(), b"kernel");
    let sum = std::fs::read_to_string(root.path().join(format!("{path}.sha256"))).unwrap();
    assert!(sum.ends_with("  vmlinux\n"), "{sum}");
    assert_eq!(backend.describe(), format!("hosted-api {}", server.url("")));
}

#[tokio::test]
async fn p_62_a_wrong_token_and_a_wrong_audience_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let server = Running::over(root.path()).await;
    let wrong_token = HostedAccess { token: Secret::new("wrong-secret"), ..access(&server) };
    let wrong_audience = HostedAccess { audience: "other".to_owned(), ..access(&server) };
    for access in [wrong_token, wrong_audience] {
        let backend = HostedApi::new(access).unwrap();
        let error = backend.resolve(&reference(), variant()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        let text = format!("{error}: {}", error.source);
        assert!(!text.contains("wrong-secret") && !text.contains(TOKEN), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_cut_goes_on_where_it_was_even_at_another_server() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let content = contract::ranged_content();
    let publication = publication(scratch.path(), &[("vmlinux", &content)]);
    let first = Running::over(root.path()).await;
    // What a push that was killed leaves: a part of the bytes, under the name that the next one asks for.
    let metadata = serde_json::json!({
        "artifact_name": "demo-kernel",
        "reference": {"registry": "demo-fs", "repository": "port/demo-kernel", "version": "v1"},
        "selector": {"architecture": "x86_64", "substrate": "firecracker", "protection_mode": "standard"},
        "filename": "vmlinux",
        "store_path": "demo-fs/port/demo-kernel/v1/x86_64/firecracker/standard/vmlinux",
    });
    let cut = client::request(&first, "POST", "/v1/artifacts:push")
        .header("x-port-artifact-transfer", metadata.to_string())
        .header("x-port-content-digest", publication.files[0].digest.to_string())
        .header("x-port-upload-offset", 0)
        .header("x-port-publish", "stage")
        .header("content-length", content.len())
        .body(reqwest::Body::wrap_stream(futures_util::stream::iter([
            Ok(content[..700_000].to_vec()),
            Err(std::io::Error::other("killed")),
        ])))
        .send()
        .await;
    assert!(cut.is_err());
    // The server notices the end of the connection in its own time; stopping waits for that.
    assert!(first.stop().await);
    let second = Running::over(root.path()).await;
    let backend = HostedApi::new(access(&second)).unwrap();
    let moved = backend.push(&publication, &contract::unlisted, &Silent).await.unwrap();
    assert!(moved <= content.len() as u64 - 500_000, "{moved} bytes were sent again");
    let found = backend.resolve(&reference(), variant()).await.unwrap();
    let target = scratch.path().join("target");
    // A pull that was killed, too.
    std::fs::write(&target, &content[..300_000]).unwrap();
    let fetched =
        backend.fetch(&reference(), variant(), &found.files[0], &[], &target, &Silent).await.unwrap();
    assert_eq!((fetched.moved, fetched.found), (content.len() as u64 - 300_000, 300_000));
    assert!(std::fs::read(&target).unwrap() == content);
    // What lies there and is something else costs one more fetch, and never a wrong file.
    std::fs::write(&target, vec![7; 300_000]).unwrap();
    backend.fetch(&reference(), variant(), &found.files[0], &[], &target, &Silent).await.unwrap();
    assert!(std::fs::read(&target).unwrap() == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_here_are_not_sent_again() {
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Running::over(root.path()).await;
    let backend = HostedApi::new(access(&server)).unwrap();
    let publication = publication(scratch.path(), &[("vmlinux", b"kernel")]);
    assert_eq!(backend.push(&publication, &contract::unlisted, &Silent).await.unwrap(), 6);
    assert_eq!(backend.push(&publication, &contract::unlisted, &Silent).await.unwrap(), 0);
}

#[tokio::test]
async fn p_61_pu_30_a_server_with_only_the_published_routes_is_spoken_to_by_those() {
    let scratch = tempfile::tempdir().unwrap();
    let unknown = || Answer::new("404 Not Found", b"no such route");
    let server = Scripted::start(vec![
        unknown(),
        Answer::new("200 OK", br#"{"route": {}, "result": {"bytes_copied": 6}}"#),
        unknown(),
        Answer::new("200 OK", b"kernel"),
        Answer::new("200 OK", b"ker").announce(6),
        Answer::new("206 Partial Content", b"nel").header("content-range: bytes 3-5/6"),
    ]);
    let access = HostedAccess { header: "x-port-token".to_owned(), ..access_to(server.url("")) };
    let backend = HostedApi::new(access).unwrap();
    let publication = publication(scratch.path(), &[("vmlinux", b"kernel")]);
    assert_eq!(backend.push(&publication, &contract::unlisted, &Silent).await.unwrap(), 6);
    let found = backend.resolve(&reference(), variant()).await.unwrap();
    assert_eq!((found.files.len(), found.files[0].size, &found.files[0].digest), (1, 6, &None));
    let target = scratch.path().join("target");
    let fetched =
        backend.fetch(&reference(), variant(), &found.files[0], &[], &target, &Silent).await.unwrap();
    assert_eq!((fetched.check, std::fs::read(&target).unwrap()), (Check::Callers, b"kernel".to_vec()));
    let requests = server.requests();
    let push = requests[1].to_lowercase();
    assert!(push.starts_with("post /v1/artifacts:push "), "{push}");
    assert!(push.contains(&format!("x-port-token: bearer {TOKEN}")), "{push}");
    assert!(push.contains("x-port-audience: port-demo") && push.contains("content-length: 6"), "{push}");
    assert!(
        push.contains(r#""store_path":"demo-fs/port/demo-kernel/v1/x86_64/firecracker/standard/vmlinux""#)
    );
    assert!(requests[5].to_lowercase().contains("range: bytes=3-"), "{}", requests[5]);
}
