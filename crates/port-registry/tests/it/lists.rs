//! Tags and referrers, in pages, by API and by the tag that stands in for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_model::Digest;
use port_registry::{Anonymous, Descriptor, Failure, Kind, ListLimit, Options, Repository, media};
use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::support::{chain, options, repository, repository_with};

fn with(abilities: Abilities) -> Registry {
    Registry::with(abilities, Box::new(|_| Action::Pass))
}

#[tokio::test]
async fn tags_come_in_pages() {
    let registry = with(Abilities { page: 2, ..Abilities::default() });
    for tag in ["v1", "v2", "v3", "v4", "v5"] {
        registry.add_manifest(
            "port/demo",
            tag,
            media::OCI_MANIFEST,
            br#"{"schemaVersion":2,"config":{},"layers":[]}"#,
        );
    }
    let tags = repository(&registry).tags().await.unwrap();
    assert_eq!(tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["v1", "v2", "v3", "v4", "v5"]);
}

fn referrer(subject: &Digest, kind: &str) -> (Descriptor, Bytes) {
    let text = format!(
        r#"{{"schemaVersion":2,"artifactType":"{kind}","config":{{}},"layers":[],"subject":{{"digest":"{subject}"}}}}"#
    );
    let bytes = Bytes::from(text);
    let descriptor = Descriptor {
        media_type: media::OCI_MANIFEST.to_owned(),
        digest: digest_of(&bytes),
        size: bytes.len() as u64,
        artifact_type: Some(kind.to_owned()),
        annotations: None,
        rest: serde_json::Map::new(),
    };
    (descriptor, bytes)
}

async fn put(repository: &Repository, subject: &Digest, kind: &str) {
    let (descriptor, bytes) = referrer(subject, kind);
    repository.put_referrer(subject, &descriptor, &bytes).await.unwrap();
}

#[tokio::test]
async fn referrers_are_listed_by_api() {
    let registry = Registry::start();
    let (repository, subject) = (repository(&registry), digest_of(b"subject"));
    assert_eq!(repository.referrers(&subject, None).await.unwrap(), []);
    put(&repository, &subject, "application/a").await;
    put(&repository, &subject, "application/b").await;
    assert_eq!(repository.referrers(&subject, None).await.unwrap().len(), 2);
    let fallback = format!("sha256-{}", subject.hex());
    assert!(registry.manifest("port/demo", &fallback).is_none());
}

#[tokio::test]
async fn without_the_api_an_index_stands_in_and_no_writer_loses() {
    for etags in [true, false] {
        let registry = with(Abilities { referrers: false, etags, ..Abilities::default() });
        let (repository, subject) = (repository(&registry), digest_of(b"subject"));
        assert_eq!(repository.referrers(&subject, None).await.unwrap(), []);
        let kinds: Vec<String> = (0..4).map(|n| format!("application/x{n}")).collect();
        let writers = kinds.iter().map(|kind| put(&repository, &subject, kind));
        futures_util::future::join_all(writers).await;
        let found = repository.referrers(&subject, None).await.unwrap();
        assert_eq!(found.len(), kinds.len(), "etags: {etags}");
        let one = repository.referrers(&subject, Some("application/x1")).await.unwrap();
        assert_eq!(one.len(), 1);
        // Written twice, it is listed once.
        put(&repository, &subject, "application/x1").await;
        assert_eq!(repository.referrers(&subject, None).await.unwrap().len(), kinds.len());
    }
}

/// What one answer did not say is no reason to look past the API for ever.
#[tokio::test]
async fn the_api_is_asked_whatever_an_earlier_answer_said() {
    for subject_said in ["", "sha256:0000000000000000000000000000000000000000000000000000000000000000"] {
        let puts = AtomicUsize::new(0);
        let registry = Registry::with(
            Abilities::default(),
            Box::new(move |request| {
                let is_first = request.method == "PUT" && puts.fetch_add(1, Ordering::Relaxed) == 0;
                match is_first {
                    true => Action::Answer(Reply::new(201, b"").header("oci-subject", subject_said)),
                    false => Action::Pass,
                }
            }),
        );
        let directory = tempfile::tempdir().unwrap();
        let options = Options { state_directory: Some(directory.path().to_owned()), ..options() };
        let open = || repository_with(registry.host(), options.clone(), Arc::new(Anonymous));
        let (repository, subject) = (open(), digest_of(b"subject"));
        put(&repository, &subject, "application/first").await;
        let fallback = registry.manifest("port/demo", &format!("sha256-{}", subject.hex()));
        assert!(fallback.is_some(), "it did not say that it lists it there");
        put(&repository, &subject, "application/signature").await;
        for repository in [repository, open()] {
            let found = repository.referrers(&subject, Some("application/signature")).await.unwrap();
            assert_eq!(found.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_list_is_no_longer_than_memory_bears() {
    let pages = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |_| {
            let page = pages.fetch_add(1, Ordering::Relaxed);
            let body = format!(r#"{{"schemaVersion":2,"manifests":[],"x":"{}"}}"#, "x".repeat(4_000_000));
            let reply = Reply::new(200, body.as_bytes()).header("content-type", media::OCI_INDEX);
            Action::Answer(reply.header("link", format!("<?page={page}>; rel=\"next\"")))
        }),
    );
    let error = repository(&registry).referrers(&digest_of(b"subject"), None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Hostile);
    assert!(chain(&error).contains("a list of more than 33554432 bytes"), "{}", chain(&error));
    assert_eq!(registry.requests().len(), 9);
}

#[tokio::test]
async fn who_can_do_without_a_list_reads_no_more_than_he_says() {
    let limit = ListLimit { pages: 3, entries: 5 };
    for (entries, requests, words) in [(0, 3, "longer than 3 pages"), (3, 2, "longer than 5 entries")] {
        let pages = AtomicUsize::new(0);
        let entry = |at: usize| {
            let digest = digest_of(at.to_string().as_bytes());
            format!(r#"{{"mediaType":"{}","digest":"{digest}","size":1}}"#, media::OCI_MANIFEST)
        };
        let registry = Registry::with(
            Abilities::default(),
            Box::new(move |_| {
                let page = pages.fetch_add(1, Ordering::Relaxed);
                let entries: Vec<String> = (0..entries).map(entry).collect();
                let body = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
                let reply = Reply::new(200, body.as_bytes()).header("content-type", media::OCI_INDEX);
                Action::Answer(reply.header("link", format!("<?page={page}>; rel=\"next\"")))
            }),
        );
        let asked = repository(&registry).referrers_within(&digest_of(b"subject"), None, limit).await;
        let error = asked.unwrap_err();
        assert!(matches!(*error.failure, Failure::LongList { .. }), "{}", chain(&error));
        assert!(chain(&error).contains(words), "{words}: {}", chain(&error));
        assert_eq!(registry.requests().len(), requests);
    }
}

#[tokio::test]
async fn an_entry_that_another_writer_overwrote_is_put_in_again() {
    let subject = digest_of(b"subject");
    let (theirs, _) = referrer(&subject, "application/theirs");
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":{}}}]}}"#,
        theirs.media_type, theirs.digest, theirs.size
    );
    // Both had read "there is none"; theirs was written last.
    let reads = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities { referrers: false, etags: false, ..Abilities::default() },
        Box::new(move |request| {
            let is_read = request.method == "GET" && request.target.contains("/manifests/sha256-");
            match is_read && reads.fetch_add(1, Ordering::Relaxed) == 1 {
                true => {
                    Action::Answer(Reply::new(200, index.as_bytes()).header("content-type", media::OCI_INDEX))
                }
                false => Action::Pass,
            }
        }),
    );
    let repository = repository(&registry);
    put(&repository, &subject, "application/ours").await;
    let (ours, _) = referrer(&subject, "application/ours");
    let found = repository.referrers(&subject, None).await.unwrap();
    let digests: Vec<&Digest> = found.iter().map(|descriptor| &descriptor.digest).collect();
    assert_eq!(digests, [&theirs.digest, &ours.digest]);
}
