//! Copies of a registry that are asked before it, as containers-registries.conf(5) and containerd's `hosts.toml` have
//! them: what is named by a digest comes from the first that has it, and is checked as everywhere.
//!
//! Invariants: a mirror gets its own credentials and never the origin's; nothing is written, listed or decided there;
//! tags are asked for at mirrors only where [`TagsAt::Mirrors`] says that they may be believed. A mirror that fails in
//! any way costs time and a note, never the pull; it is not asked again by this client, unless it merely lacked a thing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use port_model::Reporter;

use crate::credential::CredentialSource;
use crate::error::{Failure, Kind, told};
use crate::host::Host;
use crate::name::{RegistryHost, RepositoryName};
use crate::options::{HostOptions, Options, Patience};

/// How often a mirror is tried, how long it may take to connect and stand still, and how long a pause it may ask for:
/// there is another place to get things from.
const TRIES: u32 = 2;
const CONNECT: Duration = Duration::from_secs(4);
const STALL: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_secs(2);
/// What a mirror must bring, in bytes per second: one that sends a byte now and then would hold a pull for ever.
const LEAST_RATE: u64 = 32 << 10;

/// The mirrors of one registry, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct Mirrors {
    /// The mirrors.
    pub places: Vec<Mirror>,
    /// Who says what a tag points to.
    pub tags: TagsAt,
}

/// Who says what a tag points to. Its answer cannot be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TagsAt {
    /// The registry itself, always.
    #[default]
    Origin,
    /// The first mirror that knows the tag, else the registry.
    Mirrors,
}

/// One mirror.
#[derive(Clone)]
pub struct Mirror {
    /// Its host.
    pub registry: RegistryHost,
    /// What comes before the names of the origin's repositories there.
    pub prefix: Option<RepositoryName>,
    /// How it is reached.
    pub options: HostOptions,
    /// Who signs in there.
    pub credentials: Arc<dyn CredentialSource>,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror")
            .field("registry", &self.registry)
            .field("prefix", &self.prefix)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A mirror of one registry as this client knows it.
pub(crate) struct MirrorHost {
    host: Arc<Host>,
    prefix: Option<RepositoryName>,
    /// It failed; one failure is enough.
    failed: AtomicBool,
}

/// One repository at one host.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) host: Arc<Host>,
    pub(crate) repository: RepositoryName,
}

/// A repository at a mirror.
#[derive(Clone)]
pub(crate) struct MirrorSite {
    pub(crate) site: Site,
    mirror: Arc<MirrorHost>,
}

impl MirrorHost {
    pub(crate) fn new(
        mirror: &Mirror,
        settings: &Options,
        reporter: &Arc<dyn Reporter>,
    ) -> Result<Self, Failure> {
        let patience = Patience {
            tries: settings.patience.tries.min(TRIES),
            connect: settings.patience.connect.min(CONNECT),
            stall: settings.patience.stall.min(STALL),
            longest_pause: settings.patience.longest_pause.min(PAUSE),
            least_rate: LEAST_RATE,
            least_progress: settings.transfer.part,
            ..settings.patience.clone()
        };
        let settings = Options {
            // Its options are its own: what is said of a host as an origin is not said of it as a mirror.
            registries: [(mirror.registry.clone(), mirror.options.clone())].into(),
            default: HostOptions::default(),
            mirrors: Default::default(),
            patience,
            ..settings.clone()
        };
        let host = Host::new(&mirror.registry, &Arc::new(settings), &mirror.credentials, reporter)?;
        Ok(Self { host: Arc::new(host), prefix: mirror.prefix.clone(), failed: AtomicBool::new(false) })
    }

    /// Where a repository of the origin is here; `None` where it cannot be, or where this mirror failed before.
    pub(crate) fn site(self: &Arc<Self>, origin: &Site) -> Option<MirrorSite> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let name = origin.host.endpoint.repository(&origin.repository);
        let name = match &self.prefix {
            Some(prefix) => format!("{prefix}/{name}"),
            None => name,
        };
        // A name that gets too long has no place there.
        let repository = name.parse().ok()?;
        let site = Site { host: Arc::clone(&self.host), repository };
        Some(MirrorSite { site, mirror: Arc::clone(self) })
    }
}

impl MirrorSite {
    /// Whether it may still be asked.
    pub(crate) fn is_good(&self) -> bool {
        !self.mirror.failed.load(Ordering::Relaxed)
    }

    /// Says that this mirror could not give `what`, so that the next place is asked.
    ///
    /// # Errors
    /// The failure itself where it is this host's own: elsewhere it would fail as well.
    pub(crate) fn pass_over(&self, what: &str, failure: Failure) -> Result<(), Failure> {
        let Site { host, repository } = &self.site;
        let place = format!("`{}/{repository}`", host.name);
        let note = match failure.kind() {
            Kind::Local if matches!(failure, Failure::Local(_)) => return Err(failure),
            Kind::NotFound => format!("the mirror {place} does not have {what}"),
            Kind::Corrupt | Kind::Hostile => format!(
                "warning: the mirror {place} is not asked any more, what it sent of this was dropped: {what}: {}",
                told(&failure)
            ),
            _ => format!("the mirror {place} is passed over: {what}: {}", told(&failure)),
        };
        let first = failure.kind() == Kind::NotFound || !self.mirror.failed.swap(true, Ordering::Relaxed);
        if first {
            host.reporter.note(note);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Anonymous;
    use port_model::progress::Silent;

    #[test]
    fn a_mirror_has_options_of_its_own_and_little_patience() {
        let credentials: Arc<dyn CredentialSource> = Arc::new(Anonymous);
        let options = HostOptions { trusted_realms: vec!["own".to_owned()], ..HostOptions::default() };
        let registry: RegistryHost = "mirror.lan".parse().unwrap();
        let mirror = Mirror { registry: registry.clone(), prefix: None, options, credentials };
        let of_origin = HostOptions { trusted_realms: vec!["origin".to_owned()], ..HostOptions::default() };
        let settings = Options {
            default: of_origin.clone(),
            registries: [(registry, of_origin)].into(),
            ..Options::default()
        };
        let reporter: Arc<dyn Reporter> = Arc::new(Silent);
        let host = MirrorHost::new(&mirror, &settings, &reporter).unwrap().host;
        assert_eq!(host.options.trusted_realms, ["own"]);
        let patience = host.patience();
        assert_eq!((patience.tries, patience.longest_pause, patience.stall), (TRIES, PAUSE, STALL));
    }
}
