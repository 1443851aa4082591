//! TLS with a certificate that may change while the server runs: whoever renews it replaces the two files, and the next handshake uses
//! them. A pair that does not fit, or that is half written, changes nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use port_content::FsError;
use port_content::fs;
use port_content::hashing::digest_of;
use port_model::Digest;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// The largest file of certificates or of a key, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] FsError),
    /// A file holds something else.
    #[error("`{path}` holds no {expected} in PEM form")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What the parser said.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the file.
    #[error("`{0}` holds no certificate")]
    NoCertificate(PathBuf),
    /// The key is another one's, or of a kind that is not known.
    #[error("the key in `{key}` is not the one of the certificate in `{certificate}`")]
    Pair {
        /// The file of certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What the library said.
        #[source]
        source: rustls::Error,
    },
    /// The library cannot be set up.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// What shows the current certificate.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Whether a look at the files changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    Same,
    Changed,
}

/// See the module.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    /// Of both files, when they were read.
    seen: Digest,
    config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads a chain of certificates and its key, both in PEM form.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let (certified, seen) = load(certificate, key)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        // TLS 1.2 and 1.3, the library's safe defaults.
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(TlsError::Setup)?;
        let resolver = Arc::clone(&current) as Arc<dyn ResolvesServerCert>;
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        // HTTP/2 is not offered: nothing here gains by it, and resets of streams (CVE-2023-44487) cannot be played.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        Ok(Self { certificate, key, current, seen, config: Arc::new(config) })
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// Looks at the files again, and uses what is in them.
    ///
    /// # Errors
    /// [`TlsError`]; the certificate stays as it is.
    pub(crate) fn look(&mut self) -> Result<Looked, TlsError> {
        let (certified, seen) = load(&self.certificate, &self.key)?;
        if seen == self.seen {
            return Ok(Looked::Same);
        }
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        self.seen = seen;
        Ok(Looked::Changed)
    }
}

fn load(certificate: &Path, key: &Path) -> Result<(CertifiedKey, Digest), TlsError> {
    let (chain_text, key_text) = (fs::read(certificate, LARGEST)?, fs::read(key, LARGEST)?);
    let pem = |path: &Path, expected| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, expected, source }
    };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(&chain_text).collect();
    let chain = chain.map_err(pem(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_slice(&key_text).map_err(pem(key, "private key"))?;
    let certified = CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(|source| {
        TlsError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), source }
    })?;
    Ok((certified, digest_of(&[chain_text, key_text].concat())))
}
