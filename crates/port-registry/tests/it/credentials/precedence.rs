//! Which of several places is asked first, and where credentials came from.

use port_registry::Secret;
use port_registry::credentials::{CredentialFiles, CredentialPaths, Origin};

use super::{MARK, Place, assert_no_secret, basic, entry, host};

#[tokio::test]
async fn precedence_is_the_documented_one() {
    let place = Place::new();
    place.helper("all", &format!(r#"echo '{{"ServerURL":"x","Username":"store","Secret":"{MARK}"}}'"#));
    place.helper("own", &format!(r#"echo '{{"Username":"own","Secret":"{MARK}"}}'"#));
    place.helper("none", "echo 'credentials not found in native keychain'; exit 1");
    place.helper("blank", r#"echo '{"ServerURL":"","Username":"","Secret":""}'"#);
    let (whole, path, deep) = (entry("whole"), entry("path"), entry("deep"));
    let auths = format!(r#""auths":{{"h":{whole},"h/a":{path},"h/a/b":{deep}}}"#);
    let whole_only = format!(r#""auths":{{"h":{whole}}}"#);
    let podman = format!(r#"{{"auths":{{"h":{},"h/a/b":{}}}}}"#, entry("podman"), entry("podman-deep"));
    let cases: [(&str, String, &str, &str); 18] = [
        ("longest path", format!("{{{auths}}}"), "a/b/c", "deep"),
        ("path", format!("{{{auths}}}"), "a/c", "path"),
        ("whole", format!("{{{auths}}}"), "b", "whole"),
        ("no neighbour", format!("{{{auths}}}"), "ab", "whole"),
        ("path before helper", format!(r#"{{"credsStore":"all",{auths}}}"#), "a", "path"),
        ("store before whole", format!(r#"{{"credsStore":"all",{auths}}}"#), "z", "store"),
        (
            "own before store",
            format!(r#"{{"credHelpers":{{"h":"own"}},"credsStore":"all",{auths}}}"#),
            "z",
            "own",
        ),
        (
            "own of alias",
            r#"{"credHelpers":{"https://h/v1/":"own"},"credsStore":"all"}"#.to_owned(),
            "z",
            "own",
        ),
        ("own of other", r#"{"credHelpers":{"i":"own"},"credsStore":"all"}"#.to_owned(), "z", "store"),
        ("not found: entry", format!(r#"{{"credsStore":"none",{auths}}}"#), "z", "whole"),
        ("blank answer: entry", format!(r#"{{"credsStore":"blank",{auths}}}"#), "z", "whole"),
        ("not found: next file", r#"{"credsStore":"none"}"#.to_owned(), "z", "podman"),
        ("mark: next file", r#"{"auths":{"h":{}}}"#.to_owned(), "z", "podman"),
        ("docker's whole before podman's path", format!("{{{whole_only}}}"), "a/b", "whole"),
        ("absent", String::new(), "a/b", "podman-deep"),
        ("absent store: entry", format!(r#"{{"credsStore":"absent",{whole_only}}}"#), "z", "whole"),
        ("absent store, no entry: next file", r#"{"credsStore":"absent"}"#.to_owned(), "z", "podman"),
        (
            "exact before alias",
            format!(r#"{{"auths":{{"https://h/v1/":{path},"h":{whole}}}}}"#),
            "z",
            "whole",
        ),
    ];
    place.write("auth.json", podman);
    for (name, text, repository, expected) in cases {
        place.write("config.json", text);
        let found = place.found("h", repository).await;
        assert_eq!(found.unwrap(), Some(basic(expected, MARK)), "{name}");
    }
    place.write("config.json", "{}");
    assert_eq!(place.found("other", "a").await.unwrap(), None);
}

#[tokio::test]
async fn inline_and_explicit_come_first_and_the_origin_is_told() {
    let place = Place::new();
    let one = |username: &str| format!(r#"{{"credsStore":"absent","auths":{{"h":{}}}}}"#, entry(username));
    place.write("config.json", one("docker"));
    let explicit = place.write("explicit.json", one("explicit"));
    let mut paths = CredentialPaths { explicit: vec![explicit.clone()], ..place.paths() };
    let found = CredentialFiles::new(paths.clone()).look_up(&host("h"), None).await.unwrap().found.unwrap();
    assert_eq!(found.origin, Origin::Entry { path: explicit, key: "h".to_owned() });
    assert!(found.origin.to_string().starts_with("`h` of `/"));
    assert_no_secret(&found);
    paths.inline = Some(Secret::new(one("inline")));
    assert_no_secret(&paths);
    let lookup = CredentialFiles::new(paths).look_up(&host("h"), None).await.unwrap();
    assert_eq!(lookup.found.unwrap().credentials, basic("inline", MARK));
    assert!(lookup.passed_over.is_empty(), "the variable has no helpers");
}

#[tokio::test]
async fn hub_is_one_registry_under_all_its_names() {
    let place = Place::new();
    for key in
        ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://registry-1.docker.io/v2/"]
    {
        place.write("config.json", format!(r#"{{"auths":{{"{key}":{}}}}}"#, entry("hub")));
        for asked in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(
                place.found(asked, "library/a").await.unwrap(),
                Some(basic("hub", MARK)),
                "{key} {asked}"
            );
        }
        assert_eq!(place.found("docker.io.evil.example", "a").await.unwrap(), None);
    }
    place.helper(
        "hub",
        r#"s=$(cat); echo "$s" >> "$STATE/asked"; echo 'Credentials not found in native keychain' >&2; exit 1"#,
    );
    place.write("config.json", r#"{"credsStore":"hub"}"#);
    assert_eq!(place.found("docker.io", "a").await.unwrap(), None);
    assert_eq!(place.text("asked"), "https://index.docker.io/v1/\ndocker.io\n");
}
