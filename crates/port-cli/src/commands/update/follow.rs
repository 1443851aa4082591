//! What a machine follows, and whose releases it takes: by the command line, then the file, then defaults (acceptance Ou-3).
//!
//! Invariant: whatever is wrong here is a usage error, before anything is asked or touched (acceptance Ou-23).

use std::path::{Path, PathBuf};

use clap::Args;
use port_ops::OpsError;
use port_ops::trust::Policies;
use port_ops::update::agent::{Followed, Origin, Profile, Trust};
use port_ops::update::{Publisher, RepositoryPlace};
use port_update::config::{Config, Unsigned};
use port_update::gates::Force;
use port_update::window::Window;
use port_update::{Version, backoff};

use super::agent::usage;
use crate::args::{Global, RegistryFlags};
use crate::commands::access;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::{env_vars, host, progress};

/// The channel where nobody says one (acceptance Ou-22).
const CHANNEL: &str = "stable";
/// What tells this machine from others.
const MACHINE_ID: &str = "/etc/machine-id";

/// What is followed.
#[derive(Debug, Args)]
pub struct FollowFlags {
    /// The repository of the releases. Of a medium, the one that they were signed for.
    #[arg(long, value_name = "HOST/PATH", conflicts_with = "server")]
    registry: Option<RepositoryPlace>,
    /// What is followed there [default: the channel]
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// The address of a web server with KubeSolo's `latest.json`; or a repository, as `oci://HOST/PATH` or `HOST/PATH`.
    #[arg(long, value_name = "URL", conflicts_with = "media")]
    server: Option<String>,
    /// An OCI image layout, a directory or a tar archive, in place of the registry.
    #[arg(long, value_name = "PATH")]
    media: Option<PathBuf>,
    /// The channel that this machine follows [default: stable]
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// What runs now, where the slots do not say it.
    #[arg(long, value_name = "VERSION")]
    current_version: Option<Version>,
    /// Take what this key signed, and nothing else.
    #[arg(long, value_name = "FILE", conflicts_with = "allow_unsigned")]
    pubkey: Option<PathBuf>,
    /// When this machine may be disturbed, in UTC: `HH:MM-HH:MM`.
    #[arg(long, value_name = "WINDOW")]
    maintenance_window: Option<Window>,
    /// Take what nobody signed: whoever can write to the place can install anything here.
    #[arg(long)]
    allow_unsigned: bool,
    /// Wait for no window, wave, inhibitor or back-off. What is refused stays refused.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub access: RegistryFlags,
}

/// Where releases are, before it is known how a registry is reached.
enum Place {
    Registry(RepositoryPlace),
    Media(PathBuf, Option<RepositoryPlace>),
    Server(String),
}

impl FollowFlags {
    /// Whether windows, waves and the like are waited for.
    pub fn force(&self) -> Force {
        if self.force { Force::Skip } else { Force::No }
    }

    /// What is followed.
    pub fn followed(&self, config: &Config, global: &Global, ui: Ui) -> Result<Followed, CommandError> {
        let channel = self.channel(config);
        let (place, tag) = self.place(config)?;
        let trust = self.trust(config)?;
        let reporter = progress::reporter(ui, global.progress);
        let tag = tag.unwrap_or(channel);
        let origin = match place {
            Place::Registry(place) => {
                let environment = env_vars::environment(host::architecture()?);
                let access = access(&self.access, global, ui)?;
                let credential_paths = environment.credential_paths;
                let registry = Box::new(Publisher { access, credential_paths, reporter });
                Origin::Registry { registry, place, tag }
            }
            Place::Media(path, place) => {
                if place.is_none() && matches!(trust, Trust::Policies(_)) {
                    let message = "nobody says which repository the medium's releases were signed for";
                    return Err(usage(message.to_owned()).hint("say `--registry HOST/PATH` beside `--media`"));
                }
                Origin::Media { path, place, tag }
            }
            Place::Server(url) => Origin::Server { url, reporter },
        };
        Ok(Followed { origin, trust })
    }

    /// Which machine this is.
    pub fn profile(&self, config: &Config) -> Result<Profile, CommandError> {
        let seed = port_content::fs::read_to_string(Path::new(MACHINE_ID), 256);
        Ok(Profile {
            name: config.name.clone().unwrap_or_default(),
            channel: self.channel(config),
            architecture: host::architecture()?,
            variant: config.variant.clone().unwrap_or_default(),
            current: self.current_version.clone(),
            seed: seed.unwrap_or_else(|_| host::name()),
            window: self.maintenance_window.unwrap_or(config.maintenance_window),
            inhibit_directory: config.inhibit_directory.clone(),
            backoff_seconds: config.backoff_seconds.unwrap_or(backoff::FIRST),
        })
    }

    fn channel(&self, config: &Config) -> String {
        let channel = self.channel.clone().or_else(|| config.channel.clone());
        channel.unwrap_or_else(|| CHANNEL.to_owned())
    }

    /// Where releases are: the command line's place replaces all that the file says of it (acceptance Ou-23, C-41).
    fn place(&self, config: &Config) -> Result<(Place, Option<String>), CommandError> {
        let tag = self.tag.clone();
        let known = |said: &Option<String>| said.as_deref().map(repository).transpose();
        if let Some(path) = &self.media {
            let place = match &self.registry {
                Some(place) => Some(place.clone()),
                None => known(&config.registry)?,
            };
            return Ok((Place::Media(path.clone(), place), tag.or_else(|| config.tag.clone())));
        }
        if let Some(place) = &self.registry {
            return Ok((Place::Registry(place.clone()), tag));
        }
        if let Some(text) = &self.server {
            return Ok((server(text)?, tag));
        }
        let tag = tag.or_else(|| config.tag.clone());
        let place = match (&config.media, &config.registry, &config.server) {
            (Some(path), registry, _) => Place::Media(path.clone(), known(registry)?),
            (None, Some(registry), _) => Place::Registry(repository(registry)?),
            (None, None, Some(text)) => server(text)?,
            (None, None, None) => {
                return Err(usage("nobody says where releases are".to_owned()).hint(
                    "say `--registry HOST/PATH`, or `registry = HOST/PATH` in the update configuration",
                ));
            }
        };
        Ok((place, tag))
    }

    /// Whose releases are taken. Keys and "anybody" are never both.
    fn trust(&self, config: &Config) -> Result<Trust, CommandError> {
        if self.allow_unsigned {
            return Ok(Trust::Anybody);
        }
        if let Some(key) = &self.pubkey {
            return Ok(Trust::Key(key.clone()));
        }
        let unsigned = config.unsigned == Unsigned::Allowed;
        match (&config.pubkey, &config.trust_policy, unsigned) {
            (None, None, true) => Ok(Trust::Anybody),
            (_, _, true) | (Some(_), Some(_), _) => Err(usage(
                "`pubkey`, `trust_policy` and `unsigned = allowed`: expected one of them in the update configuration"
                    .to_owned(),
            )),
            (Some(key), None, false) => Ok(Trust::Key(key.clone())),
            (None, said, false) => {
                let paths: Vec<PathBuf> = said.clone().or_else(env_vars::trust_policy).into_iter().collect();
                Ok(Trust::Policies(Policies::load(&paths).map_err(OpsError::from)?))
            }
        }
    }
}

/// A web server by its scheme, else a repository (acceptance O-45, C-41).
fn server(text: &str) -> Result<Place, CommandError> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Place::Server(text.to_owned()));
    }
    repository(text).map(Place::Registry)
}

fn repository(text: &str) -> Result<RepositoryPlace, CommandError> {
    let bare = text.strip_prefix("oci://").unwrap_or(text);
    bare.parse().map_err(|error| {
        let hint = "a web server is named by `server`, with `https://`";
        let wrong = usage(format!("`{text}`: {error}"));
        if text.contains("://") { wrong.hint(hint) } else { wrong }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use port_update::config::UnknownKeys;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: FollowFlags,
    }

    fn flags(words: &[&str]) -> FollowFlags {
        Line::parse_from(["update"].iter().chain(words)).flags
    }

    #[test]
    fn ou_3_ou_22_the_command_line_goes_before_the_file_and_the_file_before_defaults() {
        let text = "registry=h.example/os\ntag=7\nchannel=lts\nmaintenance_window=02:00-04:00\n";
        let file = Config::parse(text, UnknownKeys::Refused).unwrap();
        let none = Config::default();
        let channel = |words, config| flags(words).profile(config).unwrap().channel;
        assert_eq!(channel(&[], &none), "stable");
        assert_eq!(channel(&[], &file), "lts");
        assert_eq!(channel(&["--channel", "edge"], &file), "edge");
        let window = |words| flags(words).profile(&file).unwrap().window;
        assert_eq!(window(&[]), file.maintenance_window);
        assert_eq!(window(&["--maintenance-window", "05:00-06:00"]), "05:00-06:00".parse().unwrap());
        let tag = |words: &[&str]| flags(words).place(&file).unwrap().1;
        assert_eq!(tag(&[]).as_deref(), Some("7"));
        assert_eq!(tag(&["--tag", "8"]).as_deref(), Some("8"));
        // Another place is another tag's: the channel's, unless one is said.
        assert_eq!(tag(&["--registry", "other.example/os"]), None);
    }
}
