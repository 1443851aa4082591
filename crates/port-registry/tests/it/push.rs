//! Blobs and manifests, written to a registry that cuts, forgets or refuses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_registry::{
    Anonymous, BlobSource, BlobUpload, Condition, Kind, Options, Pushed, UploadStyle, media,
};
use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::support::{noise, options, repository, repository_with, tag, upload};

#[tokio::test]
async fn a_blob_goes_up_once_in_parts_or_whole() {
    let directory = tempfile::tempdir().unwrap();
    for (style, size) in
        [(UploadStyle::Whole, 500_000), (UploadStyle::Automatic, 500_000), (UploadStyle::Parts, 0)]
    {
        let registry = Registry::start();
        let mut options = options();
        options.transfer.upload = style;
        let repository = repository_with(registry.host(), options, Arc::new(Anonymous));
        let bytes = noise(size);
        let upload = upload(&bytes, &directory.path().join("blob"));
        assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::Sent);
        assert_eq!(registry.blob(&upload.digest.to_string()).unwrap(), bytes);
        assert_eq!(registry.traffic().0, size as u64);
        assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::AlreadyThere);
        let patches = registry.requests().iter().filter(|request| request.method == "PATCH").count();
        assert_eq!(patches, if style == UploadStyle::Automatic { 8 } else { 0 });
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
        let pushing = tokio::time::timeout(std::time::Duration::from_millis(60), client.push_blob(&upload));
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
            Ok(length) if length > 100_000 => Action::Answer(Reply::new(413, b"")),
            _ => Action::Pass,
        }),
    );
    let directory = tempfile::tempdir().unwrap();
    let upload = upload(&noise(150_000), &directory.path().join("blob"));
    let mut large = options();
    large.transfer.upload_part = 1 << 20;
    let repository = repository_with(registry.host(), large, Arc::new(Anonymous));
    assert_eq!(repository.push_blob(&upload).await.unwrap(), Pushed::Sent);
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
                std::thread::sleep(std::time::Duration::from_millis(late));
                if status == 0 { Action::Pass } else { Action::Answer(Reply::new(status, b"")) }
            }),
        );
        let mut quick = options();
        quick.patience.stall = std::time::Duration::from_millis(500);
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
                std::thread::sleep(std::time::Duration::from_millis(1_500));
            }
            Action::Pass
        }),
    );
    let mut quick = options();
    quick.patience.stall = std::time::Duration::from_millis(500);
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
async fn manifests_are_written_on_condition_and_deleted() {
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
    repository.delete(&tag("v1")).await.unwrap();
    assert_eq!(repository.delete(&tag("v1")).await.unwrap_err().kind(), Kind::NotFound);
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
