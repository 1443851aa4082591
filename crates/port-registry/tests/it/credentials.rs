//! Credentials from files, helpers and variables, as a caller sees them: precedence, hostile files and
//! helpers, login and logout. Helpers are shell scripts; skopeo, where installed, judges the files.

mod files;
mod given;
mod helpers;
mod login;
mod precedence;
mod skopeo;

use std::ffi::OsString;
use std::fmt::Debug;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use port_content::{atomic, fs};
use port_registry::credentials::{
    CredentialFiles, CredentialPaths, CredentialsError, FileStyle, LoginTarget,
};
use port_registry::{Credentials, RegistryHost, RepositoryName, Secret};
use tempfile::TempDir;

/// In every secret of these tests; no message may hold it.
pub(super) const MARK: &str = "hunter2";
/// Base64 of `file:hunter2`.
pub(super) const FILE_AUTH: &str = "ZmlsZTpodW50ZXIy";

pub(super) fn host(text: &str) -> RegistryHost {
    text.parse().unwrap()
}

pub(super) fn repository(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub(super) fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: Secret::new(password) }
}

/// A directory with credential files and helper programs.
pub(super) struct Place(TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        atomic::write(&path, text.as_ref()).unwrap();
        path
    }

    pub(super) fn text(&self, name: &str) -> String {
        fs::read_to_string(&self.path(name), 1 << 20).unwrap()
    }

    /// Writes a helper from another process: a file that this one has open for writing, even in a thread that
    /// forks just then, cannot be run.
    pub(super) fn helper(&self, name: &str, script: &str) {
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
    pub(super) fn keeping_helper(&self, name: &str) {
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

    pub(super) fn search_path(&self) -> OsString {
        std::env::join_paths([self.path("bin"), "/usr/bin".into(), "/bin".into()]).unwrap()
    }

    /// Docker's file `config.json` and podman's `auth.json`, of which either may be absent.
    pub(super) fn source(&self) -> CredentialFiles {
        CredentialFiles::new(self.paths())
    }

    pub(super) fn paths(&self) -> CredentialPaths {
        CredentialPaths {
            docker_config: vec![self.path("config.json")],
            podman_auth: vec![self.path("auth.json")],
            helper_path: Some(self.search_path()),
            helper_timeout: Duration::from_secs(20),
            ..CredentialPaths::default()
        }
    }

    pub(super) fn target(&self, name: &str) -> LoginTarget {
        LoginTarget {
            file: self.path(name),
            style: if name == "auth.json" { FileStyle::Podman } else { FileStyle::Docker },
            helper_path: Some(self.search_path()),
            helper_timeout: Duration::from_secs(20),
        }
    }

    pub(super) async fn found(
        &self,
        registry: &str,
        path: &str,
    ) -> Result<Option<Credentials>, CredentialsError> {
        let lookup = self.source().look_up(&host(registry), Some(&repository(path))).await?;
        Ok(lookup.found.map(|found| found.credentials))
    }

    pub(super) async fn error(&self, registry: &str) -> CredentialsError {
        without_secret(self.found(registry, "a").await.unwrap_err())
    }
}

/// The error, after looking for the secret in all that can be shown of it and of its causes.
pub(super) fn without_secret<E: std::error::Error + 'static>(error: E) -> E {
    assert_no_secret(&error);
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        assert!(!error.to_string().contains(MARK), "{error}");
        cause = error.source();
    }
    error
}

pub(super) fn assert_no_secret(value: &impl Debug) {
    let text = format!("{value:?} {value:#?}");
    assert!(!text.contains(MARK) && !text.contains(FILE_AUTH), "{text}");
}

pub(super) fn entry(username: &str) -> String {
    format!(r#"{{"username":"{username}","password":"{MARK}"}}"#)
}
