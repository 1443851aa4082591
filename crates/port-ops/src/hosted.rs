//! From `port.toml` to a control plane: where it answers, and the token from the environment (acceptance P-57 … P-61).
//!
//! Files as they are go through the hosted API; what is published as anything else goes through the registry face of the same server, with
//! the same token, so that packs, deltas and block maps are what they are at every registry.

use std::sync::Arc;
use std::time::Duration;

use port_backend::{Backend, Found, HostedAccess, HostedApi, OciRegistry, RegistryFace, reference_at};
use port_config::{Backend as BackendConfig, ControlPlane, TokenSource};
use port_layout::native::{self, Stored};
use port_model::{Encoding, Reference};
use port_registry::{
    Client, Credentials, Fixed, HostOptions, Options, Repository, Secret, Transport, names_of,
};

use crate::copy::CopyError;
use crate::error::OpsError;
use crate::source::Source;
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
    let access = HostedAccess {
        endpoint: plane.endpoint.clone(),
        audience: plane.audience.clone(),
        header: plane.auth.header.clone(),
        token: token(workspace, plane)?,
        artifact_name: target.artifact.name.clone(),
        main_file: target.config.file_name.clone(),
        pause: PAUSE,
    };
    Ok(HostedApi::new(access)?)
}

fn token(workspace: &Workspace, plane: &ControlPlane) -> Result<Secret, OpsError> {
    let TokenSource::Env { variable } = &plane.auth.source;
    let token = (workspace.environment.variable)(variable).map(Secret::new);
    token.ok_or_else(|| OpsError::NoToken { control_plane: plane.name.clone(), variable: variable.clone() })
}

/// A control plane as a registry.
pub(crate) struct Face {
    pub(crate) backend: RegistryFace,
    pub(crate) repository: Repository,
}

impl Face {
    /// That of the control plane of that name, at the repository of `reference`.
    fn of(workspace: &Workspace, reference: &Reference, control_plane: &str) -> Result<Self, OpsError> {
        let plane = workspace.project.control_plane(control_plane)?;
        let (host, name) = names_of(&reference_at(&plane.endpoint, reference)?);
        let transport = match plane.endpoint.starts_with("http://") {
            true => Transport::PlainHttp,
            false => Transport::Https,
        };
        let own = HostOptions { transport, ..HostOptions::default() };
        let options = Options {
            registries: [(host.clone(), own)].into(),
            state_directory: Some(workspace.work_directory().join("registries")),
            ..Options::default()
        };
        let credentials = Fixed(Credentials::Bearer(token(workspace, plane)?));
        let client = Client::new(options, Arc::new(credentials), Arc::clone(&workspace.reporter));
        let repository = client.repository(&host, &name).map_err(CopyError::from)?;
        let registry = OciRegistry::new(client, String::new());
        Ok(Self { backend: RegistryFace::new(registry, plane.endpoint.clone()), repository })
    }

    /// Where a push goes that publishes anything but the files themselves; `None` where `config` is no control plane.
    pub(crate) fn to_push(
        workspace: &Workspace,
        target: Target<'_>,
        config: Option<&BackendConfig>,
    ) -> Result<Option<Self>, OpsError> {
        match config {
            Some(BackendConfig::HostedApi { control_plane, .. })
                if target.artifact.encoding(target.main_kind()) != Encoding::Raw =>
            {
                Self::of(workspace, &target.artifact.reference, control_plane).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Where a pull finds what was published so.
    pub(crate) fn to_pull(
        workspace: &Workspace,
        target: Target<'_>,
        config: Option<&BackendConfig>,
        found: &Found,
    ) -> Result<Option<Self>, OpsError> {
        match config {
            Some(BackendConfig::HostedApi { control_plane, .. }) if !is_raw(found) => {
                Self::of(workspace, &target.artifact.reference, control_plane).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The same place as `source`, as a registry.
    pub(crate) fn in_place_of<'a>(&'a self, source: Source<'a>) -> Source<'a> {
        Source { backend: &self.backend as &dyn Backend, repository: Some(&self.repository), ..source }
    }
}

/// Whether every file is published as itself, as far as the documents tell.
fn is_raw(found: &Found) -> bool {
    let documents = found.documents.as_ref();
    let decoded = documents.and_then(|found| native::decode_stored(&found.manifest, &found.config).ok());
    decoded.is_none_or(|decoded| decoded.stored.iter().all(|stored| *stored == Stored::Raw))
}
