//! Secrets in the clear: to this host, and to a registry for which somebody asked so.
//!
//! `0.0.0.0` stands for another host: by its name it is not this one, and yet nothing leaves the machine.

use std::sync::Arc;

use port_model::Reporter;
use port_registry::{
    Anonymous, Client, CredentialSource, Credentials, Fixed, HostOptions, Options, RegistryError, Secret,
    Transport,
};
use port_testkit::registry::{Abilities, Access, Action, Registry, Reply, Request};

use crate::support::{BASIC, Notes, chain, options, tag, user};

async fn resolve(
    host: &str,
    options: Options,
    source: Arc<dyn CredentialSource>,
) -> (Result<(), RegistryError>, Vec<String>) {
    let notes = Arc::new(Notes::default());
    let client = Client::new(options, source, Arc::clone(&notes) as Arc<dyn Reporter>);
    let repository = client.repository(&host.parse().unwrap(), &"port/demo".parse().unwrap()).unwrap();
    let mut resolved = repository.resolve(&tag("v1")).await.map(drop);
    if resolved.is_ok() {
        resolved = repository.resolve(&tag("v1")).await.map(drop);
    }
    let notes = notes.all();
    (resolved, notes)
}

fn registry(access: Access) -> Registry {
    let bearer = matches!(access, Access::Bearer { .. });
    // Its token service is at the address by which it was asked.
    let hook = move |request: &Request| match request.header("authorization") {
        "" if bearer && !request.target.starts_with("/token") => {
            let challenge = format!("Bearer realm=\"http://{}/token\",service=\"x\"", request.header("host"));
            Action::Answer(Reply::new(401, b"").header("www-authenticate", challenge))
        }
        _ => Action::Pass,
    };
    let registry = Registry::with(Abilities { access, ..Abilities::default() }, Box::new(hook));
    let manifest = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    registry.add_manifest("port/demo", "v1", port_registry::media::OCI_MANIFEST, manifest);
    registry
}

fn elsewhere(registry: &Registry) -> String {
    registry.host().replace("127.0.0.1", "0.0.0.0")
}

#[tokio::test]
async fn no_secret_goes_in_the_clear_unless_this_very_registry_was_named() {
    let token = || Secret::new("token-of-somebody");
    let sources: [Arc<dyn CredentialSource>; 3] = [
        user(),
        Arc::new(Fixed(Credentials::Bearer(token()))),
        Arc::new(Fixed(Credentials::IdentityToken(token()))),
    ];
    let bearer = Access::Bearer { basic: BASIC.to_owned(), uses: 9 };
    for access in [Access::Basic(BASIC.to_owned()), bearer] {
        for source in &sources {
            let registry = registry(access.clone());
            let host = elsewhere(&registry);
            let (resolved, notes) = resolve(&host, options(), Arc::clone(source)).await;
            let text = chain(&resolved.unwrap_err());
            assert!(
                text.contains(&format!("refused to send credentials to `{host}` in the clear")),
                "{text}"
            );
            assert_eq!(notes, [""; 0]);
            let requests = registry.requests();
            assert!(requests.iter().all(|request| request.header("authorization").is_empty()));
            assert!(requests.iter().all(|request| !request.target.starts_with("/token")), "{access:?}");
        }
    }
}

#[tokio::test]
async fn a_token_for_nobody_is_a_secret_too() {
    let registry = registry(Access::Bearer { basic: String::new(), uses: 9 });
    let (resolved, _) = resolve(&elsewhere(&registry), options(), Arc::new(Anonymous)).await;
    assert!(chain(&resolved.unwrap_err()).contains("in the clear"));
    let (resolved, _) = resolve(registry.host(), options(), Arc::new(Anonymous)).await;
    resolved.unwrap();
}

#[tokio::test]
async fn where_it_was_named_they_go_with_one_warning() {
    for access in [Access::Basic(BASIC.to_owned()), Access::Bearer { basic: BASIC.to_owned(), uses: 9 }] {
        let registry = registry(access);
        named_goes_with_one_warning(&registry).await;
    }
}

async fn named_goes_with_one_warning(registry: &Registry) {
    let host = elsewhere(registry);
    let named = HostOptions { transport: Transport::PlainHttp, ..HostOptions::default() };
    let options = Options {
        default: HostOptions::default(),
        registries: [(host.parse().unwrap(), named)].into(),
        ..options()
    };
    let (resolved, notes) = resolve(&host, options, user()).await;
    resolved.unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with(&format!("warning: credentials go to `{host}` in the clear")), "{notes:?}");
}

#[tokio::test]
async fn this_host_and_the_anonymous_need_no_word() {
    let registry_here = registry(Access::Basic(BASIC.to_owned()));
    let (resolved, notes) = resolve(registry_here.host(), options(), user()).await;
    resolved.unwrap();
    assert_eq!(notes, [""; 0]);
    let open = registry(Access::Anyone);
    let (resolved, notes) = resolve(&elsewhere(&open), options(), user()).await;
    resolved.unwrap();
    assert_eq!(notes, [""; 0]);
    assert!(open.requests().iter().all(|request| request.header("authorization").is_empty()));
}
