//! `login` and `logout`: one entry of a credential file, or one secret of a helper, changed.
//!
//! ```text
//! login:  lock .NAME.lock ─► read ─► helper store, where one is configured ─► change one entry ─► replace
//! logout: lock .NAME.lock ─► read ─► remove entries ─► replace ─► helper erase
//! ```
//!
//! CRASH: a kill between the helper and the file leaves the one changed and the other not: a helper comes first
//! in every look-up, so a login counts already, and a logout is finished by the next one. Invariant: every other member of the file keeps its bytes, and a secret
//! never falls into the file where a helper is configured.

use std::path::PathBuf;
use std::time::Duration;

use port_content::fs;

use super::document::Object;
use super::entry::{self, check_token, check_username};
use super::error::CredentialsError;
use super::file::AuthFile;
use super::helper::Helper;
use super::key::{self, HUB_KEY, Place};
use super::locked_file::LockedFile;
use super::paths::FileStyle;
use crate::credential::{Credentials, Secret};
use crate::name::{RegistryHost, RepositoryName};

/// Which file a login or logout changes, and how its helper is found.
#[derive(Debug, Clone)]
pub struct LoginTarget {
    /// The file; it is created where it is absent.
    pub file: PathBuf,
    /// Whose names are written into it.
    pub style: FileStyle,
    /// The value of `PATH`.
    pub helper_path: Option<std::ffi::OsString>,
    /// How long a helper may take.
    pub helper_timeout: Duration,
}

/// Where a login left the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// In the file itself, readable for its owner alone, not encrypted.
    File {
        /// Which file.
        path: PathBuf,
        /// Under which key.
        key: String,
    },
    /// With the helper that the file configures.
    Helper {
        /// The name of the program.
        program: String,
    },
}

/// What a logout did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The keys whose entries were removed from the file.
    pub keys: Vec<String>,
    /// The helper that was told to forget the registry.
    pub helper: Option<String>,
    /// Keys for paths of the same registry that are still there.
    pub remaining: Vec<String>,
}

/// The password in what `--password-stdin` read: without the line end that `echo` adds.
pub fn password_from_input(text: &str) -> Secret {
    let text = text.strip_suffix('\n').unwrap_or(text);
    Secret::new(text.strip_suffix('\r').unwrap_or(text))
}

/// Stores credentials for a registry, or for one path in it (which docker itself does not tell apart).
///
/// # Errors
/// [`CredentialsError`] where the file or its helper cannot be used, or these credentials not stored.
pub async fn login(
    target: &LoginTarget,
    registry: &RegistryHost,
    path: Option<&RepositoryName>,
    credentials: &Credentials,
) -> Result<Stored, CredentialsError> {
    check(registry, credentials)?;
    let opened = LockedFile::open(&target.file).await?;
    let mut file = opened.load()?;
    let key = key_to_write(target.style, registry, path);
    let helper = find_helper(target, &file, registry)?;
    if let Some(helper) = &helper {
        let (username, secret) = for_helper(registry, path, credentials)?;
        helper.store(&key, username, secret).await?;
    }
    let mut auths = file.section("auths")?.unwrap_or_default();
    let inline = if helper.is_some() { None } else { Some(credentials) };
    let entry = entry::write(auths.get(&key), inline).map_err(|error| opened.error(error.into()))?;
    // Other keys of the same place would answer in its stead.
    for other in keys_of(&auths, &Place::of_registry(registry, path)) {
        if other != key {
            auths.remove(&other);
        }
    }
    auths.set(&key, entry);
    opened.save(&mut file, &auths)?;
    Ok(match helper {
        Some(helper) => Stored::Helper { program: helper.program },
        None => Stored::File { path: target.file.clone(), key },
    })
}

/// Removes the credentials of a registry, or of one path in it, under all keys that mean the same.
///
/// # Errors
/// [`CredentialsError`] where the file or its helper cannot be used.
pub async fn logout(
    target: &LoginTarget,
    registry: &RegistryHost,
    path: Option<&RepositoryName>,
) -> Result<Removed, CredentialsError> {
    if fs::try_metadata(&target.file).is_ok_and(|metadata| metadata.is_none()) {
        return Ok(Removed::default());
    }
    let opened = LockedFile::open(&target.file).await?;
    let mut file = opened.load()?;
    let mut removed = Removed::default();
    let mut auths = file.section("auths")?.unwrap_or_default();
    let place = Place::of_registry(registry, path);
    removed.keys = keys_of(&auths, &place);
    for key in &removed.keys {
        auths.remove(key);
    }
    removed.remaining = keys_below(&auths, &place);
    if !removed.keys.is_empty() {
        opened.save(&mut file, &auths)?;
    }
    // Last, so that a helper that fails keeps no secret in the file; logging out again asks it again.
    if path.is_none()
        && let Some(helper) = find_helper(target, &file, registry)?
    {
        for server in key::server_names(registry) {
            helper.erase(&server).await?;
        }
        removed.helper = Some(helper.program);
    }
    Ok(removed)
}

fn find_helper<'a>(
    target: &'a LoginTarget,
    file: &AuthFile,
    registry: &RegistryHost,
) -> Result<Option<Helper<'a>>, CredentialsError> {
    let Some(configured) = file.helper(registry)? else { return Ok(None) };
    let search_path = target.helper_path.as_deref();
    Helper::find(&configured, &file.path, search_path, target.helper_timeout).map(Some)
}

/// What could not be read back is not written.
fn check(registry: &RegistryHost, credentials: &Credentials) -> Result<(), CredentialsError> {
    let (expected, result) = match credentials {
        Credentials::Basic { username, password } => {
            ("a user name without `:` and a password", check_username(username).and(check_password(password)))
        }
        Credentials::IdentityToken(token) | Credentials::Bearer(token) => {
            ("a token of visible ASCII characters", check_token(token.expose()))
        }
    };
    result.map_err(|found| not_storable(registry, expected, found.to_owned()))
}

/// Readers take zero bytes at the end for padding.
fn check_password(password: &Secret) -> Result<(), &'static str> {
    match password.expose() {
        "" => Err("an empty password"),
        text if text.contains('\0') => Err("a password with a zero byte"),
        _ => Ok(()),
    }
}

/// What a helper keeps: a user name, none for an identity token, and the secret.
fn for_helper<'a>(
    registry: &RegistryHost,
    path: Option<&RepositoryName>,
    credentials: &'a Credentials,
) -> Result<(Option<&'a str>, &'a Secret), CredentialsError> {
    if let Some(path) = path {
        let found = format!("the path `{path}`, and a file that configures a helper");
        return Err(not_storable(registry, "a whole registry for a helper", found));
    }
    match credentials {
        Credentials::Basic { username, password } => Ok((Some(username), password)),
        Credentials::IdentityToken(token) => Ok((None, token)),
        Credentials::Bearer(_) => {
            let expected = "a password or identity token for a helper";
            Err(not_storable(registry, expected, "an access token".to_owned()))
        }
    }
}

fn not_storable(registry: &RegistryHost, expected: &'static str, found: String) -> CredentialsError {
    CredentialsError::NotStorable { registry: registry.to_string(), expected, found }
}

/// The key that the program of this style would write.
fn key_to_write(style: FileStyle, registry: &RegistryHost, path: Option<&RepositoryName>) -> String {
    let host = Place::of_registry(registry, None).host;
    match path {
        Some(path) => format!("{host}/{path}"),
        None if style == FileStyle::Docker && registry.is_docker_hub() => HUB_KEY.to_owned(),
        None => host,
    }
}

fn keys_of(auths: &Object, place: &Place) -> Vec<String> {
    keys_where(auths, |of_key| of_key == place)
}

fn keys_below(auths: &Object, place: &Place) -> Vec<String> {
    keys_where(auths, |of_key| place.covers(of_key))
}

/// The keys that speak of a wanted place, sorted, each once.
fn keys_where(auths: &Object, is_wanted: impl Fn(&Place) -> bool) -> Vec<String> {
    let wanted = auths.iter().filter(|(key, _)| is_wanted(&Place::of_key(key)));
    let mut keys: Vec<String> = wanted.map(|(key, _)| key.to_owned()).collect();
    keys.sort();
    keys.dedup();
    keys
}
