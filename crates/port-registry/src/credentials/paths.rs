//! Which files are read, in which order, and which helpers can be found.
//!
//! Pure: the caller reads the environment and passes the values. No file is opened here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::credential::Secret;

/// A helper may ask its user for a passphrase, so it gets a human's time.
const HELPER_TIMEOUT: Duration = Duration::from_secs(60);

/// The values of the environment variables that say where credentials are; `None` where one is not set.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `DOCKER_CONFIG`: the directory of docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// `DOCKER_AUTH_CONFIG`: the text of a `config.json`, of which `auths` is read.
    pub docker_auth_config: Option<Secret>,
    /// `REGISTRY_AUTH_FILE`: podman's and skopeo's `auth.json`.
    pub registry_auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// `PATH`, where helpers are looked for.
    pub path: Option<OsString>,
    /// The number of the user, for `/run/containers/NUMBER/auth.json` where there is no runtime directory.
    pub user_id: Option<u32>,
}

/// Where credentials are looked for, first to last: `inline`, `explicit`, `docker_config`, `podman_auth`.
#[derive(Debug, Clone)]
pub struct CredentialPaths {
    /// The text of a docker `config.json`, of which only `auths` is read.
    pub inline: Option<Secret>,
    /// Files that the user named, of either kind.
    pub explicit: Vec<PathBuf>,
    /// Docker's `config.json`; the first is the one that a login writes by default.
    pub docker_config: Vec<PathBuf>,
    /// The `auth.json` files of podman and skopeo.
    pub podman_auth: Vec<PathBuf>,
    /// The value of `PATH`, where `docker-credential-NAME` programs are looked for.
    pub helper_path: Option<OsString>,
    /// How long a helper may take.
    pub helper_timeout: Duration,
}

impl Default for CredentialPaths {
    fn default() -> Self {
        Self {
            inline: None,
            explicit: Vec::new(),
            docker_config: Vec::new(),
            podman_auth: Vec::new(),
            helper_path: None,
            helper_timeout: HELPER_TIMEOUT,
        }
    }
}

impl CredentialPaths {
    /// The places that docker, podman and skopeo use when these variables are set. A variable that names a file
    /// takes the place of the usual ones of its program, as it does there. Empty values count as unset.
    pub fn from_variables(variables: &Variables) -> Self {
        let home = present(variables.home.as_deref());
        let docker_directory = present(variables.docker_config.as_deref())
            .map(Path::to_owned)
            .or_else(|| home.map(|home| home.join(".docker")));
        let explicit = present(variables.registry_auth_file.as_deref());
        Self {
            inline: variables.docker_auth_config.clone().filter(|text| !text.is_empty()),
            explicit: explicit.map(Path::to_owned).into_iter().collect(),
            docker_config: docker_directory
                .map(|directory| directory.join("config.json"))
                .into_iter()
                .collect(),
            podman_auth: if explicit.is_some() { Vec::new() } else { podman_files(variables, home) },
            helper_path: variables.path.clone(),
            helper_timeout: HELPER_TIMEOUT,
        }
    }

    /// All files in the order of precedence.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.explicit.iter().chain(&self.docker_config).chain(&self.podman_auth).map(PathBuf::as_path)
    }
}

fn podman_files(variables: &Variables, home: Option<&Path>) -> Vec<PathBuf> {
    // The base directory specification wants relative values ignored.
    let absolute = |path: &Option<PathBuf>| path.clone().filter(|path| path.is_absolute());
    let runtime = absolute(&variables.xdg_runtime_dir)
        .map(|directory| directory.join("containers"))
        .or_else(|| variables.user_id.map(|number| Path::new("/run/containers").join(number.to_string())));
    let configuration =
        absolute(&variables.xdg_config_home).or_else(|| home.map(|home| home.join(".config")));
    let configuration = configuration.map(|directory| directory.join("containers"));
    runtime.into_iter().chain(configuration).map(|directory| directory.join("auth.json")).collect()
}

fn present(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// Whose names a login writes: docker and podman call Docker Hub differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileStyle {
    /// Docker's `config.json`.
    #[default]
    Docker,
    /// Podman's `auth.json`.
    Podman,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(variables: &Variables) -> Vec<String> {
        let paths = CredentialPaths::from_variables(variables);
        paths.files().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn the_files_of_each_set_of_variables() {
        let path = |text: &str| Some(PathBuf::from(text));
        let home = Variables { home: path("/h"), ..Variables::default() };
        assert_eq!(files(&Variables::default()), Vec::<String>::new());
        assert_eq!(files(&home), ["/h/.docker/config.json", "/h/.config/containers/auth.json"]);
        let all = Variables {
            docker_config: path("/d"),
            xdg_runtime_dir: path("/r"),
            xdg_config_home: path("/c"),
            ..home.clone()
        };
        assert_eq!(files(&all), ["/d/config.json", "/r/containers/auth.json", "/c/containers/auth.json"]);
        let explicit = Variables { registry_auth_file: path("/a.json"), ..all };
        assert_eq!(files(&explicit), ["/a.json", "/d/config.json"]);
        let odd = Variables {
            docker_config: path(""),
            xdg_runtime_dir: path("relative"),
            user_id: Some(7),
            ..home
        };
        let expected =
            ["/h/.docker/config.json", "/run/containers/7/auth.json", "/h/.config/containers/auth.json"];
        assert_eq!(files(&odd), expected);
    }
}
