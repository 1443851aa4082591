//! Login and logout: one entry changes, everything else stays, helpers get what is theirs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use port_content::fs;
use port_registry::credentials::{CredentialsError, Stored, login, logout, password_from_input};
use port_registry::{Credentials, Secret};

use super::{FILE_AUTH, MARK, Place, basic, entry, host, repository, without_secret};

/// As docker writes it, with members that Port knows nothing of.
fn docker_file() -> String {
    format!(
        "{{\n\t\"auths\": {{\n\t\t\"z.example\": {{\n\t\t\t\"auth\": \"{FILE_AUTH}\",\n\t\t\t\"email\": \"a@b\"\n\t\t}},\n\t\t\"odd\": 1.0e2\n\t}},\n\t\"HttpHeaders\": {{\n\t\t\"User-Agent\": \"Docker \\u0041\"\n\t}},\n\t\"psFormat\": \"table\",\n\t\"detachKeys\": null\n}}"
    )
}

#[tokio::test]
async fn a_login_changes_one_entry_and_keeps_every_other_byte() {
    let place = Place::new();
    place.write("config.json", docker_file());
    let target = place.target("config.json");
    let stored = login(&target, &host("h:5000"), None, &basic("file", MARK)).await.unwrap();
    assert_eq!(stored, Stored::File { path: target.file.clone(), key: "h:5000".to_owned() });
    let added = format!("1.0e2,\n\t\t\"h:5000\": {{\n\t\t\t\"auth\": \"{FILE_AUTH}\"\n\t\t}}\n\t}},");
    assert_eq!(place.text("config.json"), docker_file().replace("1.0e2\n\t},", &added));
    assert_eq!(place.found("h:5000", "a").await.unwrap(), Some(basic("file", MARK)));
    // Again, with a token: in the same place.
    login(&target, &host("z.example"), None, &Credentials::IdentityToken(Secret::new("t"))).await.unwrap();
    let text = place.text("config.json");
    assert!(
        text.contains(
            "\"z.example\": {\n\t\t\t\"email\": \"a@b\",\n\t\t\t\"identitytoken\": \"t\"\n\t\t},\n\t\t\"odd\""
        ),
        "{text}"
    );
    login(&target, &host("z.example"), None, &basic("file", MARK)).await.unwrap();
    // Out again: the file is what it was.
    let removed = logout(&target, &host("h:5000"), None).await.unwrap();
    assert_eq!(removed.keys, ["h:5000"]);
    let back = docker_file().replace(
        &format!("\"auth\": \"{FILE_AUTH}\",\n\t\t\t\"email\": \"a@b\""),
        &format!("\"email\": \"a@b\",\n\t\t\t\"auth\": \"{FILE_AUTH}\""),
    );
    assert_eq!(place.text("config.json"), back);
    assert_eq!(logout(&target, &host("h:5000"), None).await.unwrap(), Default::default());
}

#[tokio::test]
async fn files_are_private_and_links_stay_links() {
    let place = Place::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let target = place.target("new/config.json");
    login(&target, &host("h"), None, &basic("u", MARK)).await.unwrap();
    assert_eq!((mode(&target.file), mode(&place.path("new"))), (0o600, 0o700));
    place.write("kept/real.json", "{}");
    fs::set_mode(&place.path("kept/real.json"), 0o666).unwrap();
    fs::symlink(Path::new("kept/real.json"), &place.path("config.json")).unwrap();
    login(&place.target("config.json"), &host("h"), None, &basic("u", MARK)).await.unwrap();
    assert!(fs::symlink_metadata(&place.path("config.json")).unwrap().is_symlink());
    assert_eq!(mode(&place.path("kept/real.json")), 0o600);
    assert_eq!(place.found("h", "a").await.unwrap(), Some(basic("u", MARK)));
    let names: Vec<_> = fs::read_dir(&place.path("kept")).unwrap();
    assert_eq!(names, [place.path("kept/.real.json.lock"), place.path("kept/real.json")]);
    fs::symlink(Path::new("loop"), &place.path("loop")).unwrap();
    let error = login(&place.target("loop"), &host("h"), None, &basic("u", MARK)).await.unwrap_err();
    assert!(matches!(without_secret(error), CredentialsError::File { .. }));
}

#[tokio::test]
async fn a_registry_has_one_login_whatever_its_keys() {
    for (name, key) in [("config.json", "https://index.docker.io/v1/"), ("auth.json", "docker.io")] {
        let place = Place::new();
        let old = format!(
            r#"{{"auths":{{"index.docker.io":{0},"docker.io":{0},"https://h/v1/":{0},"docker.io/team":{0},"h":{0}}}}}"#,
            entry("old")
        );
        place.write(name, old);
        let target = place.target(name);
        login(&target, &host("docker.io"), None, &basic("new", MARK)).await.unwrap();
        for asked in ["docker.io", "index.docker.io"] {
            assert_eq!(place.found(asked, "library/a").await.unwrap(), Some(basic("new", MARK)), "{asked}");
        }
        login(&target, &host("h"), Some(&repository("team")), &basic("scoped", MARK)).await.unwrap();
        assert_eq!(place.found("h", "team/x").await.unwrap(), Some(basic("scoped", MARK)));
        assert_eq!(place.found("h", "x").await.unwrap(), Some(basic("old", MARK)));
        let removed = logout(&target, &host("h"), None).await.unwrap();
        assert_eq!(
            (removed.keys, removed.remaining),
            (vec!["h".into(), "https://h/v1/".into()], vec!["h/team".into()])
        );
        let removed = logout(&target, &host("index.docker.io"), None).await.unwrap();
        assert_eq!(
            (removed.keys, removed.remaining),
            (vec![key.to_owned()], vec!["docker.io/team".to_owned()])
        );
        logout(&target, &host("h"), Some(&repository("team"))).await.unwrap();
        assert_eq!(place.found("h", "team/x").await.unwrap(), None);
    }
}

#[tokio::test]
async fn where_a_helper_is_configured_the_secret_goes_there_and_nowhere_else() {
    let place = Place::new();
    place.keeping_helper("keep");
    place.write("config.json", format!(r#"{{"credsStore":"keep","auths":{{"h":{}}}}}"#, entry("old")));
    let target = place.target("config.json");
    for (registry, credentials) in
        [("h", basic("u", "hunter2\\ü")), ("docker.io", Credentials::IdentityToken(Secret::new(MARK)))]
    {
        let stored = login(&target, &host(registry), None, &credentials).await.unwrap();
        assert_eq!(stored, Stored::Helper { program: "docker-credential-keep".to_owned() });
        assert_eq!(place.found(registry, "a").await.unwrap(), Some(credentials));
    }
    let text = place.text("config.json");
    assert!(
        !text.contains(MARK) && text.contains("\"h\": {}") && text.contains("index.docker.io/v1/\": {}"),
        "{text}"
    );
    for registry in ["h", "docker.io"] {
        let removed = logout(&target, &host(registry), None).await.unwrap();
        assert_eq!(removed.helper.as_deref(), Some("docker-credential-keep"));
        assert_eq!(place.found(registry, "a").await.unwrap(), None);
    }
    let calls = place.text("calls");
    assert!(calls.lines().all(|call| ["get", "store", "erase"].contains(&call)), "{calls}");
}

#[tokio::test]
async fn a_login_that_a_helper_refuses_leaves_the_file_and_the_secret_alone() {
    let place = Place::new();
    // It says the secret that it was given.
    place.helper("echo", r#"sed 's/.*"Secret":"\(.*\)".*/bad secret \1/'; echo more >&2; exit 1"#);
    let text = format!(r#"{{"credsStore":"echo","auths":{{"h":{}}}}}"#, entry("old"));
    place.write("config.json", &text);
    let target = place.target("config.json");
    let error = without_secret(login(&target, &host("h"), None, &basic("u", MARK)).await.unwrap_err());
    assert!(error.to_string().ends_with("store` for `h` failed (exit status: 1): more"), "{error}");
    // Some say it as JSON has it.
    let escaped = basic("u", "hunter2\"x");
    let error = without_secret(login(&target, &host("h"), None, &escaped).await.unwrap_err());
    assert!(error.to_string().ends_with(": more"), "{error}");
    let scoped = login(&target, &host("h"), Some(&repository("a")), &basic("u", MARK)).await.unwrap_err();
    assert!(without_secret(scoped).to_string().contains("expected a whole registry for a helper"));
    let bearer = login(&target, &host("h"), None, &Credentials::Bearer(Secret::new(MARK))).await.unwrap_err();
    assert!(without_secret(bearer).to_string().contains("found an access token"));
    assert_eq!(place.text("config.json"), text);
    place.write("config.json", r#"{"credsStore":"absent"}"#);
    let error = without_secret(login(&target, &host("h"), None, &basic("u", MARK)).await.unwrap_err());
    assert!(matches!(error, CredentialsError::HelperMissing { .. }), "no silent plain text: {error}");
    // A logout forgets what it can, and says what it could not.
    place.write("config.json", format!(r#"{{"credsStore":"absent","auths":{{"h":{}}}}}"#, entry("old")));
    assert!(logout(&target, &host("h"), None).await.is_err());
    assert!(!place.text("config.json").contains(MARK));
}

#[tokio::test]
async fn what_could_not_be_read_back_is_not_stored() {
    let place = Place::new();
    let target = place.target("config.json");
    let cases = [
        basic("", MARK),
        basic("a:b", MARK),
        basic("a\n", MARK),
        basic("a", ""),
        basic("a", "hunter2\0"),
        Credentials::IdentityToken(Secret::new("")),
        Credentials::Bearer(Secret::new("hunter2\r\nX: y")),
    ];
    for credentials in cases {
        let error = login(&target, &host("h"), None, &credentials).await.unwrap_err();
        assert!(matches!(without_secret(error), CredentialsError::NotStorable { .. }));
    }
    place.write("config.json", "{\"auths\": [");
    assert!(login(&target, &host("h"), None, &basic("u", MARK)).await.is_err());
    assert_eq!(place.text("config.json"), "{\"auths\": [", "a broken file is not overwritten");
    for (input, expected) in [("p\n", "p"), ("p\r\n", "p"), ("p", "p"), (" p \n\n", " p \n"), ("", "")] {
        assert_eq!(password_from_input(input).expose(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_at_the_same_time_all_count() {
    let place = Arc::new(Place::new());
    place.write("config.json", docker_file());
    let tasks: Vec<_> = (0..24)
        .map(|number| {
            let place = Arc::clone(&place);
            tokio::spawn(async move {
                let registry = host(&format!("h{number}"));
                login(&place.target("config.json"), &registry, None, &basic("u", MARK)).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for number in 0..24 {
        let found = place.found(&format!("h{number}"), "a").await.unwrap();
        assert_eq!(found, Some(basic("u", MARK)), "h{number}");
    }
    assert_eq!(place.found("z.example", "a").await.unwrap(), Some(basic("file", MARK)));
}
