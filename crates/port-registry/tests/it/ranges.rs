//! Ranges of a blob fetched by themselves, and `If-Range` on every range after the first answer.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use port_content::fs;
use port_content::hashing::digest_of;
use port_model::Reporter;
use port_registry::{Anonymous, Client, Kind, Options, Partial, RegistryError, Repository};
use port_testkit::registry::{Abilities, Action, BlobEtags, Registry, Reply, Request};

use crate::support::{Notes, chain, noise, options, pull, repository, repository_with};

const SIZE: usize = 2_000_000;
/// Three places, the middle one longer than a part.
const WANTED: [Range<u64>; 3] = [1_000..5_000, 300_000..600_000, 1_990_000..2_000_000];

async fn fetch(
    repository: &Repository,
    bytes: &[u8],
    ranges: &[Range<u64>],
    path: &Path,
) -> Result<(), RegistryError> {
    let partial = Partial::wait(path).await.unwrap();
    repository.fetch_ranges(&digest_of(bytes), bytes.len() as u64, ranges, &partial).await
}

fn assert_there(bytes: &[u8], ranges: &[Range<u64>], path: &Path) {
    let there = fs::read(path, 1 << 30).unwrap();
    assert_eq!(there.len(), bytes.len());
    for range in ranges.iter().map(|range| range.start as usize..range.end as usize) {
        assert!(there[range.clone()] == bytes[range.clone()], "{range:?} differs");
    }
}

/// A registry with `bytes`, whose hook sees ranged requests only.
fn answering(
    bytes: &[u8],
    abilities: Abilities,
    hook: impl Fn(&Request) -> Action + Send + Sync + 'static,
) -> Registry {
    let hook = move |request: &Request| match request.header("range") {
        "" => Action::Pass,
        _ => hook(request),
    };
    let registry = Registry::with(abilities, Box::new(hook));
    registry.add_blob(bytes);
    registry
}

#[tokio::test]
async fn only_what_is_wanted_travels_and_each_byte_once() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    let registry = answering(&bytes, Abilities::default(), |_| Action::Pass);
    let (repository, path) = (repository(&registry), directory.path().join("p"));
    fetch(&repository, &bytes, &WANTED, &path).await.unwrap();
    assert_there(&bytes, &WANTED, &path);
    assert_eq!(registry.traffic().1, 314_000);
    // The same again, in other words: nothing is left to fetch.
    let requests = registry.requests().len();
    fetch(&repository, &bytes, &[400_000..600_000, 2_000..3_000, 7..7], &path).await.unwrap();
    assert_eq!(registry.requests().len(), requests);
    // Some is there, some is not.
    let more = [4_000..6_000, 500_000..600_001];
    fetch(&repository, &bytes, &more, &path).await.unwrap();
    assert_there(&bytes, &more, &path);
    assert_eq!(registry.traffic().1, 315_001);
    // The whole goes on from there, and is checked.
    assert_eq!(pull(&repository, &bytes, &path).await.unwrap(), bytes);
    assert_eq!(registry.traffic().1, SIZE as u64);
}

#[tokio::test]
async fn a_whole_pull_finds_out_that_a_range_was_wrong() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    let lies = AtomicUsize::new(0);
    let registry = answering(&bytes, Abilities::default(), move |request| {
        if lies.fetch_add(1, Ordering::Relaxed) > 0 {
            return Action::Pass;
        }
        assert_eq!(request.header("range"), "bytes=10-19");
        Action::Answer(Reply::new(206, &[7; 10]).header("content-range", "bytes 10-19/2000000"))
    });
    let (repository, path) = (repository(&registry), directory.path().join("p"));
    let ranges = [10..20, 30..30];
    fetch(&repository, &bytes, &ranges, &path).await.unwrap();
    assert_eq!(fs::read(&path, 1 << 30).unwrap()[10..20], [7; 10], "nothing is checked");
    assert_eq!(pull(&repository, &bytes, &path).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_registry_without_ranges_sends_the_whole() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    for status in [200, 400, 416, 501] {
        let abilities = Abilities { ranges: false, ..Abilities::default() };
        let registry = answering(&bytes, abilities, move |_| match status {
            200 => Action::Pass,
            _ => Action::Answer(Reply::new(status, b"")),
        });
        let (repository, path) = (repository(&registry), directory.path().join(status.to_string()));
        fetch(&repository, &bytes, &WANTED, &path).await.unwrap();
        assert_there(&bytes, &WANTED, &path);
        let requests = registry.requests().len();
        assert_eq!(pull(&repository, &bytes, &path).await.unwrap(), bytes);
        assert_eq!(registry.requests().len(), requests, "{status}: what came in passing was kept");
    }
}

#[tokio::test]
async fn what_is_remembered_of_ranges_may_be_over() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    for status in [200, 416] {
        let able = Arc::new(AtomicUsize::new(1));
        let asked = Arc::clone(&able);
        let abilities = Abilities { blob_etags: BlobEtags::Absent, ..Abilities::default() };
        let copy = bytes.clone();
        let registry = answering(&bytes, abilities, move |_| match asked.load(Ordering::Relaxed) {
            0 => Action::Answer(Reply::new(status, if status == 200 { &copy } else { b"" })),
            _ => Action::Pass,
        });
        let repository = repository(&registry);
        let path = |name: &str| directory.path().join(format!("{status}-{name}"));
        assert_eq!(pull(&repository, &bytes, &path("a")).await.unwrap(), bytes);
        able.store(0, Ordering::Relaxed);
        assert_eq!(pull(&repository, &bytes, &path("b")).await.unwrap(), bytes);
        fetch(&repository, &bytes, &WANTED, &path("c")).await.unwrap();
        assert_there(&bytes, &WANTED, &path("c"));
    }
}

#[tokio::test]
async fn cuts_and_expired_addresses_are_no_obstacle() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    let uses = AtomicUsize::new(0);
    let storage =
        answering(&bytes, Abilities::default(), move |_| match uses.fetch_add(1, Ordering::Relaxed) {
            1 => Action::CutAnswer(1_500),
            // Presigned addresses expire.
            2 | 4 => Action::Answer(Reply::new(403, b"expired")),
            _ => Action::Pass,
        });
    let target = format!("http://{}/v2/x/blobs/{}", storage.host(), digest_of(&bytes));
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |_| Action::Answer(Reply::new(307, b"").header("location", target.clone()))),
    );
    let (repository, path) = (repository(&registry), directory.path().join("p"));
    fetch(&repository, &bytes, &WANTED, &path).await.unwrap();
    assert_there(&bytes, &WANTED, &path);
    assert_eq!(storage.traffic().1, 314_000 + 2 * 7, "nothing but the two refusals came in vain");
    assert!(registry.requests().len() >= 3, "a new address was asked for");
}

#[tokio::test]
async fn ranges_beyond_the_end_are_refused_before_anything_is_asked() {
    let (bytes, directory) = (noise(1000), tempfile::tempdir().unwrap());
    let registry = answering(&bytes, Abilities::default(), |_| Action::Pass);
    let path = directory.path().join("p");
    let error = fetch(&repository(&registry), &bytes, &[0..1, 900..1001], &path).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Local);
    assert!(chain(&error).contains("no bytes 900-1001 in a blob of 1000"), "{}", chain(&error));
    assert_eq!(registry.requests().len(), 0);
}

/// What the requests for blobs said as `If-Range`, in order.
fn conditions(registry: &Registry) -> Vec<String> {
    let requests = registry.requests();
    let ranged = requests.iter().filter(|request| request.target.contains("/blobs/"));
    ranged.map(|request| request.header("if-range").to_owned()).collect()
}

#[tokio::test]
async fn every_range_after_the_first_answer_is_conditional_on_its_strong_etag() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    let strong = format!("\"{}\"", digest_of(&bytes));
    for (etags, expected) in
        [(BlobEtags::Strong, strong.as_str()), (BlobEtags::Weak, ""), (BlobEtags::Absent, "")]
    {
        let abilities = Abilities { blob_etags: etags, ..Abilities::default() };
        let registry = answering(&bytes, abilities, |_| Action::Pass);
        let path = directory.path().join(format!("{etags:?}"));
        assert_eq!(pull(&repository(&registry), &bytes, &path).await.unwrap(), bytes);
        let conditions = conditions(&registry);
        assert!(conditions.len() > 4, "{conditions:?}");
        assert_eq!(conditions[0], "");
        assert!(conditions[1..].iter().all(|condition| condition == expected), "{conditions:?}");
    }
}

#[tokio::test]
async fn a_plain_answer_that_is_cut_goes_on_with_its_etag() {
    let (bytes, directory) = (noise(60_000), tempfile::tempdir().unwrap());
    let cuts = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |_| match cuts.fetch_add(1, Ordering::Relaxed) {
            0 => Action::CutAnswer(20_000),
            _ => Action::Pass,
        }),
    );
    registry.add_blob(&bytes);
    assert_eq!(pull(&repository(&registry), &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    assert_eq!(conditions(&registry), [String::new(), format!("\"{}\"", digest_of(&bytes))]);
    let range = registry.requests()[1].header("range").to_owned();
    assert_eq!(range, "bytes=20000-59999");
}

/// One connection, so that the order of requests is known.
fn one_connection(registry: &Registry) -> Repository {
    repository_with(registry.host(), single(), Arc::new(Anonymous))
}

fn single() -> Options {
    let mut options: Options = options();
    options.transfer.connections = 1;
    options
}

/// A registry whose bytes change after the first range was answered: the first ones have an ETag that no later one has.
fn changing(bytes: &[u8]) -> Registry {
    let asked = AtomicUsize::new(0);
    answering(bytes, Abilities::default(), move |request| {
        if asked.fetch_add(1, Ordering::Relaxed) > 0 {
            return Action::Pass;
        }
        let (first, last) = request.header("range").trim_start_matches("bytes=").split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        let content_range = format!("bytes {first}-{last}/{SIZE}");
        let reply = Reply::new(206, &vec![7; last + 1 - first]).header("content-range", content_range);
        Action::Answer(reply.header("etag", "\"older\""))
    })
}

#[tokio::test]
async fn bytes_that_change_under_a_download_are_noticed_at_once_and_not_mixed() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    let newer = format!("\"{}\"", digest_of(&bytes));
    let registry = changing(&bytes);
    let notes = Arc::new(Notes::default());
    let client = Client::new(single(), Arc::new(Anonymous), Arc::clone(&notes) as Arc<dyn Reporter>);
    let repository = client.repository(&registry.host().parse().unwrap(), &"port/demo".parse().unwrap());
    assert_eq!(pull(&repository.unwrap(), &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    assert_eq!(notes.text(), "", "not found out by the digest of the whole");
    let sent = conditions(&registry);
    assert_eq!(sent[..2], [String::new(), "\"older\"".to_owned()]);
    assert!(sent.len() > 3 && sent[2..].iter().all(|etag| *etag == newer), "{sent:?}");
    // Of ranges alone nobody would find it out later.
    let (registry, path) = (changing(&bytes), directory.path().join("ranges"));
    fetch(&one_connection(&registry), &bytes, &WANTED, &path).await.unwrap();
    assert_there(&bytes, &WANTED, &path);
}

#[tokio::test]
async fn what_was_there_before_a_download_stays_when_its_bytes_change() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    let (before, path) = (Registry::start(), directory.path().join("p"));
    before.add_blob(&bytes);
    let there = [1_000_000..1_200_000, 1_200_000..1_500_000];
    fetch(&repository(&before), &bytes, &there, &path).await.unwrap();
    let registry = changing(&bytes);
    assert_eq!(pull(&one_connection(&registry), &bytes, &path).await.unwrap(), bytes);
    let again = |request: &Request| {
        let range = request.header("range").trim_start_matches("bytes=").split_once('-');
        range.is_some_and(|(first, _)| (1_000_000..1_500_000).contains(&first.parse::<u64>().unwrap()))
    };
    assert!(!registry.requests().iter().any(again), "{:?}", registry.requests());
}

#[tokio::test]
async fn where_a_redirect_led_is_not_asked_again_when_nobody_is_there() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    let uses = AtomicUsize::new(0);
    let dying =
        answering(&bytes, Abilities::default(), move |_| match uses.fetch_add(1, Ordering::Relaxed) {
            0 => Action::Pass,
            _ => Action::Answer(Reply::new(503, b"")),
        });
    let alive = answering(&bytes, Abilities::default(), |_| Action::Pass);
    let targets =
        [&dying, &alive].map(|storage| format!("http://{}/v2/x/blobs/{}", storage.host(), digest_of(&bytes)));
    let asked = AtomicUsize::new(0);
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |_| {
            let target = &targets[asked.fetch_add(1, Ordering::Relaxed).min(1)];
            Action::Answer(Reply::new(307, b"").header("location", target.clone()))
        }),
    );
    let path = directory.path().join("p");
    assert_eq!(pull(&one_connection(&registry), &bytes, &path).await.unwrap(), bytes);
    assert_eq!(dying.requests().len(), 2, "it answered once and failed once");
}

#[tokio::test]
async fn a_server_whose_etags_come_and_go_is_asked_without_conditions() {
    let (bytes, directory) = (noise(SIZE), tempfile::tempdir().unwrap());
    let asked = AtomicUsize::new(0);
    let copy = bytes.clone();
    let registry = answering(&bytes, Abilities { blob_etags: BlobEtags::Absent, ..Abilities::default() }, {
        move |request| {
            let etag = format!("\"server {}\"", asked.fetch_add(1, Ordering::Relaxed));
            let (start, last) = request.header("range").trim_start_matches("bytes=").split_once('-').unwrap();
            let (start, last): (usize, usize) = (start.parse().unwrap(), last.parse().unwrap());
            let reply = match request.header("if-range") {
                "" => Reply::new(206, &copy[start..=last])
                    .header("content-range", format!("bytes {start}-{last}/{SIZE}")),
                _ => Reply::new(200, &copy),
            };
            Action::Answer(reply.header("etag", etag))
        }
    });
    let path = directory.path().join("p");
    assert_eq!(pull(&one_connection(&registry), &bytes, &path).await.unwrap(), bytes);
    let conditions = conditions(&registry);
    assert_eq!(conditions.iter().filter(|condition| !condition.is_empty()).count(), 2, "{conditions:?}");
}

/// A registry that does something else at every turn, by a number that looks like chance and is not.
fn fickle(bytes: &[u8], seed: usize) -> Registry {
    let asked = AtomicUsize::new(seed * 1000);
    let copy = bytes.to_vec();
    let registry = Registry::with(
        Abilities::default(),
        Box::new(move |request| {
            let turn = asked.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9) >> 7;
            match turn % 12 {
                0 => Action::CutAnswer(turn % 30_000),
                1 => Action::Answer(Reply::new(503, b"")),
                // Another server behind the same name, which knows no ranges, or has ETags of its own.
                2 => Action::Answer(Reply::new(200, &copy)),
                3 => Action::Answer(Reply::new(200, &copy).header("etag", format!("\"{turn}\""))),
                4 if !request.header("range").is_empty() => Action::Answer(Reply::new(416, b"")),
                _ => Action::Pass,
            }
        }),
    );
    registry.add_blob(bytes);
    registry
}

#[tokio::test]
async fn a_registry_that_changes_its_mind_all_the_time_still_gives_the_right_bytes() {
    let (bytes, directory) = (noise(300_000), tempfile::tempdir().unwrap());
    for seed in 0..25 {
        let registry = fickle(&bytes, seed);
        let mut options: Options = options();
        options.transfer.part = 16 << 10;
        let repository = repository_with(registry.host(), options, Arc::new(Anonymous));
        let path = directory.path().join(seed.to_string());
        let start = seed as u64 * 9_000;
        let ranges = [start..start + 40_000, 270_000..280_000 + seed as u64];
        // It may be worse than a client's patience; what is there stays, and a rerun goes on.
        let mut tries = 0;
        while let Err(error) = fetch(&repository, &bytes, &ranges, &path).await {
            tries += 1;
            assert!(tries < 20, "{}", chain(&error));
        }
        assert_there(&bytes, &ranges, &path);
        let mut pulled = pull(&repository, &bytes, &path).await;
        for _ in 0..20 {
            if pulled.is_err() {
                pulled = pull(&repository, &bytes, &path).await;
            }
        }
        assert_eq!(pulled.unwrap(), bytes, "seed {seed}");
    }
}
