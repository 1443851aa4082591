//! Helpers that answer, fail, hang, are absent, or have the name of a path.

use std::path::Path;
use std::time::{Duration, Instant};

use port_content::fs;
use port_registry::credentials::{CredentialFiles, CredentialPaths, CredentialsError, Origin};
use port_registry::{Credentials, Secret};

use super::{MARK, Place, basic, entry, host};

#[tokio::test]
async fn a_helper_may_give_an_identity_token() {
    let place = Place::new();
    place.helper("t", &format!(r#"echo '{{"ServerURL":"h","Username":"<token>","Secret":"{MARK}"}}'"#));
    place.write("config.json", r#"{"credHelpers":{"h":"t"}}"#);
    let lookup = place.source().look_up(&host("h"), None).await.unwrap().found.unwrap();
    assert_eq!(lookup.credentials, Credentials::IdentityToken(Secret::new(MARK)));
    assert_eq!(
        lookup.origin,
        Origin::Helper { path: place.path("config.json"), program: "docker-credential-t".to_owned() }
    );
}

#[tokio::test]
async fn a_configured_helper_that_fails_is_an_error_without_the_secret() {
    let place = Place::new();
    let answer =
        |username: &str, secret: &str| format!(r#"echo '{{"Username":"{username}","Secret":"{secret}"}}'"#);
    let cases = [
        (
            "said",
            "echo 'the vault is locked'; exit 3".to_owned(),
            "failed (exit status: 3): the vault is locked",
        ),
        ("stderr", "echo 'no bus' >&2; exit 1".to_owned(), "failed (exit status: 1): no bus"),
        ("silent", "exit 1".to_owned(), "failed (exit status: 1): it gave no message that can be shown"),
        ("leaky", format!("{}; exit 1", answer("u", MARK)), "it gave no message that can be shown"),
        ("killed", "kill -9 $$".to_owned(), "failed (signal: 9"),
        ("words", format!("echo {MARK}"), "expected a JSON object with the texts `Username` and `Secret`"),
        (
            "typed",
            format!(r#"echo '{{"Username":{{}},"Secret":"{MARK}"}}'"#),
            "expected a JSON object with the texts",
        ),
        ("nothing", ":".to_owned(), "expected a JSON object with the texts"),
        ("nobody", answer("", MARK), "expected a user name without `:`, found an empty one"),
        ("colon", answer("a:b", MARK), "expected a user name without `:`, found one with `:`"),
        ("token", answer("<token>", &format!("{MARK} x")), "expected a token of visible ASCII characters"),
        ("endless", format!("yes {MARK}"), "found one without an end"),
    ];
    for (name, script, expected) in cases {
        place.helper(name, &script);
        place.write(
            "config.json",
            format!(r#"{{"credHelpers":{{"h":"{name}"}},"auths":{{"h":{}}}}}"#, entry("e")),
        );
        let error = place.error("h").await.to_string();
        assert!(
            error.contains(expected) && error.contains(&format!("docker-credential-{name} get")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_absent_helper_is_an_error_where_somebody_signed_in_with_it() {
    let place = Place::new();
    fs::create_dir_all(&place.path("bin/docker-credential-directory")).unwrap();
    place.write("bin/docker-credential-plain", "not executable");
    for name in ["absent", "directory", "plain"] {
        place.write(
            "config.json",
            format!(r#"{{"credHelpers":{{"h":"{name}"}},"auths":{{"h":{}}}}}"#, entry("e")),
        );
        let error = place.error("h").await;
        assert!(
            matches!(&error, CredentialsError::HelperMissing { key, .. } if key == "credHelpers → h"),
            "{error}"
        );
        place.write("config.json", format!(r#"{{"credsStore":"{name}","auths":{{"h":{{}}}}}}"#));
        assert!(matches!(place.error("h").await, CredentialsError::HelperMissing { .. }));
        let lookup = place.source().look_up(&host("other"), None).await.unwrap();
        assert!(lookup.found.is_none());
        assert!(matches!(lookup.passed_over.as_slice(), [CredentialsError::HelperMissing { .. }]));
    }
    // A directory of PATH that depends on where Port runs is no place for a helper.
    let up = "../".repeat(Path::new(env!("CARGO_MANIFEST_DIR")).components().count());
    let relative = format!("{up}{}:.:", place.path("bin").strip_prefix("/").unwrap().display());
    assert!(fs::exists(&Path::new(relative.trim_end_matches(":.:")).join("docker-credential-plain")));
    let here = CredentialPaths { helper_path: Some(relative.into()), ..place.paths() };
    place.helper("real", "echo '{}'");
    place.write("config.json", r#"{"credHelpers":{"h":"real"}}"#);
    assert!(place.source().look_up(&host("h"), None).await.is_ok());
    let error = CredentialFiles::new(here).look_up(&host("h"), None).await.unwrap_err();
    assert!(matches!(error, CredentialsError::HelperMissing { .. }), "{error}");
}

#[tokio::test]
async fn a_helper_has_its_time_and_no_more() {
    let place = Place::new();
    // `exec`, so that no process of this test outlives it.
    place.helper("slow", "exec sleep 60");
    place.write("config.json", r#"{"credHelpers":{"h":"slow"}}"#);
    let paths = CredentialPaths { helper_timeout: Duration::from_millis(100), ..place.paths() };
    let start = Instant::now();
    let error = CredentialFiles::new(paths).look_up(&host("h"), None).await.unwrap_err();
    assert!(matches!(error, CredentialsError::HelperTimedOut { .. }), "{error}");
    assert!(error.to_string().contains("within 0.1 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
    // What it leaves running may hold the pipes, as agents do.
    place.helper("agent", &format!(r#"sleep 8 & echo '{{"Username":"u","Secret":"{MARK}"}}'"#));
    place.write("config.json", r#"{"credHelpers":{"h":"agent"}}"#);
    let start = Instant::now();
    assert_eq!(place.found("h", "a").await.unwrap(), Some(basic("u", MARK)));
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_name_of_a_helper_is_no_path() {
    let place = Place::new();
    for name in ["../evil", "a/b", "", " ", "x\\u0000"] {
        for text in
            [format!(r#"{{"credsStore":"{name}"}}"#), format!(r#"{{"credHelpers":{{"h":"{name}"}}}}"#)]
        {
            place.write("config.json", text);
            if name.is_empty() {
                assert_eq!(place.found("h", "a").await.unwrap(), None);
            } else {
                let error = place.error("h").await;
                assert!(matches!(error, CredentialsError::BadValue { .. }), "{error}");
            }
        }
    }
}
