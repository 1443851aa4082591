//! Credentials that the caller has: named variables, and several sources in a row.

use std::sync::Arc;

use port_registry::credentials::{Chain, ForRegistry, Variable, basic_env};
use port_registry::{Anonymous, CredentialSource as _, Secret};

use super::{MARK, Place, assert_no_secret, basic, entry, host, repository, without_secret};

#[tokio::test]
async fn pu_6_pu_12_basic_env_is_for_its_registry_and_names_the_variable_that_is_wrong() {
    let variable =
        |name: &str, value: Option<&str>| Variable { name: name.to_owned(), value: value.map(Secret::new) };
    let registry = host("h");
    let good = basic_env(&registry, &variable("U", Some("ci")), &variable("P", Some(MARK))).unwrap();
    assert_no_secret(&good);
    assert_eq!(good.credentials(&registry, &repository("a")).await.unwrap(), Some(basic("ci", MARK)));
    assert_eq!(good.credentials(&host("other"), &repository("a")).await.unwrap(), None);
    let cases = [
        (None, Some(MARK), "in the variable `U`, found no value"),
        (Some(""), Some(MARK), "in the variable `U`, found an empty one"),
        (Some("hunter2:x"), Some(MARK), "in the variable `U`, found one with `:`"),
        (Some("ci"), None, "in the variable `P`, found no value"),
        (Some("ci"), Some(""), "in the variable `P`, found an empty one"),
    ];
    for (user, password, expected) in cases {
        let error = basic_env(&registry, &variable("U", user), &variable("P", password)).unwrap_err();
        assert!(without_secret(error).to_string().ends_with(expected));
    }
}

#[tokio::test]
async fn in_a_chain_the_first_that_knows_is_used_and_an_error_ends_it() {
    let place = Place::new();
    place.write("config.json", format!(r#"{{"auths":{{"h":{},"bad":7}}}}"#, entry("file")));
    let given = ForRegistry::new(host("h"), basic("given", MARK));
    let last = ForRegistry::new(host("bad"), basic("last", MARK));
    let chain =
        Chain::new(vec![Arc::new(Anonymous), Arc::new(given), Arc::new(place.source()), Arc::new(last)]);
    assert_no_secret(&chain);
    let ask = async |registry: &str| chain.credentials(&host(registry), &repository("a")).await;
    assert_eq!(ask("h").await.unwrap(), Some(basic("given", MARK)));
    assert!(ask("bad").await.is_err());
    assert_eq!(ask("other").await.unwrap(), None);
    let hub = ForRegistry::new(host("docker.io"), basic("hub", MARK));
    assert!(hub.credentials(&host("registry-1.docker.io"), &repository("a")).await.unwrap().is_some());
}
