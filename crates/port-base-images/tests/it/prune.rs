//! Retention.

use port_base_images::{BundleId, Preset, StoredLimit};

use crate::world::{KERNEL, ROOTFS, World, latest, of};

/// A world whose mirror has four lines and whose cache holds so many bundles.
fn world(most: i64) -> World {
    let mut world = World::new();
    for line in ["v1.16", "v1.17", "v1.18"] {
        world.mirror().put_pair(line, "x86_64", KERNEL, format!("hsqs root of {line}").as_bytes());
    }
    world.options.max_stored_images = StoredLimit::try_from(most).unwrap();
    world
}

async fn make(world: &World, release: &str) -> BundleId {
    world.mirror().release(release);
    world.bundle(&latest()).await.bundle_id
}

fn ids(world: &World) -> Vec<BundleId> {
    world.manager().list().into_iter().map(|bundle| bundle.bundle_id).collect()
}

#[tokio::test]
async fn s_13_s_24_s_28_s_29_s_30_s_31_the_one_used_longest_ago_goes() {
    let world = world(2);
    let (a, b) = (make(&world, "v1.15.1").await, make(&world, "v1.16.0").await);
    assert_eq!(ids(&world), [b.clone(), a.clone()]);
    assert_eq!(make(&world, "v1.15.1").await, a, "a hit: now the other one is older");
    world.mirror().release("v1.17.0");
    let ensured = world.ensure(&latest()).await.unwrap();
    let c = ensured.bundle.bundle_id.clone();
    assert_eq!(ensured.evicted, std::slice::from_ref(&b));
    assert_eq!(ids(&world), [c, a]);
    assert!(!world.cache().join(b.as_str()).exists());
    let heard = world.heard();
    let warning = heard.iter().find(|note| note.starts_with("warning: ")).unwrap();
    let directory = world.cache().join(b.as_str()).display().to_string();
    for part in ["at most 2", b.as_str(), &directory, "--max-stored", "max_stored_images"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
}

#[tokio::test]
async fn s_28_the_kept_bundle_counts_first() {
    let mut world = world(4);
    let a = make(&world, "v1.15.1").await;
    let b = make(&world, "v1.16.0").await;
    let c = make(&world, "v1.17.0").await;
    world.options.max_stored_images = StoredLimit::try_from(1).unwrap();
    let evicted = world.manager().prune(Some(&a)).unwrap();
    assert_eq!(evicted, [c, b]);
    assert_eq!(ids(&world), [a]);
}

#[tokio::test]
async fn s_26_s_27_pruning_makes_the_cache_and_leaves_what_is_no_bundle() {
    let mut world = world(1);
    assert!(!world.cache().exists());
    assert_eq!(world.manager().prune(None).unwrap(), []);
    assert!(world.cache().is_dir());
    world.write("cache/notes/readme.txt", b"mine");
    world.write("cache/broken/manifest.json", b"{");
    world.write("cache/file", b"mine");
    world.options.max_stored_images = StoredLimit::try_from(1).unwrap();
    make(&world, "v1.15.1").await;
    let kept = make(&world, "v1.16.0").await;
    assert_eq!(world.bundles(), ["broken", "file", kept.as_str(), "notes"]);
}

#[tokio::test]
async fn c_32_a_bundle_in_use_stays_and_goes_when_it_is_free() {
    let world = world(1);
    world.mirror().release("v1.15.1");
    let used = world.ensure(&latest()).await.unwrap();
    let newer = make(&world, "v1.16.0").await;
    assert_eq!(ids(&world), [newer.clone(), used.bundle.bundle_id.clone()]);
    drop(used.lease);
    assert_eq!(world.manager().prune(Some(&newer)).unwrap(), [used.bundle.bundle_id]);
    assert_eq!(ids(&world), [newer]);
}

#[tokio::test]
async fn what_only_an_evicted_bundle_held_leaves_the_disk() {
    use port_content::hashing::digest_of;
    let world = world(1);
    make(&world, "v1.15.1").await;
    let store = world.manager().store().clone();
    assert!(store.has(&digest_of(ROOTFS)));
    make(&world, "v1.16.0").await;
    assert!(!store.has(&digest_of(ROOTFS)), "its root is collected");
    assert!(store.has(&digest_of(KERNEL)), "the kernel is the other bundle's as well");
}

#[tokio::test]
async fn a_bundle_of_another_preset_counts_like_any_other() {
    let world = world(1);
    world.mirror().put_pair("v1.7", "x86_64", KERNEL, ROOTFS);
    make(&world, "v1.15.1").await;
    let ensured = world.ensure(&of(Preset::Lts)).await.unwrap();
    assert_eq!((ensured.evicted.len(), ids(&world).len()), (1, 1));
}

#[tokio::test]
async fn an_eviction_beside_somebody_at_work_leaves_the_blobs_to_the_next() {
    use port_content::hashing::digest_of;
    let world = world(1);
    make(&world, "v1.15.1").await;
    let store = world.manager().store().clone();
    let blob = store.blob_path(&digest_of(ROOTFS));
    let at_work = store.operation().unwrap();
    make(&world, "v1.16.0").await;
    assert_eq!(world.bundles().len(), 1, "the bundle goes all the same");
    assert!(blob.exists(), "who is at work may be about to name it");
    drop(at_work);
    make(&world, "v1.17.0").await;
    assert!(!blob.exists());
}
