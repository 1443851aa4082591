//! `port packages info`.

use port_ops::packages::{self as ops, InfoReport, TargetInfo};

use super::One;
use crate::args::Global;
use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Says what a package is.
pub fn run(arguments: &One, global: &Global, ui: Ui) -> Result<(), CommandError> {
    let packages = arguments.store.packages(global, ui)?;
    let report = ops::info(&packages, &arguments.selection())?;
    ui.report(&report, || text(&report))
}

fn text(report: &InfoReport) -> String {
    let targets = report.targets.iter().map(target);
    std::iter::once(format!("{}\n", report.id)).chain(targets).collect()
}

fn target(target: &TargetInfo) -> String {
    let mut text = format!("\n{}\n", ui::one_line(&target.display));
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            // What others wrote must not pass for a line of Port's.
            text += &format!("  {name:9} {}\n", ui::one_line(value));
        }
    };
    fact("manifest", &target.manifest.to_string());
    fact("checksum", &target.checksum);
    fact("kernel", &target.kernel_version);
    fact("command", &target.command.join(" "));
    for entry in &target.environment {
        fact("env", entry);
    }
    fact("pulled", target.pulled.as_deref().unwrap_or("never"));
    for layer in &target.layers {
        let path = layer.path.as_deref().unwrap_or("no path");
        let place = if layer.here { "" } else { ", not here" };
        fact("layer", &format!("{}  {} ({path}{place})", layer.digest, ui::size(layer.bytes)));
    }
    for (key, value) in &target.kconfig {
        fact("kconfig", &format!("{key}={value}"));
    }
    if !target.platform_on_descriptor {
        fact("warning", "kraft cannot read it: its config's descriptor has no platform");
    }
    if !target.canonical_config {
        fact("warning", "kraft cannot push it: its config is not in the form of Go's encoder");
    }
    text
}
