//! From `port.toml` to the mirrors of a registry: where they are, how they are reached, who signs in there.
//!
//! Only pull reads from mirrors. Their credentials come from the mirror's own `auth`, or from the credential files by the
//! mirror's own name; those of the registry are never asked for here.

use std::collections::BTreeMap;
use std::sync::Arc;

use port_config::{MirrorConfig, TagsAt};
use port_model::Reference;
use port_registry::credentials::Unusable;
use port_registry::{CredentialSource, HostOptions, Mirror, Mirrors, RegistryHost, RepositoryName, names_of};

use crate::error::OpsError;
use crate::registry;
use crate::workspace::Workspace;

/// The mirrors of the registry that `reference` names, by its host; none where the file says none.
pub(crate) fn of(
    workspace: &Workspace,
    reference: &Reference,
) -> Result<BTreeMap<RegistryHost, Mirrors>, OpsError> {
    let (host, _) = names_of(reference);
    let Some(settings) = workspace.project.registries.get(host.as_str()) else { return Ok(BTreeMap::new()) };
    let places = settings.mirrors.iter().map(|config| mirror(workspace, config)).collect::<Result<_, _>>()?;
    let tags = match settings.tags {
        TagsAt::Origin => port_registry::TagsAt::Origin,
        TagsAt::Mirrors => port_registry::TagsAt::Mirrors,
    };
    Ok([(host, Mirrors { places, tags })].into())
}

fn mirror(workspace: &Workspace, config: &MirrorConfig) -> Result<Mirror, OpsError> {
    // Both were checked when the file was read.
    let invalid = |error: port_model::ReferenceError| OpsError::Taken { reason: error.to_string() };
    let registry: RegistryHost = config.registry.parse().map_err(invalid)?;
    let prefix: Option<RepositoryName> =
        config.prefix.as_deref().map(str::parse).transpose().map_err(invalid)?;
    let credentials: Arc<dyn CredentialSource> =
        match registry::credentials(workspace, &registry, config.access.auth.as_ref()) {
            Ok(credentials) => credentials,
            // Who cannot sign in at a mirror gets things elsewhere, and reads why.
            Err(OpsError::BasicEnv(error)) => Arc::new(Unusable(error)),
            Err(error) => return Err(error),
        };
    let options = registry::host_options(&config.access)?;
    let options = HostOptions { trusted_realms: config.trusted_realms.clone(), ..options };
    Ok(Mirror { registry, prefix, options, credentials })
}
