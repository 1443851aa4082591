//! The root of a workload that stands on a base image, made ready as `port base-images ensure` does.

use port_base_images::{Ensured, Preset, Request};

use crate::args::Global;
use crate::commands::base_images::{CacheFlags, MirrorFlags, manager, of_run};
use crate::error::{CommandError, Exit};
use crate::ui::Ui;

/// Makes the base image of a preset ready; it stays in the cache while the result lives.
pub(super) async fn ready(name: &str, global: &Global, ui: Ui) -> Result<Ensured, CommandError> {
    let preset: Preset = name.parse().map_err(|error: port_model::UnknownWord| {
        CommandError::new(Exit::Usage, format!("`storage.rootfs` is `base-image://{name}`: {error}"))
    })?;
    let request = Request { preset, architecture: of_run(global, ui)?, ..Request::default() };
    Ok(manager(CacheFlags::default(), MirrorFlags::default(), global, ui)?.ensure(&request).await?)
}
