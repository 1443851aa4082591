//! What collection takes, what it leaves, and that it harms nobody who works at the same time.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests damage files behind the storage's back and read the clock"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use port_content::hashing::digest_of;
use port_layout::media_types;
use port_model::Digest;
use port_model::digest::Algorithm;
use port_testkit::s3;
use serde_json::json;

use super::{Collection, Patience, Round, Sweep};
use crate::catalog::{Catalog, Expected, ManifestError, PutManifest, Sparse, UploadId, Verdict, keys};
use crate::name::{RepositoryName, Tag, TagOrDigest};
use crate::storage::{
    Condition, Credentials, Endpoint, Folder, Outcome, S3, S3Settings, Storage as _, Transport,
};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Patience = Patience {
    uploads: Duration::from_secs(3600),
    blobs: Duration::from_secs(3600),
    manifests: Some(Duration::from_secs(2 * 3600)),
};

struct Place {
    directory: tempfile::TempDir,
    catalog: Catalog,
    repository: RepositoryName,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = Arc::new(Folder::open(directory.path()).unwrap());
        let catalog = Catalog::new(storage, Sparse::Refused);
        Self { directory, catalog, repository: "port/demo".parse().unwrap() }
    }

    async fn blob(&self, text: &str) -> Digest {
        let digest = digest_of(text.as_bytes());
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        self.catalog.put_blob(&self.repository, &digest, bytes).await.unwrap();
        digest
    }

    /// A manifest with one layer, under a tag or under none.
    async fn manifest(&self, text: &str, tag: Option<&str>, subject: Option<&Digest>) -> Digest {
        let (config, layer) = (self.blob("{}").await, self.blob(text).await);
        let of =
            |media_type: &str, digest: &Digest| json!({"mediaType": media_type, "digest": digest, "size": 2});
        let mut manifest = json!({"schemaVersion": 2, "mediaType": media_types::OCI_MANIFEST,
            "config": of(media_types::EMPTY_CONFIG, &config), "layers": [of("a/b", &layer)]});
        if let Some(subject) = subject {
            manifest["subject"] = of(media_types::OCI_MANIFEST, subject);
        }
        self.put(media_types::OCI_MANIFEST, &manifest, tag).await.unwrap()
    }

    async fn put(
        &self,
        media_type: &str,
        manifest: &serde_json::Value,
        tag: Option<&str>,
    ) -> Result<Digest, ManifestError> {
        let tags: Vec<Tag> = tag.into_iter().map(|tag| tag.parse().unwrap()).collect();
        let put = PutManifest {
            media_type: media_type.to_owned(),
            bytes: manifest.to_string().into(),
            digest: None,
            tags,
            expected: Expected::Anything,
        };
        self.catalog.put_manifest(&self.repository, put).await.map(|(digest, _)| digest)
    }

    async fn round(&self, hours: u32) -> Round {
        let now = UNIX_EPOCH + 1_000_000 * HOUR + hours * HOUR;
        self.catalog.collect(now, PATIENCE, Sweep::Ripe).await.unwrap()
    }

    /// A round whose steps the test takes one by one.
    fn collection(&self) -> Collection<'_> {
        Collection::new(&self.catalog, UNIX_EPOCH, PATIENCE, Sweep::Ripe)
    }

    /// Without a renewal, unlike a question through the catalog.
    async fn has_manifest(&self, digest: &Digest) -> bool {
        let key = keys::manifest(&self.repository, digest);
        self.catalog.storage.size(&key).await.unwrap().is_some()
    }

    async fn has_blob(&self, text: &str) -> bool {
        let key = keys::blob(&digest_of(text.as_bytes()));
        self.catalog.storage.size(&key).await.unwrap().is_some()
    }

    async fn delete_tag(&self, tag: &str) {
        assert!(self.catalog.delete_tag(&self.repository, &tag.parse().unwrap()).await.unwrap());
    }
}

#[tokio::test]
async fn what_tags_lead_to_stays_and_the_rest_goes_when_its_time_is_over() {
    let place = Place::new();
    let kept = place.manifest("kept", Some("v1"), None).await;
    let signature = place.manifest("signature", None, Some(&kept)).await;
    let child = place.manifest("child", None, None).await;
    let index = json!({"schemaVersion": 2, "mediaType": media_types::OCI_INDEX, "manifests": [
        {"mediaType": media_types::OCI_MANIFEST, "digest": child, "size": 1}]});
    place.put(media_types::OCI_INDEX, &index, Some("v2")).await.unwrap();
    let orphan = place.manifest("orphan", None, None).await;
    let orphans_signature = place.manifest("its signature", None, Some(&orphan)).await;
    place.blob("alone").await;
    let first = place.round(0).await;
    assert_eq!((first.manifests_condemned, first.holders_condemned, first.blobs), (2, 1, 0));
    assert_eq!((first.stock.manifests, first.stock.repositories), (6, 1));
    assert_eq!(place.round(0).await.blobs, 0, "no time passed");
    let second = place.round(1).await;
    assert_eq!((second.holders, second.blobs, second.manifests), (1, 1, 0), "blobs are kept an hour");
    let third = place.round(2).await;
    assert_eq!((third.manifests, third.blobs), (2, 0), "manifests two");
    assert_eq!(place.round(3).await.holders_condemned, 2);
    let last = place.round(4).await;
    assert_eq!((last.holders, last.blobs), (2, 2), "and what they named an hour longer");
    for digest in [&kept, &signature, &child] {
        assert!(place.has_manifest(digest).await);
    }
    for digest in [&orphan, &orphans_signature] {
        assert!(!place.has_manifest(digest).await);
    }
    for (text, expected) in
        [("kept", true), ("signature", true), ("child", true), ("orphan", false), ("alone", false)]
    {
        assert_eq!(place.has_blob(text).await, expected, "{text}");
    }
    assert_eq!(place.round(9).await.blobs, 0);
}

#[tokio::test]
async fn what_is_pulled_by_its_digest_needs_no_tag_unless_somebody_says_so() {
    let place = Place::new();
    let digest = place.manifest("a", Some("v1"), None).await;
    place.delete_tag("v1").await;
    for days in [1, 100, 200] {
        let now = UNIX_EPOCH + 1_000_000 * HOUR + days * 24 * HOUR;
        place.catalog.collect(now, Patience::default(), Sweep::Ripe).await.unwrap();
    }
    assert!(place.has_manifest(&digest).await && place.has_blob("a").await);
}

#[tokio::test]
async fn who_asks_for_something_has_it_for_another_while() {
    let place = Place::new();
    let manifest = place.manifest("layer", None, None).await;
    let blob = place.blob("alone").await;
    place.round(0).await;
    assert!(place.catalog.blob_size(&place.repository, &blob).await.unwrap().is_some());
    let name = TagOrDigest::Digest(manifest.clone());
    assert!(place.catalog.manifest(&place.repository, &name).await.unwrap().is_some());
    let round = place.round(2).await;
    assert_eq!((round.manifests, round.holders), (0, 0), "the marks were off");
    assert_eq!((round.manifests_condemned, round.holders_condemned), (1, 1), "and are on again");
    let round = place.round(4).await;
    assert_eq!((round.manifests, round.holders), (1, 1));
}

#[tokio::test]
async fn a_tag_that_comes_back_brings_its_referrers_back() {
    let place = Place::new();
    let subject = place.manifest("layer", Some("v1"), None).await;
    let signature = place.manifest("signature", None, Some(&subject)).await;
    place.delete_tag("v1").await;
    assert_eq!(place.round(0).await.manifests_condemned, 2);
    // The round that would sweep both reads the tags a moment before this.
    place.manifest("layer", Some("v1"), None).await;
    assert!(place.has_manifest(&signature).await);
    let marked = place.catalog.read_manifest(&place.repository, &signature).await.unwrap().unwrap();
    assert!(marked.0.mark.is_none(), "the mark is off before the tag is there");
    assert_eq!(place.round(5).await.manifests, 0);
}

#[tokio::test]
async fn a_clock_that_jumped_sweeps_nothing_and_a_mark_from_the_future_is_made_anew() {
    let place = Place::new();
    place.blob("alone").await;
    place.round(1000).await;
    assert_eq!(place.round(1).await.holders_condemned, 1, "the mark is of now");
    let now = UNIX_EPOCH + 1_000_000 * HOUR + 5000 * HOUR;
    let round = place.catalog.collect(now, PATIENCE, Sweep::Nothing).await.unwrap();
    assert_eq!((round.holders, round.blobs), (0, 0));
    assert!(place.has_blob("alone").await);
    assert_eq!(place.round(2).await.holders, 1);
}

#[tokio::test]
async fn where_a_manifest_cannot_be_read_nothing_is_taken() {
    let place = Place::new();
    let manifest = place.manifest("layer", Some("v1"), None).await;
    place.blob("alone").await;
    let path = place.directory.path().join(keys::manifest(&place.repository, &manifest).path());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "no heading").unwrap();
    let round = place.round(0).await;
    assert_eq!(round.unreadable, [format!("port/demo@{manifest}")]);
    assert_eq!(round.holders_condemned, 0);
    assert_eq!(place.round(9).await.holders, 0);
}

#[tokio::test]
async fn uploads_that_nobody_continues_are_dropped() {
    let place = Place::new();
    let id = UploadId::random().unwrap();
    place.catalog.begin_upload(&place.repository, "ci", &id).await.unwrap();
    let round = place.catalog.collect(SystemTime::now(), PATIENCE, Sweep::Ripe).await.unwrap();
    assert_eq!((round.uploads, round.stock.uploads), (0, 1));
    let later = SystemTime::now() + 2 * HOUR;
    let round = place.catalog.collect(later, PATIENCE, Sweep::Ripe).await.unwrap();
    assert_eq!(round.uploads, 1);
    assert!(place.catalog.upload_offset(&place.repository, "ci", &id).await.is_err());
    assert!(place.catalog.storage.list(&keys::sessions(), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_blob_in_the_trash_is_taken_back_by_who_has_it() {
    let place = Place::new();
    let blob = place.blob("kernel").await;
    // What a collection that was killed between two steps leaves.
    let moved =
        place.catalog.storage.relocate(&keys::blob(&blob), &keys::trashed(&blob, 0, "a")).await.unwrap();
    assert!(moved && !place.has_blob("kernel").await);
    assert_eq!(place.catalog.blob_size(&place.repository, &blob).await.unwrap(), Some(6));
    assert!(place.catalog.storage.relocate(&keys::blob(&blob), &keys::trashed(&blob, 0, "a")).await.unwrap());
    place.round(0).await;
    assert!(place.has_blob("kernel").await, "and by the next round");
}

#[tokio::test]
async fn a_blob_that_an_older_server_left_in_the_trash_is_taken_back() {
    let place = Place::new();
    let blob = place.blob("kernel").await;
    let old = keys::below(&keys::trash(blob.algorithm()), blob.hex()).unwrap();
    assert!(place.catalog.storage.relocate(&keys::blob(&blob), &old).await.unwrap());
    assert_eq!(place.catalog.blob_size(&place.repository, &blob).await.unwrap(), Some(6));
    assert!(place.catalog.storage.relocate(&keys::blob(&blob), &old).await.unwrap());
    place.round(0).await;
    assert!(place.has_blob("kernel").await, "and by the next round");
}

#[tokio::test]
async fn of_two_collectors_the_one_that_stalls_removes_nothing_that_came_after_its_look() {
    let place = Place::new();
    let blob = place.blob("kernel").await;
    assert!(place.catalog.delete_blob(&place.repository, &blob).await.unwrap());
    let (stalled, other) = (place.collection(), place.collection());
    let taken = stalled.take_away(&blob).await.unwrap().unwrap();
    let is_held = stalled.is_held(&blob).await.unwrap();
    assert!(!is_held);
    // Here it stalls. Somebody pushes the blob and is told that it is kept, and the other collector takes it away, having
    // looked a moment before that.
    place.blob("kernel").await;
    let again = other.take_away(&blob).await.unwrap().unwrap();
    stalled.empty_trash(&blob, &taken, is_held).await.unwrap();
    assert_eq!(place.catalog.blob_size(&place.repository, &blob).await.unwrap(), Some(6), "taken back");
    let again_held = other.is_held(&blob).await.unwrap();
    other.empty_trash(&blob, &again, again_held).await.unwrap();
    assert!(place.has_blob("kernel").await);
    assert!(place.catalog.storage.list(&keys::trash(blob.algorithm()), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_collector_took_away_is_left_to_it_for_a_day() {
    let place = Place::new();
    let blob = place.blob("kernel").await;
    assert!(place.catalog.delete_blob(&place.repository, &blob).await.unwrap());
    let trashed = keys::trashed(&blob, 1_000_000 * HOUR.as_secs(), "a");
    assert!(place.catalog.storage.relocate(&keys::blob(&blob), &trashed).await.unwrap());
    for (hours, stays) in [(0, true), (23, true), (24, false)] {
        place.round(hours).await;
        let found = place.catalog.storage.size(&trashed).await.unwrap();
        assert_eq!(found.is_some(), stays, "after {hours} hours");
    }
}

#[tokio::test]
async fn bytes_that_are_gone_though_somebody_has_them_are_an_error() {
    let place = Place::new();
    let blob = place.blob("kernel").await;
    let collection = place.collection();
    let taken = collection.take_away(&blob).await.unwrap().unwrap();
    let _ = place.catalog.storage.delete(&taken, Condition::Always).await.unwrap();
    let error = collection.empty_trash(&blob, &taken, true).await.unwrap_err();
    assert!(error.to_string().contains("put back") && error.source.to_string().contains("gone"), "{error:?}");
    place.blob("kernel").await;
    collection.empty_trash(&blob, &taken, true).await.unwrap();
}

/// A bucket moves by copying and removing: what it moves is in the trash before its place is empty.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_bucket_nobody_takes_from_the_trash_what_is_still_at_its_place() {
    let server = s3::S3::default();
    let settings = S3Settings {
        bucket: format!("s3://{}/tests", s3::BUCKET).parse().unwrap(),
        endpoint: Endpoint::new(&server.endpoint(), Transport::PlainAllowed).unwrap(),
        region: "us-east-1".parse().unwrap(),
        credentials: Credentials::new(s3::ACCESS_KEY, s3::SECRET_KEY, None),
        clock: Arc::new(jiff::Timestamp::now),
    };
    let storage = Arc::new(S3::open(settings).await.unwrap());
    let place = Place { catalog: Catalog::new(Arc::clone(&storage) as _, Sparse::Refused), ..Place::new() };
    let blob = place.blob("kernel").await;
    assert!(place.catalog.delete_blob(&place.repository, &blob).await.unwrap());
    let (one, other) = (place.collection(), place.collection());
    // The first half of `take_away`.
    let (at, trashed) = (keys::blob(&blob), keys::trashed(&blob, 0, "a"));
    let version = storage.read(&at, 100).await.unwrap().unwrap().version;
    assert!(storage.copy(&at, &trashed).await.unwrap());
    // Another collector looks at the trash, and nobody has the blob; then somebody pushes it, whose bytes are there.
    other.left_trash(Algorithm::Sha256).await.unwrap();
    place.blob("kernel").await;
    // The second half.
    assert_eq!(storage.delete(&at, Condition::Version(version)).await.unwrap(), Outcome::Done);
    let is_held = one.is_held(&blob).await.unwrap();
    one.empty_trash(&blob, &trashed, is_held).await.unwrap();
    assert!(is_held && place.has_blob("kernel").await);
}

#[tokio::test]
async fn sound_bytes_that_a_kill_left_in_quarantine_are_put_back() {
    let place = Place::new();
    let (blob, rotten) = (place.blob("kernel").await, place.blob("initrd").await);
    let storage = &place.catalog.storage;
    assert!(storage.relocate(&keys::blob(&blob), &keys::quarantined(&blob)).await.unwrap());
    let _ = storage.delete(&keys::blob(&rotten), Condition::Always).await.unwrap();
    let _ = storage.put(&keys::quarantined(&rotten), "xxxxxx".into(), Condition::Always).await.unwrap();
    let mut all = place.catalog.blob_digests().await.unwrap();
    all.sort();
    let mut expected = vec![blob.clone(), rotten.clone()];
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(place.catalog.verify_blob(&rotten).await.unwrap(), Verdict::Absent);
    assert!(storage.size(&keys::quarantined(&rotten)).await.unwrap().is_some());
    assert_eq!(place.catalog.verify_blob(&blob).await.unwrap(), Verdict::Sound(6));
    assert!(place.has_blob("kernel").await);
    assert_eq!(storage.size(&keys::quarantined(&blob)).await.unwrap(), None);
}

#[tokio::test]
async fn a_blob_that_rotted_is_put_aside_and_a_push_brings_it_anew() {
    let place = Place::new();
    let blob = place.blob("kernel").await;
    assert_eq!(place.catalog.verify_blob(&blob).await.unwrap(), Verdict::Sound(6));
    let path = place.directory.path().join(keys::blob(&blob).path());
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "kernal").unwrap();
    let verdict = place.catalog.verify_blob(&blob).await.unwrap();
    assert_eq!(verdict, Verdict::Quarantined { repositories: vec![place.repository.clone()] });
    assert_eq!(place.catalog.blob_size(&place.repository, &blob).await.unwrap(), None, "it is not served");
    let aside = place.catalog.storage.read(&keys::quarantined(&blob), 10).await.unwrap();
    assert_eq!(aside.unwrap().bytes, "kernal");
    place.blob("kernel").await;
    assert_eq!(place.catalog.blob_size(&place.repository, &blob).await.unwrap(), Some(6));
    assert_eq!(place.round(0).await.stock.quarantined, 1);
}

/// Pushes, pulls and deletes run beside rounds without patience, whose every condemned object is swept at once. Whatever was
/// acknowledged and is tagged must be whole at every moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_is_tagged_is_ever_without_its_blobs() {
    const HASTE: Patience = Patience {
        uploads: Duration::from_secs(3600),
        blobs: Duration::ZERO,
        manifests: Some(Duration::ZERO),
    };
    let place = Arc::new(Place::new());
    let (ended, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let collector = tokio::spawn({
        let (place, ended, rounds) = (Arc::clone(&place), Arc::clone(&ended), Arc::clone(&rounds));
        async move {
            let mut swept = 0;
            while !ended.load(Ordering::Relaxed) {
                let round = place.catalog.collect(SystemTime::now(), HASTE, Sweep::Ripe).await.unwrap();
                swept += round.blobs;
                rounds.fetch_add(1, Ordering::Relaxed);
            }
            swept
        }
    });
    let mut workers = Vec::new();
    for worker in 0..4u32 {
        let (place, rounds) = (Arc::clone(&place), Arc::clone(&rounds));
        workers.push(tokio::spawn(async move {
            for turn in 0..12u32 {
                push_and_check(&place, worker, turn).await;
                // What nobody needs now is condemned, and swept while others begin their next turn.
                let seen = rounds.load(Ordering::Relaxed);
                while turn % 2 == 0 && rounds.load(Ordering::Relaxed) < seen + 4 {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    ended.store(true, Ordering::Relaxed);
    assert!(collector.await.unwrap() > 0, "collection took nothing: the test shows nothing");
}

/// All workers share their layers, so that what one deletes another needs.
async fn push_and_check(place: &Place, worker: u32, turn: u32) {
    let tag = format!("w{worker}");
    let layer = format!("layer {}", turn % 3);
    let manifest = loop {
        let (config, blob) = (place.blob("{}").await, place.blob(&layer).await);
        let document = json!({"schemaVersion": 2, "mediaType": media_types::OCI_MANIFEST, "annotations": {"of": tag},
            "config": {"mediaType": media_types::EMPTY_CONFIG, "digest": config, "size": 2},
            "layers": [{"mediaType": "a/b", "digest": blob, "size": layer.len()}]});
        match place.put(media_types::OCI_MANIFEST, &document, Some(&tag)).await {
            Ok(digest) => break digest,
            // Swept between the blob and the manifest: the client is told, and pushes again.
            Err(ManifestError::BlobUnknown { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    for _ in 0..5 {
        let name = TagOrDigest::Tag(tag.parse().unwrap());
        let found = place.catalog.manifest(&place.repository, &name).await.unwrap();
        assert_eq!(found.map(|found| found.digest), Some(manifest.clone()), "the manifest of a tag went");
        let digest = digest_of(layer.as_bytes());
        let read = place.catalog.read_blob(&place.repository, &digest, 100).await.unwrap();
        assert_eq!(read.as_deref(), Some(layer.as_bytes()), "a blob of a tag went");
    }
    place.delete_tag(&tag).await;
}
