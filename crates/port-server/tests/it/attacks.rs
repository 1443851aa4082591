//! What was done to other registries, done to this one. Each test is named after the attack.

use std::sync::atomic::Ordering;
use std::time::Duration;

use port_content::hashing::digest_of;
use port_server::audit::{Audit, verify};
use port_server::{BlobLimit, LeastRate, Limits};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{header, http};
use crate::guarded::{Guarded, clock, connect_as, rest, say, short, still, token};
use crate::running::{Running, TOKEN};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

async fn ask(server: &Running, token: &str, method: Method, path: &str, body: &str) -> StatusCode {
    let request = http().request(method, server.url(path)).bearer_auth(token);
    request.header("content-type", INDEX).body(body.to_owned()).send().await.unwrap().status()
}

async fn push_blob(server: &Running, token: &str, repository: &str, bytes: &str) -> String {
    let digest = digest_of(bytes.as_bytes()).to_string();
    let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
    assert_eq!(ask(server, token, Method::POST, &path, bytes).await, 201);
    digest
}

fn index(note: &str) -> String {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "annotations": {"note": note}})
        .to_string()
}

#[tokio::test]
async fn cve_2023_2253_a_list_of_2_to_the_60_entries_allocates_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let digest = push_blob(&server, TOKEN, "a", "x").await;
    for n in [1u64 << 60, u64::MAX, 0] {
        assert_eq!(ask(&server, TOKEN, Method::GET, &format!("/v2/_catalog?n={n}"), "").await, 200);
        let tags = ask(&server, TOKEN, Method::GET, &format!("/v2/a/tags/list?n={n}"), "").await;
        assert!(tags == 200 || tags == 404, "{tags}");
    }
    assert_eq!(ask(&server, TOKEN, Method::GET, &format!("/v2/a/referrers/{digest}?n=-1"), "").await, 200);
    assert_eq!(ask(&server, TOKEN, Method::GET, "/v2/_catalog?n=-1", "").await, 400);
}

#[tokio::test]
async fn cve_2026_41888_ghsa_qg67_7m6v_qg25_who_may_push_deletes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let pusher = token(root.path(), &["pull,push:**"]).await;
    let blob = push_blob(&server, &pusher, "a", "kernel").await;
    assert_eq!(ask(&server, &pusher, Method::PUT, "/v2/a/manifests/v1", &index("")).await, 201);
    let digest = digest_of(index("").as_bytes());
    for path in ["/v2/a/manifests/v1", &format!("/v2/a/manifests/{digest}"), &format!("/v2/a/blobs/{blob}")] {
        assert_eq!(ask(&server, &pusher, Method::DELETE, path, "").await, 403, "{path}");
        assert_eq!(ask(&server, &pusher, Method::GET, path, "").await, 200, "{path} is gone");
    }
    let deleter = token(root.path(), &["delete:a"]).await;
    assert_eq!(ask(&server, &deleter, Method::DELETE, "/v2/a/manifests/v1", "").await, 202);
    assert_eq!(ask(&server, &deleter, Method::GET, &format!("/v2/a/blobs/{blob}"), "").await, 403);
}

#[tokio::test]
async fn cve_2026_31801_who_may_only_read_moves_no_tag_and_who_expects_none_overwrites_none() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let (reader, pusher) = (token(root.path(), &["pull:**"]).await, token(root.path(), &["push:**"]).await);
    assert_eq!(ask(&server, &pusher, Method::PUT, "/v2/a/manifests/latest", &index("good")).await, 201);
    assert_eq!(ask(&server, &reader, Method::PUT, "/v2/a/manifests/latest", &index("bad")).await, 403);
    assert_eq!(
        ask(&server, &reader, Method::PUT, "/v2/a/manifests/other?tag=latest", &index("bad")).await,
        403
    );
    let careful = http().put(server.url("/v2/a/manifests/latest")).bearer_auth(&pusher);
    let careful = careful.header("if-none-match", "*").header("content-type", INDEX).body(index("bad"));
    assert_eq!(careful.send().await.unwrap().status(), 412);
    let found = http().get(server.url("/v2/a/manifests/latest")).bearer_auth(&reader).send().await.unwrap();
    assert_eq!(found.text().await.unwrap(), index("good"));
}

#[tokio::test]
async fn cve_2024_39897_a_blob_of_another_repository_is_not_had_by_its_digest() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let thief = token(root.path(), &["admin:theirs/**"]).await;
    let digest = push_blob(&server, TOKEN, "ours/a", "secret").await;
    for path in [format!("/v2/theirs/b/blobs/{digest}"), format!("/v2/ours/a/blobs/{digest}")] {
        let status = ask(&server, &thief, Method::GET, &path, "").await;
        assert!(status == 404 || status == 403, "{path}: {status}");
    }
    for from in ["", "&from=ours/a", "&from=../ours/a", "&from=theirs/b"] {
        let path = format!("/v2/theirs/b/blobs/uploads/?mount={digest}{from}");
        assert_eq!(ask(&server, &thief, Method::POST, &path, "").await, 202, "{path} mounted it");
    }
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "a/b", "digest": digest, "size": 6}, "layers": []});
    let put = http().put(server.url("/v2/theirs/b/manifests/x")).bearer_auth(&thief);
    let put =
        put.header("content-type", "application/vnd.oci.image.manifest.v1+json").body(manifest.to_string());
    assert_eq!(put.send().await.unwrap().status(), 400);
    assert_eq!(ask(&server, &thief, Method::GET, &format!("/v2/theirs/b/blobs/{digest}"), "").await, 404);
}

#[tokio::test]
async fn cve_2026_35172_a_deleted_blob_is_read_through_no_other_repository() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let digest = push_blob(&server, TOKEN, "one/a", "kernel").await;
    assert_eq!(ask(&server, TOKEN, Method::GET, &format!("/v2/one/a/blobs/{digest}"), "").await, 200);
    assert_eq!(ask(&server, TOKEN, Method::DELETE, &format!("/v2/one/a/blobs/{digest}"), "").await, 202);
    for repository in ["one/a", "two/a"] {
        let status = ask(&server, TOKEN, Method::GET, &format!("/v2/{repository}/blobs/{digest}"), "").await;
        assert_eq!(status, 404, "{repository}");
    }
}

#[tokio::test]
async fn what_is_forbidden_and_what_is_not_there_look_the_same() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let digest = push_blob(&server, TOKEN, "ours/a", "secret").await;
    let other = token(root.path(), &["pull:theirs/**"]).await;
    let (here, absent) = (format!("/v2/ours/a/blobs/{digest}"), format!("/v2/ours/x/blobs/{digest}"));
    let mut answers = Vec::new();
    for path in [here, absent] {
        let with = http().get(server.url(&path)).bearer_auth(&other).send().await.unwrap();
        let without = http().get(server.url(&path)).send().await.unwrap();
        let told =
            (with.status(), without.status(), with.text().await.unwrap(), without.text().await.unwrap());
        answers.push((told.0, told.1, told.2.replace("ours/a", "ours/x"), told.3));
    }
    assert_eq!(answers[0], answers[1]);
    let listed = http().get(server.url("/v2/_catalog")).bearer_auth(&other).send().await.unwrap();
    assert!(!listed.text().await.unwrap().contains("ours"));
}

#[tokio::test]
async fn c_7_an_unauthorised_request_is_refused_before_its_body_is_read() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    for path in ["/v1/artifacts:push", "/v2/a/blobs/uploads/?digest=sha256:00"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401", "{path}: no byte of the body was sent");
    }
}

#[tokio::test]
async fn cve_2023_44487_there_are_no_streams_to_reset() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let answer = say(server.address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let upgrade = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    assert!(say(server.address, upgrade).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn slowloris_heads_that_never_end_are_cut_and_good_clients_are_served() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded { limits: short(), ..Guarded::over(root.path()) }.start().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let address = server.address;
        slow.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n").await.unwrap();
            // A header now and then, for as long as the server takes them.
            loop {
                let mut piece = [0; 512];
                tokio::select! {
                    read = stream.read(&mut piece) => if !matches!(read, Ok(1..)) { return },
                    () = tokio::time::sleep(Duration::from_millis(50)) => {
                        if stream.write_all(b"x: y\r\n").await.is_err() {
                            return;
                        }
                    }
                }
            }
        }));
    }
    assert_eq!(ask(&server, TOKEN, Method::GET, "/v2/", "").await, 200);
    for attacker in slow {
        // Ends only if the server cuts it.
        attacker.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_give_way_to_good_clients() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { connections: 40, ..short() };
    let server = Guarded { limits, ..Guarded::over(root.path()) }.start().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    // All places are taken and more wait; each is cut in its time, and the good one is taken in turn.
    assert_eq!(ask(&server, TOKEN, Method::GET, "/v2/", "").await, 200);
    for mut stream in idle {
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_does_not_take_all_connections() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { connections: 30, connections_per_client: 20, ..Limits::default() };
    let server = Guarded { limits, ..Guarded::over(root.path()) }.start().await;
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(connect_as([127, 0, 0, 2], server.address).await);
    }
    // These are over the client's share: they end though nothing is said on them.
    for stream in held.iter_mut().skip(20) {
        assert_eq!(rest(stream).await, "");
    }
    assert_eq!(ask(&server, TOKEN, Method::GET, "/v2/", "").await, 200, "another client has its share");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_cut_and_what_came_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded { limits: short(), ..Guarded::over(root.path()) }.start().await;
    let begun = http().post(server.url("/v2/a/blobs/uploads/")).bearer_auth(TOKEN).send().await.unwrap();
    let location = header(&begun, "location").to_owned();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 100000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = reader.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    drip.await.unwrap();
    let status = http().get(server.url(&location)).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(status.status(), 204);
    assert_ne!(header(&status, "range"), "0-0", "what came is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_takers_are_cut() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded { limits: short(), ..Guarded::over(root.path()) }.start().await;
    let bytes = "x".repeat(32 << 20);
    let digest = push_blob(&server, TOKEN, "a", &bytes).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head =
        format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Longer than the server's patience, while it waits to send.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(rest(&mut stream).await.len() < bytes.len(), "who takes nothing got everything");
    let good =
        http().get(server.url(&format!("/v2/a/blobs/{digest}"))).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(good.bytes().await.unwrap().len(), bytes.len());
}

#[tokio::test]
async fn lengths_that_lie_leave_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded { limits: short(), ..Guarded::over(root.path()) }.start().await;
    let digest = digest_of(b"kernel");
    let push = |rest: &str| {
        format!(
            "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n{rest}"
        )
    };
    for (what, text) in [
        ("two lengths", push("content-length: 6\r\ncontent-length: 7\r\n\r\nkernel")),
        ("a length and chunks", push("content-length: 6\r\ntransfer-encoding: chunked\r\n\r\nkernel")),
        ("a length that is none", push("content-length: -1\r\n\r\nkernel")),
        ("a chunk that is too long", push("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nkernel")),
        ("a chunk that is none", push("transfer-encoding: chunked\r\n\r\nzz\r\nkernel")),
        (
            "more chunks than encoded",
            push("transfer-encoding: chunked, identity\r\n\r\n6\r\nkernel\r\n0\r\n\r\n"),
        ),
        ("less than announced", push("content-length: 60\r\n\r\nkernel")),
    ] {
        let answer = say(server.address, &text).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{what}: {answer}");
    }
    assert_eq!(ask(&server, TOKEN, Method::GET, &format!("/v2/a/blobs/{digest}"), "").await, 404);
    assert_eq!(
        std::fs::read_dir(root.path().join("sessions")).map_or(0, Iterator::count),
        0,
        "sessions stayed"
    );
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let server = Guarded::over(root.path()).start().await;
    let head = |size: usize| {
        format!("GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n", "y".repeat(size))
    };
    assert!(say(server.address, &head(20_000)).await.starts_with("HTTP/1.1 401"));
    assert!(say(server.address, &head(40_000)).await.starts_with("HTTP/1.1 431"));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server ends the connection long before this has gone.
    let _ = stream.write_all(head(64 << 20).as_bytes()).await;
    assert!(!rest(&mut stream).await.starts_with("HTTP/1.1 2"));
}

#[tokio::test]
async fn who_asks_too_often_or_guesses_tokens_waits_and_others_do_not() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits { requests_per_second: Some(5), wrong_tokens: 3, ..Limits::default() };
    let (ticks, passed) = still();
    let server = Guarded { limits, ticks, ..Guarded::over(root.path()) }.start().await;
    let ping = async || ask(&server, TOKEN, Method::GET, "/v2/", "").await.as_u16();
    for expected in [200, 200, 200, 200, 200, 429, 429] {
        assert_eq!(ping().await, expected);
    }
    passed.store(200, Ordering::Relaxed);
    assert_eq!((ping().await, ping().await), (200, 429), "a fifth of a second is one of five");
    let guess = "GET /v2/ HTTP/1.1\r\nhost: x\r\nauthorization: Bearer guess\r\nconnection: close\r\n\r\n";
    let say_as = async |client: u8, text: &str| {
        let mut stream = connect_as([127, 0, 0, client], server.address).await;
        stream.write_all(text.as_bytes()).await.unwrap();
        rest(&mut stream).await
    };
    for expected in [401, 401, 401, 429] {
        let told = say_as(3, guess).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {expected}")), "{told}");
        assert_eq!(told.to_lowercase().contains("retry-after: 2\r\n"), expected == 429, "{told}");
    }
    let right = guess.replace("guess", TOKEN);
    assert!(say_as(4, &right).await.starts_with("HTTP/1.1 200"), "another client");
    assert!(say_as(3, &right).await.starts_with("HTTP/1.1 429"), "the guesser, whatever it found");
    passed.store(1200, Ordering::Relaxed);
    assert!(say_as(3, &right).await.starts_with("HTTP/1.1 200"), "one guess is forgiven in a second");
}

#[tokio::test]
async fn blobs_and_uploads_have_their_limits() {
    let root = tempfile::tempdir().unwrap();
    let blobs = vec![BlobLimit { repositories: "small/**".parse().unwrap(), largest: 6 }];
    let limits = Limits { uploads_per_caller: 3, blobs, ..Limits::default() };
    let server = Guarded { limits, ..Guarded::over(root.path()) }.start().await;
    push_blob(&server, TOKEN, "small/a", "kernel").await;
    push_blob(&server, TOKEN, "large/a", "kernels").await;
    let path = format!("/v2/small/a/blobs/uploads/?digest={}", digest_of(b"kernels"));
    assert_eq!(ask(&server, TOKEN, Method::POST, &path, "kernels").await, 413);
    let begin = async |token: &str| ask(&server, token, Method::POST, "/v2/a/blobs/uploads/", "").await;
    for _ in 0..3 {
        assert_eq!(begin(TOKEN).await, 202);
    }
    assert_eq!(begin(TOKEN).await, 429);
    let other = token(root.path(), &["push:**"]).await;
    assert_eq!(begin(&other).await, 202, "another caller has its own");
    // What collection swept, or another server ended, makes room.
    let sessions = root.path().join("sessions");
    for session in std::fs::read_dir(&sessions).unwrap() {
        std::fs::remove_file(session.unwrap().path()).unwrap();
    }
    assert_eq!(begin(TOKEN).await, 202);
}

#[tokio::test]
async fn changes_and_refusals_are_in_the_audit_log_before_they_are_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let log = root.path().join("audit.jsonl");
    let audit = Some(Audit::open(&log, clock()).unwrap());
    let storage = root.path().join("storage");
    let server = Guarded { audit, ..Guarded::over(&storage) }.start().await;
    let reader = token(&storage, &["pull:**"]).await;
    push_blob(&server, TOKEN, "a", "kernel").await;
    assert_eq!(ask(&server, &reader, Method::POST, "/v2/a/blobs/uploads/?x=hidden", "").await, 403);
    assert_eq!(ask(&server, "wrong", Method::GET, "/v2/a/tags/list", "").await, 401);
    assert_eq!(http().get(server.url("/v2/")).send().await.unwrap().status(), 401);
    assert_eq!(ask(&server, TOKEN, Method::GET, "/v2/_catalog", "").await, 200);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let statuses: Vec<u64> = lines.iter().skip(1).map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 403, 401], "{text}");
    assert_eq!(lines[1]["principal"], "token");
    assert_eq!(lines[1]["digest"], digest_of(b"kernel").to_string());
    assert!(!text.contains(TOKEN) && !text.contains("hidden") && !text.contains(&reader), "{text}");
    assert_eq!(verify(&log, None).unwrap().head.lines, 4);
}

#[tokio::test]
async fn least_rates_leave_long_uploads_alone() {
    let root = tempfile::tempdir().unwrap();
    let rate = LeastRate { span: Duration::from_millis(200), bytes_per_second: 1000 };
    let limits = Limits { least_rate: rate, ..Limits::default() };
    let server = Guarded { limits, ..Guarded::over(root.path()) }.start().await;
    let pieces = futures_util::stream::unfold(0, |sent| async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        (sent < 20).then(|| (Ok::<_, std::io::Error>(vec![b'x'; 1000]), sent + 1))
    });
    let path = format!("/v2/a/blobs/uploads/?digest={}", digest_of(&[b'x'; 20_000]));
    let slow = http().post(server.url(&path)).bearer_auth(TOKEN).body(reqwest::Body::wrap_stream(pieces));
    assert_eq!(slow.send().await.unwrap().status(), 201);
}
