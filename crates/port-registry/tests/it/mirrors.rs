//! Mirrors: asked first, believed in nothing but bytes that have their digest, told no secret of the origin's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use port_content::fs;
use port_content::hashing::digest_of;
use port_model::Reporter;
use port_registry::credentials::{Unusable, Variable, basic_env};
use port_registry::{
    Anonymous, Client, CredentialSource, HostOptions, Kind, Mirror, Mirrors, Options, Partial, RegistryHost,
    Repository, TagsAt, Transport, media,
};
use port_testkit::registry::{Abilities, Access, Action, Registry, Reply, Request};

use crate::support::{BASIC, Notes, noise, options, pull, tag, user};

fn mirror(place: &str, credentials: Arc<dyn CredentialSource>) -> Mirror {
    let (registry, prefix) = place.split_once('/').map_or((place, None), |(host, path)| (host, Some(path)));
    let options = HostOptions { transport: Transport::PlainHttp, ..HostOptions::default() };
    let prefix = prefix.map(|prefix| prefix.parse().unwrap());
    Mirror { registry: registry.parse().unwrap(), prefix, options, credentials }
}

/// `port/demo` of the origin, with these mirrors; who signs in at the origin is `user`.
fn with(origin: &Registry, places: Vec<Mirror>, tags: TagsAt) -> (Repository, Arc<Notes>) {
    with_options(origin, places, tags, options())
}

fn with_options(
    origin: &Registry,
    places: Vec<Mirror>,
    tags: TagsAt,
    options: Options,
) -> (Repository, Arc<Notes>) {
    let notes = Arc::new(Notes::default());
    let host = origin.host().parse().unwrap();
    let options = Options { mirrors: [(host, Mirrors { places, tags })].into(), ..options };
    let client = Client::new(options, user(), Arc::clone(&notes) as Arc<dyn Reporter>);
    let repository = client.repository(&origin.host().parse().unwrap(), &"port/demo".parse().unwrap());
    (repository.unwrap(), notes)
}

fn anonymous(places: &[&Registry]) -> Vec<Mirror> {
    places.iter().map(|place| mirror(place.host(), Arc::new(Anonymous))).collect()
}

fn hooked(hook: impl Fn(&Request) -> Action + Send + Sync + 'static) -> Registry {
    Registry::with(Abilities::default(), Box::new(hook))
}

#[tokio::test]
async fn blobs_come_from_the_first_mirror_that_has_them() {
    let (origin, lacks, has) = (Registry::start(), Registry::start(), Registry::start());
    let bytes = noise(600_000);
    has.add_blob(&bytes);
    let (repository, notes) = with(&origin, anonymous(&[&lacks, &has]), TagsAt::Origin);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    let small = repository.blob_to_memory(&digest_of(&bytes), 600_000, 1 << 20).await.unwrap();
    assert_eq!(small, bytes);
    assert_eq!(origin.requests().len(), 0);
    assert_eq!(lacks.requests().len(), 2, "a mirror that lacks one blob may have the next");
    let note = format!("the mirror `{}/port/demo` does not have blob {}", lacks.host(), digest_of(&bytes));
    assert_eq!(notes.text(), [&*note, &*note].join("\n"));
}

#[tokio::test]
async fn a_mirror_has_a_prefix_and_credentials_of_its_own_and_never_the_origins() {
    let secret = Abilities { access: Access::Basic(BASIC.to_owned()), ..Abilities::default() };
    let origin = Registry::with(secret.clone(), Box::new(|_| Action::Pass));
    let bytes = noise(1000);
    origin.add_blob(&bytes);
    // This one asks for what the origin's user would send.
    let curious = Registry::with(secret.clone(), Box::new(|_| Action::Pass));
    curious.add_blob(&bytes);
    let place = format!("{}/proxy/hub", curious.host());
    let (repository, notes) = with(&origin, vec![mirror(&place, Arc::new(Anonymous))], TagsAt::Origin);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository, &bytes, &directory.path().join("a")).await.unwrap(), bytes);
    let sent = curious.requests();
    assert!(sent.iter().all(|request| request.header("authorization").is_empty()));
    assert!(sent[0].target.starts_with("/v2/proxy/hub/port/demo/blobs/"), "{}", sent[0].target);
    assert!(notes.text().contains("is passed over") && notes.text().contains("401"), "{}", notes.text());
    // With credentials of its own it is used.
    let (repository, _) = with(&origin, vec![mirror(&place, user())], TagsAt::Origin);
    let before = origin.requests().len();
    assert_eq!(pull(&repository, &bytes, &directory.path().join("b")).await.unwrap(), bytes);
    assert_eq!(origin.requests().len(), before);
}

#[tokio::test]
async fn who_cannot_sign_in_at_a_mirror_goes_on_to_the_registry() {
    let origin = Registry::start();
    let bytes = noise(1000);
    origin.add_blob(&bytes);
    let access = Access::Basic(BASIC.to_owned());
    let closed = Registry::with(Abilities { access, ..Abilities::default() }, Box::new(|_| Action::Pass));
    let unset = |name: &str| Variable { name: name.to_owned(), value: None };
    let error = basic_env(&closed.host().parse().unwrap(), &unset("M_USER"), &unset("M_PASSWORD"));
    let place = mirror(closed.host(), Arc::new(Unusable(error.unwrap_err())));
    let (repository, notes) = with(&origin, vec![place], TagsAt::Origin);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    assert!(notes.text().contains("M_USER"), "{}", notes.text());
}

#[tokio::test]
async fn official_images_of_docker_hub_are_below_library_at_a_mirror_too() {
    let hub = Registry::start();
    let digest = hub.add_blob(b"{}").parse().unwrap();
    let host: RegistryHost = "docker.io".parse().unwrap();
    let place = mirror(&format!("{}/hub", hub.host()), Arc::new(Anonymous));
    let mirrors = Mirrors { places: vec![place], tags: TagsAt::Origin };
    let options = Options { mirrors: [(host.clone(), mirrors)].into(), ..options() };
    let client = Client::new(options, Arc::new(Anonymous), Arc::new(Notes::default()));
    let repository = client.repository(&host, &"debian".parse().unwrap()).unwrap();
    assert_eq!(repository.blob_to_memory(&digest, 2, 10).await.unwrap(), b"{}"[..]);
    assert_eq!(hub.requests()[0].target, format!("/v2/hub/library/debian/blobs/{digest}"));
}

#[tokio::test]
async fn a_mirror_that_asks_for_patience_gets_little() {
    let origin = Registry::start();
    let bytes = noise(1000);
    origin.add_blob(&bytes);
    let busy = hooked(|_| Action::Answer(Reply::new(429, b"").header("retry-after", "3600")));
    let (repository, notes) = with(&origin, anonymous(&[&busy]), TagsAt::Origin);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    assert_eq!(busy.requests().len(), 2);
    assert!(notes.text().contains("429"), "{}", notes.text());
}

#[tokio::test]
async fn a_mirror_that_is_down_is_named_once_and_not_asked_again() {
    let origin = Registry::start();
    let bytes = noise(1000);
    origin.add_blob(&bytes);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let down = hooked(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Action::Answer(Reply::new(503, b""))
    });
    let nobody = mirror("127.0.0.1:1", Arc::new(Anonymous));
    let places = [anonymous(&[&down]), vec![nobody]].concat();
    let (repository, notes) = with(&origin, places, TagsAt::Origin);
    let directory = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(pull(&repository, &bytes, &directory.path().join(name)).await.unwrap(), bytes);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2, "tried twice, once and for all");
    let notes = notes.text();
    assert_eq!(notes.lines().count(), 2, "{notes}");
    assert!(notes.contains("`127.0.0.1:1/port/demo` is passed over: blob sha256:"), "{notes}");
}

#[tokio::test]
async fn a_mirror_that_breaks_off_is_continued_by_the_origin() {
    let origin = Registry::start();
    let bytes = noise(2_000_000);
    origin.add_blob(&bytes);
    let served = AtomicUsize::new(0);
    let tired = hooked(move |_| match served.fetch_add(1, Ordering::Relaxed) {
        0..6 => Action::Pass,
        _ => Action::Answer(Reply::new(503, b"")),
    });
    tired.add_blob(&bytes);
    let (repository, _) = with(&origin, anonymous(&[&tired]), TagsAt::Origin);
    let path = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository, &bytes, &path.path().join("p")).await.unwrap(), bytes);
    let (theirs, ours) = (tired.traffic().1, origin.traffic().1);
    assert!(theirs > 300_000 && ours > 0 && theirs + ours <= 2_000_000 + 6 * 65_536, "{theirs} {ours}");
    // Ranges are continued in the same way.
    let served = AtomicUsize::new(0);
    let tired = hooked(move |_| match served.fetch_add(1, Ordering::Relaxed) {
        0 => Action::Pass,
        _ => {
            // Lest the end of the second is the end of the first.
            std::thread::sleep(Duration::from_millis(300));
            Action::Answer(Reply::new(404, b""))
        }
    });
    tired.add_blob(&bytes);
    let (repository, _) = with(&origin, anonymous(&[&tired]), TagsAt::Origin);
    let (target, before) = (path.path().join("r"), origin.traffic().1);
    let ranges = [1000..2000, 500_000..501_000];
    let partial = Partial::wait(&target).await.unwrap();
    repository.fetch_ranges(&digest_of(&bytes), 2_000_000, &ranges, &partial).await.unwrap();
    let there = fs::read(&target, 1 << 30).unwrap();
    assert!(ranges.iter().all(|range| {
        let range = range.start as usize..range.end as usize;
        there[range.clone()] == bytes[range]
    }));
    assert_eq!(origin.traffic().1 - before, 1000, "the first came from the mirror");
}

#[tokio::test]
async fn a_mirror_that_lies_is_warned_of_and_nothing_of_it_is_kept() {
    let origin = Registry::start();
    let (bytes, mut wrong) = (noise(600_000), noise(600_000));
    wrong[300_000] ^= 1;
    origin.add_blob(&bytes);
    let sent = wrong.clone();
    let liar = hooked(move |request| {
        let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let Some((from, to)) = range else { return Action::Answer(Reply::new(200, &sent)) };
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let reply = Reply::new(206, &sent[from..=to]);
        Action::Answer(reply.header("content-range", format!("bytes {from}-{to}/600000")))
    });
    let (repository, notes) = with(&origin, anonymous(&[&liar]), TagsAt::Origin);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository, &bytes, &directory.path().join("a")).await.unwrap(), bytes);
    assert_eq!(origin.traffic().1, 600_000, "all of it, once");
    let (text, asked) = (notes.text(), liar.requests().len());
    let place = format!("warning: the mirror `{}/port/demo` is not asked any more", liar.host());
    for words in [place, format!("expected {}, found {}", digest_of(&bytes), digest_of(&wrong))] {
        assert!(text.contains(&words), "{words}: {text}");
    }
    assert_eq!(pull(&repository, &bytes, &directory.path().join("b")).await.unwrap(), bytes);
    assert_eq!(liar.requests().len(), asked);
}

#[tokio::test]
async fn what_a_mirror_sent_before_it_was_found_out_is_not_kept_either() {
    let origin = Registry::start();
    let bytes = noise(600_000);
    origin.add_blob(&bytes);
    let asked = AtomicUsize::new(0);
    let liar = hooked(move |request| {
        let (from, to) = request.header("range").trim_start_matches("bytes=").split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let total = if asked.fetch_add(1, Ordering::Relaxed) == 0 { 600_000 } else { 600_001 };
        let reply = Reply::new(206, &vec![7; to - from + 1]);
        Action::Answer(reply.header("content-range", format!("bytes {from}-{to}/{total}")))
    });
    let (repository, notes) = with(&origin, anonymous(&[&liar]), TagsAt::Origin);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p");
    let ranges = [0..10, 599_000..600_000];
    let partial = Partial::wait(&path).await.unwrap();
    repository.fetch_ranges(&digest_of(&bytes), 600_000, &ranges, &partial).await.unwrap();
    drop(partial);
    assert_eq!(origin.traffic().1, 1010, "both came from the origin");
    assert!(notes.text().starts_with("warning: "), "{}", notes.text());
    assert_eq!(pull(&repository, &bytes, &path).await.unwrap(), bytes);
    assert_eq!(origin.traffic().1, 600_000);
}

/// A registry that answers ranges out of `bytes`, whatever their digest.
fn sending(bytes: Vec<u8>, total: usize) -> Registry {
    hooked(move |request| {
        let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let Some((from, to)) = range else { return Action::Answer(Reply::new(200, &bytes)) };
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let reply = Reply::new(206, &bytes[from..=to]);
        Action::Answer(reply.header("content-range", format!("bytes {from}-{to}/{total}")))
    })
}

#[tokio::test]
async fn a_mirror_that_is_wrong_takes_nothing_away_that_others_brought() {
    let bytes = noise(600_000);
    let mut wrong = bytes.clone();
    wrong[500_000] ^= 1;
    // One contradicts itself before it sends a byte, one sends wrong bytes.
    for (name, liar) in [("total", sending(bytes.clone(), 600_001)), ("bytes", sending(wrong, 600_000))] {
        let origin = Registry::start();
        origin.add_blob(&bytes);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let (alone, _) = with(&origin, Vec::new(), TagsAt::Origin);
        let partial = Partial::wait(&path).await.unwrap();
        let there = std::slice::from_ref(&(0..400_000));
        alone.fetch_ranges(&digest_of(&bytes), 600_000, there, &partial).await.unwrap();
        drop(partial);
        let (repository, notes) = with(&origin, anonymous(&[&liar]), TagsAt::Origin);
        assert_eq!(pull(&repository, &bytes, &path).await.unwrap(), bytes);
        assert_eq!(origin.traffic().1, 600_000, "{name}: each byte once: {}", notes.text());
        assert!(notes.text().starts_with("warning: "), "{name}: {}", notes.text());
        assert!(!notes.text().contains("once more"), "{name}: {}", notes.text());
    }
}

#[tokio::test]
async fn a_mirror_that_sends_a_byte_now_and_then_is_passed_over() {
    let origin = Registry::start();
    let bytes = noise(600_000);
    origin.add_blob(&bytes);
    let mut quick = options();
    quick.patience.stall = Duration::from_millis(700);
    let places = vec![mirror(&crate::slow::dripping(), Arc::new(Anonymous))];
    let (repository, notes) = with_options(&origin, places, TagsAt::Origin, quick);
    let path = tempfile::tempdir().unwrap();
    let partial = Partial::wait(&path.path().join("p")).await.unwrap();
    let (digest, wanted) = (digest_of(&bytes), [0..300_000, 300_000..600_000]);
    let fetching = repository.fetch_ranges(&digest, 600_000, &wanted, &partial);
    let fetched = tokio::time::timeout(Duration::from_secs(60), fetching).await;
    fetched.expect("it waits for the mirror for ever").unwrap();
    assert!(origin.traffic().1 > 500_000, "{:?}", origin.traffic());
    assert!(notes.text().contains("less than 32768 bytes per second"), "{}", notes.text());
}

#[tokio::test]
async fn a_mirror_that_breaks_off_within_every_part_is_tried_as_often_as_any_other() {
    let origin = Registry::start();
    let bytes = noise(2_000_000);
    origin.add_blob(&bytes);
    let dripping = hooked(|_| Action::CutAnswer(1000));
    dripping.add_blob(&bytes);
    let (repository, notes) = with(&origin, anonymous(&[&dripping]), TagsAt::Origin);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    // Each of the connections may be tried twice.
    assert!(dripping.requests().len() <= 12, "{}", dripping.requests().len());
    assert!(notes.text().contains("is passed over"), "{}", notes.text());
}

const OLD: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[],"annotations":{"state":"old"}}"#;
const NEW: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[],"annotations":{"state":"new"}}"#;

#[tokio::test]
async fn tags_are_the_origins_unless_mirrors_may_say() {
    let (origin, behind) = (Registry::start(), Registry::start());
    for (registry, document) in [(&behind, OLD), (&origin, OLD), (&origin, NEW)] {
        registry.add_manifest("port/demo", "v1", media::OCI_MANIFEST, document);
    }
    let old = digest_of(OLD);
    let (repository, _) = with(&origin, anonymous(&[&behind]), TagsAt::Origin);
    assert_eq!(repository.resolve(&tag("v1")).await.unwrap().digest, digest_of(NEW));
    assert_eq!(repository.manifest(&tag("v1")).await.unwrap().digest, digest_of(NEW));
    assert_eq!(behind.requests().len(), 0);
    let before = origin.requests().len();
    assert_eq!(repository.manifest(&old.clone().into()).await.unwrap().bytes, OLD);
    assert_eq!(origin.requests().len(), before, "a digest comes from the mirror");
    let (repository, notes) = with(&origin, anonymous(&[&behind]), TagsAt::Mirrors);
    assert_eq!(repository.resolve(&tag("v1")).await.unwrap().digest, old);
    assert_eq!(repository.manifest(&tag("v1")).await.unwrap().digest, old);
    assert_eq!(origin.requests().len(), before);
    assert_eq!(repository.resolve(&tag("v2")).await.unwrap_err().kind(), Kind::NotFound);
    assert!(notes.text().contains("does not have manifest v2"), "{}", notes.text());
}

#[tokio::test]
async fn nothing_is_written_listed_or_merged_at_a_mirror() {
    let (origin, mirror) = (Registry::start(), Registry::start());
    origin.add_manifest("port/demo", "v1", media::OCI_MANIFEST, NEW);
    mirror.add_manifest("port/demo", "v1", media::OCI_MANIFEST, OLD);
    let (repository, _) = with(&origin, anonymous(&[&mirror]), TagsAt::Mirrors);
    let bytes = noise(1000);
    let directory = tempfile::tempdir().unwrap();
    repository.push_blob(&crate::support::upload(&bytes, &directory.path().join("b"))).await.unwrap();
    assert!(repository.has_blob(&digest_of(&bytes)).await.unwrap());
    repository.tags().await.unwrap();
    repository.referrers(&digest_of(NEW), None).await.unwrap();
    let merge = |existing: Option<&port_registry::Manifest>| {
        assert_eq!(existing.unwrap().bytes, NEW);
        Ok::<_, ()>(None)
    };
    repository.merge_manifest(&tag("v1"), &merge).await.unwrap();
    assert_eq!(mirror.requests().len(), 0);
}
