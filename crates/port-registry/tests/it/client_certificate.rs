//! Registries that ask who is there by TLS.

use std::path::PathBuf;
use std::sync::Arc;

use port_registry::{Anonymous, ClientCertificate, HostOptions, Kind, Options, Repository, Transport};
use port_testkit::proxy::{Clients, TlsFront};
use port_testkit::registry::Registry;
use rustls::version::{TLS12, TLS13};

use crate::support::{chain, noise, options, pull, repository_with, upload};

fn reached(front: &TlsFront, certificate: Option<(PathBuf, PathBuf)>) -> Repository {
    let default = HostOptions {
        transport: Transport::Https,
        certificate_authority: Some(front.certificate_authority()),
        client_certificate: certificate.map(|(certificate, key)| ClientCertificate { certificate, key }),
        trusted_realms: Vec::new(),
    };
    let mut options = Options { default, ..options() };
    options.transfer.upload_part = u64::MAX;
    repository_with(front.address(), options, Arc::new(Anonymous))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_certificate_opens_and_nothing_else_does() {
    for version in [&TLS12, &TLS13] {
        let registry = Registry::start();
        let Some(front) = TlsFront::start(registry.host(), Clients::Certified, version) else { return };
        let directory = tempfile::tempdir().unwrap();
        let (bytes, path) = (noise(300_000), directory.path().join("blob"));
        let blob = upload(&bytes, &path);
        for (certificate, words) in [
            (None, "certificate"),
            (Some(front.stranger()), "it does not know the authority of the client certificate"),
        ] {
            let error = reached(&front, certificate).push_blob(&blob).await.unwrap_err();
            let text = chain(&error);
            assert_eq!(error.kind(), Kind::Refused, "{text}");
            let place = format!("`{}` did not let this client in: ", front.address());
            assert!(text.contains(&place) && text.contains(words), "{version:?}: {text}");
            assert_eq!(registry.requests().len(), 0, "nothing got through");
        }
        let repository = reached(&front, Some(front.client()));
        repository.push_blob(&blob).await.unwrap();
        assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
        assert!(!registry.requests().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_asked_for_does_no_harm_and_a_broken_one_is_named() {
    let registry = Registry::start();
    let Some(front) = TlsFront::start(registry.host(), Clients::Anyone, &TLS13) else { return };
    reached(&front, Some(front.client())).may_push().await.unwrap();
    let (certificate, _) = front.client();
    let (_, other_key) = front.stranger();
    for (key, words) in [
        (certificate.clone(), "are no client certificate and its key"),
        (other_key, "are no client certificate and its key"),
        (PathBuf::from("/nowhere/client.key"), "`/nowhere/client.key`"),
    ] {
        let error = reached(&front, Some((certificate.clone(), key))).may_push().await.unwrap_err();
        assert!(error.kind() == Kind::Local && chain(&error).contains(words), "{}", chain(&error));
    }
}
