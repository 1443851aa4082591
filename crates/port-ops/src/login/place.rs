//! Which registry, which namespace of it, and how it is reached. Values only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use port_config::Project;
use port_model::{Architecture, ReferenceError};
use port_registry::{HostOptions, Options, RegistryHost, RepositoryName, Transport};
use serde::{Serialize, Serializer};

use crate::error::OpsError;

/// How registries are reached by commands that need no project.
#[derive(Debug, Clone, Default)]
pub struct RegistryAccess {
    /// In the clear.
    pub plain_http: bool,
    /// A PEM file of authorities that are trusted besides the system's.
    pub certificate_authority: Option<PathBuf>,
    /// Where unfinished uploads are remembered; without it, nothing is.
    pub state_directory: Option<PathBuf>,
    /// By registry: hosts of token services elsewhere that may see its credentials.
    pub trusted_realms: BTreeMap<String, Vec<String>>,
}

impl RegistryAccess {
    /// Takes over what the configuration says of registries wherever they are named.
    ///
    /// # Errors
    /// The file cannot be read, or is none.
    pub fn read_settings(&mut self, path: &Path, host: Architecture) -> Result<(), OpsError> {
        let text = port_content::fs::read_to_string(path, port_content::limit::CONFIGURATION)
            .map_err(OpsError::ProjectFile)?;
        let project = Project::parse(&path.display().to_string(), &text, host)?;
        let realms = project.registries.into_iter().map(|(host, settings)| (host, settings.trusted_realms));
        self.trusted_realms.extend(realms);
        Ok(())
    }

    /// How these registries are reached, and no others: plain HTTP is asked for where the registry is named.
    pub(crate) fn options<'a>(&self, registries: impl IntoIterator<Item = &'a RegistryHost>) -> Options {
        let transport = if self.plain_http { Transport::PlainHttp } else { Transport::Https };
        let certificate_authority = self.certificate_authority.clone();
        let host = HostOptions { transport, certificate_authority, ..HostOptions::default() };
        let registries = registries.into_iter().map(|registry| {
            let trusted_realms = self.trusted_realms.get(registry.as_str()).cloned().unwrap_or_default();
            (registry.clone(), HostOptions { trusted_realms, ..host.clone() })
        });
        Options {
            registries: registries.collect(),
            state_directory: self.state_directory.clone(),
            ..Options::default()
        }
    }
}

/// What credentials are for: a registry, or one namespace of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginPlace {
    /// The registry.
    pub registry: RegistryHost,
    /// The namespace, a path of the registry.
    pub namespace: Option<RepositoryName>,
}

impl FromStr for LoginPlace {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (registry, namespace) = match text.split_once('/') {
            Some((registry, namespace)) => (registry, Some(namespace.parse()?)),
            None => (text, None),
        };
        Ok(Self { registry: registry.parse()?, namespace })
    }
}

impl std::fmt::Display for LoginPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}", self.registry),
            None => self.registry.fmt(f),
        }
    }
}

impl Serialize for LoginPlace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_registry_and_perhaps_a_namespace() {
        let place: LoginPlace = "GHCR.io/team/a".parse().unwrap();
        assert_eq!((place.registry.as_str(), place.to_string()), ("ghcr.io", "ghcr.io/team/a".to_owned()));
        assert_eq!("localhost:5000".parse::<LoginPlace>().unwrap().namespace, None);
        for bad in ["", "/team", "ghcr.io/", "https://ghcr.io", "user@ghcr.io", "ghcr.io/Team"] {
            assert!(bad.parse::<LoginPlace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn token_services_are_trusted_for_their_own_registry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("port.toml");
        let text = r#"
[artifacts.kernels.k]
reference = { registry = "a.example", repository = "k", version = "v1" }
[[artifacts.kernels.k.variants]]
path = "k"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }

[registries."a.example"]
trusted_realms = ["tokens.lan"]
"#;
        port_content::atomic::write(&path, text.as_bytes()).unwrap();
        let mut access = RegistryAccess::default();
        access.read_settings(&path, Architecture::X86_64).unwrap();
        let registries: [RegistryHost; 2] = ["a.example".parse().unwrap(), "b.example".parse().unwrap()];
        let options = access.options(&registries);
        assert_eq!(options.of(&registries[0]).trusted_realms, ["tokens.lan"]);
        assert!(options.of(&registries[1]).trusted_realms.is_empty());
    }
}
