//! From `port.toml` to a control plane: where it answers, and the token from the environment (acceptance P-57 … P-61).

use std::time::Duration;

use port_backend::{HostedAccess, HostedApi};
use port_config::TokenSource;
use port_registry::Secret;

use crate::error::OpsError;
use crate::target::Target;
use crate::workspace::Workspace;

/// The first pause before a request is sent again.
const PAUSE: Duration = Duration::from_millis(500);

/// The control plane of that name as a backend for one variant.
pub(crate) fn backend(
    workspace: &Workspace,
    target: Target<'_>,
    control_plane: &str,
) -> Result<HostedApi, OpsError> {
    let plane = workspace.project.control_plane(control_plane)?;
    let TokenSource::Env { variable } = &plane.auth.source;
    let token = (workspace.environment.variable)(variable).ok_or_else(|| OpsError::NoToken {
        control_plane: control_plane.to_owned(),
        variable: variable.clone(),
    })?;
    let access = HostedAccess {
        endpoint: plane.endpoint.clone(),
        audience: plane.audience.clone(),
        header: plane.auth.header.clone(),
        token: Secret::new(token),
        artifact_name: target.artifact.name.clone(),
        main_file: target.config.file_name.clone(),
        pause: PAUSE,
    };
    Ok(HostedApi::new(access)?)
}
