//! The contract of [`Storage`](crate::storage::Storage) over a bucket, and what is particular to buckets: answers that fail, break off or
//! get lost, listings that lag, servers that do not keep what they must.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt as _;
use port_testkit::s3::{
    ACCESS_KEY, Abilities, BUCKET, Fault, Gateway, Hook, Request as Seen, S3 as Server, SECRET_KEY,
};

use super::*;
use crate::contract;
use crate::storage::ChildKind;

const HASTE: Patience = Patience { pause: Duration::from_millis(1), ..PATIENCE };

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn settings(endpoint: &str) -> S3Settings {
    S3Settings {
        bucket: format!("s3://{BUCKET}/tests").parse().unwrap(),
        endpoint: Endpoint::new(endpoint, Transport::PlainAllowed).unwrap(),
        region: "us-east-1".parse().unwrap(),
        credentials: Credentials::new(ACCESS_KEY, SECRET_KEY, None),
        clock: Arc::new(jiff::Timestamp::now),
    }
}

fn storage(server: &Server) -> S3 {
    S3::with(settings(&server.endpoint()), HASTE, Removals::Conditional).unwrap()
}

fn server(hook: impl Fn(&Seen) -> Fault + Send + Sync + 'static) -> Server {
    Server::with(Abilities::default(), Box::new(hook) as Hook)
}

/// A fault for the first so many requests that fit.
fn first(
    count: usize,
    fault: Fault,
    fits: impl Fn(&Seen) -> bool + Send + Sync + 'static,
) -> impl Fn(&Seen) -> Fault + Send + Sync {
    let left = AtomicUsize::new(count);
    move |request| {
        let take = |left: usize| left.checked_sub(1);
        let hit = fits(request) && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
        if hit { fault } else { Fault::None }
    }
}

async fn bytes_of(content: Option<Content>) -> Vec<u8> {
    let pieces: Vec<Bytes> = content.unwrap().stream.try_collect().await.unwrap();
    pieces.concat()
}

/// Bytes that are different everywhere.
fn pattern(size: usize) -> Bytes {
    (0..size as u32 / 4 + 1).flat_map(u32::to_le_bytes).take(size).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_the_contract() {
    let server = Server::default();
    contract::run(|| storage(&server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_small_pages_keeps_the_contract() {
    let server = Server::with(Abilities { page: 1, ..Abilities::default() }, Box::new(|_| Fault::None));
    contract::run(|| storage(&server)).await;
}

/// Every so often an answer is lost after its request was done, or a request is refused for now.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_stumbles_keeps_the_contract() {
    let count = AtomicUsize::new(0);
    let server = server(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        number if number % 23 == 22 => Fault::LoseAnswer,
        number if number % 29 == 28 => Fault::Error(503, "SlowDown"),
        _ => Fault::None,
    });
    contract::run(|| storage(&server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_tried_before_it_is_used() {
    let fine = Server::default();
    assert!(S3::open(settings(&fine.endpoint())).await.unwrap().collects());
    assert_eq!(fine.keys(), Vec::<String>::new(), "the probe left something");

    let ignores = Abilities { conditional_writes: false, ..Abilities::default() };
    let unsafe_one = Server::with(ignores, Box::new(|_| Fault::None));
    let error = S3::open(settings(&unsafe_one.endpoint())).await.err().unwrap();
    assert!(error.to_string().contains("in spite of `If-None-Match: *`"), "{error}");

    let lagging = Server::default();
    lagging.freeze_listings();
    let error = S3::open(settings(&lagging.endpoint())).await.err().unwrap();
    assert!(error.to_string().contains("did not list an object"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_conditional_removals_nothing_is_swept_and_everything_else_works() {
    let abilities = Abilities { conditional_removals: false, ..Abilities::default() };
    let server = Server::with(abilities, Box::new(|_| Fault::None));
    let storage = S3::open(settings(&server.endpoint())).await.unwrap();
    assert!(!storage.collects());
    let name = key("documents/one");
    assert_eq!(storage.put(&name, "x".into(), Condition::Absent).await.unwrap(), Outcome::Done);
    let version = storage.read(&name, 10).await.unwrap().unwrap().version;
    assert_eq!(storage.delete(&name, Condition::Version(version)).await.unwrap(), Outcome::Refused);
    assert!(!storage.relocate(&name, &key("elsewhere")).await.unwrap());
    assert_eq!(storage.size(&name).await.unwrap(), Some(1));
    assert_eq!(storage.delete(&name, Condition::Always).await.unwrap(), Outcome::Done);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_or_not_ours_is_said_without_the_secret() {
    let server = Server::default();
    let elsewhere = S3Settings { bucket: "s3://another".parse().unwrap(), ..settings(&server.endpoint()) };
    let stranger = S3Settings {
        credentials: Credentials::new("AKIANOBODY", SECRET_KEY, None),
        ..settings(&server.endpoint())
    };
    for (settings, expected) in [(elsewhere, "404 NoSuchBucket"), (stranger, "403 InvalidAccessKeyId")] {
        let error = S3::open(settings).await.err().unwrap();
        let text = format!("{error:?} {error} {}", std::error::Error::source(&error).unwrap());
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains(SECRET_KEY) && !text.contains("AKIA"), "{text}");
    }
    let heads: Vec<String> = server.requests().iter().map(|seen| format!("{seen:?}")).collect();
    assert!(heads.iter().all(|head| !head.contains(SECRET_KEY)));
}

#[tokio::test]
async fn what_fails_for_a_moment_is_tried_again_and_not_for_ever() {
    let stumbles = server(first(5, Fault::Error(503, "SlowDown"), |_| true));
    let name = key("a/b");
    assert_eq!(storage(&stumbles).put(&name, "x".into(), Condition::Absent).await.unwrap(), Outcome::Done);
    let fails = server(|_| Fault::Error(500, "InternalError"));
    let error = storage(&fails).put(&name, "x".into(), Condition::Absent).await.unwrap_err();
    assert!(error.source.to_string().contains("500 InternalError: as the test orders"), "{}", error.source);
    assert_eq!(fails.requests().len(), client::TRIES as usize);
    let full = server(|_| Fault::Error(507, "InsufficientStorage"));
    let error = storage(&full).put(&name, "x".into(), Condition::Always).await.unwrap_err();
    assert_eq!(error.kind, crate::storage::StorageErrorKind::Full);
    let nobody = S3::with(settings("http://127.0.0.1:1"), HASTE, Removals::Conditional);
    let error = nobody.unwrap().size(&name).await.unwrap_err();
    assert_eq!(error.source.to_string(), "the S3 server at 127.0.0.1:1 cannot be reached");
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_known_as_ones_own() {
    let lost = server(first(1, Fault::LoseAnswer, |seen| seen.method == "PUT"));
    let storage = storage(&lost);
    let name = key("a/b");
    assert_eq!(storage.put(&name, "mine".into(), Condition::Absent).await.unwrap(), Outcome::Done);
    assert_eq!(
        storage.put(&name, "mine".into(), Condition::Absent).await.unwrap(),
        Outcome::Refused,
        "the same bytes"
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_continued_where_it_was() {
    let cut = server(first(3, Fault::CutAnswer(300_000), |seen| seen.method == "GET"));
    let storage = storage(&cut);
    let bytes = pattern(1_000_000);
    let name = key("blobs/one");
    let _ = storage.put(&name, bytes.clone(), Condition::Always).await.unwrap();
    assert!(bytes_of(storage.open(&name, None).await.unwrap()).await == bytes);
    let ranges: Vec<String> = cut.requests().iter().map(|seen| seen.header("range").to_owned()).collect();
    assert_eq!(ranges[1..], ["", "bytes=300000-999999", "bytes=600000-999999", "bytes=900000-999999"]);
    // Small ones begin anew.
    let cut = server(first(2, Fault::CutAnswer(1), |seen| seen.method == "GET"));
    let storage = self::storage(&cut);
    let _ = storage.put(&name, "kernel".into(), Condition::Always).await.unwrap();
    assert_eq!(storage.read(&name, 10).await.unwrap().unwrap().bytes, "kernel");
}

#[tokio::test]
async fn an_object_that_is_replaced_while_it_is_read_is_not_mixed() {
    let cut = server(first(1, Fault::CutAnswer(300_000), |seen| seen.method == "GET"));
    let storage = storage(&cut);
    let name = key("blobs/one");
    let _ = storage.put(&name, pattern(1_000_000), Condition::Always).await.unwrap();
    let content = storage.open(&name, None).await.unwrap().unwrap();
    let _ = storage.put(&name, vec![0; 1_000_000].into(), Condition::Always).await.unwrap();
    let error = content.stream.try_collect::<Vec<Bytes>>().await.unwrap_err();
    assert!(error.to_string().contains("412"), "{error}");
}

#[tokio::test]
async fn large_and_small_pieces_are_put_together_on_the_server() {
    let server = Server::default();
    let storage = storage(&server);
    let (upload, blob) = (key("session"), key("blobs/one"));
    let bytes = pattern(17 << 20);
    storage.begin_upload(&upload).await.unwrap();
    let mut at = 0;
    for size in [8 << 20, 100, 1 << 20, 6 << 20, 7, 2 << 20] {
        let piece = bytes.slice(at..(at + size).min(bytes.len()));
        assert_eq!(storage.append(&upload, at as u64, piece).await.unwrap(), Outcome::Done);
        at = (at + size).min(bytes.len());
    }
    assert_eq!(at, bytes.len());
    assert!(bytes_of(storage.open_upload(&upload).await.unwrap()).await == bytes);
    let before = server.requests().len();
    assert_eq!(storage.finish_upload(&upload, at as u64, &blob).await.unwrap(), Outcome::Done);
    assert!(bytes_of(storage.open(&blob, None).await.unwrap()).await == bytes);
    let moved: usize = server.requests()[before..]
        .iter()
        .filter(|seen| seen.method == "PUT")
        .map(|seen| seen.header("content-length").parse::<usize>().unwrap_or(0))
        .sum();
    assert!(moved < 10 << 20, "{moved} bytes passed through the client again");
    assert_eq!((server.keys(), server.multiparts()), (vec!["tests/blobs/one".to_owned()], 0));
}

#[tokio::test]
async fn a_listing_that_lags_spoils_no_upload() {
    let server = Server::default();
    let (one, other) = (storage(&server), storage(&server));
    let upload = key("session");
    one.begin_upload(&upload).await.unwrap();
    assert_eq!(one.append(&upload, 0, "ker".into()).await.unwrap(), Outcome::Done);
    server.freeze_listings();
    assert_eq!(one.append(&upload, 3, "n".into()).await.unwrap(), Outcome::Done);
    assert_eq!(one.append(&upload, 4, "el".into()).await.unwrap(), Outcome::Done);
    assert_eq!(other.append(&upload, 3, "XXX".into()).await.unwrap(), Outcome::Refused);
    assert_eq!(other.upload_size(&upload).await.unwrap(), Some(6));
    assert_eq!(other.finish_upload(&upload, 6, &key("blobs/one")).await.unwrap(), Outcome::Done);
    assert_eq!(one.read(&key("blobs/one"), 10).await.unwrap().unwrap().bytes, "kernel");
    assert_eq!(one.append(&upload, 6, "X".into()).await.unwrap(), Outcome::Done, "as before it ended");
    assert_eq!(one.upload_size(&upload).await.unwrap(), None);
    server.thaw_listings();
    // What was appended to an upload that had ended is left over, and found as such.
    assert_eq!(one.uploads(None, 10).await.unwrap().len(), 1);
    assert!(!one.delete_upload(&upload).await.unwrap());
    assert_eq!(one.uploads(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn an_upload_that_begins_anew_has_nothing_of_the_one_before() {
    let server = Server::default();
    let (one, other) = (storage(&server), storage(&server));
    let upload = key("session");
    one.begin_upload(&upload).await.unwrap();
    assert_eq!(one.append(&upload, 0, "old".into()).await.unwrap(), Outcome::Done);
    assert!(other.delete_upload(&upload).await.unwrap());
    other.begin_upload(&upload).await.unwrap();
    // This server has not heard of it.
    let _anything = one.append(&upload, 3, "er".into()).await.unwrap();
    assert_eq!(other.upload_size(&upload).await.unwrap(), Some(0));
    assert_eq!(other.append(&upload, 0, "new".into()).await.unwrap(), Outcome::Done);
    assert_eq!(other.finish_upload(&upload, 3, &key("blobs/one")).await.unwrap(), Outcome::Done);
    assert_eq!(one.read(&key("blobs/one"), 10).await.unwrap().unwrap().bytes, "new");
}

#[tokio::test]
async fn names_come_by_name_however_s3_sorts_them_and_however_they_are_paged() {
    for page in [1, 2, 3, 1000] {
        let server = Server::with(Abilities { page, ..Abilities::default() }, Box::new(|_| Fault::None));
        let storage = storage(&server);
        let expected = ["a", "a-b", "a.b", "a.b-c", "a0", "b", "v1", "v1-x", "v1-x.y"];
        for name in ["a/x", "a-b", "a.b/x", "a.b-c/x", "a0", "b/x", "v1/x", "v1-x/y", "v1-x.y"] {
            let _ = storage.put(&key(&format!("list/{name}")), "x".into(), Condition::Always).await.unwrap();
        }
        for limit in [1, 2, 3, 100] {
            let mut found: Vec<String> = Vec::new();
            loop {
                let some = storage.list(&key("list"), found.last().map(String::as_str), limit).await.unwrap();
                found.extend(some.iter().map(|child| child.name.clone()));
                if some.len() < limit {
                    break;
                }
            }
            assert_eq!(found, expected, "{page} {limit}");
        }
        let kinds: Vec<ChildKind> =
            storage.list(&key("list"), None, 2).await.unwrap().into_iter().map(|child| child.kind).collect();
        assert_eq!(kinds, [ChildKind::Prefix, ChildKind::Object]);
    }
}

#[tokio::test]
async fn what_a_kill_left_of_a_large_upload_is_ended_when_it_is_old() {
    let server = Server::default();
    server.leave_multipart("tests/blobs/old", 30);
    server.leave_multipart("tests/blobs/young", 1);
    server.leave_multipart("others/blobs/old", 30);
    storage(&server).tidy().await.unwrap();
    assert_eq!(server.multiparts(), 2);
}

#[tokio::test]
async fn uploads_of_others_in_a_bucket_without_a_prefix_are_left_alone() {
    let server = Server::default();
    for ours in ["artifacts/x/vmlinux", "blobs/old", "quarantine/sha256/one", "trash/sha256/one"] {
        server.leave_multipart(ours, 30);
    }
    server.leave_multipart("backups/old", 30);
    server.leave_multipart("blobs.tar", 30);
    let bucket = format!("s3://{BUCKET}").parse().unwrap();
    let settings = S3Settings { bucket, ..settings(&server.endpoint()) };
    S3::with(settings, HASTE, Removals::Conditional).unwrap().tidy().await.unwrap();
    assert_eq!(server.multiparts(), 2);
}

#[tokio::test]
async fn a_server_that_is_gone_in_the_middle_of_a_body_is_tried_no_more_often_than_any_other() {
    let gone = AtomicUsize::new(0);
    let server = server(move |seen| match (seen.method.as_str(), gone.fetch_add(1, Ordering::SeqCst)) {
        ("PUT", _) => {
            gone.store(0, Ordering::SeqCst);
            Fault::None
        }
        (_, 0) => Fault::CutAnswer(300_000),
        _ => Fault::Error(503, "SlowDown"),
    });
    let storage = storage(&server);
    let name = key("blobs/one");
    let _ = storage.put(&name, pattern(1_000_000), Condition::Always).await.unwrap();
    let content = storage.open(&name, None).await.unwrap().unwrap();
    let before = server.requests().len();
    assert!(content.stream.try_collect::<Vec<Bytes>>().await.is_err());
    assert_eq!(server.requests().len() - before, client::TRIES as usize);
}

/// A request that is not answered holds nobody up for ever, and is asked again.
#[tokio::test]
async fn silence_is_a_failure_that_passes() {
    let (said, wait) = std::sync::mpsc::channel::<()>();
    let (wait, silent) = (std::sync::Mutex::new(wait), AtomicUsize::new(0));
    let server = server(move |_| {
        if silent.fetch_add(1, Ordering::SeqCst) == 0 {
            // Until the test is over.
            let _over = wait.lock().unwrap().recv();
        }
        Fault::None
    });
    let patience = Patience { stall: Duration::from_millis(200), ..HASTE };
    let storage = S3::with(settings(&server.endpoint()), patience, Removals::Conditional).unwrap();
    assert_eq!(storage.size(&key("a/b")).await.unwrap(), None);
    assert_eq!(server.requests().len(), 2);
    drop(said);
}

#[tokio::test]
async fn what_is_too_large_for_one_request_is_copied_in_ranges() {
    let server = Server::default();
    let storage = storage(&server);
    let (from, to) = (key("blobs/one"), key("trash/one"));
    let bytes = pattern(13 << 20);
    let _ = storage.put(&from, bytes.clone(), Condition::Always).await.unwrap();
    let before = server.requests().len();
    let copied = objects::copy_in_parts(&storage.client, from.as_str(), to.as_str(), 6 << 20).await;
    assert_eq!(copied.unwrap().unwrap().size, 13 << 20);
    let mut ranges: Vec<String> = server.requests()[before..]
        .iter()
        .map(|seen| seen.header("x-amz-copy-source-range").to_owned())
        .collect();
    ranges.retain(|range| !range.is_empty());
    ranges.sort();
    assert_eq!(ranges, ["bytes=0-6291455", "bytes=12582912-13631487", "bytes=6291456-12582911"]);
    assert!(bytes_of(storage.open(&to, None).await.unwrap()).await == bytes);
    assert_eq!(server.multiparts(), 0);
}

#[tokio::test]
async fn what_is_put_while_an_object_moves_stays() {
    let server = Server::default();
    let storage = storage(&server);
    let (from, to) = (key("blobs/one"), key("trash/one"));
    let _ = storage.put(&from, "old".into(), Condition::Always).await.unwrap();
    let copied = objects::copy(&storage.client, from.as_str(), to.as_str()).await.unwrap().unwrap();
    let _ = storage.put(&from, "new".into(), Condition::Always).await.unwrap();
    let removed = objects::remove(&storage.client, from.as_str(), Some(&copied.etag)).await.unwrap();
    assert_eq!(removed, Outcome::Refused);
    assert_eq!(storage.read(&from, 10).await.unwrap().unwrap().bytes, "new");
    assert_eq!(storage.read(&to, 10).await.unwrap().unwrap().bytes, "old");
}

/// Opens what a real server has, which computes every signature itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_keeps_the_contract() {
    let Some(gateway) = Gateway::start() else { return };
    let opened = S3::open(settings(&gateway.endpoint())).await.unwrap();
    assert!(opened.collects(), "{}", opened.describe());
    contract::run(|| S3::with(settings(&gateway.endpoint()), HASTE, Removals::Conditional).unwrap()).await;
    put_together(&opened).await;
    opened.tidy().await.unwrap();
    let log = gateway.log();
    assert!(!log.contains(SECRET_KEY), "{log}");
}

/// A blob of several parts, some of which are too small to be parts.
async fn put_together(storage: &S3) {
    let (upload, blob, copy) = (key("session"), key("blobs/one"), key("trash/[x]:y"));
    let bytes = pattern(13 << 20);
    storage.begin_upload(&upload).await.unwrap();
    let mut at = 0;
    for size in [8 << 20, 1 << 20, 4 << 20] {
        assert_eq!(
            storage.append(&upload, at as u64, bytes.slice(at..at + size)).await.unwrap(),
            Outcome::Done
        );
        at += size;
    }
    assert_eq!(storage.finish_upload(&upload, at as u64, &blob).await.unwrap(), Outcome::Done);
    assert!(storage.relocate(&blob, &copy).await.unwrap());
    assert_eq!(storage.size(&blob).await.unwrap(), None);
    let range = ByteRange { first: (8 << 20) - 3, last: (9 << 20) + 2 };
    let found = bytes_of(storage.open(&copy, Some(range)).await.unwrap()).await;
    assert!(found == bytes[(8 << 20) - 3..(9 << 20) + 3]);
    assert!(bytes_of(storage.open(&copy, None).await.unwrap()).await == bytes);
}
