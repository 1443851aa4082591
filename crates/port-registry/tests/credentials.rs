//! Credentials from files, helpers and variables, as a caller sees them: precedence, hostile files and
//! helpers, login and logout. Helpers are shell scripts; skopeo, where installed, judges the files.
#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use std::ffi::OsString;
use std::fmt::Debug;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use port_content::{atomic, fs};
use port_registry::credentials::{
    Chain, CredentialFiles, CredentialPaths, CredentialsError, FileStyle, ForRegistry, LoginTarget, Origin,
    Stored, Variable, basic_env, login, logout, password_from_input,
};
use port_registry::{Anonymous, CredentialSource, Credentials, RegistryHost, RepositoryName, Secret};
use tempfile::TempDir;

/// In every secret of these tests; no message may hold it.
const MARK: &str = "hunter2";
/// Base64 of `file:hunter2`.
const FILE_AUTH: &str = "ZmlsZTpodW50ZXIy";

fn host(text: &str) -> RegistryHost {
    text.parse().unwrap()
}

fn repository(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: Secret::new(password) }
}

/// A directory with credential files and helper programs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        atomic::write(&path, text.as_ref()).unwrap();
        path
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(&self.path(name), 1 << 20).unwrap()
    }

    /// Writes a helper from another process: a file that this one has open for writing, even in a thread that
    /// forks just then, cannot be run.
    fn helper(&self, name: &str, script: &str) {
        let path = self.path("bin").join(format!("docker-credential-{name}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", r#"cat > "$0" && chmod 755 "$0""#])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("#!/bin/sh\nSTATE='{}'\n{script}\n", self.0.path().display());
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// A helper that keeps what it is given, and notes how it was called.
    fn keeping_helper(&self, name: &str) {
        self.helper(
            name,
            r#"echo "$@" >> "$STATE/calls"
name() { printf %s "$1" | tr '/:' '__'; }
input=$(cat)
case $1 in
store) server=$(printf %s "$input" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/'); printf %s "$input" > "$STATE/kept-$(name "$server")";;
get) cat "$STATE/kept-$(name "$input")" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; };;
erase) rm "$STATE/kept-$(name "$input")" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; };;
esac"#,
        );
    }

    fn search_path(&self) -> OsString {
        std::env::join_paths([self.path("bin"), "/usr/bin".into(), "/bin".into()]).unwrap()
    }

    /// Docker's file `config.json` and podman's `auth.json`, of which either may be absent.
    fn source(&self) -> CredentialFiles {
        CredentialFiles::new(self.paths())
    }

    fn paths(&self) -> CredentialPaths {
        CredentialPaths {
            docker_config: vec![self.path("config.json")],
            podman_auth: vec![self.path("auth.json")],
            helper_path: Some(self.search_path()),
            helper_timeout: Duration::from_secs(20),
            ..CredentialPaths::default()
        }
    }

    fn target(&self, name: &str) -> LoginTarget {
        LoginTarget {
            file: self.path(name),
            style: if name == "auth.json" { FileStyle::Podman } else { FileStyle::Docker },
            helper_path: Some(self.search_path()),
            helper_timeout: Duration::from_secs(20),
        }
    }

    async fn found(&self, registry: &str, path: &str) -> Result<Option<Credentials>, CredentialsError> {
        let lookup = self.source().look_up(&host(registry), Some(&repository(path))).await?;
        Ok(lookup.found.map(|found| found.credentials))
    }

    async fn error(&self, registry: &str) -> CredentialsError {
        without_secret(self.found(registry, "a").await.unwrap_err())
    }
}

/// The error, after looking for the secret in all that can be shown of it and of its causes.
fn without_secret<E: std::error::Error + 'static>(error: E) -> E {
    assert_no_secret(&error);
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        assert!(!error.to_string().contains(MARK), "{error}");
        cause = error.source();
    }
    error
}

fn assert_no_secret(value: &impl Debug) {
    let text = format!("{value:?} {value:#?}");
    assert!(!text.contains(MARK) && !text.contains(FILE_AUTH), "{text}");
}

fn entry(username: &str) -> String {
    format!(r#"{{"username":"{username}","password":"{MARK}"}}"#)
}

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

/// skopeo's answer to "who is signed in", or `None` where it is not installed.
fn skopeo(file: &Path, registry: &str) -> Option<String> {
    let program = port_testkit::skip::tool("skopeo", "skopeo")?;
    let output =
        Command::new(program).args(["login", "--get-login", "--authfile"]).arg(file).arg(registry).output();
    Some(String::from_utf8_lossy(&output.unwrap().stdout).trim().to_owned())
}

#[tokio::test]
async fn skopeo_reads_what_a_login_writes_and_agrees_on_what_it_reads() {
    let place = Place::new();
    let target = place.target("auth.json");
    let cases =
        [("h:5000", None, "whole"), ("h:5000", Some("team/app"), "scoped"), ("docker.io", None, "hub")];
    for (registry, path, user) in cases {
        let path = path.map(repository);
        login(&target, &host(registry), path.as_ref(), &basic(user, MARK)).await.unwrap();
    }
    let asked = [
        ("h:5000", "team/app/x", "scoped"),
        ("h:5000", "team/apps", "whole"),
        ("h:5000", "team/app", "scoped"),
        ("docker.io", "library/x", "hub"),
    ];
    for (registry, path, user) in asked {
        assert_eq!(place.found(registry, path).await.unwrap(), Some(basic(user, MARK)), "{registry}/{path}");
        let Some(answer) = skopeo(&target.file, &format!("{registry}/{path}")) else { return };
        assert_eq!(answer, user, "skopeo: {registry}/{path}");
    }
    let docker = place.target("config.json");
    login(&docker, &host("docker.io"), None, &basic("hub", MARK)).await.unwrap();
    assert_eq!(skopeo(&docker.file, "docker.io").as_deref(), Some("hub"));
}
