//! Several servers on one bucket: what one takes another one continues and gives, and a kill of one loses nothing that either has
//! acknowledged. Over an S3 in memory always, over a real one where it was built.

use std::path::Path;

use port_server::gate::{AnonymousPull, Tokens};
use port_server::storage::{Credentials, Endpoint, S3, S3Settings, Transport};
use port_server::{Limits, Settings};
use port_testkit::s3::{ACCESS_KEY, BUCKET, Gateway, S3 as Memory, SECRET_KEY};

use super::*;
use crate::guarded::{Guarded, clock};
use crate::running::Running;

/// What `storage` begins with in `Process::start` where it is a bucket.
pub const SCHEME: &str = "http://";

/// How often two seconds more are given to clients that got nothing done.
const MOST_WAITS: u32 = 30;

/// The bucket behind an endpoint.
async fn storage(endpoint: &str) -> Arc<S3> {
    let settings = S3Settings {
        bucket: format!("s3://{BUCKET}/plane").parse().unwrap(),
        endpoint: Endpoint::new(endpoint, Transport::PlainAllowed).unwrap(),
        region: "us-east-1".parse().unwrap(),
        credentials: Credentials::new(ACCESS_KEY, SECRET_KEY, None),
        clock: clock(),
    };
    Arc::new(S3::open(settings).await.unwrap())
}

/// What a server over it is made of.
pub async fn settings(endpoint: &str, limits: Limits) -> Settings {
    let storage = storage(endpoint).await;
    let token = (TOKEN, "port-demo", "authorization");
    let gate =
        Tokens::open(Arc::clone(&storage) as _, token.0, token.1, token.2, AnonymousPull::Refused, clock());
    let gate = Arc::new(gate.await.unwrap());
    let nowhere = tempfile::tempdir().unwrap();
    let others = Guarded { limits, ..Guarded::over(nowhere.path()) }.settings().await.0;
    Settings { storage, gate, ..others }
}

async fn running(endpoint: &str) -> Running {
    Running::of(settings(endpoint, Limits::default()).await, Arc::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_on_a_bucket_takes_another_one_continues_and_gives() {
    let bucket = Memory::default();
    let (one, other) = (running(&bucket.endpoint()).await, running(&bucket.endpoint()).await);
    let load = Load::over(vec![one.url(""), other.url("")]);
    let bytes = content(1, 3);
    // Every request goes to the other server than the one before: beginning, first half, second half, manifest.
    for tag in ["first", "second"] {
        assert!(load.push_image(tag, &bytes).await.is_ok(), "{tag}");
    }
    assert!(load.push_file("v1", content(2, 0)).await.is_ok());
    load.pulled.fetch_add(1, Ordering::Relaxed);
    check(&load).await;
    let tag = load.get("/v2/k/tags/list").await.ok().unwrap();
    assert_eq!(String::from_utf8(tag).unwrap(), r#"{"name":"k","tags":["first","second"]}"#);
    let left: Vec<String> = bucket.keys().into_iter().filter(|key| key.contains("/_uploads/")).collect();
    assert!(left.is_empty() && bucket.multiparts() == 0, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_servers_on_a_bucket_is_killed_under_load_and_nothing_acknowledged_is_lost() {
    let bucket = Memory::default();
    kill_by_turns(&bucket.endpoint()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_a_bucket_of_a_real_server() {
    let Some(gateway) = Gateway::start() else { return };
    kill_by_turns(&gateway.endpoint()).await;
}

async fn kill_by_turns(endpoint: &str) {
    let addresses = [free_address(), free_address()];
    let place = Path::new(endpoint);
    let mut servers = Vec::new();
    for address in addresses {
        servers.push(Process::start(place, address, &[]).await);
    }
    let load = Load::over(servers.iter().map(|server| server.url("")).collect());
    let tasks = load.start();
    for round in 0..number("PORT_TEST_KILLS", 4) {
        tokio::time::sleep(Duration::from_millis(400 + round * 7919 % 450)).await;
        let victim = usize::try_from(round % 2).unwrap();
        servers[victim].kill();
        servers[victim] = Process::start(place, addresses[victim], &[]).await;
    }
    // A busy machine gets little done between two kills.
    for _ in 0..MOST_WAITS {
        tokio::time::sleep(Duration::from_secs(2)).await;
        if load.went_on() {
            break;
        }
    }
    load.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    check(&load).await;
    drop(servers);
    verify(Catalog::new(storage(endpoint).await, Sparse::Refused)).await;
}
