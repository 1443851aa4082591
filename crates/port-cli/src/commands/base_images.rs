//! `port base-images`: a kernel and a root that boot together, as two paths. None of the verbs needs a configuration; what one
//! says counts where no flag says otherwise.

mod ensure;
mod listing;
mod registry;

use std::path::PathBuf;
use std::sync::Arc;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, Subcommand};
use port_base_images::{BaseImageManager, Options, Preset, StoredLimit};
use port_config::{BaseImageSettings, SourceSettings};
use port_model::{Architecture, Selector};

use crate::args::Global;
use crate::commands::workspace;
use crate::error::CommandError;
use crate::ui::Ui;
use crate::{env_vars, host, progress};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a base image ready, and say where it is.
    Ensure(Box<ensure::Arguments>),
    /// List the base images of the cache, the one that was used last first.
    List(CacheFlags),
    /// Read every byte of every base image again, and say what is damaged.
    Verify(CacheFlags),
    /// Publish a base image in a registry, whence `ensure --from` takes it.
    Push(registry::Push),
    /// Delete the base images beyond the maximum.
    Prune(CacheFlags),
}

/// Runs a verb.
pub async fn run(command: Command, global: &Global, ui: Ui) -> Result<(), CommandError> {
    match command {
        Command::Ensure(arguments) => ensure::run(*arguments, global, ui).await,
        Command::List(flags) => listing::list(flags, global, ui),
        Command::Verify(flags) => listing::verify(flags, global, ui),
        Command::Push(arguments) => registry::push(arguments, global, ui).await,
        Command::Prune(flags) => listing::prune(flags, global, ui),
    }
}

/// Which cache.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cache")]
pub struct CacheFlags {
    /// Where base images are kept [default: `.smartvm/base-images` below the directory for temporary files].
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// How many are kept [default: 2].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    max_stored: Option<String>,
}

impl CacheFlags {
    /// Whether nothing was said.
    pub fn is_usual(&self) -> bool {
        self.cache_dir.is_none() && self.max_stored.is_none()
    }
}

/// Where base images come from.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Mirrors")]
pub struct MirrorFlags {
    /// The Firecracker CI bucket, or a mirror of it.
    #[arg(long, value_name = "URL")]
    bucket_url: Option<String>,
    /// What redirects to the newest Firecracker release, or a mirror of it.
    #[arg(long, value_name = "URL")]
    releases_url: Option<String>,
}

impl MirrorFlags {
    /// Whether nothing was said.
    pub fn is_usual(&self) -> bool {
        self.bucket_url.is_none() && self.releases_url.is_none()
    }
}

/// The presets' words.
pub fn preset() -> impl clap::builder::TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::WORDS).try_map(|word| word.parse::<Preset>())
}

/// The manager of a cache: flags, else the environment, else the configuration, else defaults.
pub fn manager(
    cache: CacheFlags,
    mirrors: MirrorFlags,
    global: &Global,
    ui: Ui,
) -> Result<BaseImageManager, CommandError> {
    Ok(BaseImageManager::new(options(cache, mirrors, global, ui)?)?)
}

/// The architecture of a base image that is to be booted here: this host's, unless the configuration says.
pub fn of_run(global: &Global, ui: Ui) -> Result<Option<Architecture>, CommandError> {
    let (settings, _) = settings(global, ui)?;
    Ok(if settings.architecture.is_some() { None } else { Some(host::architecture()?) })
}

fn options(
    cache: CacheFlags,
    mirrors: MirrorFlags,
    global: &Global,
    ui: Ui,
) -> Result<Options, CommandError> {
    let (settings, sources) = settings(global, ui)?;
    let default = Options::new(&std::env::temp_dir(), host::now);
    let max_stored_images = match (cache.max_stored, settings.max_stored_images) {
        (Some(text), _) => text.parse::<StoredLimit>()?,
        (None, Some(number)) => number.to_string().parse()?,
        (None, None) => default.max_stored_images,
    };
    let architecture = match settings.architecture {
        Some(architecture) => {
            Selector { architecture, ..Selector::default() }.resolve(host::architecture()?).architecture
        }
        None => default.architecture,
    };
    Ok(Options {
        architecture,
        cache_directory: cache.cache_dir.or(settings.cache_directory).unwrap_or(default.cache_directory),
        max_stored_images,
        hosted_manifest_url: settings.manifest_url,
        hosted_manifest_path: settings.manifest_path,
        bucket_url: mirrors.bucket_url.unwrap_or(sources.firecracker_ci_url),
        releases_url: mirrors
            .releases_url
            .or(sources.firecracker_releases_url)
            .unwrap_or(default.releases_url),
        now: host::now,
        client: default.client,
        reporter: Arc::clone(&progress::reporter(ui, global.progress)),
    })
}

/// What the configuration says, if there is one; the environment's bucket comes before it.
fn settings(global: &Global, ui: Ui) -> Result<(BaseImageSettings, SourceSettings), CommandError> {
    let is_default = global.config == std::path::Path::new("port.toml");
    if !is_default || port_content::fs::exists(&global.config) {
        let project = workspace(global, ui)?.project;
        return Ok((project.base_images, project.sources));
    }
    let mut sources = SourceSettings::default();
    if let Some(url) = env_vars::get(env_vars::FIRECRACKER_CI_URL) {
        sources.firecracker_ci_url = url;
    }
    Ok((BaseImageSettings::default(), sources))
}
