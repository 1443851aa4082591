//! Which control plane of `port.toml` is meant, and where its storage lies.

use std::path::{Path, PathBuf};

use port_config::ControlPlane;
use port_server::storage::Folder;

use crate::args::Global;
use crate::commands::workspace;
use crate::error::CommandError;
use crate::ui::Ui;

/// Where a control plane's storage lies, with its name behind it (acceptance P-11, P-39).
const HOSTED: &str = ".port/hosted";

/// See the module.
pub(super) struct Place {
    pub(super) plane: ControlPlane,
    root: PathBuf,
}

impl Place {
    /// The control plane of that name; its storage where the flag says, else at its place.
    pub(super) fn find(
        name: &str,
        storage: Option<PathBuf>,
        global: &Global,
        ui: Ui,
    ) -> Result<Self, CommandError> {
        let workspace = workspace(global, ui)?;
        let plane = workspace.project.control_plane(name).map_err(port_ops::OpsError::from)?.clone();
        let root = root(&plane, storage);
        Ok(Self { plane, root })
    }

    /// Its storage.
    pub(super) fn folder(&self) -> Result<Folder, CommandError> {
        Ok(Folder::open(&self.root)?)
    }
}

/// The folder of a control plane's storage.
pub(super) fn root(plane: &ControlPlane, storage: Option<PathBuf>) -> PathBuf {
    storage.unwrap_or_else(|| Path::new(HOSTED).join(&plane.name))
}
