//! Where packages are kept: `--store`, and what the environment says.

use std::path::PathBuf;
use std::str::FromStr;

use port_containerd::Address;
use port_ops::packages::{ContainerdPlace, PackageStore};

use crate::args::Global;
use crate::commands::workspace;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;
use crate::{env_vars, host};

/// Port's store where no configuration says another place.
const STORE: &str = ".port/store";
/// Where containerd listens where nobody says another place.
const SOCKET: &str = "/run/containerd/containerd.sock";
/// The namespace that kraft and `ctr` use where nobody says another (acceptance K-9, Ku-1).
const NAMESPACE: &str = "default";

/// A place for packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// kraft's own directory, `oci` below its runtime directory.
    Kraftkit,
    /// The store that artifacts are in.
    Port,
    /// containerd, at an address or where the environment says.
    Containerd(Option<Address>),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "kraftkit" => return Ok(Self::Kraftkit),
            "port" => return Ok(Self::Port),
            "containerd" => return Ok(Self::Containerd(None)),
            _ => {}
        }
        let address = text
            .strip_prefix("containerd:")
            .ok_or("expected `kraftkit`, `port`, `containerd` or `containerd:ADDRESS`")?;
        address.parse().map(|address| Self::Containerd(Some(address))).map_err(|error| format!("{error}"))
    }
}

impl Place {
    /// The place of those who name none: containerd where kraft is told to use it (acceptance K-8), else kraft's directory.
    pub(super) fn of_kraft() -> Self {
        match env_vars::get(env_vars::KRAFTKIT_CONTAINERD_ADDR) {
            Some(_) => Self::Containerd(None),
            None => Self::Kraftkit,
        }
    }

    pub(super) fn open(&self, global: &Global, ui: Ui) -> Result<PackageStore, CommandError> {
        Ok(match self {
            Self::Kraftkit => PackageStore::kraft(&runtime_directory()?),
            Self::Port => PackageStore::port(&store_root(global, ui)?)?,
            Self::Containerd(address) => PackageStore::containerd(&containerd(address.as_ref())?)?,
        })
    }
}

fn runtime_directory() -> Result<PathBuf, CommandError> {
    env_vars::kraftkit_runtime_directory().ok_or_else(|| {
        let message = "there is no place for packages: neither `KRAFTKIT_RUNTIME_DIR` nor `HOME` is set";
        CommandError::new(Exit::Usage, message).hint("use Port's store with `--store port`")
    })
}

/// The store of the configuration, if there is one.
fn store_root(global: &Global, ui: Ui) -> Result<PathBuf, CommandError> {
    if port_content::fs::exists(&global.config) {
        return Ok(workspace(global, ui)?.project.store_root);
    }
    Ok(PathBuf::from(STORE))
}

fn containerd(address: Option<&Address>) -> Result<ContainerdPlace, CommandError> {
    let address = match address {
        Some(address) => address.clone(),
        None => address_of_environment()?,
    };
    let scratch = env_vars::cache_directory().ok_or_else(|| {
        let message = "there is no place for copies of what containerd has: neither `XDG_CACHE_HOME` nor `HOME` is an absolute path";
        CommandError::new(Exit::Usage, message)
    })?;
    let namespace = env_vars::get(env_vars::CONTAINERD_NAMESPACE).unwrap_or_else(|| NAMESPACE.to_owned());
    Ok(ContainerdPlace { address, namespace, scratch: scratch.join("containerd"), now: host::now() })
}

/// kraft's variable, else the one of containerd's own clients, else where containerd listens.
fn address_of_environment() -> Result<Address, CommandError> {
    for name in [env_vars::KRAFTKIT_CONTAINERD_ADDR, env_vars::CONTAINERD_ADDRESS] {
        if let Some(text) = env_vars::get(name) {
            return text
                .parse()
                .map_err(|error| CommandError::new(Exit::Usage, format!("`{name}`: {error}")));
        }
    }
    SOCKET.parse().map_err(|error| CommandError::new(Exit::Bug, format!("{error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_8_a_place_is_named_in_words() {
        let address: Address = "/run/c.sock".parse().unwrap();
        for (text, place) in [
            ("kraftkit", Place::Kraftkit),
            ("port", Place::Port),
            ("containerd", Place::Containerd(None)),
            ("containerd:/run/c.sock", Place::Containerd(Some(address.clone()))),
            ("containerd:unix:///run/c.sock", Place::Containerd(Some(address))),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for bad in ["", "docker", "containerd:", "containerd:c.sock", "containerd:tcp://127.0.0.1:1"] {
            let error = bad.parse::<Place>().unwrap_err();
            assert!(error.contains("expected"), "{bad}: {error}");
        }
    }
}
