//! How a client behaves, and how each registry is reached. Values only: files are read at the first request.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::mirror::Mirrors;
use crate::name::RegistryHost;

/// What a client needs to know.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How registries are reached that are not in `registries`.
    pub default: HostOptions,
    /// How these registries are reached.
    pub registries: BTreeMap<RegistryHost, HostOptions>,
    /// Where these registries have mirrors, which are read from first.
    pub mirrors: BTreeMap<RegistryHost, Mirrors>,
    /// Where upload sessions and what registries can do are remembered; without it, nothing is.
    pub state_directory: Option<PathBuf>,
    /// How long to wait, how often to try.
    pub patience: Patience,
    /// Sizes and counts of transfers.
    pub transfer: Transfer,
}

impl Options {
    /// How this registry is reached.
    pub fn of(&self, registry: &RegistryHost) -> &HostOptions {
        self.registries.get(registry).unwrap_or(&self.default)
    }
}

/// How one registry is reached.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// In the clear or not.
    pub transport: Transport,
    /// A PEM file of certificate authorities that are trusted besides the system's.
    pub certificate_authority: Option<PathBuf>,
    /// Who this client is, for registries that ask for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// Hosts of token services that may see the credentials although they are elsewhere than the registry.
    pub trusted_realms: Vec<String>,
}

/// Whether a registry is asked in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// TLS.
    #[default]
    Https,
    /// In the clear: only where somebody asked for it.
    PlainHttp,
}

/// PEM files of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How long to wait and how often to try. There is no limit on the whole of a transfer: it would punish slow
/// links.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte, in either direction.
    pub stall: Duration,
    /// How many bytes per second all connections of a download must bring together, counted over each [`Self::stall`] that
    /// is spent waiting for them: what this host takes for itself (a full disk queue, a pause that was asked for) does not
    /// count. 0 asks for none. A server that sends a byte now and then never stalls, and would hold a download for ever.
    pub least_rate: u64,
    /// How many bytes a try of a download that fails must have brought not to count.
    pub least_progress: u64,
    /// For the answer after the last byte of an upload: registries then hash and move what they got.
    pub commit: Duration,
    /// How often a request is tried. A try that got further does not count ([`Self::least_progress`]).
    pub tries: u32,
    /// The first pause between tries; it doubles.
    pub pause: Duration,
    /// The longest pause, and the longest that a `Retry-After` is obeyed.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            least_rate: 1024,
            least_progress: 1,
            commit: Duration::from_secs(900),
            tries: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// Sizes and counts of transfers.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Requests at one registry at the same time.
    pub requests: usize,
    /// Connections that fetch one blob together.
    pub connections: usize,
    /// What a download writes down as done at once, and at least fetches in one request, in bytes.
    pub part: u64,
    /// What an upload sends in one request, in bytes. A blob no larger than this goes up in one; a larger one in parts, which
    /// a rerun after a kill continues, unless the registry is known to want one request.
    pub upload_part: u64,
}

impl Default for Transfer {
    fn default() -> Self {
        Self { requests: 16, connections: 6, part: 8 << 20, upload_part: 64 << 20 }
    }
}
