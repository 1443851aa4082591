//! Root file systems at a registry, in versions that differ little: Port beside oras, crane, regctl, skopeo and casync.
//!
//! ```text
//! packages ─► trees ─► images (port artifacts build) ─► every subject counted once ─► rounds 1…N timed in turns
//!     ─► smaller updates, counted ─► 8 GiB, for the memory ─► docs/benchmarks.md and its picture
//! ```

mod files;
mod goals;
mod images;
mod large;
mod packages;
mod plot;
mod results;
mod rounds;
mod subject;
mod table;
mod tree;

use std::time::Instant;

use self::images::{Builder, Images, Pair};
use self::results::{Case, Row};
use self::rounds::{Ground, Way};
use self::subject::{Casync, Compressed, OfRegistry, Subject};
use self::table::Results;
use super::client::{self, Client, Tool};
use super::registry::turns;
use super::report;
use crate::failure::{Failure, Outcome};
use crate::{agent, generate, workspace};

const PORT: &str = "port";
/// How Port carries the images; none is its default.
const ENCODING: Option<&str> = None;
/// Port once more, so that what packs and what deltas move is told apart.
const PACKS_ALONE: PacksAlone = PacksAlone { name: "port, packs alone", push_options: None };
/// Beside docs/benchmarks.md.
const PLOT: &str = "benchmarks-transfer.svg";

/// A push without deltas, where there are any.
struct PacksAlone {
    name: &'static str,
    push_options: Option<&'static [&'static str]>,
}

pub(super) fn run(rounds: usize) -> Outcome {
    let started = Instant::now();
    let agents = agent::build_for_host()?;
    let port = generate::port("release")?;
    let clients = Client::all(port.clone())?;
    let everybody = everybody(&clients)?;
    let target = workspace::target_directory();
    let directory = target.join("bench-transfer");
    client::remove(&directory)?;
    client::make(&directory)?;
    let builder = Builder { port: &port, agents: &agents, directory: &directory };
    let images = builder.images(&target.join("bench-packages"))?;
    println!("images: ready after {:.0} s", started.elapsed().as_secs_f64());
    let ground = Ground::prepare(&directory)?;
    let measured = measure(&ground, &everybody, &few(&clients)?, &builder, images, rounds);
    drop(ground);
    let removed = client::remove(&directory);
    let results = measured?;
    removed?;
    workspace::write_text(&workspace::root().join("docs").join(PLOT), &plot::draw(&results.update))?;
    report::publish_section("transfer", &table::section(&results, PLOT))?;
    println!("all of it: {:.0} s", started.elapsed().as_secs_f64());
    Failure::from_findings(table::missed(&results))
}

fn measure(
    ground: &Ground,
    everybody: &[Box<dyn Subject>],
    few: &[Box<dyn Subject>],
    builder: &Builder<'_>,
    images: Images,
    rounds: usize,
) -> Outcome<Results> {
    let mut update = counted(ground, everybody, &images.update)?;
    for round in 0..rounds {
        for index in turns(everybody.len(), round) {
            let (Some(subject), Some(row)) = (everybody.get(index), update.rows.get_mut(index)) else {
                continue;
            };
            row.timed.push(ground.turn(subject.as_ref(), &images.update, Way::Timed)?);
        }
    }
    if let Some(packs) = few.iter().find(|subject| subject.name() == PACKS_ALONE.name) {
        update.rows.extend(counted(ground, std::slice::from_ref(packs), &images.update)?.rows);
    }
    let program = counted(ground, few, &images.program)?;
    let erofs = counted(ground, few, &images.erofs)?;
    let port = few.first().ok_or_else(|| Failure::new("nobody to measure"))?;
    let large = large::run(ground, port.as_ref(), builder, &images)?;
    Ok(Results { images, update, program, erofs, large, rounds })
}

/// The way through that is not timed.
fn counted(ground: &Ground, subjects: &[Box<dyn Subject>], pair: &Pair) -> Outcome<Case> {
    let mut case = Case::new(pair);
    for subject in subjects {
        let counted = ground.turn(subject.as_ref(), pair, Way::Counted)?;
        let (name, is_peer) = (subject.name(), subject.is_peer());
        case.rows.push(Row { name, is_peer, counted, timed: Vec::new() });
    }
    Ok(case)
}

/// Port first.
fn everybody(clients: &[Client]) -> Outcome<Vec<Box<dyn Subject>>> {
    let mut subjects: Vec<Box<dyn Subject>> = vec![port(clients, PORT, &[])?];
    for client in clients.iter().filter(|client| client.tool != Tool::Port) {
        let (name, client) = (client.tool.name(), client.clone());
        subjects.push(Box::new(OfRegistry {
            name,
            client,
            is_peer: true,
            encoding: None,
            push_options: &[],
        }));
    }
    subjects.push(Box::new(Casync::new()?));
    subjects.push(Box::new(Compressed::new(tool(clients, Tool::Oras)?)));
    Ok(subjects)
}

/// Those whose bytes say something where little changes; the others move the whole image.
fn few(clients: &[Client]) -> Outcome<Vec<Box<dyn Subject>>> {
    let mut subjects: Vec<Box<dyn Subject>> = vec![port(clients, PORT, &[])?];
    if let Some(options) = PACKS_ALONE.push_options {
        subjects.push(port(clients, PACKS_ALONE.name, options)?);
    }
    subjects.push(Box::new(Casync::new()?));
    subjects.push(Box::new(Compressed::new(tool(clients, Tool::Oras)?)));
    Ok(subjects)
}

fn port(
    clients: &[Client],
    name: &'static str,
    push_options: &'static [&'static str],
) -> Outcome<Box<dyn Subject>> {
    let client = tool(clients, Tool::Port)?;
    Ok(Box::new(OfRegistry { name, client, is_peer: false, encoding: ENCODING, push_options }))
}

fn tool(clients: &[Client], tool: Tool) -> Outcome<Client> {
    let found = clients.iter().find(|client| client.tool == tool).cloned();
    found.ok_or_else(|| Failure::new(format!("there is no `{}`; run: cargo xtask peers", tool.name())))
}
