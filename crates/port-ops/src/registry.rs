//! From `port.toml` to a registry: how it is reached, and who signs in.
//!
//! Secrets come from the environment's variables that the configuration names, or from the credential files of
//! docker and podman (docs/credentials.md). They go to the registry that the reference names, nowhere else; mirrors have
//! their own.

use std::sync::Arc;

use port_backend::OciRegistry;
use port_config::{RegistryAuth, RegistryConfig, Transport};
use port_model::Reference;
use port_registry::credentials::{CredentialFiles, Variable, basic_env};
use port_registry::{
    Anonymous, Client, ClientCertificate, CredentialSource, HostOptions, Options, RegistryHost, Repository,
    Secret, names_of,
};

use crate::clients::Key;
use crate::copy::CopyError;
use crate::error::OpsError;
use crate::mirrors;
use crate::published;
use crate::workspace::Workspace;

/// Whether the mirrors of a registry are asked before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// They are: something is pulled.
    MirrorsFirst,
    /// They are not: what is read decides what is written.
    Origin,
}

/// The registry of `reference` as a backend.
pub(crate) fn backend(
    workspace: &Workspace,
    reference: &Reference,
    config: &RegistryConfig,
    reading: Reading,
) -> Result<OciRegistry, OpsError> {
    let auth = auth_name(config.auth.as_ref());
    let description = format!("oci-registry {} {auth}", config.transport.as_str());
    let backend = OciRegistry::new(client(workspace, reference, config, reading)?, description);
    Ok(backend.with_select(published::select(&workspace.project, reference)))
}

/// The repository of `reference`, where `config` is a registry: for what a backend has no verb for.
pub(crate) fn repository(
    workspace: &Workspace,
    reference: &Reference,
    config: Option<&port_config::Backend>,
    reading: Reading,
) -> Result<Option<Repository>, OpsError> {
    let Some(port_config::Backend::OciRegistry(config)) = config else { return Ok(None) };
    let (host, name) = names_of(reference);
    let client = client(workspace, reference, config, reading)?;
    Ok(Some(client.repository(&host, &name).map_err(CopyError::from)?))
}

/// The client for the registry of `reference`: the same one for all that this invocation does there.
pub(crate) fn client(
    workspace: &Workspace,
    reference: &Reference,
    config: &RegistryConfig,
    reading: Reading,
) -> Result<Client, OpsError> {
    let (host, _) = names_of(reference);
    let key = Key { host: host.clone(), config: config.clone(), reading };
    workspace.registries.get(key, || {
        let credentials = credentials(workspace, &host, config.auth.as_ref())?;
        let options = reading_options(workspace, reference, config, reading)?;
        Ok(Client::new(options, credentials, Arc::clone(&workspace.reporter)))
    })
}

/// How this registry is reached, and what is asked before it.
fn reading_options(
    workspace: &Workspace,
    reference: &Reference,
    config: &RegistryConfig,
    reading: Reading,
) -> Result<Options, OpsError> {
    let (host, _) = names_of(reference);
    let mut options = options(workspace, host, config)?;
    if reading == Reading::MirrorsFirst {
        options.mirrors = mirrors::of(workspace, reference)?;
    }
    Ok(options)
}

/// How this registry is reached. It is named, so that what the file says of its transport holds for no other host.
fn options(workspace: &Workspace, host: RegistryHost, config: &RegistryConfig) -> Result<Options, OpsError> {
    let mut own = host_options(config)?;
    if let Some(settings) = workspace.project.registries.get(host.as_str()) {
        own.trusted_realms.clone_from(&settings.trusted_realms);
    }
    let registries = [(host, own)].into();
    let state_directory = Some(workspace.work_directory().join("registries"));
    Ok(Options { registries, state_directory, ..Options::default() })
}

/// How a registry or a mirror is reached.
pub(crate) fn host_options(config: &RegistryConfig) -> Result<HostOptions, OpsError> {
    let client_certificate = match (&config.client_certificate, &config.client_key) {
        (Some(certificate), Some(key)) => {
            Some(ClientCertificate { certificate: certificate.clone(), key: key.clone() })
        }
        (None, None) => None,
        _ => {
            let reason =
                "`client_certificate` and `client_key` belong together: one of them is missing".to_owned();
            return Err(OpsError::Taken { reason });
        }
    };
    Ok(HostOptions {
        transport: match config.transport {
            Transport::Https => port_registry::Transport::Https,
            Transport::PlainHttp => port_registry::Transport::PlainHttp,
        },
        certificate_authority: config.certificate_authority.clone(),
        client_certificate,
        trusted_realms: Vec::new(),
    })
}

/// Who signs in at this host.
pub(crate) fn credentials(
    workspace: &Workspace,
    host: &RegistryHost,
    auth: Option<&RegistryAuth>,
) -> Result<Arc<dyn CredentialSource>, OpsError> {
    match auth {
        Some(RegistryAuth::Anonymous) => Ok(Arc::new(Anonymous)),
        Some(RegistryAuth::BasicEnv { username_variable, password_variable }) => {
            let variable = |name: &String| Variable {
                name: name.clone(),
                value: (workspace.environment.variable)(name).map(Secret::new),
            };
            let source = basic_env(host, &variable(username_variable), &variable(password_variable))?;
            Ok(Arc::new(source))
        }
        None => Ok(Arc::new(CredentialFiles::new(workspace.environment.credential_paths.clone()))),
    }
}

/// How that is called in reports.
fn auth_name(auth: Option<&RegistryAuth>) -> &'static str {
    match auth {
        Some(RegistryAuth::Anonymous) => "anonymous",
        Some(RegistryAuth::BasicEnv { .. }) => "basic-env",
        None => "credential-files",
    }
}
