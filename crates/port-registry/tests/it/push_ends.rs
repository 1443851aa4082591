//! Pushes that cannot succeed: they end at once, and say why.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use port_registry::{Anonymous, Kind};
use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::support::{chain, noise, options, repository_with, upload};

/// More than two sockets and the blocks that are read ahead can hold.
const LONG: usize = 24 << 20;

#[tokio::test]
async fn a_file_that_gets_shorter_while_it_is_sent_is_no_fault_of_the_registry() {
    for part in [64 << 20, 20 << 20] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("blob");
        let upload = upload(&vec![7; LONG], &path);
        let (puts, shrinking) = (Arc::new(AtomicUsize::new(0)), path.clone());
        let counted = Arc::clone(&puts);
        let registry = Registry::with(
            Abilities::default(),
            Box::new(move |request| {
                if matches!(request.method.as_str(), "PUT" | "PATCH") {
                    counted.fetch_add(1, Ordering::Relaxed);
                    port_content::fs::open_writable(&shrinking).unwrap().set_len(1000).unwrap();
                }
                Action::Pass
            }),
        );
        let mut options = options();
        options.transfer.upload_part = part;
        let repository = repository_with(registry.host(), options, Arc::new(Anonymous));
        let error = repository.push_blob(&upload).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Local, "{}", chain(&error));
        let words = format!("cannot read `{}`", path.display());
        assert!(chain(&error).contains(&words), "{}", chain(&error));
        assert_eq!(puts.load(Ordering::Relaxed), 1, "it was tried again");
    }
}

#[tokio::test]
async fn a_registry_that_is_full_in_the_middle_of_a_blob_is_not_sent_all_of_it_once_more() {
    const QUOTA: u64 = 3 << 20;
    let directory = tempfile::tempdir().unwrap();
    let upload = upload(&noise(5 << 20), &directory.path().join("blob"));
    let registry = Registry::with(
        Abilities::default(),
        Box::new(|request| {
            let range = request.header("content-range").split_once('-');
            let last = range.map_or(0, |(_, last)| last.parse::<u64>().unwrap());
            match request.method.as_str() {
                "PATCH" if last < QUOTA => Action::Pass,
                "PATCH" | "PUT" => Action::Answer(Reply::new(413, b"the quota is exhausted")),
                _ => Action::Pass,
            }
        }),
    );
    let mut options = options();
    options.transfer.upload_part = 1 << 20;
    let repository = repository_with(registry.host(), options, Arc::new(Anonymous));
    let error = repository.push_blob(&upload).await.unwrap_err();
    assert!(error.failure.is_too_large(), "{}", chain(&error));
    assert!(registry.requests().iter().all(|request| request.method != "PUT"), "the whole was sent as well");
}
