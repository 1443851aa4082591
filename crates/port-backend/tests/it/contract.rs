//! The contract suite over every backend, and what is particular to each.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use port_backend::{Backend as _, ErrorKind, FileSystem, FoundFile, OciRegistry};
use port_model::progress::Silent;
use port_registry::{
    Anonymous, Client, HostOptions, Mirror, Mirrors, Options, RegistryHost, TagsAt, Transport,
};
use port_testkit::backend_contract::{self as contract, publication, reference, variant};
use port_testkit::registry::{Abilities, Action, Registry};

#[tokio::test(flavor = "multi_thread")]
async fn the_file_system_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    contract::run(|| FileSystem::new(root.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_keeps_the_contract_of_fetching_with_and_without_ranges_of_its_own() {
    for ranges in [true, false] {
        let abilities = Abilities { ranges, ..Abilities::default() };
        let server = Registry::with(abilities, Box::new(|_| Action::Pass));
        let host: RegistryHost = reference().registry().parse().unwrap();
        let options = HostOptions { transport: Transport::PlainHttp, ..HostOptions::default() };
        let mirror = Mirror {
            registry: server.host().parse().unwrap(),
            prefix: None,
            options,
            credentials: Arc::new(Anonymous),
        };
        // The suite's reference names a registry that is not there; its mirror is.
        let mirrors = Mirrors { places: vec![mirror], tags: TagsAt::Origin };
        let options = Options { mirrors: [(host, mirrors)].into(), ..Options::default() };
        let client = Client::new(options, Arc::new(Anonymous), Arc::new(Silent));
        let backend = OciRegistry::new(client, String::new());
        let content = contract::ranged_content();
        let digest = server.add_blob(&content).parse().unwrap();
        let (name, size) = ("vmlinux".parse().unwrap(), content.len() as u64);
        let file = FoundFile { name, size, digest: Some(digest) };
        contract::seeds(&backend, &file, &content).await;
    }
}

#[tokio::test]
async fn p_37_p_40_files_lie_where_the_documents_say() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("artifact-store/demo-fs");
    let backend = FileSystem::new(&root);
    backend
        .push(&publication(scratch.path(), &[("vmlinux", b"kernel")]), &contract::unlisted, &Silent)
        .await
        .unwrap();
    let path = root.join("demo-fs/port/demo-kernel/v1/x86_64/firecracker/standard/vmlinux");
    assert_eq!(std::fs::read(&path).unwrap(), b"kernel");
    let location = backend.location(&reference(), variant(), &"vmlinux".parse().unwrap());
    assert_eq!(location, path.display().to_string());
}

#[tokio::test]
async fn c_5_a_store_without_side_cars_is_read_with_digests_unknown() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join(reference().variant_directory(variant()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("vmlinux"), b"kernel").unwrap();
    let found = FileSystem::new(root.path()).resolve(&reference(), variant()).await.unwrap();
    assert_eq!((found.files.len(), found.files[0].digest.clone(), found.documents), (1, None, None));
}

#[tokio::test]
async fn a_broken_side_car_is_corrupt_and_named() {
    let scratch = tempfile::tempdir().unwrap();
    let backend = FileSystem::new(scratch.path());
    backend
        .push(&publication(scratch.path(), &[("vmlinux", b"kernel")]), &contract::unlisted, &Silent)
        .await
        .unwrap();
    let directory = scratch.path().join(reference().variant_directory(variant()));
    std::fs::write(directory.join("vmlinux.sha256"), "not a digest").unwrap();
    let error = backend.resolve(&reference(), variant()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.to_string().contains("vmlinux.sha256"), "{error}");
}

#[tokio::test]
async fn holes_stay_holes() {
    let scratch = tempfile::tempdir().unwrap();
    let mut image = publication(scratch.path(), &[("rootfs.ext4", b"x")]);
    let file = std::fs::File::options().write(true).open(&image.files[0].path).unwrap();
    file.set_len(256 * 1024 * 1024).unwrap();
    image.files[0].size = 256 * 1024 * 1024;
    image.files[0].digest = port_content::hashing::digest_file(&image.files[0].path).unwrap().0;
    let backend = FileSystem::new(&scratch.path().join("store"));
    backend.push(&image, &contract::unlisted, &Silent).await.unwrap();
    let location = backend.location(&reference(), variant(), &"rootfs.ext4".parse().unwrap());
    let metadata = std::fs::metadata(location).unwrap();
    assert_eq!(metadata.len(), 256 * 1024 * 1024);
    assert!(metadata.blocks() * 512 < 1024 * 1024, "{} blocks", metadata.blocks());
}
