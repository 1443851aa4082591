//! Whether a registry takes credentials: its root is asked, where no repository's rights blur the answer.
//!
//! Not a proof of any right: what the user may read or write shows when it is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use port_model::{ReferenceError, Reporter};
use reqwest::Method;

use crate::auth::Scopes;
use crate::credential::{CredentialError, CredentialSource, Credentials};
use crate::credentials::ForRegistry;
use crate::error::Failure;
use crate::host::Host;
use crate::name::{RegistryHost, RepositoryName};
use crate::options::Options;
use crate::request::{Call, Redirects};

/// Asks the registry for its root with these credentials. `false` where it answers without asking who is there, so
/// that nothing is known about them.
///
/// # Errors
/// [`Failure`]: [`Failure::Unauthenticated`] or [`Failure::Forbidden`] where the credentials are refused.
pub async fn sign_in(
    registry: &RegistryHost,
    credentials: Credentials,
    options: Options,
    reporter: Arc<dyn Reporter>,
) -> Result<bool, Failure> {
    let given = ForRegistry::new(registry.clone(), credentials);
    let source = Arc::new(Asked { asked: AtomicBool::new(false), given });
    let credentials: Arc<dyn CredentialSource> = source.clone();
    let host = Host::new(registry, &Arc::new(options), &credentials, &reporter)?;
    // A call belongs to a repository, by which its credentials are looked up; these are the same for all.
    let wrong = |error: ReferenceError| Failure::BadAnswer(error.to_string());
    let any: RepositoryName = "x".parse().map_err(wrong)?;
    let root = host.endpoint.base().clone();
    // A portal that leads everybody to its own page says nothing about the credentials.
    let call =
        Call { redirects: Redirects::Returned, ..Call::new(Method::GET, root, &any, Scopes::default()) };
    let reply = host.send(&call).await?;
    reply.expect(&host, &[200]).await?.finish(&host).await;
    Ok(source.asked.load(Ordering::Relaxed))
}

/// Credentials that remember whether anybody wanted them.
struct Asked {
    asked: AtomicBool,
    given: ForRegistry,
}

#[async_trait::async_trait]
impl CredentialSource for Asked {
    async fn credentials(
        &self,
        registry: &RegistryHost,
        repository: &RepositoryName,
    ) -> Result<Option<Credentials>, CredentialError> {
        self.asked.store(true, Ordering::Relaxed);
        self.given.credentials(registry, repository).await
    }
}
