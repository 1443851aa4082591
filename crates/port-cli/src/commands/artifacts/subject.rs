//! What sign, verify and attest are about: any manifest by its place, or a published variant of `port.toml`.

use clap::Args;
use port_ops::copy::{Place, Surroundings};
use port_ops::trust::Wanted;
use port_ops::{Target, Workspace};

use super::copy::surroundings;
use crate::args::{Global, RegistryFlags, Selectors};
use crate::commands::workspace;
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct SubjectArguments {
    /// What: `registry/repository:tag[@digest]`, or `oci:DIRECTORY:NAME`.
    #[arg(value_name = "REF", required_unless_present = "artifact", conflicts_with = "artifact")]
    place: Option<Place>,
    /// The published variant of this artifact, which the selectors choose.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["plain_http", "ca_file"])]
    artifact: Option<String>,
    #[command(flatten)]
    selectors: Selectors,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// Whatever the arguments name needs to be there while it is worked on.
pub(super) enum Opened {
    Place(Box<Surroundings>, Place),
    Target(Box<Workspace>, String, Selectors),
}

impl SubjectArguments {
    pub(super) fn open(&self, global: &Global, ui: Ui) -> Result<Opened, CommandError> {
        match (&self.place, &self.artifact) {
            (Some(place), _) => {
                let surroundings = surroundings(&self.registry, global, ui)?;
                Ok(Opened::Place(Box::new(surroundings), place.clone()))
            }
            (None, Some(name)) => {
                Ok(Opened::Target(Box::new(workspace(global, ui)?), name.clone(), self.selectors))
            }
            (None, None) => Err(CommandError::new(Exit::Usage, "name a manifest, or `--artifact NAME`")),
        }
    }
}

impl Opened {
    pub(super) fn wanted(&self) -> Result<Wanted<'_>, CommandError> {
        match self {
            Self::Place(surroundings, place) => Ok(Wanted::Place { surroundings, place }),
            Self::Target(workspace, name, selectors) => {
                let target = Target::resolve(workspace, name, (*selectors).into())?;
                Ok(Wanted::Target { workspace, target })
            }
        }
    }

    /// The project, where there is one.
    pub(super) fn workspace(&self) -> Option<&Workspace> {
        match self {
            Self::Place(..) => None,
            Self::Target(workspace, ..) => Some(workspace),
        }
    }
}
