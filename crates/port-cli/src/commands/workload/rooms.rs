//! Where workloads' rooms are: the same for every verb that is about workloads that run.

use std::path::PathBuf;

use clap::Args;
use port_content::fs;
use port_ops::workload::drivers::Rooms;

use crate::env_vars;
use crate::error::CommandError;

/// Which rooms.
#[derive(Debug, Args)]
pub struct Rooming {
    /// Where workloads are kept [default: `PORT_WORKLOADS`, else /var/lib/port/workloads].
    #[arg(long = "workloads", value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Rooming {
    /// The directory, which is made: mounts and supervisors need it absolute.
    pub(super) fn directory(&self) -> Result<PathBuf, CommandError> {
        let directory = self.directory.clone().unwrap_or_else(env_vars::workloads);
        let made = fs::create_dir_all(&directory).and_then(|()| fs::canonicalize(&directory));
        Ok(made.map_err(port_ops::OpsError::Files)?)
    }

    /// The rooms, which need not be there.
    pub(super) fn rooms(&self) -> Rooms {
        Rooms::new(self.directory.clone().unwrap_or_else(env_vars::workloads))
    }
}
