//! A server that is killed while everything goes on at once: pushes in two pieces that continue where they were, manifests, tags
//! that move and go, files of the hosted API, pulls; with collection beside them that waits for nothing. What was acknowledged is
//! there afterwards, and nothing else is served than what was sent.
//!
//! `PORT_TEST_KILLS` is how often it is killed.

pub mod bucket;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use port_content::hashing::digest_of;
use port_server::catalog::{Catalog, Sparse, Verdict};
use port_server::maintenance::verify_all;
use port_server::storage::Folder;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::client::{header, http};
use crate::process::{Process, free_address, number};
use crate::running::TOKEN;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PUSHERS: u64 = 5;
const SIZES: [usize; 4] = [10, 5_000, 300_000, 2_000_000];

/// What a pushed manifest brought along.
struct Pushed {
    manifest: String,
    layer: String,
}

/// What clients were told is so.
#[derive(Default)]
struct Promised {
    /// By the tag; each has one writer, and none of them is another's.
    tags: HashMap<String, Pushed>,
    /// Tags that were deleted and not pushed again.
    deleted: Vec<String>,
    /// The hosted API's files, by their version.
    files: BTreeMap<String, Vec<u8>>,
}

/// What the clients share.
struct Load {
    client: Client,
    /// Servers on one storage, which are asked by turns.
    bases: Vec<String>,
    asked: AtomicU64,
    promised: Mutex<Promised>,
    stop: AtomicBool,
    resumed: AtomicU64,
    pulled: AtomicU64,
}

/// A connection that broke, or an answer that no promise follows from.
struct Nothing;

impl From<reqwest::Error> for Nothing {
    fn from(_: reqwest::Error) -> Self {
        Self
    }
}

/// Bytes that nobody else has.
fn content(worker: u64, step: u64) -> Vec<u8> {
    let mut state = worker.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step.wrapping_mul(0xd129_0d3d_4b2c_11af) | 1;
    let size = SIZES[usize::try_from((worker + step) % 4).unwrap()];
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(size).collect()
}

fn expect(answer: &Response, status: u16) -> Result<(), Nothing> {
    let found = answer.status().as_u16();
    // Beside these, an upload may be gone, and a blob swept that no manifest named in time.
    assert!(found == status || matches!(found, 404 | 400 | 416), "{found} for {}", answer.url());
    if found == status { Ok(()) } else { Err(Nothing) }
}

impl Load {
    fn over(bases: Vec<String>) -> Arc<Self> {
        Arc::new(Self {
            client: http(),
            bases,
            asked: AtomicU64::new(0),
            promised: Mutex::default(),
            stop: AtomicBool::new(false),
            resumed: AtomicU64::new(0),
            pulled: AtomicU64::new(0),
        })
    }

    /// Pushes and pulls until it is told to stop.
    fn start(self: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        for worker in 0..PUSHERS {
            let load = Arc::clone(self);
            tasks.push(tokio::spawn(async move { load.push_until_stopped(worker).await }));
        }
        let puller = Arc::clone(self);
        tasks.push(tokio::spawn(async move { puller.pull_until_stopped().await }));
        tasks
    }

    /// Whether there is something to look at afterwards.
    fn went_on(&self) -> bool {
        let promised = self.promised.lock().unwrap();
        !promised.tags.is_empty() && !promised.files.is_empty() && self.pulled.load(Ordering::Relaxed) > 0
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let turn = usize::try_from(self.asked.fetch_add(1, Ordering::Relaxed)).unwrap();
        let base = &self.bases[turn % self.bases.len()];
        self.client.request(method, format!("{base}{path}")).bearer_auth(TOKEN)
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, Nothing> {
        let answer = self.request(Method::GET, path).send().await?;
        expect(&answer, 200)?;
        Ok(answer.bytes().await?.to_vec())
    }

    /// In two pieces; where the connection breaks, from where it was.
    async fn push_blob(&self, bytes: &[u8]) -> Result<String, Nothing> {
        let digest = digest_of(bytes).to_string();
        let begun = self.request(Method::POST, "/v2/k/blobs/uploads/").send().await?;
        expect(&begun, 202)?;
        let place = header(&begun, "location").to_owned();
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        expect(&self.request(Method::PATCH, &place).body(first.to_vec()).send().await?, 202)?;
        let finish = format!("{place}?digest={digest}");
        let Ok(answer) = self.request(Method::PUT, &finish).body(rest.to_vec()).send().await else {
            self.resume(&place, &finish, bytes).await?;
            return Ok(digest);
        };
        expect(&answer, 201)?;
        Ok(digest)
    }

    async fn resume(&self, place: &str, finish: &str, bytes: &[u8]) -> Result<(), Nothing> {
        let status = loop {
            match self.request(Method::GET, place).send().await {
                Ok(answer) => break answer,
                Err(_) if self.stop.load(Ordering::Relaxed) => return Err(Nothing),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        expect(&status, 204)?;
        let last: usize = header(&status, "range").rsplit('-').next().unwrap().parse().unwrap();
        let rest = bytes[(last + 1).min(bytes.len())..].to_vec();
        assert!(last + 1 >= bytes.len() / 2, "an acknowledged piece is gone: {last} of {}", bytes.len());
        expect(&self.request(Method::PUT, finish).body(rest).send().await?, 201)?;
        self.resumed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn push_image(&self, tag: &str, bytes: &[u8]) -> Result<(), Nothing> {
        let (layer, config) = (self.push_blob(bytes).await?, self.push_blob(b"{}").await?);
        let manifest = json!({"schemaVersion": 2, "artifactType": "x/y",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
            "layers": [{"mediaType": "a/b", "digest": layer, "size": bytes.len()}]})
        .to_string();
        // From here on the tag may be the one or the other, until somebody says which.
        self.promised.lock().unwrap().tags.remove(tag);
        self.promised.lock().unwrap().deleted.retain(|deleted| deleted != tag);
        let put = self.request(Method::PUT, &format!("/v2/k/manifests/{tag}"));
        let answer = put.header("content-type", MANIFEST).body(manifest.clone()).send().await?;
        expect(&answer, 201)?;
        self.promised.lock().unwrap().tags.insert(tag.to_owned(), Pushed { manifest, layer });
        Ok(())
    }

    async fn delete(&self, tag: &str) -> Result<(), Nothing> {
        self.promised.lock().unwrap().tags.remove(tag);
        expect(&self.request(Method::DELETE, &format!("/v2/k/manifests/{tag}")).send().await?, 202)?;
        self.promised.lock().unwrap().deleted.push(tag.to_owned());
        Ok(())
    }

    async fn push_file(&self, version: &str, bytes: Vec<u8>) -> Result<(), Nothing> {
        self.promised.lock().unwrap().files.remove(version);
        let push = self.request(Method::POST, "/v1/artifacts:push");
        let push = push.header("x-port-artifact-transfer", metadata(version).to_string());
        expect(&push.body(bytes.clone()).send().await?, 200)?;
        self.promised.lock().unwrap().files.insert(version.to_owned(), bytes);
        Ok(())
    }

    /// Pushes, and now and then deletes.
    async fn push_until_stopped(&self, worker: u64) {
        for step in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let (tag, bytes) = (format!("t{worker}-{}", step % 7), content(worker, step));
            let done = match step % 5 {
                3 => self.delete(&tag).await,
                4 => self.push_file(&format!("v{worker}-{}", step % 3), bytes).await,
                _ => self.push_image(&tag, &bytes).await,
            };
            if done.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// What comes whole is right; what is cut is cut.
    async fn pull_until_stopped(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let layers: Vec<String> =
                self.promised.lock().unwrap().tags.values().map(|pushed| pushed.layer.clone()).collect();
            for layer in layers {
                if let Ok(bytes) = self.get(&format!("/v2/k/blobs/{layer}")).await {
                    assert_eq!(digest_of(&bytes).to_string(), layer);
                    self.pulled.fetch_add(1, Ordering::Relaxed);
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn metadata(version: &str) -> serde_json::Value {
    json!({
        "artifact_name": "demo-kernel",
        "reference": {"registry": "demo-fs", "repository": "port/kills", "version": version},
        "selector": {"architecture": "x86_64", "substrate": "firecracker", "protection_mode": "standard"},
        "filename": "vmlinux",
        "store_path": format!("demo-fs/port/kills/{version}/x86_64/firecracker/standard/vmlinux"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_under_load_loses_nothing_that_was_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    let address = free_address();
    let mut server = Process::start(root.path(), address, &[]).await;
    let load = Load::over(vec![server.url("")]);
    let tasks = load.start();
    for round in 0..number("PORT_TEST_KILLS", 5) {
        tokio::time::sleep(Duration::from_millis(150 + round * 7919 % 450)).await;
        server.kill();
        server = Process::start(root.path(), address, &[]).await;
    }
    // Some more, so that uploads that a kill cut go on and what was swept is noticed.
    tokio::time::sleep(Duration::from_secs(2)).await;
    load.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    server.kill();
    let server = Process::start(root.path(), address, &[]).await;
    check(&load).await;
    drop(server);
    verify(Catalog::new(Arc::new(Folder::open(root.path()).unwrap()), Sparse::Refused)).await;
}

/// Everything that was promised is so.
async fn check(load: &Load) {
    let promised = std::mem::take(&mut *load.promised.lock().unwrap());
    for (tag, Pushed { manifest, layer }) in &promised.tags {
        let found = load.get(&format!("/v2/k/manifests/{tag}")).await.ok();
        assert_eq!(found.as_deref(), Some(manifest.as_bytes()), "the tag {tag}");
        let bytes = load.get(&format!("/v2/k/blobs/{layer}")).await.ok();
        assert_eq!(
            bytes.map(|bytes| digest_of(&bytes).to_string()).as_ref(),
            Some(layer),
            "of the tag {tag}"
        );
    }
    for tag in &promised.deleted {
        let answer = load.request(Method::GET, &format!("/v2/k/manifests/{tag}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "the tag {tag} came back");
    }
    for (version, bytes) in &promised.files {
        let pull = load.request(Method::POST, "/v1/artifacts:pull").body(metadata(version).to_string());
        let answer = pull.send().await.unwrap();
        assert_eq!(answer.status(), 200, "the file of {version}");
        assert!(answer.bytes().await.unwrap() == bytes, "the file of {version}");
    }
    let (resumed, pulled) = (load.resumed.load(Ordering::Relaxed), load.pulled.load(Ordering::Relaxed));
    println!(
        "{} tags, {} deleted ones, {} files, {resumed} uploads continued, {pulled} pulls",
        promised.tags.len(),
        promised.deleted.len(),
        promised.files.len()
    );
    assert!(!promised.tags.is_empty() && !promised.files.is_empty() && pulled > 0, "nothing went on");
}

/// Every blob that has a name is right.
async fn verify(catalog: Catalog) {
    let wrong = |digest: &port_model::Digest, verdict: &Verdict| {
        assert!(!matches!(verdict, Verdict::Quarantined { .. }), "{digest}: {verdict:?}");
    };
    verify_all(&catalog, wrong).await.unwrap();
}
