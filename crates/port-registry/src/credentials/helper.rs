//! The protocol of docker's credential helpers: `docker-credential-NAME get|store|erase`.
//!
//! ```text
//! get    stdin: server            stdout: {"ServerURL", "Username", "Secret"}, or a message and exit status 1
//! store  stdin: the same JSON     erase  stdin: server
//! ```
//!
//! The user name `<token>` says that the secret is an identity token. Invariant: of the standard output of
//! `get`, only the message of a failure gets into an error, and only when it is no JSON.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::entry::{check_token, check_username};
use super::error::CredentialsError;
use super::file::Configured;
use super::program::{self, Failure, Output};
use crate::credential::{Credentials, Secret};

/// Stands for the user name of an identity token.
const TOKEN_USER: &str = "<token>";
/// What helpers say when they know nothing of a server; the official ones end with "in native keychain".
const NOT_FOUND: &str = "credentials not found";
/// Longest name of a helper, in characters.
const LONGEST_NAME: usize = 64;
/// How much of a helper's message an error shows, in characters.
const MESSAGE_SHOWN: usize = 200;

/// What a helper is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelperAction {
    /// Tell the credentials for a server.
    Get,
    /// Keep credentials for a server.
    Store,
    /// Forget them.
    Erase,
}

impl HelperAction {
    /// The word of the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Store => "store",
            Self::Erase => "erase",
        }
    }
}

impl fmt::Display for HelperAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether this can follow `docker-credential-` in the name of a program: no way to another directory.
pub(super) fn is_valid_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+');
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}

/// A helper that was found. Not `Debug` by habit: what goes through it is secret.
pub(super) struct Helper<'a> {
    pub(super) program: String,
    file: PathBuf,
    search_path: Option<&'a OsStr>,
    limit: Duration,
}

#[derive(Serialize)]
struct Kept<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    #[serde(rename = "Username")]
    username: &'a str,
    #[serde(rename = "Secret")]
    secret: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

impl<'a> Helper<'a> {
    /// Finds the program that `configured` in the file `path` asks for.
    pub(super) fn find(
        configured: &Configured,
        path: &Path,
        search_path: Option<&'a OsStr>,
        limit: Duration,
    ) -> Result<Self, CredentialsError> {
        let program = format!("docker-credential-{}", configured.name);
        match program::find(&program, search_path) {
            Some(file) => Ok(Self { program, file, search_path, limit }),
            None => {
                let key = configured.key.clone();
                Err(CredentialsError::HelperMissing { program, path: path.to_owned(), key })
            }
        }
    }

    /// What the helper knows of the first of these servers that it knows.
    pub(super) async fn get(&self, servers: &[String]) -> Result<Option<Credentials>, CredentialsError> {
        for server in servers {
            let output = self.call(HelperAction::Get, server, server.as_bytes()).await?;
            if output.status.success() {
                if let Some(credentials) = self.answer(server, &output.stdout)? {
                    return Ok(Some(credentials));
                }
            } else if !says_not_found(&output) {
                return Err(self.failed(HelperAction::Get, server, &output, None));
            }
        }
        Ok(None)
    }

    /// Makes the helper keep a user name and password, or an identity token.
    pub(super) async fn store(
        &self,
        server: &str,
        username: Option<&str>,
        secret: &Secret,
    ) -> Result<(), CredentialsError> {
        let action = HelperAction::Store;
        let kept = Kept { server, username: username.unwrap_or(TOKEN_USER), secret: secret.expose() };
        // Text is always JSON; a failure here would be one of memory.
        let input = serde_json::to_vec(&kept).map_err(|error| self.io(action, error.into()))?;
        let output = self.call(action, server, &input).await?;
        if output.status.success() { Ok(()) } else { Err(self.failed(action, server, &output, Some(secret))) }
    }

    /// Makes the helper forget a server; that it knew nothing is fine.
    pub(super) async fn erase(&self, server: &str) -> Result<(), CredentialsError> {
        let output = self.call(HelperAction::Erase, server, server.as_bytes()).await?;
        if output.status.success() || says_not_found(&output) {
            return Ok(());
        }
        Err(self.failed(HelperAction::Erase, server, &output, None))
    }

    async fn call(
        &self,
        action: HelperAction,
        server: &str,
        input: &[u8],
    ) -> Result<Output, CredentialsError> {
        let mut command = Command::new(&self.file);
        command.arg(action.as_str());
        // The helper's own tools are looked for where the helper was.
        if let Some(path) = self.search_path {
            command.env("PATH", path);
        }
        program::run(command, input, self.limit).await.map_err(|failure| match failure {
            Failure::Io(source) => self.io(action, source),
            Failure::TooMuch => self.wrong(action, server, "a short answer", "one without an end"),
            Failure::TimedOut => CredentialsError::HelperTimedOut {
                program: self.program.clone(),
                action,
                server: server.to_owned(),
                limit: self.limit,
            },
        })
    }

    fn answer(&self, server: &str, stdout: &[u8]) -> Result<Option<Credentials>, CredentialsError> {
        let wrong = |expected, found| self.wrong(HelperAction::Get, server, expected, found);
        // serde's message would quote the answer.
        let answer: Answer = serde_json::from_slice(stdout)
            .map_err(|_| wrong("a JSON object with the texts `Username` and `Secret`", "something else"))?;
        let Answer { username, secret } = answer;
        if username.is_empty() && secret.is_empty() {
            return Ok(None);
        }
        if username == TOKEN_USER {
            check_token(&secret).map_err(|found| wrong("a token of visible ASCII characters", found))?;
            return Ok(Some(Credentials::IdentityToken(Secret::new(secret))));
        }
        check_username(&username).map_err(|found| wrong("a user name without `:`", found))?;
        Ok(Some(Credentials::Basic { username, password: Secret::new(secret) }))
    }

    fn wrong(
        &self,
        action: HelperAction,
        server: &str,
        expected: &'static str,
        found: &'static str,
    ) -> CredentialsError {
        let (program, server) = (self.program.clone(), server.to_owned());
        CredentialsError::HelperAnswer { program, action, server, expected, found }
    }

    fn io(&self, action: HelperAction, source: std::io::Error) -> CredentialsError {
        CredentialsError::HelperIo { program: self.program.clone(), action, source }
    }

    fn failed(
        &self,
        action: HelperAction,
        server: &str,
        output: &Output,
        secret: Option<&Secret>,
    ) -> CredentialsError {
        CredentialsError::HelperFailed {
            program: self.program.clone(),
            action,
            server: server.to_owned(),
            status: output.status.to_string(),
            message: message(output, secret),
        }
    }
}

/// Helpers tell their failures on standard output, some on standard error.
fn says_not_found(output: &Output) -> bool {
    [&output.stdout, &output.stderr]
        .into_iter()
        .any(|bytes| String::from_utf8_lossy(bytes).to_ascii_lowercase().contains(NOT_FOUND))
}

/// The first line that can be shown. What looks like an answer cannot, nor can a text with the secret in it.
fn message(output: &Output, secret: Option<&Secret>) -> String {
    for bytes in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(bytes);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let is_secret = secret.is_some_and(|secret| holds(&text, secret.expose()));
        if !line.is_empty() && !is_secret && !text.contains('{') {
            return line.chars().filter(|character| !character.is_control()).take(MESSAGE_SHOWN).collect();
        }
    }
    "it gave no message that can be shown".to_owned()
}

/// Whether `text` has the secret in it, plain or as JSON escapes it.
fn holds(text: &str, secret: &str) -> bool {
    let quoted = serde_json::to_string(secret).unwrap_or_default();
    let escaped = quoted.trim_matches('"');
    text.contains(secret) || escaped.is_empty() || text.contains(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["pass", "ecr-login", "desktop.exe", "osxkeychain", "a_b"] {
            assert!(is_valid_name(good), "{good}");
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        for bad in ["", "../pass", "a/b", "a b", "a\0", "a\n", "ä", &long] {
            assert!(!is_valid_name(bad), "{bad}");
        }
    }
}
