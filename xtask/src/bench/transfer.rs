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

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
/// How Port carries the images, said so that another default changes nothing here.
const ENCODING: &str = "packed";
/// Port once more, so that what packs and what deltas move is told apart.
const PACKS_ALONE: &str = "port, packs alone";
const WITHOUT_DELTAS: &[&str] = &["--deltas", "0"];
/// No round begins that would not end by then.
const PATIENCE: Duration = Duration::from_secs(24 * 60);
/// Beside docs/benchmarks.md.
const PLOT: &str = "benchmarks-transfer.svg";

pub(super) fn run(rounds: usize) -> Outcome {
    let started = Instant::now();
    let agents = agent::build_for_host()?;
    let target = workspace::target_directory();
    let directory = target.join("bench-transfer");
    client::remove(&directory)?;
    let port = copy(&generate::port("release")?, &directory)?;
    let clients = Client::all(port.clone())?;
    let everybody = everybody(&clients)?;
    let builder = Builder { port: &port, agents: &agents, directory: &directory };
    let images = builder.images(&target.join("bench-packages"))?;
    println!("images: ready after {:.0} s", started.elapsed().as_secs_f64());
    let ground = Ground::prepare(&directory)?;
    let bench = Bench { ground: &ground, everybody, few: few(&clients)?, started, rounds };
    let measured = bench.measure(&builder, images);
    drop(ground);
    let removed = client::remove(&directory);
    let results = measured?;
    removed?;
    workspace::write_text(&workspace::root().join("docs").join(PLOT), &plot::draw(&results.update))?;
    report::publish_section("transfer", &table::section(&results, PLOT))?;
    println!("all of it: {:.0} s", started.elapsed().as_secs_f64());
    Failure::from_findings(table::missed(&results))
}

/// What is measured must be one program to the end, whatever is built meanwhile.
fn copy(program: &Path, directory: &Path) -> Outcome<PathBuf> {
    client::make(directory)?;
    let place = directory.join(PORT);
    std::fs::copy(program, &place).map_err(|error| Failure::io("copy", program, &error))?;
    Ok(place)
}

/// Who is measured where, and how often.
struct Bench<'a> {
    ground: &'a Ground,
    everybody: Vec<Box<dyn Subject>>,
    few: Vec<Box<dyn Subject>>,
    started: Instant,
    rounds: usize,
}

impl Bench<'_> {
    /// What is done once comes first, so that the rounds know what time is left.
    fn measure(&self, builder: &Builder<'_>, images: Images) -> Outcome<Results> {
        let port = self.few.first().ok_or_else(|| Failure::new("nobody to measure"))?;
        let large = large::run(self.ground, port.as_ref(), builder, &images)?;
        let program = self.counted(&self.few, &images.program)?;
        let erofs = self.counted(&self.few, &images.erofs)?;
        let mut update = self.counted(&self.everybody, &images.update)?;
        let rounds = self.timed(&mut update, &images.update)?;
        if let Some(packs) = self.few.iter().find(|subject| subject.name() == PACKS_ALONE) {
            update.rows.extend(self.counted(std::slice::from_ref(packs), &images.update)?.rows);
        }
        Ok(Results { facts: images.facts, update, program, erofs, large, rounds, wanted_rounds: self.rounds })
    }

    /// The way through that is not timed.
    fn counted(&self, subjects: &[Box<dyn Subject>], pair: &Pair) -> Outcome<Case> {
        let mut case = Case::new(pair);
        for subject in subjects {
            let counted = self.ground.turn(subject.as_ref(), pair, Way::Counted)?;
            let (name, is_peer) = (subject.name(), subject.is_peer());
            case.rows.push(Row { name, is_peer, counted, timed: Vec::new() });
        }
        Ok(case)
    }

    /// As many rounds as are wanted, or as there is time for; at least one. Fewer than wanted are a finding in the end.
    fn timed(&self, case: &mut Case, pair: &Pair) -> Outcome<usize> {
        for round in 0..self.rounds {
            let start = Instant::now();
            for index in turns(self.everybody.len(), round) {
                let (Some(subject), Some(row)) = (self.everybody.get(index), case.rows.get_mut(index)) else {
                    continue;
                };
                row.timed.push(self.ground.turn(subject.as_ref(), pair, Way::Timed)?);
            }
            let left = PATIENCE.saturating_sub(self.started.elapsed());
            println!("round {} of {}: {:.0} s", round + 1, self.rounds, start.elapsed().as_secs_f64());
            if left < start.elapsed() {
                return Ok(round + 1);
            }
        }
        Ok(self.rounds)
    }
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

/// Those whose bytes say something where little changes; the others move the whole image whatever changes.
fn few(clients: &[Client]) -> Outcome<Vec<Box<dyn Subject>>> {
    let (both, packs) = (port(clients, PORT, &[])?, port(clients, PACKS_ALONE, WITHOUT_DELTAS)?);
    Ok(vec![both, packs, Box::new(Casync::new()?)])
}

fn port(
    clients: &[Client],
    name: &'static str,
    push_options: &'static [&'static str],
) -> Outcome<Box<dyn Subject>> {
    let client = tool(clients, Tool::Port)?;
    Ok(Box::new(OfRegistry { name, client, is_peer: false, encoding: Some(ENCODING), push_options }))
}

fn tool(clients: &[Client], tool: Tool) -> Outcome<Client> {
    let found = clients.iter().find(|client| client.tool == tool).cloned();
    found.ok_or_else(|| Failure::new(format!("there is no `{}`; run: cargo xtask peers", tool.name())))
}
