//! What every backend must do, as one suite that runs over each implementation.

use std::fs;
use std::path::Path;

use port_backend::{Backend, Document, Documents, ErrorKind, Found, FoundFile, Publication, PublishedFile};
use port_model::progress::Silent;
use port_model::{Architecture, ProtectionMode, Reference, Substrate, Variant};

/// A kernel's published name.
pub fn reference() -> Reference {
    "demo-fs/port/demo-kernel:v1".parse().unwrap()
}

/// The variant that the suite publishes.
pub fn variant() -> Variant {
    Variant::new(Architecture::X86_64, Substrate::Firecracker, ProtectionMode::Standard)
}

/// A publication of these files, written below `scratch`.
pub fn publication(scratch: &Path, files: &[(&str, &[u8])]) -> Publication {
    let files = files.iter().map(|(name, content)| {
        let digest = port_content::hashing::digest_of(content);
        let path = scratch.join(digest.hex());
        fs::write(&path, content).unwrap();
        PublishedFile {
            name: name.parse().unwrap(),
            digest,
            size: content.len() as u64,
            path,
            elsewhere: None,
        }
    });
    Publication {
        reference: reference(),
        variant: variant(),
        files: files.collect(),
        documents: Documents { manifest: b"{\"manifest\":1}".to_vec(), config: b"{\"config\":1}".to_vec() },
    }
}

/// Leaves the index of all variants as it is.
pub fn unlisted(_: Option<&Document>) -> Result<Option<Document>, String> {
    Ok(None)
}

/// Runs the whole suite over backends that `make` opens; each call opens the same place again.
pub async fn run<B: Backend + 'static>(make: impl Fn() -> B) {
    absence_is_not_found(&make()).await;
    what_was_published_comes_back(&make()).await;
    publishing_again_replaces_everything(&make()).await;
    variants_do_not_mix(&make()).await;
    ranges_come_to_their_places(&make()).await;
    racing_publishers_leave_one_whole_publication(&make).await;
}

async fn absence_is_not_found(backend: &impl Backend) {
    let error = backend.resolve(&reference(), variant()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

async fn what_was_published_comes_back(backend: &impl Backend) {
    let scratch = tempfile::tempdir().unwrap();
    let publication = publication(scratch.path(), &[("vmlinux", b"kernel"), ("vmlinux.dbg", b"symbols")]);
    assert_eq!(backend.push(&publication, &unlisted, &Silent).await.unwrap(), 13);
    let found = backend.resolve(&reference(), variant()).await.unwrap();
    assert_eq!(found.documents, Some(publication.documents));
    assert_eq!(names(&found), ["vmlinux", "vmlinux.dbg"]);
    for (file, expected) in found.files.iter().zip([b"kernel".as_slice(), b"symbols"]) {
        assert_eq!(fetch(backend, &found, file.name.as_str()).await, expected);
        assert_eq!(file.digest, Some(port_content::hashing::digest_of(expected)));
        assert_eq!(file.size, expected.len() as u64);
    }
}

async fn publishing_again_replaces_everything(backend: &impl Backend) {
    let scratch = tempfile::tempdir().unwrap();
    backend.push(&publication(scratch.path(), &[("vmlinux", b"newer")]), &unlisted, &Silent).await.unwrap();
    let found = backend.resolve(&reference(), variant()).await.unwrap();
    assert_eq!(names(&found), ["vmlinux"], "a companion of the older publication is gone");
    assert_eq!(fetch(backend, &found, "vmlinux").await, b"newer");
}

async fn variants_do_not_mix(backend: &impl Backend) {
    let scratch = tempfile::tempdir().unwrap();
    let pvm = Variant { protection_mode: ProtectionMode::Pvm, ..variant() };
    let error = backend.resolve(&reference(), pvm).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let other = Publication { variant: pvm, ..publication(scratch.path(), &[("vmlinux", b"pvm")]) };
    backend.push(&other, &unlisted, &Silent).await.unwrap();
    let found = backend.resolve(&reference(), variant()).await.unwrap();
    assert_eq!(fetch(backend, &found, "vmlinux").await, b"newer");
}

async fn ranges_come_to_their_places(backend: &impl Backend) {
    let scratch = tempfile::tempdir().unwrap();
    let content = ranged_content();
    backend.push(&publication(scratch.path(), &[("vmlinux", &content)]), &unlisted, &Silent).await.unwrap();
    let found = backend.resolve(&reference(), variant()).await.unwrap();
    seeds(backend, &found.files[0], &content).await;
}

/// Bytes that differ wherever one looks.
pub fn ranged_content() -> Vec<u8> {
    (0..1_200_000u32).map(|n| (n * 7 + n / 256) as u8).collect()
}

/// What [`Backend::fetch`] promises of seeds, of a file with this content that is published already: whatever they hold,
/// the file arrives.
pub async fn seeds(backend: &impl Backend, file: &FoundFile, content: &[u8]) {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let mut older = content.to_vec();
    older[10_000..30_000].fill(7);
    fs::write(at("older"), &older).unwrap();
    fs::write(at("same"), content).unwrap();
    fs::write(at("other"), "nothing of it").unwrap();
    fs::write(at("empty"), "").unwrap();
    let cases: [&[&str]; 5] = [
        &[],
        &["older"],
        &["other", "same"],
        &["absent", "empty", "."],
        &["older", "older", "same", "other"],
    ];
    for (number, names) in cases.into_iter().enumerate() {
        let seeds: Vec<_> = names.iter().map(|name| at(name)).collect();
        let target = at(&format!("target{number}"));
        let fetched = backend.fetch(&reference(), variant(), file, &seeds, &target, &Silent).await.unwrap();
        assert!(fs::read(&target).unwrap() == content, "with {names:?}");
        assert!(fetched.found <= file.size, "{names:?}: {fetched:?}");
        assert!(fetched.moved + fetched.found >= file.size, "{names:?}: {fetched:?}");
        backend.forget(&target).unwrap();
    }
    assert!(fs::read(at("older")).unwrap() == older, "a seed stays as it is");
}

async fn racing_publishers_leave_one_whole_publication<B: Backend + 'static>(make: &impl Fn() -> B) {
    let scratch = tempfile::tempdir().unwrap();
    let mut racers = Vec::new();
    for racer in 0..4u8 {
        let content = vec![racer; 100_000];
        let publication = publication(scratch.path(), &[("vmlinux", &content), ("vmlinux.dbg", &content)]);
        let backend = make();
        racers.push(tokio::spawn(async move { backend.push(&publication, &unlisted, &Silent).await }));
    }
    for racer in racers {
        racer.await.unwrap().unwrap();
    }
    let backend = make();
    let found = backend.resolve(&reference(), variant()).await.unwrap();
    let kernel = fetch(&backend, &found, "vmlinux").await;
    assert_eq!(fetch(&backend, &found, "vmlinux.dbg").await, kernel, "both files are of one publisher");
    assert_eq!(found.files[0].digest, Some(port_content::hashing::digest_of(&kernel)));
}

fn names(found: &Found) -> Vec<&str> {
    found.files.iter().map(|file| file.name.as_str()).collect()
}

async fn fetch(backend: &impl Backend, found: &Found, name: &str) -> Vec<u8> {
    let file = found.files.iter().find(|file| file.name.as_str() == name).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    backend.fetch(&reference(), variant(), file, &[], &path, &Silent).await.unwrap();
    fs::read(path).unwrap()
}
