//! What every storage must do, as one suite that runs over each implementation.

use bytes::Bytes;
use futures_util::TryStreamExt as _;

use crate::storage::{ByteRange, ChildKind, Condition, Content, Key, Outcome, Storage};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn text(content: Option<Content>) -> String {
    let pieces: Vec<Bytes> = content.unwrap().stream.try_collect().await.unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

/// Runs the suite over storages that `make` opens; each call opens the same place again, as another server would.
pub(crate) async fn run<S: Storage>(make: impl Fn() -> S) {
    make().ready().await.unwrap();
    documents_change_only_as_agreed(&make()).await;
    ranges_are_exact(&make()).await;
    listings_are_sorted_and_bounded(&make()).await;
    uploads_continue_where_they_were(&make).await;
    one_of_many_writers_wins(&make).await;
    one_of_many_appenders_wins(&make).await;
    deleting_disturbs_no_neighbour(&make).await;
}

async fn documents_change_only_as_agreed(storage: &impl Storage) {
    let name = key("documents/one");
    assert!(storage.read(&name, 10).await.unwrap().is_none());
    assert_eq!(storage.delete(&name, Condition::Always).await.unwrap(), Outcome::Refused);
    assert_eq!(storage.put(&name, bytes("first"), Condition::Absent).await.unwrap(), Outcome::Done);
    assert_eq!(storage.put(&name, bytes("other"), Condition::Absent).await.unwrap(), Outcome::Refused);
    let first = storage.read(&name, 10).await.unwrap().unwrap();
    assert_eq!(first.bytes, "first");
    assert!(storage.read(&name, 4).await.is_err(), "more than the limit was read");
    let version = Condition::Version(first.version.clone());
    assert_eq!(storage.put(&name, bytes("second"), version.clone()).await.unwrap(), Outcome::Done);
    assert_eq!(storage.put(&name, bytes("third"), version.clone()).await.unwrap(), Outcome::Refused);
    assert_eq!(storage.delete(&name, version).await.unwrap(), Outcome::Refused);
    assert_eq!(storage.read(&name, 10).await.unwrap().unwrap().bytes, "second");
    assert!(storage.copy(&name, &key("documents/two")).await.unwrap());
    assert!(!storage.copy(&key("documents/none"), &key("documents/three")).await.unwrap());
    assert!(!storage.relocate(&key("documents/none"), &key("documents/three")).await.unwrap());
    assert_eq!(
        storage.put(&key("moved/from"), bytes("moved"), Condition::Always).await.unwrap(),
        Outcome::Done
    );
    assert!(storage.relocate(&key("moved/from"), &key("elsewhere/to")).await.unwrap());
    assert_eq!(storage.size(&key("moved/from")).await.unwrap(), None);
    assert_eq!(storage.read(&key("elsewhere/to"), 10).await.unwrap().unwrap().bytes, "moved");
    assert!(storage.copy(&key("elsewhere/to"), &key("moved/from")).await.unwrap());
    assert!(storage.relocate(&key("moved/from"), &key("elsewhere/to")).await.unwrap());
    assert_eq!(storage.size(&key("moved/from")).await.unwrap(), None, "onto a copy of itself");
    assert_eq!(storage.delete(&name, Condition::Always).await.unwrap(), Outcome::Done);
    assert_eq!(storage.size(&name).await.unwrap(), None);
    assert_eq!(storage.size(&key("documents/two")).await.unwrap(), Some(6), "a copy stands alone");
}

async fn ranges_are_exact(storage: &impl Storage) {
    let name = key("ranges/one");
    let _ = storage.put(&name, bytes("0123456789"), Condition::Always).await.unwrap();
    for (first, last, expected) in [(0, 9, "0123456789"), (3, 3, "3"), (8, 9, "89")] {
        let content = storage.open(&name, Some(ByteRange { first, last })).await.unwrap();
        assert_eq!(content.as_ref().unwrap().size, 10);
        assert_eq!(text(content).await, expected);
    }
    assert_eq!(text(storage.open(&name, None).await.unwrap()).await, "0123456789");
    assert!(storage.open(&key("ranges/none"), None).await.unwrap().is_none());
}

async fn listings_are_sorted_and_bounded(storage: &impl Storage) {
    for name in ["list/b", "list/a", "list/c/d", "list/c/e"] {
        let _ = storage.put(&key(name), bytes("x"), Condition::Always).await.unwrap();
    }
    let all = storage.list(&key("list"), None, 10).await.unwrap();
    let names: Vec<(&str, ChildKind)> = all.iter().map(|child| (child.name.as_str(), child.kind)).collect();
    let expected = [("a", ChildKind::Object), ("b", ChildKind::Object), ("c", ChildKind::Prefix)];
    assert_eq!(names, expected);
    let some = storage.list(&key("list"), Some("a"), 1).await.unwrap();
    assert_eq!(some.iter().map(|child| child.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(storage.list(&key("nothing"), None, 10).await.unwrap().is_empty());
    for name in ["list/c/d", "list/c/e"] {
        assert_eq!(storage.delete(&key(name), Condition::Always).await.unwrap(), Outcome::Done);
    }
    assert_eq!(storage.list(&key("list"), None, 10).await.unwrap().len(), 2, "nothing is left below `c`");
}

async fn uploads_continue_where_they_were<S: Storage>(make: &impl Fn() -> S) {
    let (upload, object) = (key("session"), key("blobs/one"));
    assert_eq!(make().append(&upload, 0, bytes("x")).await.unwrap(), Outcome::Refused, "nothing began");
    make().begin_upload(&upload).await.unwrap();
    assert_eq!(make().upload_size(&upload).await.unwrap(), Some(0));
    assert_eq!(make().append(&upload, 0, bytes("kern")).await.unwrap(), Outcome::Done);
    // Another server, or the same one after a kill.
    assert_eq!(make().append(&upload, 0, bytes("kern")).await.unwrap(), Outcome::Refused);
    assert_eq!(make().append(&upload, 4, bytes("el")).await.unwrap(), Outcome::Done);
    make().begin_upload(&upload).await.unwrap();
    let staged = make().uploads(None, 10).await.unwrap();
    let names: Vec<(&str, u64)> = staged.iter().map(|upload| (upload.name.as_str(), upload.size)).collect();
    assert_eq!(names, [("session", 6)]);
    assert!(make().uploads(Some("session"), 10).await.unwrap().is_empty());
    assert!(make().uploads(None, 0).await.unwrap().is_empty());
    assert_eq!(text(make().open_upload(&upload).await.unwrap()).await, "kernel");
    assert_eq!(make().finish_upload(&upload, 5, &object).await.unwrap(), Outcome::Refused);
    assert_eq!(make().size(&object).await.unwrap(), None);
    assert_eq!(make().finish_upload(&upload, 6, &object).await.unwrap(), Outcome::Done);
    assert_eq!(text(make().open(&object, None).await.unwrap()).await, "kernel");
    assert_eq!(make().upload_size(&upload).await.unwrap(), None);
    assert_eq!(make().finish_upload(&upload, 6, &object).await.unwrap(), Outcome::Refused);
    make().begin_upload(&upload).await.unwrap();
    assert!(make().delete_upload(&upload).await.unwrap());
    assert!(!make().delete_upload(&upload).await.unwrap());
}

async fn one_of_many_writers_wins<S: Storage>(make: &impl Fn() -> S) {
    let name = key("race/one");
    let _ = make().put(&name, bytes("start"), Condition::Always).await.unwrap();
    let version = make().read(&name, 100).await.unwrap().unwrap().version;
    for condition in [Condition::Version(version), Condition::Absent] {
        let place = if condition == Condition::Absent { key("race/two") } else { name.clone() };
        let mut racers = Vec::new();
        for racer in 0..16 {
            let (storage, place, condition) = (make(), place.clone(), condition.clone());
            racers.push(tokio::spawn(async move {
                storage.put(&place, bytes(&format!("racer {racer}")), condition).await.unwrap()
            }));
        }
        let mut winners = 0;
        for racer in racers {
            winners += usize::from(racer.await.unwrap() == Outcome::Done);
        }
        assert_eq!(winners, 1);
    }
}

async fn one_of_many_appenders_wins<S: Storage>(make: &impl Fn() -> S) {
    let upload = key("raced-session");
    make().begin_upload(&upload).await.unwrap();
    let mut racers = Vec::new();
    for racer in 0..8u8 {
        let (storage, upload) = (make(), upload.clone());
        racers.push(tokio::spawn(async move {
            storage.append(&upload, 0, Bytes::from(vec![b'a' + racer; 4096])).await.unwrap()
        }));
    }
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(racer.await.unwrap() == Outcome::Done);
    }
    assert_eq!((winners, make().upload_size(&upload).await.unwrap()), (1, Some(4096)));
    let found = text(make().open_upload(&upload).await.unwrap()).await;
    assert!(found.bytes().all(|byte| Some(&byte) == found.as_bytes().first()), "two appenders mixed");
    assert!(make().delete_upload(&upload).await.unwrap());
}

async fn deleting_disturbs_no_neighbour<S: Storage>(make: &impl Fn() -> S) {
    let mut racers = Vec::new();
    for racer in 0..8 {
        let storage = make();
        racers.push(tokio::spawn(async move {
            let name = key(&format!("neighbours/of/each/other/{racer}"));
            for _ in 0..20 {
                assert_eq!(storage.put(&name, bytes("x"), Condition::Absent).await.unwrap(), Outcome::Done);
                assert_eq!(storage.delete(&name, Condition::Always).await.unwrap(), Outcome::Done);
            }
        }));
    }
    for racer in racers {
        racer.await.unwrap();
    }
}
