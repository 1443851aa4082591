//! Blobs and manifests, written to a registry that cuts, forgets or refuses.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_registry::{Anonymous, BlobSource, BlobUpload, Condition, Kind, Options, Pushed, media};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};

use crate::support::{noise, options, repository, repository_with, tag, upload};

#[tokio::test]
async fn a_blob_goes_up_once_in_parts_or_whole() {
    let directory = tempfile::tempdir().unwrap();
    for (part, size, parts) in [(u64::MAX, 500_000, 0), (64 << 10, 500_000, 8), (64 << 10, 0, 0)] {
        let registry = Registry::start();
        let mut options = options();
        options.transfer.upload_part = part;
        let repository = repository_with(registry.host(), options, Arc::new(Anonymous));
        let bytes = noise(size);
        let upload = upload(&bytes, &directory.path().join("blob"));
        assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::Sent);
        assert_eq!(registry.blob(&upload.digest.to_string()).unwrap(), bytes);
        assert_eq!(registry.traffic().0, size as u64);
        assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::AlreadyThere);
        let patches = registry.requests().iter().filter(|request| request.method == "PATCH").count();
        assert_eq!(patches, parts);
    }
}

#[tokio::test]
async fn a_part_that_is_cut_goes_on_where_the_registry_is() {
    let cuts = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |request| match request.method.as_str() {
            "PATCH" if cuts.fetch_add(1, Ordering::Relaxed) % 3 == 1 => Action::CutRequest(30_000),
            _ => Action::Pass,
        }),
    );
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(600_000);
    let upload = upload(&bytes, &directory.path().join("blob"));
    repository(&registry).push_blob(&upload).await.unwrap();
    assert_eq!(registry.blob(&upload.digest.to_string()).unwrap(), bytes);
    assert_eq!(registry.traffic().0, 600_000, "no byte that arrived is sent again");
}

#[tokio::test]
async fn a_rerun_continues_the_session_of_a_killed_push() {
    let parts = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |request| match request.method.as_str() {
            // From the fifth part on, the registry hangs up, for longer than a client tries.
            "PATCH" if (4..12).contains(&parts.fetch_add(1, Ordering::Relaxed)) => Action::CutRequest(0),
            _ => Action::Pass,
        }),
    );
    let directory = tempfile::tempdir().unwrap();
    let with_state = Options { state_directory: Some(directory.path().join("state")), ..options() };
    let bytes = noise(600_000);
    let upload = upload(&bytes, &directory.path().join("blob"));
    let mut failed = 0;
    loop {
        let client = repository_with(registry.host(), with_state.clone(), Arc::new(Anonymous));
        // What a kill leaves: the journal and the session, no clean-up.
        let pushing = tokio::time::timeout(Duration::from_millis(60), client.push_blob(&upload));
        match pushing.await {
            Ok(Ok(_)) => break,
            _ => failed += 1,
        }
        assert!(failed < 30);
    }
    assert!(failed > 0);
    assert_eq!(registry.blob(&upload.digest.to_string()).unwrap(), bytes);
    assert!(registry.traffic().0 <= 600_000 + 65_536, "{:?}", registry.traffic());
    let left = port_content::fs::read_dir(&directory.path().join("state/uploads")).unwrap();
    assert_eq!(left.len(), 0, "the journal is gone");
}

#[tokio::test]
async fn a_session_that_is_gone_is_begun_anew() {
    let parts = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |request| match request.method.as_str() {
            "PATCH" if parts.fetch_add(1, Ordering::Relaxed) == 3 => Action::Answer(Reply::new(404, b"")),
            _ => Action::Pass,
        }),
    );
    let directory = tempfile::tempdir().unwrap();
    let upload = upload(&noise(400_000), &directory.path().join("blob"));
    assert_eq!(repository(&registry).push_blob(&upload).await.unwrap(), Pushed::Sent);
    assert_eq!(registry.sessions(), 0, "the broken session was given up");
}

#[tokio::test]
async fn a_registry_that_is_out_of_step_is_asked_where_it_is() {
    let parts = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |request| match request.method.as_str() {
            // Called out of step once, though it is not.
            "PATCH" if parts.fetch_add(1, Ordering::Relaxed) == 2 => Action::Answer(Reply::new(416, b"")),
            _ => Action::Pass,
        }),
    );
    let directory = tempfile::tempdir().unwrap();
    let upload = upload(&noise(400_000), &directory.path().join("blob"));
    assert_eq!(repository(&registry).push_blob(&upload).await.unwrap(), Pushed::Sent);
    let posts = registry.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(posts, 1, "the session goes on");
}

#[tokio::test]
async fn a_registry_that_takes_no_parts_or_no_large_ones_is_learnt() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(400_000);
    let upload = upload(&bytes, &directory.path().join("blob"));
    for status in [400, 405, 416, 413] {
        let registry = Registry::with(
            Abilities::default(),
            Box::new(move |request| match request.method.as_str() {
                "PATCH" => Action::Answer(Reply::new(status, b"")),
                _ => Action::Pass,
            }),
        );
        let state = directory.path().join(format!("state-{status}"));
        let with_state = Options { state_directory: Some(state), ..options() };
        let pushed = repository_with(registry.host(), with_state.clone(), Arc::new(Anonymous));
        assert_eq!(pushed.push_blob(&upload).await.unwrap(), Pushed::Sent, "{status}");
        let other = self::upload(&noise(300_000), &directory.path().join("other"));
        let again = repository_with(registry.host(), with_state, Arc::new(Anonymous));
        let before = registry.requests().len();
        again.push_blob(&other).await.unwrap();
        let patches = registry.requests().split_off(before);
        assert!(patches.iter().all(|request| request.method != "PATCH"), "{status}: it is remembered");
    }
}

#[tokio::test]
async fn a_whole_upload_that_is_too_large_goes_in_parts() {
    let registry = Registry::with(
        Abilities::default(),
        Box::new(|request| match request.header("content-length").parse::<u64>() {
            Ok(length) if length > 1_500_000 => Action::Answer(Reply::new(413, b"")),
            _ => Action::Pass,
        }),
    );
    let directory = tempfile::tempdir().unwrap();
    let upload = upload(&noise(3_000_000), &directory.path().join("blob"));
    let mut large = options();
    large.transfer.upload_part = 4 << 20;
    let repository = repository_with(registry.host(), large, Arc::new(Anonymous));
    assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::Sent);
}

/// Answers 413 to all that brings bytes, as a proxy with a small limit does.
fn small_minded(reply: Reply, limit: usize) -> Registry {
    let hook = move |request: &Request| match request.header("content-length").parse::<usize>() {
        Ok(length) if length > limit => Action::Answer(reply.clone()),
        _ => Action::Pass,
    };
    Registry::with(Abilities::default(), Box::new(hook))
}

#[tokio::test]
async fn a_registry_that_calls_everything_too_large_is_said_to_do_so() {
    let directory = tempfile::tempdir().unwrap();
    let json = br#"{"errors":[{"code":"SIZE_INVALID","message":"too large","detail":{"limit":1000}}]}"#;
    let text =
        Reply::new(413, b"the limit is 1000 bytes\nask the operator").header("content-type", "text/plain");
    for (reply, size, part, words) in [
        (Reply::new(413, json), 3_000_000, 4 << 20, r#"SIZE_INVALID: too large: {"limit":1000}"#),
        (Reply::new(413, json), 3_000_000, 1 << 20, "1048576 bytes are more than it"),
        (text, 5000, 4 << 20, "the registry answered 413 (the limit is 1000 bytes): 5000 bytes are more"),
        (Reply::new(413, b"<html>"), 5000, 1 << 20, "the registry answered 413: 5000 bytes are more"),
    ] {
        let registry = small_minded(reply, 1000);
        let state_directory = Some(directory.path().join("state"));
        let mut options = Options { state_directory, ..options() };
        options.transfer.upload_part = part;
        let open =
            |registry: &Registry| repository_with(registry.host(), options.clone(), Arc::new(Anonymous));
        let upload = upload(&noise(size), &directory.path().join("blob"));
        let error = open(&registry).push_blob(&upload).await.unwrap_err();
        let text = crate::support::chain(&error);
        assert!(error.failure.is_too_large() && text.contains(words), "{words}: {text}");
        assert_eq!(error.kind(), Kind::Refused);
        let known = port_content::fs::read_dir(&directory.path().join("state/registries")).unwrap();
        for file in known {
            let learnt = port_content::fs::read_to_string(&file, 1 << 20).unwrap();
            assert!(learnt.contains("\"largest-part\": null") && !learnt.contains("whole"), "{learnt}");
        }
    }
}

/// A server that begins uploads, and answers 413 to their bytes without reading them to the end; returns where it is.
fn hanging_up() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|count| count > 0) {}
            let answer = match head.split(' ').next().unwrap() {
                "POST" => "202 Accepted\r\nlocation: /upload",
                "PATCH" | "PUT" => "413 Too Large",
                _ => "404 Not Found",
            };
            let close = "content-length: 0\r\nconnection: close";
            let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\n{close}\r\n\r\n").as_bytes());
            // As servers do it: a connection that is closed with bytes unread takes the answer away.
            let _ = stream.shutdown(Shutdown::Write);
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    address
}

#[tokio::test]
async fn a_413_is_heard_although_the_registry_hangs_up_with_it() {
    let directory = tempfile::tempdir().unwrap();
    for (size, part) in [(6_000_000, 64 << 20), (6_000_000, 2 << 20)] {
        let mut options = options();
        options.transfer.upload_part = part;
        let repository = repository_with(&hanging_up(), options, Arc::new(Anonymous));
        let upload = upload(&noise(size), &directory.path().join("blob"));
        let error = repository.push_blob(&upload).await.unwrap_err();
        assert!(error.failure.is_too_large(), "{part}: {}", crate::support::chain(&error));
    }
}

#[tokio::test]
async fn a_lost_confirmation_is_found_by_looking() {
    let registry = Registry::with(
        Abilities::default(),
        Box::new(|request| match request.method.as_str() {
            "PUT" => Action::CutAnswer(0),
            _ => Action::Pass,
        }),
    );
    let directory = tempfile::tempdir().unwrap();
    let upload = upload(&noise(10_000), &directory.path().join("blob"));
    assert_eq!(repository(&registry).push_blob(&upload).await.unwrap(), Pushed::Sent);
}

#[tokio::test]
async fn a_registry_that_takes_its_time_to_commit_is_waited_for_and_sent_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(300_000);
    let upload = upload(&bytes, &directory.path().join("blob"));
    // The first is slower than anything may stand still; the second is given up by something on the way.
    for (name, late, status) in [("slow", 1_500, 0), ("gateway", 0, 504)] {
        let first = AtomicUsize::new(0);
        let registry = Registry::with(
            Abilities::default(),
            Box::new(move |request| {
                if request.method != "PUT" || first.fetch_add(1, Ordering::Relaxed) > 0 {
                    return Action::Pass;
                }
                std::thread::sleep(Duration::from_millis(late));
                if status == 0 { Action::Pass } else { Action::Answer(Reply::new(status, b"")) }
            }),
        );
        let mut quick = options();
        quick.patience.stall = Duration::from_millis(500);
        let repository = repository_with(registry.host(), quick, Arc::new(Anonymous));
        assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::Sent, "{name}");
        assert_eq!(registry.blob(&upload.digest.to_string()).unwrap(), bytes);
        assert_eq!(registry.traffic().0, 300_000, "{name}: no byte is sent again");
    }
}

#[tokio::test]
async fn a_manifest_is_waited_for_as_long_as_a_registry_takes_to_commit_it() {
    let registry = Registry::with(
        Abilities::default(),
        Box::new(|request| {
            if request.method == "PUT" {
                std::thread::sleep(Duration::from_millis(1_500));
            }
            Action::Pass
        }),
    );
    let mut quick = options();
    quick.patience.stall = Duration::from_millis(500);
    let repository = repository_with(registry.host(), quick, Arc::new(Anonymous));
    let bytes = Bytes::from_static(br#"{"schemaVersion":2,"config":{},"layers":[]}"#);
    repository.put_manifest(&tag("v1"), media::OCI_MANIFEST, &bytes, Condition::None).await.unwrap();
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn a_blob_is_mounted_where_the_registry_does_it() {
    let registry = Registry::start();
    let bytes = noise(1000);
    registry.add_blob(&bytes);
    let repository = repository(&registry);
    let from = "port/base".parse().unwrap();
    assert!(repository.mount(&digest_of(&bytes), &from).await.unwrap());
    assert!(!repository.mount(&digest_of(b"absent"), &from).await.unwrap());
    assert_eq!(registry.sessions(), 0, "the session that came instead was given up");
    let fresh = Bytes::from_static(b"fresh");
    let upload = BlobUpload {
        digest: digest_of(&fresh),
        size: 5,
        source: BlobSource::Bytes(fresh),
        mount_from: Some(from),
    };
    assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::Sent, "the session that came is used");
    let posts = registry.requests().iter().filter(|request| request.method == "POST").count();
    assert_eq!(posts, 3);
}

#[tokio::test]
async fn a_changed_file_is_not_pushed() {
    let registry = Registry::start();
    let directory = tempfile::tempdir().unwrap();
    let mut upload = upload(&noise(300_000), &directory.path().join("blob"));
    upload.digest = digest_of(b"other");
    let error = repository(&registry).push_blob(&upload).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Local);
    upload.size += 1;
    assert_eq!(repository(&registry).push_blob(&upload).await.unwrap_err().kind(), Kind::Local);
}

#[tokio::test]
async fn manifests_are_written_on_condition() {
    let registry = Registry::start();
    let repository = repository(&registry);
    let (one, two) = (
        Bytes::from_static(br#"{"schemaVersion":2,"config":{},"layers":[]}"#),
        Bytes::from_static(br#"{"schemaVersion":2,"config":{},"layers":[ ]}"#),
    );
    let put = |bytes, condition| {
        let repository = repository.clone();
        async move { repository.put_manifest(&tag("v1"), media::OCI_MANIFEST, bytes, condition).await }
    };
    put(&one, Condition::Absent).await.unwrap();
    assert_eq!(put(&two, Condition::Absent).await.unwrap_err().kind(), Kind::Changed);
    let etag = repository.manifest(&tag("v1")).await.unwrap().etag.unwrap();
    put(&two, Condition::Unchanged(&etag)).await.unwrap();
    assert_eq!(put(&one, Condition::Unchanged(&etag)).await.unwrap_err().kind(), Kind::Changed);
    let wrong = digest_of(b"x").into();
    let error =
        repository.put_manifest(&wrong, media::OCI_MANIFEST, &one, Condition::None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Local);
}

#[tokio::test]
async fn whether_pushing_is_allowed_is_known_before_a_build() {
    let registry = Registry::start();
    repository(&registry).may_push().await.unwrap();
    assert_eq!(registry.sessions(), 0);
    let closed = Registry::with(
        Abilities::default(),
        Box::new(|request| match request.method.as_str() {
            "POST" => Action::Answer(Reply::new(403, br#"{"errors":[{"code":"DENIED"}]}"#)),
            _ => Action::Pass,
        }),
    );
    let error = repository(&closed).may_push().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert_eq!(error.to_string(), format!("cannot push to `{}/port/demo`", closed.host()));
}
