//! Whether a registry takes the credentials: its root is asked, which no repository's rights can blur.
//!
//! Not a proof of any right: what the user may read or write shows when it is tried.

use port_model::Reporter;
use reqwest::Method;
use std::sync::Arc;

use crate::auth::Scopes;
use crate::credential::CredentialSource;
use crate::error::Failure;
use crate::host::Host;
use crate::name::{RegistryHost, RepositoryName};
use crate::options::Options;
use crate::request::Call;

/// Asks for `/v2/`. A registry that lets everybody in never asks `credentials` who is there.
///
/// # Errors
/// [`Failure`]: [`Failure::Unauthenticated`] or [`Failure::Forbidden`] where the credentials are refused.
pub async fn sign_in(
    registry: &RegistryHost,
    options: Options,
    credentials: Arc<dyn CredentialSource>,
    reporter: Arc<dyn Reporter>,
) -> Result<(), Failure> {
    let host = Host::new(registry, &Arc::new(options), &credentials, &reporter)?;
    // Only the credentials are chosen by it, and those are given.
    let nobody: RepositoryName =
        "x".parse().map_err(|error: port_model::ReferenceError| Failure::BadAnswer(error.to_string()))?;
    let root = host.endpoint.base().clone();
    let reply = host.send(&Call::new(Method::GET, root, &nobody, Scopes::default())).await?;
    reply.expect(&host, &[200]).await?.finish(&host).await;
    Ok(())
}
