//! `port packages`: unikernels as OCI images that kraft reads and writes. None of the verbs needs a configuration.

mod info;
mod pack;
mod place;
mod pull;
mod remove;
mod retag;
mod unpack;

use std::path::Path;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use port_layout::kraftkit::{KraftkitError, Query, parse_name};
use port_layout::{Strategy, kraftkit};
use port_model::{Digest, Reference};
use port_ops::login::RegistryAccess;
use port_ops::packages::{self as ops, Packages, Selection};
use port_ops::trust::Policies;

use crate::args::{Global, RegistryFlags};
use crate::commands::{access, policies};
use crate::error::CommandError;
use crate::ui::{Ui, one_line};
use crate::{env_vars, host, progress};
pub(super) use pack::environment_of;
use place::Place;

/// Where an upload that was killed is remembered: used where it is there, never made here.
const STATE: &str = ".port/registries";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pack a kernel and what it boots with, or make a package from another one.
    Pack(Box<pack::Arguments>),
    /// List the packages of the store, one row per target.
    #[command(alias = "ls")]
    List(List),
    /// Say all that a package's documents say.
    Info(One),
    /// Publish a package.
    Push(pull::Push),
    /// Fetch a package, or some of its targets.
    Pull(pull::Pull),
    /// Write the files of one target into a directory.
    Unpack(unpack::Arguments),
    /// Remove a package, or some of its targets, and the blobs that no other needs.
    #[command(alias = "rm")]
    Remove(One),
    /// Give a package another name, with the blobs that are there.
    Retag(retag::Arguments),
}

/// Runs a verb.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<(), CommandError> {
    match command {
        Command::Pack(arguments) => pack::run(*arguments, global, ui).await,
        Command::List(arguments) => list(&arguments, global, ui),
        Command::Info(arguments) => info::run(&arguments, global, ui),
        Command::Push(arguments) => pull::push(arguments, global, ui).await,
        Command::Pull(arguments) => pull::run(arguments, global, ui).await,
        Command::Unpack(arguments) => unpack::run(&arguments, global, ui),
        Command::Remove(arguments) => remove::run(&arguments, global, ui),
        Command::Retag(arguments) => retag::run(&arguments, global, ui),
    }
}

/// Where packages are kept.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreFlag {
    /// Where packages are kept: kraft's own directory (`kraftkit`), the store that artifacts are in (`port`), or containerd
    /// (`containerd`, `containerd:SOCKET`) [default: `containerd` where KRAFTKIT_CONTAINERD_ADDR is set, else `kraftkit`]
    #[arg(long, value_name = "PLACE")]
    store: Option<Place>,
}

impl StoreFlag {
    /// Whether it is the one that is taken where none is named.
    pub(super) fn is_usual(&self) -> bool {
        self.store.is_none()
    }

    /// Everything that the verbs need, for those that talk to no registry.
    fn packages(&self, global: &Global, ui: Ui) -> Result<Packages, CommandError> {
        self.open(RegistryAccess::default(), global, ui)
    }

    pub(super) fn with_registry(
        &self,
        flags: &RegistryFlags,
        global: &Global,
        ui: Ui,
    ) -> Result<Packages, CommandError> {
        self.open(access(flags, global, ui)?, global, ui)
    }

    /// The same, for those that fetch or run what others made: the policies say what may be.
    pub(super) fn with_policies(
        &self,
        flags: &RegistryFlags,
        global: &Global,
        ui: Ui,
    ) -> Result<Packages, CommandError> {
        let policies = policies(global)?;
        Ok(Packages { policies, ..self.with_registry(flags, global, ui)? })
    }

    fn open(&self, mut access: RegistryAccess, global: &Global, ui: Ui) -> Result<Packages, CommandError> {
        let environment = env_vars::environment(host::architecture()?);
        let store = self.store.clone().unwrap_or_else(Place::of_kraft).open(global, ui)?;
        let state = Path::new(STATE);
        access.state_directory = port_content::fs::exists(state).then(|| state.to_owned());
        let reporter = progress::reporter(ui, global.progress);
        Ok(Packages {
            store,
            access,
            credential_paths: environment.credential_paths,
            policies: Policies::default(),
            variable: env_vars::get,
            reporter,
        })
    }
}

/// Which targets.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Targets")]
pub(super) struct Targets {
    /// The CPU architecture, in Unikraft's words.
    #[arg(long, alias = "arch", short_alias = 'm', value_parser = architecture())]
    architecture: Option<String>,
    /// What it boots on, in Unikraft's words.
    #[arg(long, alias = "plat", short_alias = 'p', value_parser = platform())]
    platform: Option<String>,
    /// An entry of the kernel's configuration that must be recorded (repeatable).
    #[arg(long, short_alias = 'k', value_name = "KEY=VALUE", value_parser = recorded)]
    kconfig: Vec<String>,
}

impl Targets {
    pub(super) fn query(&self) -> Query {
        Query {
            architecture: self.architecture.clone(),
            platform: self.platform.clone(),
            features: self.kconfig.clone(),
        }
    }
}

/// Arguments of list.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    store: StoreFlag,
}

/// Arguments of verbs on one package.
#[derive(Debug, Args)]
pub struct One {
    /// The package: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`; the registry is `unikraft.org`, the tag `latest` where none is given.
    #[arg(value_name = "PACKAGE", value_parser = name)]
    package: Reference,
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    store: StoreFlag,
}

impl One {
    fn selection(&self) -> Selection {
        Selection { reference: self.package.clone(), query: self.targets.query() }
    }
}

/// An entry of a configuration. More than such entries, as a tree of options, is in no package (acceptance K-72).
fn recorded(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.is_empty() => Ok(text.to_owned()),
        _ => {
            let expected = "expected `KEY=VALUE`, an entry as it was recorded: a package has no tree of options to ask for";
            Err(expected.to_owned())
        }
    }
}

/// A package's name.
pub(super) fn name(text: &str) -> Result<Reference, KraftkitError> {
    parse_name(text)
}

/// Unikraft's words, and those that mean the same elsewhere.
fn architecture() -> impl TypedValueParser<Value = String> {
    let words = [
        PossibleValue::new("x86_64").aliases(["x86-64", "amd64"]),
        PossibleValue::new("arm64").alias("aarch64"),
        PossibleValue::new("arm"),
    ];
    PossibleValuesParser::new(words).map(|word| match word.as_str() {
        "x86-64" | "amd64" => "x86_64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        _ => word,
    })
}

fn platform() -> impl TypedValueParser<Value = String> {
    let words = [
        PossibleValue::new("qemu").alias("kvm"),
        PossibleValue::new("fc").alias("firecracker"),
        PossibleValue::new("xen"),
        PossibleValue::new("kraftcloud"),
    ];
    PossibleValuesParser::new(words).map(|word| kraftkit::platform_name(&word).to_owned())
}

fn strategy() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::WORDS).try_map(|word| word.parse::<Strategy>())
}

/// The first seven digits, as kraft's listings have them.
fn short(digest: &Digest) -> String {
    digest.hex().chars().take(7).collect()
}

fn list(arguments: &List, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let packages = arguments.store.packages(global, ui)?;
    let rows = ops::list(&packages, &arguments.targets.query())?;
    ui.report(&rows, || {
        let heading = ["TYPE", "NAME", "VERSION", "FORMAT", "PULLED", "MANIFEST", "INDEX", "PLAT", "SIZE"];
        let rows = rows.iter().map(|row| {
            vec![
                row.kind.to_owned(),
                row.name.clone(),
                row.version.clone(),
                row.format.to_owned(),
                row.pulled.clone().unwrap_or_else(|| "never".to_owned()),
                short(&row.manifest),
                short(&row.index),
                one_line(&format!("{}/{}", row.platform, row.architecture)),
                row.bytes.map_or_else(|| "n/a".to_owned(), crate::ui::size),
            ]
        });
        crate::ui::table(
            &std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows).collect::<Vec<_>>(),
        )
    })
}
