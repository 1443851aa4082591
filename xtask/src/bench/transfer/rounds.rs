//! One subject's way through two versions of an image: both pushed, both pulled, the second one pulled again.
//!
//! ```text
//! push v1 ─► cold pull of v1 ─► push v2 from where v1 was pushed ─► pull v2 where v1 was pulled ─► pull v2 again
//! ```
//! Every subject starts with an empty directory, an empty registry and an empty web server. The first time through is
//! counted and compared, by way of forwarders, and not timed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::images::Pair;
use super::subject::{Step, Subject};
use super::{files::Files, tree};
use crate::bench::client;
use crate::bench::measured::{self, Run};
use crate::bench::server::Server;
use crate::bench::wire::Forwarder;
use crate::failure::Outcome;

/// What is measured of one subject, in the order it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Push,
    Pull,
    PushUpdate,
    PullUpdate,
    PullAgain,
}

impl Stage {
    pub(super) const ALL: [Self; 5] =
        [Self::Push, Self::Pull, Self::PushUpdate, Self::PullUpdate, Self::PullAgain];

    pub(super) fn is_push(self) -> bool {
        matches!(self, Self::Push | Self::PushUpdate)
    }

    fn version(self) -> &'static str {
        match self {
            Self::Push | Self::Pull => "v1",
            _ => "v2",
        }
    }

    /// What is there already.
    fn before(self) -> Option<&'static str> {
        match self {
            Self::Push | Self::Pull => None,
            Self::PushUpdate | Self::PullUpdate => Some("v1"),
            Self::PullAgain => Some("v2"),
        }
    }
}

/// What one stage took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) run: Run,
    /// Both directions; for a subject without a registry what a push adds to its files. Only where counted.
    pub(super) wire: Option<u64>,
    /// What the registry has on the disk afterwards.
    pub(super) stored: u64,
}

/// Where everything happens.
pub(super) struct Ground {
    pub(super) directory: PathBuf,
    pub(super) registry: Server,
    web: Files,
    files: PathBuf,
}

/// Whether bytes are counted and compared, or time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Counted,
    Timed,
}

impl Ground {
    pub(super) fn prepare(directory: &Path) -> Outcome<Self> {
        let files = directory.join("web");
        let registry = Server::start(&directory.join("registry"))?;
        println!("registry: docker-registry on {}", registry.address());
        Ok(Self { directory: directory.to_owned(), registry, web: Files::start(&files)?, files })
    }

    /// All stages of one subject, which leaves nothing behind.
    pub(super) fn turn(&self, subject: &dyn Subject, pair: &Pair, way: Way) -> Outcome<Vec<Taken>> {
        let own = self.directory.join("turn");
        client::remove(&own)?;
        client::make(&self.files)?;
        let taken = Stage::ALL.into_iter().map(|stage| self.stage(subject, pair, way, stage, &own)).collect();
        client::remove(&own)?;
        client::remove(&self.files)?;
        self.registry.empty()?;
        taken
    }

    fn stage(
        &self,
        subject: &dyn Subject,
        pair: &Pair,
        way: Way,
        stage: Stage,
        own: &Path,
    ) -> Outcome<Taken> {
        let counters = match way {
            Way::Counted => Some(Counters::start(self.registry.address(), self.web.address())?),
            Way::Timed => None,
        };
        let (registry, web) = match &counters {
            Some(counters) => (counters.registry.address(), counters.web.address()),
            None => (self.registry.address(), self.web.address()),
        };
        let (version, before) = (stage.version(), stage.before());
        let step = Step { registry, web, files: &self.files, version, before };
        let image = if version == "v1" { &pair.old } else { &pair.new };
        let published = tree::count(&self.files)?.1;
        let directory = own.join(if stage.is_push() { "push" } else { "pull" });
        client::make(&directory)?;
        let mut command = if stage.is_push() {
            subject.before_push(&directory, image, &step)?;
            subject.push(&directory, &step)
        } else {
            subject.before_pull(&directory, &step)?;
            subject.pull(&directory, &step)
        };
        measured::settle(&directory)?;
        let run = measured::run(&mut command, &directory)?;
        let added = tree::count(&self.files)?.1 - published;
        let wire = counters.map(|counters| counters.passed() + added);
        if way == Way::Counted && !stage.is_push() {
            image.expect_at(&subject.pulled(&directory, image, &step))?;
        }
        let stored = self.registry.bytes_on_disk()? + client::bytes_on_disk(&self.files)?;
        println!(
            "{:<5} {:<16} {stage:<11?} {:>9.1} ms {:>11} bytes",
            pair.name,
            subject.name(),
            run.milliseconds,
            wire.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string())
        );
        Ok(Taken { run, wire, stored })
    }
}

/// What passes on the way to registry and web server.
struct Counters {
    registry: Forwarder,
    web: Forwarder,
}

impl Counters {
    fn start(registry: SocketAddr, web: SocketAddr) -> Outcome<Self> {
        Ok(Self { registry: Forwarder::start(registry, None)?, web: Forwarder::start(web, None)? })
    }

    fn passed(&self) -> u64 {
        self.registry.take_passed() + self.web.take_passed()
    }
}
