//! The client against a real containerd, where there is one.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests: a panic is the report")]

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};

use port_containerd::{
    Address, Collection, Containerd, ContainerdError, Image, Kind, Labels, Lease, NewContent, Target,
};
use port_content::hashing::digest_of;
use port_model::Digest;
use port_testkit::containerd::Containerd as Daemon;

const ROOT: &str = "containerd.io/gc.root";

fn open(daemon: &Daemon, namespace: &str) -> Containerd {
    let address: Address = daemon.socket().display().to_string().parse().unwrap();
    Containerd::connect(&address, namespace).unwrap()
}

fn labels(entries: &[(&str, &str)]) -> Labels {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn write(
    client: &Containerd,
    lease: &Lease,
    bytes: &[u8],
    entries: &[(&str, &str)],
) -> Result<Digest, ContainerdError> {
    let (digest, size) = (digest_of(bytes), bytes.len() as u64);
    let content = NewContent { file: file(bytes), digest: digest.clone(), size, labels: labels(entries) };
    client.write(lease, content).map(|()| digest)
}

fn read(client: &Containerd, digest: &Digest, size: u64) -> Result<Option<Vec<u8>>, ContainerdError> {
    let copied = client.read(digest, size, tempfile::tempfile().unwrap())?;
    Ok(copied.map(|mut file| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }))
}

#[test]
fn content_comes_back_as_it_was_written() {
    let Some(daemon) = Daemon::start() else { return };
    let client = open(&daemon, "default");
    let lease = client.create_lease(Labels::new()).unwrap();
    // Nothing, one byte, a chunk, and what does not end with one.
    for size in [0usize, 1, 1 << 20, (5 << 20) + 7] {
        let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let digest = write(&client, &lease, &bytes, &[("a", "1"), ("b.c/d", "2")]).unwrap();
        assert!(read(&client, &digest, size as u64).unwrap().unwrap() == bytes, "{size}");
        let found = client.content(&digest).unwrap().unwrap();
        assert_eq!((found.size, found.labels), (size as u64, labels(&[("a", "1"), ("b.c/d", "2")])));
        assert!(found.created.is_some());
        // What is there already is labelled.
        write(&client, &lease, &bytes, &[("a", ""), ("e", "3")]).unwrap();
        write(&client, &lease, &bytes, &[]).unwrap();
        let found = client.content(&digest).unwrap().unwrap();
        assert_eq!(found.labels, labels(&[("b.c/d", "2"), ("e", "3")]));
    }
    let absent = digest_of(b"absent");
    assert_eq!((client.content(&absent).unwrap(), read(&client, &absent, 6).unwrap()), (None, None));
    assert_eq!(client.label(&absent, labels(&[("a", "1")])).unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn what_is_not_what_was_named_is_refused() {
    let Some(daemon) = Daemon::start() else { return };
    let client = open(&daemon, "default");
    let lease = client.create_lease(Labels::new()).unwrap();
    let other = NewContent {
        file: file(b"other bytes"),
        digest: digest_of(b"these bytes"),
        size: 11,
        labels: Labels::new(),
    };
    let error = client.write(&lease, other).unwrap_err();
    assert!(error.to_string().contains("could not add sha256:"), "{error}");
    for (bytes, size) in [(&b"short"[..], 11), (b"much too long", 11)] {
        let content = NewContent { file: file(bytes), digest: digest_of(b"x"), size, labels: Labels::new() };
        let error = client.write(&lease, content).unwrap_err();
        assert!(matches!(error, ContainerdError::Local { .. }), "{error}");
    }
    let digest = write(&client, &lease, b"these bytes", &[]).unwrap();
    for size in [10, 12] {
        let error = read(&client, &digest, size).unwrap_err();
        assert!(matches!(error, ContainerdError::Answer { .. }), "{error}");
    }
}

#[test]
fn what_nothing_leads_to_is_collected_with_its_lease() {
    let Some(daemon) = Daemon::start() else { return };
    let client = open(&daemon, "default");
    let lease = client.create_lease(labels(&[("containerd.io/gc.expire", "2100-01-01T00:00:00Z")])).unwrap();
    let loose = write(&client, &lease, b"loose", &[]).unwrap();
    let rooted = write(&client, &lease, b"rooted", &[(ROOT, "true")]).unwrap();
    let second = client.create_lease(Labels::new()).unwrap();
    client.keep(&second, &loose).unwrap();
    client.end_lease(lease, Collection::Now).unwrap();
    assert!(client.content(&loose).unwrap().is_some(), "the second lease keeps it");
    client.end_lease(second, Collection::Now).unwrap();
    assert!(client.content(&loose).unwrap().is_none());
    assert!(client.content(&rooted).unwrap().is_some());
}

#[test]
fn names_lead_where_they_were_set_and_namespaces_know_nothing_of_each_other() {
    let Some(daemon) = Daemon::start() else { return };
    let client = open(&daemon, "default");
    let lease = client.create_lease(Labels::new()).unwrap();
    let image = |bytes: &[u8], entries: &[(&str, &str)]| Image {
        name: "unikraft.org/hello:latest".to_owned(),
        target: Target {
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            digest: write(&client, &lease, bytes, &[]).unwrap(),
            size: bytes.len() as u64,
        },
        labels: labels(entries),
    };
    let first = image(b"first", &[("mine.0", "a"), ("mine.1", "b"), ("theirs", "c")]);
    client.set_image(&first, &["mine."]).unwrap();
    assert_eq!(client.image(&first.name).unwrap(), Some(first.clone()));
    let second = image(b"second", &[("mine.0", "d")]);
    client.set_image(&second, &["mine."]).unwrap();
    let expected = Image { labels: labels(&[("mine.0", "d"), ("theirs", "c")]), ..second };
    assert_eq!(client.images().unwrap(), std::slice::from_ref(&expected));
    assert_eq!(open(&daemon, "other").images().unwrap(), []);
    client.end_lease(lease, Collection::Now).unwrap();
    assert!(client.content(&expected.target.digest).unwrap().is_some(), "the name keeps it");
    client.remove_image(&expected.name).unwrap();
    client.remove_image(&expected.name).unwrap();
    assert_eq!(client.image(&expected.name).unwrap(), None);
}
