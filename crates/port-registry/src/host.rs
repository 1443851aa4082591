//! One registry as this client knows it: where it is, how it is asked, what it can do.
//!
//! There are two ways to the network. *Home* leads to the registry's own origin. *Outside* leads to where the
//! registry sent us (storage behind redirects, token services); it never carries the client certificate, and its
//! resolver refuses addresses that [`crate::address`] does not allow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use port_content::fs;
use port_model::Reporter;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Method, RequestBuilder, Url};
use tokio::sync::{OnceCell, Semaphore};

use crate::address::{Allowed, Targets, VettingResolver, forbidden_in, is_loopback};
use crate::auth::Auth;
use crate::capability::Memory;
use crate::credential::CredentialSource;
use crate::endpoint::{Endpoint, shown};
use crate::error::Failure;
use crate::name::RegistryHost;
use crate::options::{HostOptions, Options, Patience, Transfer, Transport};
use crate::tls;

/// The largest certificate or key file that is read, in bytes.
const LARGEST_PEM: u64 = 4 << 20;

/// Which of the two HTTP clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Home,
    Outside,
}

/// See the module.
pub(crate) struct Host {
    pub(crate) name: RegistryHost,
    pub(crate) options: HostOptions,
    pub(crate) endpoint: Endpoint,
    pub(crate) credentials: Arc<dyn CredentialSource>,
    pub(crate) reporter: Arc<dyn Reporter>,
    pub(crate) auth: Auth,
    pub(crate) memory: Memory,
    pub(crate) permits: Arc<Semaphore>,
    settings: Arc<Options>,
    /// It was said that secrets go in the clear.
    warned: AtomicBool,
    home: OnceCell<Client>,
    outside: OnceCell<Client>,
    allowed: OnceCell<Arc<Allowed>>,
    targets: Arc<Targets>,
}

impl Host {
    pub(crate) fn new(
        name: &RegistryHost,
        settings: &Arc<Options>,
        credentials: &Arc<dyn CredentialSource>,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Self, Failure> {
        let options = settings.of(name).clone();
        Ok(Self {
            endpoint: Endpoint::new(name, options.transport)?,
            memory: Memory::load(settings.state_directory.as_deref(), name),
            permits: Arc::new(Semaphore::new(settings.transfer.requests.max(1))),
            name: name.clone(),
            options,
            credentials: Arc::clone(credentials),
            reporter: Arc::clone(reporter),
            auth: Auth::default(),
            settings: Arc::clone(settings),
            warned: AtomicBool::new(false),
            home: OnceCell::new(),
            outside: OnceCell::new(),
            allowed: OnceCell::new(),
            targets: Arc::default(),
        })
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.settings.patience
    }

    pub(crate) fn transfer(&self) -> &Transfer {
        &self.settings.transfer
    }

    pub(crate) fn state_directory(&self) -> Option<&std::path::Path> {
        self.settings.state_directory.as_deref()
    }

    /// Whether a URL is at the registry's own origin.
    pub(crate) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.base().origin()
    }

    /// Whether a secret may be sent to the registry. In the clear it goes to this very host only, and to a registry that
    /// somebody named when asking for plain HTTP: a default for all hosts is no such decision.
    pub(crate) fn may_send_secrets(&self) -> Result<(), Failure> {
        let base = self.endpoint.base();
        if base.scheme() == "https" || is_loopback(base) {
            return Ok(());
        }
        if !self.settings.registries.contains_key(&self.name) {
            return Err(Failure::InTheClear { host: self.name.to_string() });
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            self.reporter.note(format!(
                "warning: credentials go to `{}` in the clear, as `plain-http` asks for: whoever is on the way can read \
                 and use them",
                self.name
            ));
        }
        Ok(())
    }

    /// A request by one way. Whatever goes outside begins here, so that the resolver knows where a registry sent us.
    pub(crate) async fn request(
        &self,
        way: Way,
        method: Method,
        url: Url,
    ) -> Result<RequestBuilder, Failure> {
        if way == Way::Outside {
            self.targets.add(&url);
        }
        Ok(self.http(way).await?.request(method, url))
    }

    /// The HTTP client for one way, made at the first use.
    async fn http(&self, way: Way) -> Result<&Client, Failure> {
        match way {
            Way::Home => self.home.get_or_try_init(|| async { self.build_home() }).await,
            Way::Outside => self.outside.get_or_try_init(|| self.build_outside()).await,
        }
    }

    /// Refuses a URL outside whose host is an address that is not allowed.
    pub(crate) async fn check_outside(&self, url: &Url) -> Result<(), Failure> {
        self.allowed().await.check_literal(url).map_err(Failure::Hostile)
    }

    async fn allowed(&self) -> &Arc<Allowed> {
        let base = self.endpoint.base();
        self.allowed.get_or_init(|| async { Arc::new(Allowed::for_registry(base).await) }).await
    }

    fn build_home(&self) -> Result<Client, Failure> {
        let mut builder = self.builder();
        if self.options.transport == Transport::PlainHttp {
            // No roots are needed, so that a host without any can still talk to a local registry.
            return builder.tls_certs_only([]).build().map_err(no_client);
        }
        if let Some(path) = &self.options.certificate_authority {
            let pem = fs::read(path, LARGEST_PEM)?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(no_client)?;
            if certificates.is_empty() {
                return Err(Failure::NoClient(format!("no certificate in `{}`", path.display()).into()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some(client) = &self.options.client_certificate {
            let mut pem = fs::read(&client.certificate, LARGEST_PEM)?;
            pem.push(b'\n');
            pem.extend(fs::read(&client.key, LARGEST_PEM)?);
            let unusable = |error: reqwest::Error| {
                let (certificate, key) = (client.certificate.clone(), client.key.clone());
                Failure::UnusableCertificate { certificate, key, source: error.into() }
            };
            // Whether the key is the certificate's shows when the client is made.
            return builder.identity(Identity::from_pem(&pem).map_err(unusable)?).build().map_err(unusable);
        }
        builder.build().map_err(no_client)
    }

    async fn build_outside(&self) -> Result<Client, Failure> {
        let allowed = Arc::clone(self.allowed().await);
        let mut builder = self
            .builder()
            .dns_resolver(Arc::new(VettingResolver { allowed, targets: Arc::clone(&self.targets) }));
        if let Some(path) = &self.options.certificate_authority {
            let pem = fs::read(path, LARGEST_PEM)?;
            builder = builder.tls_certs_merge(Certificate::from_pem_bundle(&pem).map_err(no_client)?);
        }
        builder.build().map_err(no_client)
    }

    /// HTTP/1.1 only: ranges of one blob then have connections, and congestion windows, of their own.
    fn builder(&self) -> ClientBuilder {
        // Installing twice is harmless: the first one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Client::builder()
            .user_agent(concat!("port/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.patience().connect)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .http1_only()
            .tcp_nodelay(true);
        // The registry on this very host is not reached by way of a proxy.
        if is_loopback(self.endpoint.base()) { builder.no_proxy() } else { builder }
    }

    /// Sends one request once; waits `patience` for the head of the answer.
    pub(crate) async fn once(
        &self,
        request: reqwest::RequestBuilder,
        patience: Duration,
    ) -> Result<reqwest::Response, SendError> {
        match tokio::time::timeout(patience, request.send()).await {
            Ok(sent) => sent.map_err(SendError::of),
            Err(_) => Err(SendError::stalled(patience)),
        }
    }
}

fn no_client(error: reqwest::Error) -> Failure {
    Failure::NoClient(error.into())
}

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The name leads to an address that is not allowed.
    Forbidden(String),
    /// It does not let this client in without another certificate.
    Certificate(&'static str),
    /// It answers the handshake in plain HTTP.
    NoTls,
    /// No connection.
    NoConnection(Box<dyn std::error::Error + Send + Sync>),
    /// It broke off.
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

impl SendError {
    pub(crate) fn of(error: reqwest::Error) -> Self {
        if let Some(forbidden) = forbidden_in(&error) {
            return Self::Forbidden(format!("a connection to a host: {forbidden}"));
        }
        if let Some(why) = tls::wanted_certificate(&error) {
            return Self::Certificate(why);
        }
        if tls::speaks_no_tls(&error) {
            return Self::NoTls;
        }
        // The URL may hold an upload's state; our own error names the host.
        let connect = error.is_connect();
        let error = error.without_url().into();
        if connect { Self::NoConnection(error) } else { Self::Broken(error) }
    }

    pub(crate) fn stalled(patience: Duration) -> Self {
        Self::Broken(format!("nothing moved for {} seconds", patience.as_secs()).into())
    }

    pub(crate) fn into_failure(self, url: &Url, tries: u32) -> Failure {
        match self {
            Self::Forbidden(what) => Failure::Hostile(what),
            Self::Certificate(why) => Failure::ClientCertificate { host: host_of(url), why },
            Self::NoTls => Failure::NoTls { host: host_of(url) },
            Self::NoConnection(source) | Self::Broken(source) => {
                Failure::Unreachable { host: host_of(url), tries, source }
            }
        }
    }
}

/// Host and port of a URL, for messages.
pub(crate) fn host_of(url: &Url) -> String {
    let shown = shown(url);
    let rest = shown.split_once("://").map_or(shown.as_str(), |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Anonymous;

    #[tokio::test]
    async fn a_public_registry_cannot_send_us_to_a_name_of_this_host() {
        let options = HostOptions { transport: Transport::PlainHttp, ..HostOptions::default() };
        let settings = Arc::new(Options { default: options, ..Options::default() });
        let credentials: Arc<dyn CredentialSource> = Arc::new(Anonymous);
        let reporter: Arc<dyn Reporter> = Arc::new(port_model::progress::Silent);
        let registry = "140.82.112.3".parse().unwrap();
        let host = Host::new(&registry, &settings, &credentials, &reporter).unwrap();
        let url = Url::parse("http://localhost:1/").unwrap();
        let request = host.request(Way::Outside, Method::GET, url).await.unwrap();
        let error = host.once(request, Duration::from_secs(20)).await.unwrap_err();
        assert!(matches!(error, SendError::Forbidden(_)), "{error:?}");
    }
}
