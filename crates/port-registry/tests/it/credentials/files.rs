//! Files that are hostile, broken, absent, or no files.

use std::process::Command;

use port_content::fs;
use port_registry::CredentialSource;
use port_registry::credentials::{CredentialFiles, CredentialPaths, CredentialsError};

use super::{MARK, Place, basic, entry, host, repository, without_secret};

#[tokio::test]
async fn hostile_files_are_errors_that_name_file_and_key() {
    let place = Place::new();
    let deep = |count: usize| {
        format!(
            r#"{{"auths":{{"h":{}{}}}}}"#,
            r#"{"auth":"#.repeat(count),
            "1".to_owned() + &"}".repeat(count)
        )
    };
    let huge = format!(r#"{{"auths":{{"h":{}}},"x":"{}"}}"#, entry("u"), "y".repeat(1 << 20));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("huge", huge.into_bytes(), "cannot use the credential file"),
        ("not text", b"{\"auths\":\xff}".to_vec(), "cannot use the credential file"),
        ("no JSON", format!("{{\n\"auths\": {MARK}").into(), "line 2, column 10"),
        ("text", format!("\"{MARK}\"").into(), "expected one JSON object"),
        ("list", b"[]".to_vec(), "expected one JSON object"),
        ("two", b"{} {}".to_vec(), "expected one JSON object"),
        ("auths", format!(r#"{{"auths":"{MARK}"}}"#).into(), "wrong `auths`: expected an object, found text"),
        (
            "entry",
            format!(r#"{{"auths":{{"h":"{MARK}"}}}}"#).into(),
            "wrong `auths → h`: expected an object, found text",
        ),
        (
            "member",
            format!(r#"{{"auths":{{"h":{{"auth":["{MARK}"]}}}}}}"#).into(),
            "wrong `auths → h → auth`: expected text, found a list",
        ),
        (
            "auth",
            format!(r#"{{"auths":{{"h":{{"auth":"{MARK}!"}}}}}}"#).into(),
            "found text that is no base64",
        ),
        ("path", format!(r#"{{"auths":{{"h":{},"h/a":7}}}}"#, entry("u")).into(), "wrong `auths → h/a`"),
        (
            "helpers",
            b"{\"credHelpers\":7}".to_vec(),
            "wrong `credHelpers`: expected an object, found a number",
        ),
        (
            "helper",
            b"{\"credHelpers\":{\"h\":{}}}".to_vec(),
            "wrong `credHelpers → h`: expected text, found an object",
        ),
        ("store", b"{\"credsStore\":true}".to_vec(), "wrong `credsStore`: expected text, found a boolean"),
        ("deep", deep(90_000).into(), "wrong `auths → h → auth`: expected text, found an object"),
    ];
    for (name, bytes, expected) in cases {
        let path = place.write("config.json", bytes);
        let error = place.error("h").await.to_string();
        assert!(error.contains(expected) && error.contains(&*path.to_string_lossy()), "{name}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_file_is_an_error_and_what_is_absent_is_none() {
    let place = Place::new();
    fs::create_dir_all(&place.path("config.json")).unwrap();
    assert!(matches!(place.error("h").await, CredentialsError::File { .. }));
    fs::remove_dir(&place.path("config.json")).unwrap();
    let made = Command::new("mkfifo").arg(place.path("config.json")).status().unwrap();
    assert!(made.success());
    assert!(matches!(place.error("h").await, CredentialsError::File { .. }), "a pipe would block");
    fs::remove_file(&place.path("config.json")).unwrap();
    place.write("file", "");
    let through_file = CredentialPaths {
        docker_config: vec![place.path("file/config.json"), place.path("no/config.json"), place.path("file")],
        ..CredentialPaths::default()
    };
    assert!(CredentialFiles::new(through_file).look_up(&host("h"), None).await.unwrap().found.is_none());
}

#[tokio::test]
async fn a_broken_entry_of_another_registry_is_no_obstacle() {
    let place = Place::new();
    let text = format!(
        r#"{{"auths":{{"bad":7,"worse":{{"auth":"!"}},"h":{},"h/other":[]}},"credHelpers":{{"bad":{{}}}},"HttpHeaders":[1]}}"#,
        entry("u")
    );
    place.write("config.json", text);
    assert_eq!(place.found("h", "a").await.unwrap(), Some(basic("u", MARK)));
    let source: &dyn CredentialSource = &place.source();
    let error = source.credentials(&host("worse"), &repository("a")).await.unwrap_err();
    assert_eq!(without_secret(error).to_string(), "cannot look up the credentials for `worse`");
}
