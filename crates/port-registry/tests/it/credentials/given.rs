//! Credentials that the caller has: named variables, for one registry.

use port_registry::credentials::{ForRegistry, Variable, basic_env};
use port_registry::{CredentialSource as _, Secret};

use super::{MARK, assert_no_secret, basic, host, repository, without_secret};

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
async fn given_credentials_are_for_every_name_of_their_registry() {
    let hub = ForRegistry::new(host("docker.io"), basic("hub", MARK));
    assert!(hub.credentials(&host("registry-1.docker.io"), &repository("a")).await.unwrap().is_some());
}
