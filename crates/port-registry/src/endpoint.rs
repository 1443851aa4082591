//! Where a registry is: its host turned into a base URL, and the URLs of its API.
//!
//! Every part of a URL built here was validated before; nothing that a registry wrote gets in.

use port_model::Digest;
use reqwest::Url;

use crate::error::Failure;
use crate::name::{RegistryHost, RepositoryName};
use crate::options::Transport;
use crate::tag::TagOrDigest;

/// Base URL of a registry.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    base: Url,
    docker_hub: bool,
}

impl Endpoint {
    /// The endpoint of a registry. Docker Hub answers elsewhere than its references say.
    pub(crate) fn new(registry: &RegistryHost, transport: Transport) -> Result<Self, Failure> {
        let docker_hub = registry.is_docker_hub();
        let scheme = match transport {
            Transport::Https => "https",
            Transport::PlainHttp => "http",
        };
        let host = if docker_hub { "registry-1.docker.io" } else { registry.as_str() };
        let base = Url::parse(&format!("{scheme}://{host}/v2/"))
            .map_err(|_| Failure::BadAnswer(format!("`{registry}` is not the name of a host")))?;
        Ok(Self { base, docker_hub })
    }

    /// The base URL.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// The repository as this registry calls it: official images of Docker Hub are below `library`.
    pub(crate) fn repository(&self, repository: &RepositoryName) -> String {
        match repository.as_str() {
            name if self.docker_hub && !name.contains('/') => format!("library/{name}"),
            name => name.to_owned(),
        }
    }

    pub(crate) fn manifest(&self, repository: &RepositoryName, name: &TagOrDigest) -> Url {
        self.url(repository, &format!("manifests/{name}"))
    }

    pub(crate) fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Url {
        self.url(repository, &format!("blobs/{digest}"))
    }

    pub(crate) fn uploads(&self, repository: &RepositoryName) -> Url {
        self.url(repository, "blobs/uploads/")
    }

    pub(crate) fn tags(&self, repository: &RepositoryName) -> Url {
        self.url(repository, "tags/list")
    }

    pub(crate) fn referrers(&self, repository: &RepositoryName, digest: &Digest) -> Url {
        self.url(repository, &format!("referrers/{digest}"))
    }

    fn url(&self, repository: &RepositoryName, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{rest}", self.repository(repository)));
        url
    }
}

/// A URL fit for a message: no user, no query, no fragment.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Fails only for URLs that cannot have a user.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    crate::error::quote(url.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(registry: &str, repository: &str, transport: Transport) -> String {
        let endpoint = Endpoint::new(&registry.parse().unwrap(), transport).unwrap();
        endpoint.tags(&repository.parse().unwrap()).to_string()
    }

    #[test]
    fn hosts_become_urls() {
        use Transport::{Https, PlainHttp};
        assert_eq!(tags("ghcr.io", "a/b", Https), "https://ghcr.io/v2/a/b/tags/list");
        assert_eq!(tags("127.0.0.1:5510", "a", PlainHttp), "http://127.0.0.1:5510/v2/a/tags/list");
        assert_eq!(tags("[::1]:5000", "a", Https), "https://[::1]:5000/v2/a/tags/list");
        assert_eq!(
            tags("docker.io", "debian", Https),
            "https://registry-1.docker.io/v2/library/debian/tags/list"
        );
        assert_eq!(tags("docker.io", "a/b", Https), "https://registry-1.docker.io/v2/a/b/tags/list");
    }

    #[test]
    fn queries_are_never_shown() {
        let url = Url::parse("https://user:password@h/p?token=secret#f").unwrap();
        assert_eq!(shown(&url), "https://h/p");
    }
}
