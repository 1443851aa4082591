//! Bytes that change on their way, up or down: what passes is tried again, what stays is said with both digests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_registry::{Anonymous, BlobSource, BlobUpload, Kind, Pushed, Repository};
use port_testkit::proxy::{Direction, Fault, Link, Proxy, Trouble};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};

use crate::support::{chain, noise, options, pull, repository, repository_with, upload};

const DIGEST_INVALID: &[u8] = br#"{"errors":[{"code":"DIGEST_INVALID","message":"digest did not match"}]}"#;

/// How large the parts of an upload are, for one that is to go up in one request, and for one that is not.
const WHOLE: u64 = u64::MAX;
const PARTS: u64 = 64 << 10;

/// A registry that answers the first requests of this method in this way, so many of them.
fn refusing(method: &'static str, times: usize, reply: Reply) -> Registry {
    let asked = AtomicUsize::new(0);
    let hook = move |request: &Request| match request.method == method {
        true if asked.fetch_add(1, Ordering::Relaxed) < times => Action::Answer(reply.clone()),
        _ => Action::Pass,
    };
    Registry::with(Abilities::default(), Box::new(hook))
}

fn whole(registry: &Registry) -> Repository {
    let mut options = options();
    options.transfer.upload_part = WHOLE;
    repository_with(registry.host(), options, Arc::new(Anonymous))
}

fn count(registry: &Registry, method: &str) -> usize {
    registry.requests().iter().filter(|request| request.method == method).count()
}

#[tokio::test]
async fn a_whole_upload_that_arrives_altered_starts_over() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(300_000);
    let upload = upload(&bytes, &directory.path().join("blob"));
    let memory = BlobUpload { source: BlobSource::Bytes(Bytes::from(bytes.clone())), ..upload.clone() };
    // Some registries say why, some do not.
    for (upload, body) in [(&upload, DIGEST_INVALID), (&memory, DIGEST_INVALID), (&upload, b"")] {
        let registry = refusing("PUT", 2, Reply::new(400, body));
        assert_eq!(whole(&registry).push_blob(upload).await.unwrap(), Pushed::Sent);
        assert_eq!(registry.blob(&upload.digest.to_string()).unwrap(), bytes);
        assert_eq!(
            (count(&registry, "PUT"), count(&registry, "POST")),
            (3, 3),
            "each in a session of its own"
        );
        assert_eq!(registry.sessions(), 0, "the refused sessions were given up");
    }
}

#[tokio::test]
async fn an_upload_that_always_arrives_altered_fails_and_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let upload = upload(&noise(300_000), &directory.path().join("blob"));
    for part in [WHOLE, PARTS] {
        let registry = refusing("PUT", usize::MAX, Reply::new(400, DIGEST_INVALID));
        let mut options = options();
        options.transfer.upload_part = part;
        let repository = repository_with(registry.host(), options, Arc::new(Anonymous));
        let error = repository.push_blob(&upload).await.unwrap_err();
        let text = chain(&error);
        assert_eq!(error.kind(), Kind::Corrupt, "{text}");
        for words in
            ["400 (DIGEST_INVALID", "4 times", "the local bytes are right", "the link to it changes bytes"]
        {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert_eq!((count(&registry, "PUT"), registry.sessions()), (4, 0));
    }
}

#[tokio::test]
async fn a_whole_upload_of_other_local_bytes_is_not_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(30_000);
    let mut file = upload(&bytes, &directory.path().join("blob"));
    file.digest = digest_of(b"other");
    let memory = BlobUpload { source: BlobSource::Bytes(Bytes::from(bytes.clone())), ..file.clone() };
    for upload in [file, memory] {
        let registry = Registry::start();
        let error = whole(&registry).push_blob(&upload).await.unwrap_err();
        let text = chain(&error);
        assert_eq!(error.kind(), Kind::Local, "{text}");
        let digests = format!("expected {}, found {}", upload.digest, digest_of(&bytes));
        assert!(text.contains(&digests), "{text}");
        assert_eq!(count(&registry, "PUT"), 1);
    }
}

#[tokio::test]
async fn a_whole_upload_refused_for_another_reason_is_not_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let upload = upload(&noise(30_000), &directory.path().join("blob"));
    let registry = refusing("PUT", 1, Reply::new(400, br#"{"errors":[{"code":"NAME_INVALID"}]}"#));
    let error = whole(&registry).push_blob(&upload).await.unwrap_err();
    assert_eq!((error.kind(), count(&registry, "PUT")), (Kind::Refused, 1), "{}", chain(&error));
}

#[tokio::test]
async fn a_connection_that_the_registry_saw_break_is_a_broken_one() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(300_000);
    let upload = upload(&bytes, &directory.path().join("blob"));
    for (part, method) in [(WHOLE, "PUT"), (PARTS, "PUT"), (PARTS, "PATCH")] {
        let mut options = options();
        options.transfer.upload_part = part;
        let registry = refusing(method, 2, Reply::new(499, b""));
        let repository = repository_with(registry.host(), options.clone(), Arc::new(Anonymous));
        assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::Sent, "{method}");
        assert_eq!(registry.blob(&upload.digest.to_string()).unwrap(), bytes);
        let registry = refusing(method, usize::MAX, Reply::new(499, b""));
        let repository = repository_with(registry.host(), options, Arc::new(Anonymous));
        let error = repository.push_blob(&upload).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{}", chain(&error));
    }
}

/// A registry whose answers to these requests for the blob, counted from 0, have one bit flipped.
fn flipping(bytes: &[u8], flips: impl Fn(usize) -> bool + Send + Sync + 'static) -> Registry {
    let (asked, mut copy) = (AtomicUsize::new(0), bytes.to_vec());
    copy[0] ^= 1;
    let last = bytes.len() - 1;
    let hook = move |request: &Request| {
        if !flips(asked.fetch_add(1, Ordering::Relaxed)) {
            return Action::Pass;
        }
        let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let Some((from, to)) = range else { return Action::Answer(Reply::new(200, &copy)) };
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse::<usize>().unwrap().min(last));
        let mut part = copy[from..=to].to_vec();
        part[0] ^= u8::from(from > 0);
        let content_range = format!("bytes {from}-{to}/{}", last + 1);
        Action::Answer(Reply::new(206, &part).header("content-range", content_range))
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    registry.add_blob(bytes);
    registry
}

#[tokio::test]
async fn a_blob_that_arrives_altered_is_fetched_once_more() {
    let directory = tempfile::tempdir().unwrap();
    for (size, flipped) in [(20_000, 0), (600_000, 0), (600_000, 3)] {
        let bytes = noise(size);
        let registry = flipping(&bytes, move |asked| asked == flipped);
        let path = directory.path().join(format!("p-{size}-{flipped}"));
        assert_eq!(pull(&repository(&registry), &bytes, &path).await.unwrap(), bytes);
        let sent = registry.traffic().1;
        assert!(sent >= 2 * size as u64, "{sent}: nobody knows which part was wrong, so all comes again");
    }
    let bytes = noise(2000);
    let registry = flipping(&bytes, |asked| asked == 0);
    let fetched = repository(&registry).blob_to_memory(&digest_of(&bytes), 2000, 4000).await.unwrap();
    assert_eq!(fetched, bytes);
}

#[tokio::test]
async fn the_second_fetch_is_one_plain_stream() {
    let (bytes, directory) = (noise(600_000), tempfile::tempdir().unwrap());
    let registry = Registry::start();
    registry.add_blob(&bytes);
    let fault = Fault { direction: Direction::Down, after: 300_000, trouble: Trouble::Corrupt };
    let proxy = Proxy::start(registry.host(), Link::default(), &[fault]);
    let repository = repository_with(proxy.address(), options(), Arc::new(Anonymous));
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    assert_eq!(proxy.pending(), 0);
    let requests = registry.requests();
    let ranges: Vec<&str> = requests.iter().map(|request| request.header("range")).collect();
    let (last, before) = ranges.split_last().unwrap();
    assert!(
        last.is_empty() && before.len() > 2 && before.iter().all(|range| !range.is_empty()),
        "{ranges:?}"
    );
}

#[tokio::test]
async fn a_plain_stream_that_is_cut_stays_one() {
    let (bytes, directory) = (noise(600_000), tempfile::tempdir().unwrap());
    let streams = AtomicUsize::new(0);
    let flipped = AtomicUsize::new(0);
    let hook = move |request: &Request| match request.header("range") {
        "" if streams.fetch_add(1, Ordering::Relaxed) < 2 => Action::CutAnswer(200_000),
        "bytes=0-65535" if flipped.fetch_add(1, Ordering::Relaxed) == 0 => {
            let content_range = "bytes 0-65535/600000";
            Action::Answer(Reply::new(206, &[0; 65_536]).header("content-range", content_range))
        }
        _ => Action::Pass,
    };
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    registry.add_blob(&bytes);
    assert_eq!(pull(&repository(&registry), &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    let requests = registry.requests();
    assert!(requests.iter().rev().take(3).all(|request| request.header("range").is_empty()));
    assert!(requests.iter().rev().take(3).all(|request| request.header("if-range").is_empty()));
}

#[tokio::test]
async fn a_blob_that_arrives_altered_again_fails_with_both_digests() {
    let bytes = noise(20_000);
    let registry = flipping(&bytes, |_| true);
    let mut found = bytes.clone();
    found[0] ^= 1;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p");
    let digests = format!("expected {}, found {}", digest_of(&bytes), digest_of(&found));
    let to_file = pull(&repository(&registry), &bytes, &path).await.unwrap_err();
    assert_eq!(count(&registry, "GET"), 2, "one more try, not more");
    assert_eq!(port_content::fs::read(&path, 10).unwrap(), b"", "nothing wrong is kept");
    let to_memory =
        repository(&registry).blob_to_memory(&digest_of(&bytes), 20_000, 20_000).await.unwrap_err();
    assert_eq!(count(&registry, "GET"), 4);
    for error in [to_file, to_memory] {
        let text = chain(&error);
        assert!(error.kind() == Kind::Corrupt && text.contains(&digests), "{text}");
    }
    let larger = noise(600_000);
    let registry = flipping(&larger, |_| true);
    let error = pull(&repository(&registry), &larger, &path).await.unwrap_err();
    let text = chain(&error);
    assert!(text.contains("again in one plain stream") && error.kind() == Kind::Corrupt, "{text}");
    let plain = |request: &Request| request.header("range").is_empty();
    assert_eq!(registry.requests().iter().filter(|request| plain(request)).count(), 1, "once, not more");
}
