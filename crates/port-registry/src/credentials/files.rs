//! The credentials that docker, podman and skopeo have stored, as a source for the client.
//!
//! Invariant: a source that is configured for a registry and fails is an error, never an anonymous request
//! whose refusal then misleads. The one exception is in [`CredentialFiles::look_up`], and it is reported.

use std::fmt;
use std::path::{Path, PathBuf};

use super::document::Object;
use super::error::CredentialsError;
use super::file::{AuthFile, Candidate, Configured, candidates};
use super::helper::Helper;
use super::key::{self, Place};
use super::paths::CredentialPaths;
use crate::credential::{CredentialError, CredentialSource, Credentials};
use crate::name::{RegistryHost, RepositoryName};

/// What an inline text is called in messages: the variable that it usually comes from.
const INLINE: &str = "DOCKER_AUTH_CONFIG";

/// Credentials from files and helpers. Files are read anew for every question, so that a login counts at once.
#[derive(Debug, Clone)]
pub struct CredentialFiles {
    paths: CredentialPaths,
}

/// Credentials and where they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub credentials: Credentials,
    /// Where.
    pub origin: Origin,
}

/// Where credentials were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In an entry of `auths`.
    Entry {
        /// Of which file.
        path: PathBuf,
        /// Under which key.
        key: String,
    },
    /// With a helper.
    Helper {
        /// Which file asks for it.
        path: PathBuf,
        /// The name of the program.
        program: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { path, key } => write!(f, "`{}` of `{}`", key::shown(key), path.display()),
            Self::Helper { path, program } => write!(f, "`{program}`, configured in `{}`", path.display()),
        }
    }
}

/// What a search gave.
#[derive(Debug, Default)]
pub struct Lookup {
    /// The first credentials in the order of precedence.
    pub found: Option<Found>,
    /// What was passed over and may explain a refusal: absent programs of `credsStore`.
    pub passed_over: Vec<CredentialsError>,
}

impl CredentialFiles {
    /// A source that looks at these paths.
    pub fn new(paths: CredentialPaths) -> Self {
        Self { paths }
    }

    /// Looks for the credentials of a registry, or of one of its repositories.
    ///
    /// The first of the inline text and the files, in the order of [`CredentialPaths`], that has some wins.
    /// Within one of them:
    /// 1. entries of `auths` for a path of the registry, longest path first;
    /// 2. the helper: that of `credHelpers` for this registry, else that of `credsStore`;
    /// 3. entries of `auths` for the whole registry: the key as asked for, then docker's old key of Docker Hub,
    ///    then keys without a scheme, then in the order of bytes.
    ///
    /// An entry without credentials is passed over. A program of `credsStore` that is not installed is passed
    /// over where `auths` has credentials for the registry, or no entry, which docker's login would have left.
    ///
    /// # Errors
    /// [`CredentialsError`] where what comes first is broken. Files and entries behind it are not looked at.
    pub async fn look_up(
        &self,
        registry: &RegistryHost,
        repository: Option<&RepositoryName>,
    ) -> Result<Lookup, CredentialsError> {
        let mut lookup = Lookup::default();
        if let Some(text) = &self.paths.inline {
            let mut file = AuthFile::parse(Path::new(INLINE), text.expose())?;
            // Docker takes only `auths` from the variable.
            file.document.remove("credHelpers");
            file.document.remove("credsStore");
            self.ask_file(&file, registry, repository, &mut lookup).await?;
        }
        for path in self.paths.files() {
            if lookup.found.is_some() {
                break;
            }
            if let Some(file) = AuthFile::load(path)? {
                self.ask_file(&file, registry, repository, &mut lookup).await?;
            }
        }
        Ok(lookup)
    }

    async fn ask_file(
        &self,
        file: &AuthFile,
        registry: &RegistryHost,
        repository: Option<&RepositoryName>,
        lookup: &mut Lookup,
    ) -> Result<(), CredentialsError> {
        let auths = file.section("auths")?.unwrap_or_default();
        let (paths, whole) = split(&auths, registry, repository);
        lookup.found = first(file, &paths)?;
        if lookup.found.is_some() {
            return Ok(());
        }
        let missing = match file.helper(registry)? {
            Some(configured) => self.ask_helper(file, &configured, registry, lookup).await?,
            None => None,
        };
        if lookup.found.is_none() {
            lookup.found = first(file, &whole)?;
        }
        match missing {
            Some(error) if lookup.found.is_none() && !whole.is_empty() => Err(error),
            Some(error) => {
                lookup.passed_over.push(error);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Asks the helper; gives back the error of an absent program of `credsStore`, which may not matter.
    async fn ask_helper(
        &self,
        file: &AuthFile,
        configured: &Configured,
        registry: &RegistryHost,
        lookup: &mut Lookup,
    ) -> Result<Option<CredentialsError>, CredentialsError> {
        let search_path = self.paths.helper_path.as_deref();
        let helper = match Helper::find(configured, &file.path, search_path, self.paths.helper_timeout) {
            Err(error) if configured.is_store => return Ok(Some(error)),
            helper => helper?,
        };
        lookup.found = helper.get(&key::server_names(registry)).await?.map(|credentials| Found {
            credentials,
            origin: Origin::Helper { path: file.path.clone(), program: helper.program.clone() },
        });
        Ok(None)
    }
}

/// The entries for a path of the registry, and those for all of it.
fn split<'a>(
    auths: &'a Object,
    registry: &RegistryHost,
    repository: Option<&RepositoryName>,
) -> (Vec<Candidate<'a>>, Vec<Candidate<'a>>) {
    let asked = Place::of_registry(registry, repository);
    candidates(auths, registry, &asked).into_iter().partition(|candidate| !candidate.place.path.is_empty())
}

fn first(file: &AuthFile, candidates: &[Candidate<'_>]) -> Result<Option<Found>, CredentialsError> {
    for candidate in candidates {
        if let Some(credentials) = file.credentials(candidate)? {
            let origin = Origin::Entry { path: file.path.clone(), key: candidate.key.clone() };
            return Ok(Some(Found { credentials, origin }));
        }
    }
    Ok(None)
}

#[async_trait::async_trait]
impl CredentialSource for CredentialFiles {
    async fn credentials(
        &self,
        registry: &RegistryHost,
        repository: &RepositoryName,
    ) -> Result<Option<Credentials>, CredentialError> {
        let lookup = self.look_up(registry, Some(repository)).await.map_err(|error| error.about(registry))?;
        Ok(lookup.found.map(|found| found.credentials))
    }
}
