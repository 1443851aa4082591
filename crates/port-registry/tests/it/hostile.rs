//! Registries that attack their client: each is refused with an error that says what was tried, and no credential leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_registry::{BlobSource, BlobUpload, Kind, RegistryError, Repository, media};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};

use crate::support::{chain, noise, options, pull, repository_with, tag, user};

/// A registry that answers like this, asked with credentials.
fn hostile(answer: impl Fn(&Request) -> Action + Send + Sync + 'static) -> (Registry, Repository) {
    let registry = Registry::with(Abilities::default(), Box::new(answer));
    let repository = repository_with(registry.host(), options(), user());
    (registry, repository)
}

fn refused(error: &RegistryError, expected: Kind, words: &str) {
    let text = chain(error);
    assert_eq!(error.kind(), expected, "{text}");
    assert!(text.contains(words), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

fn redirect(to: impl Into<String>) -> Action {
    Action::Answer(Reply::new(307, b"").header("location", to))
}

async fn manifest_error(answer: impl Fn(&Request) -> Action + Send + Sync + 'static) -> RegistryError {
    let (_registry, repository) = hostile(answer);
    repository.manifest(&tag("v1")).await.unwrap_err()
}

fn challenge(realm: &str) -> Action {
    let header = format!("Bearer realm=\"{realm}\",service=\"x\",scope=\"repository:victim/private:pull\"");
    Action::Answer(Reply::new(401, b"").header("www-authenticate", header))
}

#[tokio::test]
async fn realm_elsewhere_gets_no_credentials() {
    let error = manifest_error(|_| challenge("https://evil.example/token?secret")).await;
    refused(&error, Kind::Hostile, "https://evil.example/token");
}

#[tokio::test]
async fn realm_by_plain_http_elsewhere_is_refused() {
    let error = manifest_error(|_| challenge("http://evil.example/token")).await;
    refused(&error, Kind::Hostile, "not asked by https");
}

#[tokio::test]
async fn realm_at_the_metadata_service_is_refused() {
    let realm = |_: &Request| challenge("https://169.254.169.254/latest");
    let registry = Registry::with(Abilities::default(), Box::new(realm));
    let anonymous = repository_with(registry.host(), options(), Arc::new(port_registry::Anonymous));
    let error = anonymous.manifest(&tag("v1")).await.unwrap_err();
    refused(&error, Kind::Hostile, "169.254.169.254");
}

#[tokio::test]
async fn realm_that_redirects_is_refused() {
    let (registry, repository) = hostile(|request| match request.target.starts_with("/token") {
        true => redirect("http://127.0.0.1:1/"),
        false => challenge(&format!("http://{}/token", request.header("host"))),
    });
    let error = repository.manifest(&tag("v1")).await.unwrap_err();
    refused(&error, Kind::Hostile, "redirects");
    let requests = registry.requests();
    let token = requests.iter().find(|request| request.target.starts_with("/token")).unwrap();
    assert!(!token.target.contains("victim") || token.target.contains("demo"), "{}", token.target);
}

#[tokio::test]
async fn endless_token_answer_is_refused() {
    let error = manifest_error(|request| match request.target.starts_with("/token") {
        true => Action::Answer(Reply::new(200, b"").endless()),
        false => challenge(&format!("http://{}/token", request.header("host"))),
    })
    .await;
    refused(&error, Kind::Hostile, "65536");
}

#[tokio::test]
async fn redirect_elsewhere_carries_no_credentials() {
    let bytes = noise(1000);
    let storage = Registry::start();
    let digest = storage.add_blob(&bytes);
    let target = format!("http://{}/v2/x/blobs/{digest}", storage.host());
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |request| match request.header("authorization") {
            "" => Action::Answer(Reply::new(401, b"").header("www-authenticate", "Basic realm=\"x\"")),
            _ => redirect(target.clone()),
        }),
    );
    let repository = repository_with(registry.host(), options(), user());
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    assert!(registry.requests().iter().any(|request| !request.header("authorization").is_empty()));
    assert!(storage.requests().iter().all(|request| request.header("authorization").is_empty()));
}

#[tokio::test]
async fn redirect_to_the_metadata_service_or_a_private_address_is_refused() {
    for (target, words) in [
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("http://[::ffff:169.254.169.254]/", "169.254.169.254"),
        ("http://10.0.0.1/", "10.0.0.1"),
        ("http://0.0.0.0:80/", "0.0.0.0"),
        ("http://2852039166/", "169.254.169.254"),
    ] {
        refused(&manifest_error(move |_| redirect(target)).await, Kind::Hostile, words);
    }
}

#[tokio::test]
async fn redirect_to_another_scheme_or_with_a_user_is_refused() {
    for target in ["file:///etc/passwd", "ftp://x/", "http://user:secret@127.0.0.1:1/"] {
        refused(&manifest_error(move |_| redirect(target)).await, Kind::Hostile, "a request to");
    }
}

#[tokio::test]
async fn endless_redirects_are_refused() {
    let count = AtomicUsize::new(0);
    let error =
        manifest_error(move |_| redirect(format!("/{}", count.fetch_add(1, Ordering::Relaxed)))).await;
    refused(&error, Kind::Hostile, "redirects");
}

fn blob_upload() -> BlobUpload {
    let source = BlobSource::Bytes(Bytes::from_static(b"data"));
    BlobUpload { digest: digest_of(b"data"), size: 4, source, mount_from: None }
}

#[tokio::test]
async fn upload_location_elsewhere_is_refused() {
    let elsewhere = Registry::start();
    let there = format!("http://{}/v2/x/blobs/uploads/1?secret", elsewhere.host());
    for location in [there, "https://127.0.0.1/x".to_owned(), "https://evil.example/u".to_owned()] {
        let (_registry, repository) = hostile(move |request| match request.method.as_str() {
            "POST" => Action::Answer(Reply::new(202, b"").header("location", location.clone())),
            _ => Action::Pass,
        });
        let error = repository.push_blob(&blob_upload()).await.unwrap_err();
        refused(&error, Kind::Hostile, "elsewhere than the registry");
    }
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn upload_location_that_moves_away_in_the_middle_is_refused() {
    let (_registry, repository) = hostile(|request| match request.method.as_str() {
        "PATCH" => Action::Answer(Reply::new(202, b"").header("location", "https://evil.example/u")),
        _ => Action::Pass,
    });
    let directory = tempfile::tempdir().unwrap();
    let upload = crate::support::upload(&noise(200_000), &directory.path().join("b"));
    refused(&repository.push_blob(&upload).await.unwrap_err(), Kind::Hostile, "evil.example");
}

#[tokio::test]
async fn upload_that_is_redirected_is_refused() {
    let (registry, repository) = hostile(|request| match request.method.as_str() {
        "POST" => redirect("https://evil.example/u"),
        _ => Action::Pass,
    });
    assert_eq!(repository.push_blob(&blob_upload()).await.unwrap_err().kind(), Kind::Refused);
    assert!(registry.requests().iter().all(|request| request.method != "PUT"));
}

#[tokio::test]
async fn link_elsewhere_is_refused() {
    for link in ["https://evil.example/tags", "http://169.254.169.254/", "http://127.0.0.1:1/x"] {
        let (_registry, repository) = hostile(move |_| {
            let reply = Reply::new(200, br#"{"tags":["a"]}"#);
            Action::Answer(reply.header("link", format!("<{link}>; rel=\"next\"")))
        });
        refused(&repository.tags().await.unwrap_err(), Kind::Hostile, "elsewhere than the registry");
    }
}

#[tokio::test]
async fn link_that_leads_back_or_never_ends_is_refused() {
    let (_registry, repository) = hostile(|_| {
        let reply = Reply::new(200, br#"{"tags":["a"]}"#);
        Action::Answer(reply.header("link", "</v2/port/demo/tags/list?n=1000>; rel=\"next\""))
    });
    refused(&repository.tags().await.unwrap_err(), Kind::Hostile, "lead back");
    let count = AtomicUsize::new(0);
    let (_registry, repository) = hostile(move |_| {
        let link = format!("</{}>; rel=\"next\"", count.fetch_add(1, Ordering::Relaxed));
        Action::Answer(Reply::new(200, br#"{"tags":["a"]}"#).header("link", link))
    });
    refused(&repository.tags().await.unwrap_err(), Kind::Hostile, "longer than 1000 pages");
}

#[tokio::test]
async fn oversized_manifest_is_refused() {
    let endless = |_: &Request| {
        Action::Answer(Reply::new(200, b"").header("content-type", media::OCI_MANIFEST).endless())
    };
    refused(&manifest_error(endless).await, Kind::Hostile, "larger than 4194304 bytes");
    let announced =
        |_: &Request| Action::Answer(Reply::new(200, b"{}").header("content-length", "536870912"));
    refused(&manifest_error(announced).await, Kind::Hostile, "larger than 4194304 bytes");
}

#[tokio::test]
async fn endless_error_body_is_not_read() {
    let error = manifest_error(|_| Action::Answer(Reply::new(404, b"").endless())).await;
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn error_text_is_cut_and_cleaned() {
    let error = manifest_error(|_| {
        let text = format!(r#"{{"errors":[{{"code":"X","message":"a\n\u001b[31m{}"}}]}}"#, "y".repeat(5000));
        Action::Answer(Reply::new(403, text.as_bytes()))
    })
    .await;
    let text = chain(&error);
    assert!(text.len() < 400 && !text.chars().any(char::is_control), "{text}");
}

#[tokio::test]
async fn bad_digest_grammar_is_refused() {
    for digest in ["sha256:../../x", "sha256:ABC", "md5:d41d8cd98f00b204e9800998ecf8427e", "x"] {
        let error = manifest_error(move |_| {
            let reply = Reply::new(200, br#"{"schemaVersion":2,"config":{},"layers":[]}"#);
            let reply = reply.header("content-type", media::OCI_MANIFEST);
            Action::Answer(reply.header("docker-content-digest", digest))
        })
        .await;
        refused(&error, Kind::Hostile, "as the digest of what it sends");
    }
}

#[tokio::test]
async fn wrong_digest_of_a_manifest_is_corrupt() {
    let answer = |digest: String| {
        move |_: &Request| {
            let reply = Reply::new(200, br#"{"schemaVersion":2,"config":{},"layers":[]}"#);
            let reply = reply.header("content-type", media::OCI_MANIFEST);
            Action::Answer(reply.header("docker-content-digest", digest.clone()))
        }
    };
    let other = digest_of(b"other");
    refused(&manifest_error(answer(other.to_string())).await, Kind::Corrupt, "other bytes");
    let (_registry, repository) = hostile(answer(String::new()));
    let error = repository.manifest(&other.clone().into()).await.unwrap_err();
    refused(&error, Kind::Corrupt, "other bytes");
    let (_registry, repository) = hostile(answer(digest_of(b"x").to_string()));
    refused(&repository.resolve(&other.into()).await.unwrap_err(), Kind::Corrupt, "other bytes");
}

#[tokio::test]
async fn manifest_index_confusion_is_refused() {
    let error = manifest_error(|_| {
        let reply = Reply::new(200, br#"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#);
        Action::Answer(reply.header("content-type", media::OCI_INDEX))
    })
    .await;
    refused(&error, Kind::Hostile, "not clearly a manifest or an index");
}

async fn blob_error(answer: impl Fn(&Request) -> Action + Send + Sync + 'static) -> RegistryError {
    let bytes = noise(300_000);
    let (registry, repository) = hostile(answer);
    registry.add_blob(&bytes);
    let directory = tempfile::tempdir().unwrap();
    pull(&repository, &bytes, &directory.path().join("p")).await.unwrap_err()
}

#[tokio::test]
async fn wrong_content_range_is_refused() {
    for (range, length) in [
        ("bytes 1-65535/300000", 65_535),
        ("bytes 1-65536/300000", 65_536),
        ("bytes 0-65535/299999", 65_536),
        ("bytes 0-65535/300000", 65_535),
        ("bytes 0-299999/300000", 65_536),
        ("x", 65_536),
        ("", 65_536),
    ] {
        let error = blob_error(move |_| {
            Action::Answer(Reply::new(206, &vec![0; length]).header("content-range", range))
        })
        .await;
        refused(&error, Kind::Corrupt, "asked for the bytes 0-");
    }
}

#[tokio::test]
async fn encoded_blob_is_refused() {
    let error =
        blob_error(|_| Action::Answer(Reply::new(200, &[0; 300_000]).header("content-encoding", "gzip")))
            .await;
    refused(&error, Kind::Hostile, "encoded as `gzip`");
}

#[tokio::test]
async fn endless_or_longer_blob_is_refused() {
    let error = blob_error(|_| Action::Answer(Reply::new(200, b"").endless())).await;
    assert_eq!(error.kind(), Kind::Corrupt, "{}", chain(&error));
    let error = blob_error(|_| Action::Answer(Reply::new(200, &[0; 300_001]))).await;
    refused(&error, Kind::Corrupt, "other bytes");
}

#[tokio::test]
async fn other_bytes_of_a_blob_are_corrupt_and_forgotten() {
    let bytes = noise(300_000);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let (registry, repository) = hostile(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        // As often as a blob is fetched.
        0 | 1 => Action::Answer(Reply::new(200, &[7; 300_000])),
        _ => Action::Pass,
    });
    registry.add_blob(&bytes);
    let directory = tempfile::tempdir().unwrap();
    let partial = directory.path().join("p");
    let error = pull(&repository, &bytes, &partial).await.unwrap_err();
    refused(&error, Kind::Corrupt, "other bytes");
    assert_eq!(pull(&repository, &bytes, &partial).await.unwrap(), bytes, "the next try starts clean");
}

#[tokio::test]
async fn hostile_tags_are_refused() {
    let (_registry, repository) =
        hostile(|_| Action::Answer(Reply::new(200, br#"{"tags":["../../etc/passwd"]}"#)));
    refused(&repository.tags().await.unwrap_err(), Kind::Hostile, "as a tag");
}

#[tokio::test]
async fn a_push_that_is_confirmed_with_another_digest_is_an_error() {
    let (_registry, repository) = hostile(|request| match request.method.as_str() {
        "PUT" => {
            let reply = Reply::new(201, b"");
            Action::Answer(reply.header("docker-content-digest", digest_of(b"other").to_string()))
        }
        _ => Action::Pass,
    });
    refused(&repository.push_blob(&blob_upload()).await.unwrap_err(), Kind::Corrupt, "confirms");
}
