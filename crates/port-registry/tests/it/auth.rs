//! Who is asking: basic, bearer, refresh tokens, and what is said when it is not enough.

use std::sync::Arc;

use port_registry::{Anonymous, Credentials, Fixed, Kind, Secret, media};
use port_testkit::registry::{Abilities, Access, Action, Registry};

use crate::support::{BASIC, chain, noise, options, pull, repository, repository_with, tag, upload, user};

fn with(access: Access) -> Registry {
    let registry = Registry::with(Abilities { access, ..Abilities::default() }, Box::new(|_| Action::Pass));
    registry.add_manifest(
        "port/demo",
        "v1",
        media::OCI_MANIFEST,
        br#"{"schemaVersion":2,"config":{},"layers":[]}"#,
    );
    registry
}

#[tokio::test]
async fn basic_is_sent_only_when_asked_for_and_then_at_once() {
    let registry = with(Access::Basic(BASIC.to_owned()));
    let repository = repository_with(registry.host(), options(), user());
    repository.manifest(&tag("v1")).await.unwrap();
    repository.manifest(&tag("v1")).await.unwrap();
    let sent: Vec<String> =
        registry.requests().iter().map(|request| request.header("authorization").to_owned()).collect();
    assert_eq!(sent, [String::new(), format!("Basic {BASIC}"), format!("Basic {BASIC}")]);
}

#[tokio::test]
async fn without_credentials_the_error_says_so() {
    for access in [Access::Basic(BASIC.to_owned()), Access::Bearer { basic: BASIC.to_owned(), uses: 9 }] {
        let registry = with(access);
        let error = repository(&registry).manifest(&tag("v1")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthenticated);
    }
    let registry = with(Access::Basic(BASIC.to_owned()));
    let error = repository(&registry).manifest(&tag("v1")).await.unwrap_err();
    assert!(chain(&error).ends_with("it wants credentials, and there are none for it"), "{}", chain(&error));
    let wrong = Credentials::Basic { username: "user".to_owned(), password: Secret::new("hunter2") };
    for access in [Access::Basic(BASIC.to_owned()), Access::Bearer { basic: BASIC.to_owned(), uses: 9 }] {
        let registry = with(access);
        let repository = repository_with(registry.host(), options(), Arc::new(Fixed(wrong.clone())));
        let error = repository.manifest(&tag("v1")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthenticated);
        assert!(!format!("{} {error:?}", chain(&error)).contains("hunter2"));
        assert!(registry.requests().len() <= 3, "asked once more, not for ever");
    }
}

#[tokio::test]
async fn a_token_is_kept_and_asked_for_with_the_right_scope() {
    let registry = with(Access::Bearer { basic: BASIC.to_owned(), uses: 100 });
    let repository = repository_with(registry.host(), options(), user());
    for _ in 0..3 {
        repository.manifest(&tag("v1")).await.unwrap();
    }
    repository.may_push().await.unwrap();
    let asked: Vec<String> = registry
        .requests()
        .iter()
        .filter(|request| request.target.starts_with("/token"))
        .map(|request| request.target.clone())
        .collect();
    let scope = |actions: &str| format!("/token?service=test&scope=repository%3Aport%2Fdemo%3A{actions}");
    assert_eq!(asked, [scope("pull"), scope("pull%2Cpush")]);
}

#[tokio::test]
async fn a_mount_asks_for_its_source_too() {
    let registry = with(Access::Bearer { basic: BASIC.to_owned(), uses: 100 });
    let repository = repository_with(registry.host(), options(), user());
    repository.mount(&port_content::hashing::digest_of(b"x"), &"port/base".parse().unwrap()).await.unwrap();
    let requests = registry.requests();
    let token = requests.iter().find(|request| request.target.starts_with("/token")).unwrap();
    assert!(token.target.contains("scope=repository%3Aport%2Fbase%3Apull&"), "{}", token.target);
}

#[tokio::test]
async fn tokens_that_expire_in_the_middle_of_an_upload_are_replaced() {
    let registry = with(Access::Bearer { basic: BASIC.to_owned(), uses: 3 });
    // Connections side by side would use up the tokens that others just got.
    let mut serial = options();
    serial.transfer.connections = 1;
    let repository = repository_with(registry.host(), serial, user());
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(800_000);
    let upload = upload(&bytes, &directory.path().join("blob"));
    repository.push_blob(&upload).await.unwrap();
    assert_eq!(registry.blob(&upload.digest.to_string()).unwrap(), bytes);
    assert_eq!(pull(&repository, &bytes, &directory.path().join("p")).await.unwrap(), bytes);
    let tokens = registry.requests().iter().filter(|request| request.target.starts_with("/token")).count();
    assert!(tokens > 3, "{tokens}");
}

#[tokio::test]
async fn a_refresh_token_is_posted_and_a_ready_token_is_sent() {
    let registry = with(Access::Bearer { basic: BASIC.to_owned(), uses: 9 });
    let identity = Arc::new(Fixed(Credentials::IdentityToken(Secret::new("refresh"))));
    repository_with(registry.host(), options(), identity).manifest(&tag("v1")).await.unwrap();
    let requests = registry.requests();
    assert_eq!((requests[1].method.as_str(), requests[1].target.as_str()), ("POST", "/token"));
    let ready = Arc::new(Fixed(Credentials::Bearer(Secret::new("token-1"))));
    repository_with(registry.host(), options(), ready).manifest(&tag("v1")).await.unwrap();
    assert_eq!(registry.requests().last().unwrap().header("authorization"), "Bearer token-1");
}

#[tokio::test]
async fn anonymous_pulls_get_a_token_too() {
    let registry = with(Access::Bearer { basic: String::new(), uses: 9 });
    repository_with(registry.host(), options(), Arc::new(Anonymous)).manifest(&tag("v1")).await.unwrap();
}
