//! What the user may type. Only shape is checked here; meaning is checked where the project is known.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use port_model::{ArchitectureSelector, ProtectionMode, Selector, Substrate};
use port_ops::login::RegistryAccess;

use crate::commands::{
    artifacts, base_images, completions, control_plane, doctor, keys, login, logout, packages, run, store,
    update, workload,
};

/// Ship boot artifacts like containers: build, push, pull, verify and boot kernels and guest images.
#[derive(Debug, Parser)]
#[command(name = "port", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The configuration file; `port.lock` lies beside it.
    #[arg(long, global = true, default_value = "port.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// What reports on stdout look like.
    #[arg(long, global = true, value_enum, default_value_t = FormatWord::Text, value_name = "FORMAT")]
    pub format: FormatWord,
    /// How long work shows that it goes on (on stderr).
    #[arg(long, global = true, value_enum, default_value_t = Progress::Auto)]
    pub progress: Progress,
    /// Show no progress; the same as `--progress none`.
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Say only results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// What reports look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What may be typed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatWord {
    /// For people.
    Text,
    /// For machines.
    Json,
    /// The text of a command that prints TOML; other commands refuse it.
    #[value(hide = true)]
    Toml,
}

impl Cli {
    /// The format that is meant; none where the command prints no TOML and TOML is asked for.
    pub fn format(&self) -> Option<Format> {
        match self.global.format {
            FormatWord::Text => Some(Format::Text),
            FormatWord::Json => Some(Format::Json),
            FormatWord::Toml => matches!(self.command, Command::Workload(workload::Command::Resolve(_)))
                .then_some(Format::Text),
        }
    }
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Bars on a terminal, nothing elsewhere.
    Auto,
    /// One JSON object per event.
    Json,
    /// Nothing.
    None,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The nouns and verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build, validate, move and look at the artifacts of `port.toml`.
    #[command(subcommand)]
    Artifacts(artifacts::Command),
    /// Boot a machine of `port.toml`, and run a command in it.
    Run(run::Arguments),
    /// Make a kernel and a root that boot together ready, from the Firecracker CI or a hosted manifest.
    #[command(subcommand)]
    BaseImages(base_images::Command),
    /// Pack, move and unpack unikernels as kraft does.
    #[command(subcommand)]
    Packages(packages::Command),
    /// Keep artifacts for others: Port's hosted API and an OCI registry in one server.
    #[command(subcommand)]
    ControlPlane(control_plane::Command),
    /// Look at and tidy the local store.
    #[command(subcommand)]
    Store(store::Command),
    /// Bring machines to a new release and back, and publish releases.
    #[command(subcommand)]
    Update(update::Command),
    /// Check and run workloads: containers and microVMs described by manifests.
    #[command(subcommand)]
    Workload(workload::Command),
    /// Make and list the keys that sign artifacts.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Sign in at a registry: check a password there and store it as docker does.
    Login(login::Arguments),
    /// Sign out of a registry: forget what a login stored.
    Logout(logout::Arguments),
    /// Say what this host can do, what is missing, and how to get it.
    Doctor(doctor::Arguments),
    /// Print a completion script for a shell.
    Completions(completions::Arguments),
}

/// The three selectors; they mean the same on every command (acceptance P-22).
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Selectors")]
pub struct Selectors {
    /// The CPU architecture; `native` is this host's.
    #[arg(long, default_value = "native", value_parser = architecture())]
    pub architecture: ArchitectureSelector,
    /// What the variant boots on.
    #[arg(long, default_value = "firecracker", value_parser = substrate())]
    pub substrate: Substrate,
    /// How the guest is isolated.
    #[arg(long, default_value = "standard", value_parser = protection_mode())]
    pub protection_mode: ProtectionMode,
}

impl From<Selectors> for Selector {
    fn from(selectors: Selectors) -> Self {
        Self {
            architecture: selectors.architecture,
            substrate: selectors.substrate,
            protection_mode: selectors.protection_mode,
        }
    }
}

/// How a registry is reached that no `port.toml` speaks of.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registry")]
pub struct RegistryFlags {
    /// Talk to the registry in the clear.
    #[arg(long)]
    pub plain_http: bool,
    /// Trust these certificate authorities, in PEM, besides the system's.
    #[arg(long, value_name = "FILE", conflicts_with = "plain_http")]
    pub ca_file: Option<PathBuf>,
}

impl From<RegistryFlags> for RegistryAccess {
    fn from(flags: RegistryFlags) -> Self {
        Self { plain_http: flags.plain_http, certificate_authority: flags.ca_file, ..Self::default() }
    }
}

pub fn architecture() -> impl clap::builder::TypedValueParser<Value = ArchitectureSelector> {
    let words = [
        clap::builder::PossibleValue::new("native"),
        clap::builder::PossibleValue::new("x86-64").alias("x86_64"),
        clap::builder::PossibleValue::new("aarch64"),
    ];
    PossibleValuesParser::new(words).try_map(|word| word.parse::<ArchitectureSelector>())
}

pub fn substrate() -> impl clap::builder::TypedValueParser<Value = Substrate> {
    PossibleValuesParser::new(Substrate::WORDS).try_map(|word| word.parse::<Substrate>())
}

pub fn protection_mode() -> impl clap::builder::TypedValueParser<Value = ProtectionMode> {
    PossibleValuesParser::new(ProtectionMode::WORDS).try_map(|word| word.parse::<ProtectionMode>())
}

/// One artifact and the selectors.
#[derive(Debug, Clone, Args)]
pub struct TargetArguments {
    /// The artifact's name in `port.toml`; kernels and guest images share one set of names.
    #[arg(long, value_name = "NAME")]
    pub artifact: String,
    #[command(flatten)]
    pub selectors: Selectors,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
