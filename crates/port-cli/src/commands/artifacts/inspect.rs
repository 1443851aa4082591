//! `port artifacts inspect`.

use std::fmt::Write as _;

use clap::Args;
use port_model::Encoding;
use port_ops::{EncodedFile, InspectReport, PackRow, PackedFile, Target, Workspace};

use super::subject;
use crate::args::TargetArguments;
use crate::error::CommandError;
use crate::ui::{self, Ui};

/// Arguments of inspect.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    target: TargetArguments,
    /// What is published, as the pull backend describes it, and its deltas; no file is fetched.
    #[arg(long)]
    remote: bool,
}

pub(super) async fn run(arguments: &Arguments, workspace: &Workspace, ui: Ui) -> Result<(), CommandError> {
    let selector = arguments.target.selectors.into();
    let target = Target::resolve(workspace, &arguments.target.artifact, selector)?;
    let report = if arguments.remote {
        port_ops::inspect_remote(workspace, target).await?
    } else {
        port_ops::inspect(workspace, target)?
    };
    ui.report(&report, || text(&report))
}

fn text(report: &InspectReport) -> String {
    let subject = subject(report.bundle.class, &report.artifact, &report.reference, report.bundle.variant);
    let mut text = format!("{subject}\nname: {}\nfrom: {}\n", report.name, report.origin);
    if let Some(manifest) = &report.manifest {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "manifest: {manifest}");
    }
    let heading = ["COMPONENT", "FORMAT", "FILE", "SIZE", "DIGEST"].map(str::to_owned).to_vec();
    let components = report.bundle.components.iter().map(|component| {
        vec![
            component.kind.to_string(),
            component.format.to_string(),
            component.file_name.to_string(),
            ui::size(component.size),
            component.digest.to_string(),
        ]
    });
    text += &ui::table(&std::iter::once(heading).chain(components).collect::<Vec<_>>());
    if let Some(kernel) = &report.bundle.kernel {
        let release = kernel.release.as_deref().unwrap_or("unknown");
        let _ = writeln!(text, "kernel release: {release}");
        if !kernel.modules.is_empty() {
            let _ = writeln!(text, "kernel modules: {}", kernel.modules.join(", "));
        }
    }
    if let Some(provenance) = &report.bundle.provenance {
        let _ = writeln!(text, "provenance: {provenance}");
    }
    for file in report.published.iter().filter(|file| file.encoding != Encoding::Raw) {
        text += &published(file);
    }
    text
}

fn published(file: &EncodedFile) -> String {
    let EncodedFile { file_name, encoding, bytes, packed } = file;
    let mut text = format!("\n{file_name} is published as {encoding}: {}\n", ui::size(*bytes));
    let Some(packed) = packed else { return text };
    let PackedFile { map, map_bytes, packs, data_bytes, repeated_bytes, .. } = packed;
    let _ = writeln!(text, "data: {}, {} of it repeated", ui::size(*data_bytes), ui::size(*repeated_bytes));
    let _ = writeln!(text, "map: {map}, {}", ui::size(*map_bytes));
    if !packs.is_empty() {
        text += &ui::table(&pack_rows(packed));
    }
    for row in &packed.shared {
        let (packs, size) = (ui::count(row.packs as u64, "pack"), ui::size(row.bytes));
        let _ = writeln!(text, "shared with {}: {packs}, {size}", row.name);
    }
    for row in packed.deltas.iter().flatten() {
        let from = if row.versions.is_empty() { row.parent.to_string() } else { row.versions.join(", ") };
        let _ = writeln!(text, "delta from {from}: {}", ui::size(row.bytes));
    }
    if packed.deltas.as_ref().is_some_and(Vec::is_empty) {
        text += "no deltas\n";
    }
    text
}

/// The packs, and where there are several, their sum.
fn pack_rows(packed: &PackedFile) -> Vec<Vec<String>> {
    let heading = ["PACK", "SIZE", "GENERATION", "FRAMES", "HOLDS", "USED", "DEAD"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let cells = |name: String, generation: String, row: &PackRow| {
        vec![
            name,
            ui::size(row.bytes),
            generation,
            row.frames.to_string(),
            ui::size(row.plain_bytes),
            ui::size(row.live_bytes),
            ui::size(row.dead_bytes),
        ]
    };
    rows.extend(
        packed.packs.iter().map(|row| cells(row.digest.to_string(), row.generation.to_string(), row)),
    );
    if let [first, _, ..] = packed.packs.as_slice() {
        let sum = |of: fn(&PackRow) -> u64| packed.packs.iter().map(of).sum::<u64>();
        let total = PackRow {
            bytes: packed.pack_bytes,
            frames: sum(|row| row.frames),
            plain_bytes: sum(|row| row.plain_bytes),
            live_bytes: sum(|row| row.live_bytes),
            dead_bytes: packed.dead_bytes,
            ..first.clone()
        };
        let name = ui::count(packed.packs.len() as u64, "pack");
        rows.push(cells(name, ui::count(packed.generations.into(), "generation"), &total));
    }
    rows
}
