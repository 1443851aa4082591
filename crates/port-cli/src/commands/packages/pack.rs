//! `port packages pack`.

use std::path::PathBuf;

use clap::Args;
use port_layout::Strategy;
use port_model::Reference;
use port_ops::packages::{self as ops, PackReport, PackRequest};

use super::{StoreFlag, architecture, name, platform, pull, strategy};
use crate::args::{Global, RegistryFlags};
use crate::env_vars;
use crate::error::{CommandError, Exit};
use crate::ui::{self, Ui};

/// Arguments of pack.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The package's name: `[REGISTRY/]REPOSITORY[:TAG]`.
    #[arg(short, long, value_name = "PACKAGE", value_parser = name)]
    name: Reference,
    /// The kernel; without it, the layers of `--from` are adopted.
    #[arg(long, short_alias = 'k', value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The kernel with debug information.
    #[arg(long, value_name = "FILE")]
    kernel_dbg: Option<PathBuf>,
    /// The initrd.
    #[arg(long, alias = "rootfs", value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The CPU architecture, in Unikraft's words.
    #[arg(long, alias = "arch", short_alias = 'm', value_parser = architecture())]
    architecture: Option<String>,
    /// What it boots on, in Unikraft's words.
    #[arg(long, alias = "plat", short_alias = 'p', value_parser = platform())]
    platform: Option<String>,
    /// The kernel's `.config`, whose entries are recorded.
    #[arg(long, value_name = "FILE")]
    kconfig: Option<PathBuf>,
    /// Record no entries; of `--kconfig` only the kernel's version is taken.
    #[arg(long)]
    no_kconfig: bool,
    /// The kernel's version [default: the configuration's]
    #[arg(long, value_name = "VERSION")]
    kernel_version: Option<String>,
    /// The command, word by word; a word that begins with `-` as `--cmd=-v`.
    #[arg(long, alias = "args", short_alias = 'a', value_name = "ARG", num_args = 1..)]
    cmd: Vec<String>,
    /// An entry of the environment; `KEY` alone takes the value that it has here.
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    env: Vec<String>,
    /// Make it from this package, of the store or of its registry.
    #[arg(long, value_name = "PACKAGE", value_parser = name)]
    from: Option<Reference>,
    /// What becomes of a package of this name: its other targets stay (`merge`), it goes (`overwrite`), it is in the way (`exit`).
    #[arg(long, default_value = "merge", value_parser = strategy())]
    strategy: Strategy,
    /// Publish it as well.
    #[arg(long, short_alias = 'P')]
    push: bool,
    #[command(flatten)]
    store: StoreFlag,
    #[command(flatten)]
    registry: RegistryFlags,
}

/// Packs, and says what came out.
pub async fn run(arguments: Arguments, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let packages = arguments.store.with_policies(&arguments.registry, global, ui)?;
    let request = PackRequest {
        name: arguments.name,
        kernel: arguments.kernel,
        kernel_dbg: arguments.kernel_dbg,
        initrd: arguments.initrd,
        kconfig: arguments.kconfig,
        no_kconfig: arguments.no_kconfig,
        kernel_version: arguments.kernel_version,
        architecture: arguments.architecture,
        platform: arguments.platform,
        command: arguments.cmd,
        environment: environment_of(&arguments.env)?,
        from: arguments.from,
        strategy: arguments.strategy,
        push: arguments.push,
    };
    let report = ops::pack(&packages, &request).await?;
    ui.report(&report, || text(&report))
}

/// All entries, with their values.
pub fn environment_of(entries: &[String]) -> Result<Vec<String>, CommandError> {
    entries.iter().map(|entry| variable(entry)).collect()
}

/// `KEY=value`, the value from the environment where there is none.
fn variable(entry: &str) -> Result<String, CommandError> {
    let usage = |message: String| CommandError::new(Exit::Usage, message);
    match entry.split_once('=') {
        Some(("", _)) => Err(usage(format!("`--env {entry}`: expected `KEY=VALUE`, found no key"))),
        Some(_) => Ok(entry.to_owned()),
        None => match env_vars::get(entry) {
            Some(value) => Ok(format!("{entry}={value}")),
            None => Err(usage(format!("`--env {entry}`: expected a variable that is set, found none"))),
        },
    }
}

fn text(report: &PackReport) -> String {
    let target = ui::one_line(&format!("{}/{}", report.platform, report.architecture));
    let mut text = format!("packed {} for {target}\n", report.reference);
    text += &format!("  index     {}\n  manifest  {}\n", report.index, report.manifest);
    for layer in &report.layers {
        let from = layer.file.as_ref().map_or("adopted".to_owned(), |file| file.display().to_string());
        text += &format!("  layer     {}  {} ({from})\n", layer.digest, ui::size(layer.bytes));
    }
    if report.features > 0 {
        text += &format!("  kconfig   {}\n", ui::count(report.features as u64, "feature"));
    }
    for replaced in &report.replaced {
        text += &format!("  replaced  {replaced}\n");
    }
    if let Some(pushed) = &report.pushed {
        text += &pull::pushed(pushed);
    }
    text
}
