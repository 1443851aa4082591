//! Blobs and manifests, read from a registry that is slow, cuts, or cannot do ranges.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use port_content::fs;
use port_content::hashing::digest_of;
use port_registry::{Anonymous, Kind, forget_partial, media};
use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::support::{chain, noise, options, pull, repository, repository_with, tag};

const MANIFEST: &str = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;

#[tokio::test]
async fn manifests_are_resolved_and_read_by_tag_and_digest() {
    let registry = Registry::start();
    let digest = registry.add_manifest("port/demo", "v1", media::OCI_MANIFEST, MANIFEST.as_bytes());
    let repository = repository(&registry);
    let resolved = repository.resolve(&tag("v1")).await.unwrap();
    assert_eq!((resolved.digest.to_string(), resolved.size), (digest.clone(), MANIFEST.len() as u64));
    let manifest = repository.manifest(&resolved.digest.clone().into()).await.unwrap();
    assert_eq!((manifest.digest, &manifest.bytes[..]), (resolved.digest, MANIFEST.as_bytes()));
    let error = repository.resolve(&tag("v2")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let host = registry.host();
    assert_eq!(
        chain(&error),
        format!(
            "cannot resolve `v2` in `{host}/port/demo`: the registry answered 404 (MANIFEST_UNKNOWN: unknown)"
        )
    );
}

#[tokio::test]
async fn a_document_whose_body_is_cut_is_asked_for_again() {
    let left = AtomicUsize::new(2);
    let cut = move |request: &port_testkit::registry::Request| {
        let first =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if first && request.method == "GET" { Action::CutAnswer(7) } else { Action::Pass }
    };
    let registry = Registry::with(Abilities::default(), Box::new(cut));
    registry.add_manifest("port/demo", "v1", media::OCI_MANIFEST, MANIFEST.as_bytes());
    let manifest = repository(&registry).manifest(&tag("v1")).await.unwrap();
    assert_eq!(&manifest.bytes[..], MANIFEST.as_bytes());
}

#[tokio::test]
async fn a_blob_comes_in_ranges_over_several_connections_each_byte_once() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    let partial = directory.path().join("partial");
    for size in [0, 1, 65_536, 3_000_000] {
        let bytes = noise(size);
        registry.add_blob(&bytes);
        let before = registry.traffic().1;
        assert_eq!(pull(&repository(&registry), &bytes, &partial).await.unwrap(), bytes);
        assert!(registry.traffic().1 - before <= size as u64 + 70_000, "{size}");
        forget_partial(&partial).unwrap();
    }
    let ranges = registry.requests().iter().filter(|request| !request.header("range").is_empty()).count();
    assert!(ranges > 6, "{ranges}");
    assert!(registry.requests().iter().all(|request| request.header("accept-encoding").is_empty()));
    assert_eq!(fs::read_dir(directory.path()).unwrap().len(), 0, "nothing is left behind");
}

/// One run takes it whole and so asks for no range: nobody ever learns whether ranges are answered.
#[tokio::test]
async fn a_blob_a_little_larger_than_a_part_does_not_wait_for_what_nobody_learns() {
    let directory = tempfile::tempdir().unwrap();
    for size in [65_537, 80_000, 98_304, 98_305, 131_072] {
        let registry = Registry::start();
        let bytes = noise(size);
        registry.add_blob(&bytes);
        let (repository, partial) = (repository(&registry), directory.path().join(size.to_string()));
        let pulled = pull(&repository, &bytes, &partial);
        let pulled = tokio::time::timeout(Duration::from_secs(20), pulled).await;
        assert!(pulled.is_ok_and(|pulled| pulled.unwrap() == bytes), "{size}");
    }
}

/// The registry has no HEAD, or says too little there: the second request must not wait for the first one's place.
#[tokio::test]
async fn one_request_at_a_time_is_enough_to_resolve() {
    for status in [405, 200] {
        let registry = Registry::with(
            Abilities::default(),
            Box::new(move |request| match request.method.as_str() {
                "HEAD" => Action::Answer(Reply::new(status, b"")),
                _ => Action::Pass,
            }),
        );
        let document = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        registry.add_manifest("port/demo", "v1", media::OCI_MANIFEST, document);
        let mut single = options();
        single.transfer.requests = 1;
        let repository = repository_with(registry.host(), single, Arc::new(Anonymous));
        let name = tag("v1");
        let resolved = tokio::time::timeout(Duration::from_secs(20), repository.resolve(&name)).await;
        assert_eq!(resolved.expect("it waits for itself").unwrap().digest, digest_of(document));
    }
}

#[tokio::test]
async fn a_cut_connection_goes_on_where_it_was() {
    let cuts = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |request| match request.target.contains("/blobs/") {
            true if cuts.fetch_add(1, Ordering::Relaxed) < 8 => Action::CutAnswer(50_000),
            _ => Action::Pass,
        }),
    );
    let bytes = noise(2_000_000);
    registry.add_blob(&bytes);
    let directory = tempfile::tempdir().unwrap();
    let pulled = pull(&repository(&registry), &bytes, &directory.path().join("p")).await.unwrap();
    assert_eq!(pulled, bytes);
    assert!(registry.traffic().1 <= 2_000_000 + 6 * 65_536, "{:?}", registry.traffic());
}

#[tokio::test]
async fn a_registry_without_ranges_gives_one_plain_stream() {
    let abilities = Abilities { ranges: false, ..Abilities::default() };
    let registry = Registry::with(abilities, Box::new(|_| Action::Pass));
    let bytes = noise(1_000_000);
    registry.add_blob(&bytes);
    let directory = tempfile::tempdir().unwrap();
    let state = options();
    let with_state =
        port_registry::Options { state_directory: Some(directory.path().join("state")), ..state };
    let repository = repository_with(registry.host(), with_state, Arc::new(Anonymous));
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    assert_eq!(registry.requests().len(), 1);
    assert_eq!(pull(&repository, &bytes, &directory.path().join("q")).await.unwrap(), bytes);
    assert_eq!(registry.requests()[1].header("range"), "", "it is remembered");
}

#[tokio::test]
async fn a_plain_stream_that_is_cut_is_skipped_to_where_it_was() {
    let first = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities { ranges: false, ..Abilities::default() },
        Box::new(move |_| match first.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Action::CutAnswer(400_000),
            _ => Action::Pass,
        }),
    );
    let bytes = noise(1_000_000);
    registry.add_blob(&bytes);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository(&registry), &bytes, &directory.path().join("p")).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_range_refused_with_416_or_501_becomes_a_plain_stream() {
    for status in [416, 501] {
        let registry = Registry::with(
            Abilities::default(),
            Box::new(move |request| match request.header("range") {
                "" => Action::Pass,
                _ => Action::Answer(Reply::new(status, b"")),
            }),
        );
        let bytes = noise(300_000);
        registry.add_blob(&bytes);
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(pull(&repository(&registry), &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_rerun_fetches_only_what_is_missing() {
    let served = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |request| match request.target.contains("/blobs/") {
            // After six requests the registry is gone for a while: more often than a client tries.
            true if (6..60).contains(&served.fetch_add(1, Ordering::Relaxed)) => {
                Action::Answer(Reply::new(503, b""))
            }
            _ => Action::Pass,
        }),
    );
    let bytes = noise(4_000_000);
    registry.add_blob(&bytes);
    let directory = tempfile::tempdir().unwrap();
    let partial = directory.path().join("p");
    let error = pull(&repository(&registry), &bytes, &partial).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let mut pulled = Err(error);
    for _ in 0..20 {
        pulled = pull(&repository(&registry), &bytes, &partial).await;
        if pulled.is_ok() {
            break;
        }
    }
    assert_eq!(pulled.unwrap(), bytes);
    assert!(registry.traffic().1 <= 4_000_000 + 6 * 65_536, "{:?}", registry.traffic());
    // All is there: no request is needed.
    let requests = registry.requests().len();
    pull(&repository(&registry), &bytes, &partial).await.unwrap();
    assert_eq!(registry.requests().len(), requests);
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let first = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |_| match first.fetch_add(1, Ordering::Relaxed) {
            0 => Action::Answer(Reply::new(429, b"").header("retry-after", "1")),
            _ => Action::Pass,
        }),
    );
    let bytes = noise(10);
    registry.add_blob(&bytes);
    let directory = tempfile::tempdir().unwrap();
    let start = std::time::Instant::now();
    pull(&repository(&registry), &bytes, &directory.path().join("p")).await.unwrap();
    assert!(start.elapsed().as_secs_f64() >= 1.0);
}

#[tokio::test]
async fn blobs_behind_a_redirect_are_asked_for_there_until_it_expires() {
    let uses = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&uses);
    let bytes = noise(3_000_000);
    let storage = Registry::with(
        Abilities::default(),
        Box::new(move |request| match counted.fetch_add(1, Ordering::Relaxed) {
            // Presigned addresses expire.
            4 => Action::Answer(Reply::new(403, b"expired")),
            _ if request.headers.contains_key("authorization") => Action::Answer(Reply::new(400, b"")),
            _ => Action::Pass,
        }),
    );
    let digest = storage.add_blob(&bytes);
    let target = format!("http://{}/v2/x/blobs/{digest}", storage.host());
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |_| Action::Answer(Reply::new(307, b"").header("location", target.clone()))),
    );
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository(&registry), &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    assert!(registry.requests().len() < uses.load(Ordering::Relaxed), "the address is remembered");
}

#[tokio::test]
async fn sha512_is_checked_too() {
    let registry = Registry::start();
    let mut hasher = port_content::hashing::Hasher::of(port_model::digest::Algorithm::Sha512);
    hasher.update(MANIFEST.as_bytes());
    let digest = hasher.finish();
    registry.add_manifest("port/demo", &digest.to_string(), media::OCI_MANIFEST, MANIFEST.as_bytes());
    assert_eq!(repository(&registry).manifest(&digest.clone().into()).await.unwrap().digest, digest);
    assert_ne!(digest, digest_of(MANIFEST.as_bytes()));
}
