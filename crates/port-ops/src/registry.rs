//! From `port.toml` to a registry: how it is reached, and who signs in.
//!
//! Secrets come from the environment's variables that the configuration names, or from the credential files of
//! docker and podman (docs/credentials.md). They go to the registry that the reference names, nowhere else.

use std::sync::Arc;

use port_backend::OciRegistry;
use port_config::{RegistryAuth, RegistryConfig, Transport};
use port_model::Reference;
use port_registry::credentials::{CredentialFiles, Variable, basic_env};
use port_registry::{
    Anonymous, Client, ClientCertificate, CredentialSource, HostOptions, Options, Secret, names_of,
};

use crate::error::OpsError;
use crate::published;
use crate::workspace::Workspace;

/// The registry of `reference` as a backend.
pub(crate) fn backend(
    workspace: &Workspace,
    reference: &Reference,
    config: &RegistryConfig,
) -> Result<OciRegistry, OpsError> {
    let (credentials, auth) = credentials(workspace, reference, config.auth.as_ref())?;
    let description = format!("oci-registry {} {auth}", config.transport.as_str());
    let reporter = Arc::clone(&workspace.reporter);
    let backend = OciRegistry::new(options(workspace, config)?, credentials, reporter, description);
    Ok(backend.with_select(published::select(&workspace.project, reference)))
}

/// A client for what a backend has no verb for: referrers, tags.
pub(crate) fn client(
    workspace: &Workspace,
    reference: &Reference,
    config: &RegistryConfig,
) -> Result<Client, OpsError> {
    let (credentials, _) = credentials(workspace, reference, config.auth.as_ref())?;
    Ok(Client::new(options(workspace, config)?, credentials, Arc::clone(&workspace.reporter)))
}

fn options(workspace: &Workspace, config: &RegistryConfig) -> Result<Options, OpsError> {
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
    let host = HostOptions {
        transport: match config.transport {
            Transport::Https => port_registry::Transport::Https,
            Transport::PlainHttp => port_registry::Transport::PlainHttp,
        },
        certificate_authority: config.certificate_authority.clone(),
        client_certificate,
        trusted_realms: Vec::new(),
    };
    let state_directory = Some(workspace.work_directory().join("registries"));
    Ok(Options { default: host, state_directory, ..Options::default() })
}

/// Who signs in, and how that is called in reports.
fn credentials(
    workspace: &Workspace,
    reference: &Reference,
    auth: Option<&RegistryAuth>,
) -> Result<(Arc<dyn CredentialSource>, &'static str), OpsError> {
    match auth {
        Some(RegistryAuth::Anonymous) => Ok((Arc::new(Anonymous), "anonymous")),
        Some(RegistryAuth::BasicEnv { username_variable, password_variable }) => {
            let variable = |name: &String| Variable {
                name: name.clone(),
                value: (workspace.environment.variable)(name).map(Secret::new),
            };
            let (host, _) = names_of(reference);
            let source = basic_env(&host, &variable(username_variable), &variable(password_variable))?;
            Ok((Arc::new(source), "basic-env"))
        }
        None => {
            let paths = workspace.environment.credential_paths.clone();
            Ok((Arc::new(CredentialFiles::new(paths)), "credential-files"))
        }
    }
}
