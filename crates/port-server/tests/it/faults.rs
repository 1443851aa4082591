//! What happens around a server: a disk that is full, one that cannot be written, a clock that jumps, thousands of clients that say
//! nothing or say it slowly.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use port_content::hashing::digest_of;
use port_server::catalog::collect::Patience;
use port_server::gate::{Clock, TokenDraft, TokenStore};
use port_server::maintenance::Rules;
use port_server::observe::Event;
use port_server::storage::Folder;
use port_server::{Server, open_files};
use port_testkit::skip;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{header, http, json as json_of};
use crate::guarded::Guarded;
use crate::process::{Process, free_address, number};
use crate::running::{Running, TOKEN};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A small file system in memory at the place of the storage, for one process and its children.
const FULL: &str = "mount -t tmpfs -o size=8m none \"$PORT_TEST_SERVE_FROM\" && exec \"$@\"";
/// The storage itself, and nobody may write it.
const READ_ONLY: &str = "mount --bind \"$PORT_TEST_SERVE_FROM\" \"$PORT_TEST_SERVE_FROM\" \
                         && mount -o remount,bind,ro \"$PORT_TEST_SERVE_FROM\" && exec \"$@\"";

/// What puts a script before a program, where mounts are the process's own; says so where that cannot be had.
fn within(script: &'static str) -> Option<[&'static str; 6]> {
    let words = ["unshare", "--map-root-user", "--mount", "sh", "-c", script];
    let directory = tempfile::tempdir().unwrap();
    let mut probe = Command::new(words[0]);
    probe.args(&words[1..]).args(["sh", "true"]).env("PORT_TEST_SERVE_FROM", directory.path());
    let works = probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works {
        skip::because("no file system can be mounted here (unshare --map-root-user --mount)");
    }
    works.then_some(words)
}

async fn process(storage: &Path, within: [&str; 6]) -> Process {
    Process::start(storage, free_address(), &[&within[..], &["sh"]].concat()).await
}

fn ask(base: &str, method: Method, path: &str) -> RequestBuilder {
    http().request(method, format!("{base}{path}")).bearer_auth(TOKEN)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

async fn push_blob(base: &str, bytes: Vec<u8>) -> u16 {
    let path = format!("/v2/a/blobs/uploads/?digest={}", digest_of(&bytes));
    status(ask(base, Method::POST, &path).body(bytes)).await
}

fn index(note: &str) -> String {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"note": note}})
        .to_string()
}

async fn put_index(base: &str, tag: &str, note: &str) -> u16 {
    let put = ask(base, Method::PUT, &format!("/v2/a/manifests/{tag}"));
    status(put.header("content-type", INDEX).body(index(note))).await
}

async fn get(base: &str, path: &str) -> (u16, Vec<u8>) {
    let answer = ask(base, Method::GET, path).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_full_disk_is_said_so_and_what_was_there_stays_and_is_served() {
    let Some(within) = within(FULL) else { return };
    let root = tempfile::tempdir().unwrap();
    let server = process(root.path(), within).await;
    let base = server.url("");
    let kept = vec![7; 1 << 20];
    assert_eq!((push_blob(&base, kept.clone()).await, put_index(&base, "v1", "old").await), (201, 201));
    // In one piece: nobody could continue it, so its room is free again.
    assert_eq!(push_blob(&base, vec![1; 16 << 20]).await, 507);
    assert_eq!(push_blob(&base, vec![2; 1 << 20]).await, 201, "there is room again");
    // In pieces: what came is kept until its owner ends it.
    let begun = ask(&base, Method::POST, "/v2/a/blobs/uploads/").send().await.unwrap();
    let place = header(&begun, "location").to_owned();
    assert_eq!(status(ask(&base, Method::PATCH, &place).body(vec![3; 16 << 20])).await, 507);
    while status(ask(&base, Method::PATCH, &place).body(vec![3; 512])).await == 202 {}
    assert_eq!(put_index(&base, "v1", &"new".repeat(100_000)).await, 507);
    assert_eq!(get(&base, "/v2/a/manifests/v1").await, (200, index("old").into_bytes()));
    assert_eq!(get(&base, &format!("/v2/a/blobs/{}", digest_of(&kept))).await, (200, kept));
    assert_eq!(status(ask(&base, Method::DELETE, &place)).await, 204);
    assert_eq!(put_index(&base, "v1", "new").await, 201);
    assert_eq!(get(&base, "/v2/a/manifests/v1").await, (200, index("new").into_bytes()));
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_serves_what_it_has() {
    let Some(within) = within(READ_ONLY) else { return };
    let root = tempfile::tempdir().unwrap();
    let before = Guarded::over(root.path()).start().await;
    assert_eq!(push_blob(&before.url(""), b"kernel".to_vec()).await, 201);
    assert_eq!(put_index(&before.url(""), "v1", "old").await, 201);
    assert!(before.stop().await);
    let server = process(root.path(), within).await;
    let base = server.url("");
    assert_eq!(get(&base, "/healthz").await.0, 200);
    assert_eq!(get(&base, "/readyz").await.0, 503);
    assert_eq!(push_blob(&base, b"other".to_vec()).await, 503);
    assert_eq!(put_index(&base, "v1", "new").await, 503);
    assert_eq!(status(ask(&base, Method::DELETE, "/v2/a/manifests/v1")).await, 503);
    assert_eq!(get(&base, "/v2/a/manifests/v1").await, (200, index("old").into_bytes()));
    let blob = format!("/v2/a/blobs/{}", digest_of(b"kernel"));
    assert_eq!(get(&base, &blob).await, (200, b"kernel".to_vec()));
}

/// A clock that somebody sets.
fn settable() -> (Arc<AtomicI64>, Clock) {
    let ahead = Arc::new(AtomicI64::new(0));
    let shared = Arc::clone(&ahead);
    let clock = move || Timestamp::now() + SignedDuration::from_secs(shared.load(Ordering::Relaxed));
    (ahead, Arc::new(clock))
}

#[tokio::test]
async fn tokens_follow_a_clock_that_jumps_and_none_outlives_the_jump() {
    let root = tempfile::tempdir().unwrap();
    let (ahead, clock) = settable();
    let server = Guarded { clock, ..Guarded::over(root.path()) }.start().await;
    let draft = TokenDraft {
        name: "ci".to_owned(),
        audience: "port-demo".to_owned(),
        grants: vec!["pull:**".parse().unwrap()],
        expires: Some(Timestamp::now() + SignedDuration::from_hours(1)),
    };
    let store = TokenStore::new(Arc::new(Folder::open(root.path()).unwrap()));
    let stored = store.create(&draft, Timestamp::now()).await.unwrap().token;
    let opens = async |token: &str| status(http().get(server.url("/v2/_catalog")).bearer_auth(token)).await;
    let session = async || {
        let path = "/token?service=port-demo&scope=registry:catalog:%2A";
        let answer = http().get(server.url(path)).basic_auth("x", Some(TOKEN)).send().await.unwrap();
        json_of(answer).await["token"].as_str().unwrap().to_owned()
    };
    let now = session().await;
    assert_eq!((opens(&stored).await, opens(&now).await), (200, 200));
    ahead.store(24 * 3600, Ordering::Relaxed);
    let of_tomorrow = session().await;
    assert_eq!((opens(&stored).await, opens(&now).await, opens(&of_tomorrow).await), (401, 401, 200));
    ahead.store(0, Ordering::Relaxed);
    assert_eq!((opens(&stored).await, opens(&now).await), (200, 200));
    assert_eq!(opens(&of_tomorrow).await, 401, "a token for minutes would be good for a day");
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_takes_nothing_from_those_who_had_time_left() {
    let root = tempfile::tempdir().unwrap();
    let (ahead, clock) = settable();
    let (settings, told) = Guarded { clock, ..Guarded::over(root.path()) }.settings().await;
    let server = Server::bind(settings, "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let day = Duration::from_secs(24 * 3600);
    let patience = Patience { uploads: day, blobs: day, manifests: Some(day) };
    let every = Duration::from_millis(20);
    let maintenance = tokio::spawn(server.maintenance(Rules { patience, every, scrub: None }).run());
    let server = Running::serving(server, Arc::clone(&told));
    let base = server.url("");
    assert_eq!((push_blob(&base, b"early".to_vec()).await, put_index(&base, "v1", "x").await), (201, 201));
    assert_eq!(status(ask(&base, Method::DELETE, "/v2/a/manifests/v1")).await, 202);
    let begun = ask(&base, Method::POST, "/v2/a/blobs/uploads/").send().await.unwrap();
    let rounds = || {
        let events = told.events.lock().unwrap();
        events.iter().filter(|event| matches!(event, Event::Collected(_))).count()
    };
    for jump in [0, 30 * 24 * 3600, -30 * 24 * 3600] {
        ahead.store(jump, Ordering::Relaxed);
        let before = rounds();
        while rounds() < before + 4 {
            tokio::time::sleep(every).await;
        }
    }
    let blob = format!("/v2/a/blobs/{}", digest_of(b"early"));
    assert_eq!(get(&base, &blob).await, (200, b"early".to_vec()));
    let untagged = format!("/v2/a/manifests/{}", digest_of(index("x").as_bytes()));
    assert_eq!(get(&base, &untagged).await.0, 200);
    assert_eq!(get(&base, header(&begun, "location")).await.0, 204);
    maintenance.abort();
}

/// Sends a head that never ends, a little at a time, until the server has had enough.
async fn never_ends(mut stream: TcpStream) {
    let _ = stream.write_all(b"GET /v2/ HTTP/1.1\r\n").await;
    while stream.write_all(b"x-more: and more\r\n").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// `PORT_TEST_CONNECTIONS` is how many clients say nothing.
#[tokio::test(flavor = "multi_thread")]
async fn many_idle_connections_and_slow_ones_do_not_stop_a_good_client() {
    let root = tempfile::tempdir().unwrap();
    open_files::raise();
    let server = Process::start(root.path(), free_address(), &[]).await;
    let bytes_before = server.resident_bytes();
    let wanted = number("PORT_TEST_CONNECTIONS", 1000);
    let mut idle = Vec::new();
    for _ in 0..wanted {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..100 {
        slow.spawn(never_ends(TcpStream::connect(server.address).await.unwrap()));
    }
    let base = server.url("");
    for turn in 0..20_u8 {
        let bytes = vec![turn; 100_000];
        let blob = format!("/v2/a/blobs/{}", digest_of(&bytes));
        assert_eq!(push_blob(&base, bytes.clone()).await, 201);
        assert_eq!(get(&base, &blob).await, (200, bytes));
    }
    let each = server.resident_bytes().saturating_sub(bytes_before) / wanted.max(1);
    println!("{wanted} idle connections: {each} bytes of memory for each");
    assert!(each < 64 * 1024, "{each} bytes for a connection that says nothing");
    // Who was idle is served when it has something to say.
    let mut late = idle.pop().unwrap();
    late.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    late.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    slow.abort_all();
}
