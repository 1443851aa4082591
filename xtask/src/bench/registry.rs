//! Push and pull of one large blob: Port beside oras, crane, regctl and skopeo, at the same registry on loopback; and
//! the pull once more over a line that is long and narrow, where it counts how many connections fetch one blob.
//!
//! ```text
//! round 0, not timed: through a counting forwarder, bytes compared ─► rounds 1…N: every client in turns, each time
//!     a fresh directory and an empty registry ─► slow line: pushed once, then every client pulls in turns
//! ```

mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::table::{Row, Verb};
use super::client::{Client, Target};
use super::measured::Run;
use super::sample::Sample;
use super::server::Server;
use super::wire::{Forwarder, Line};
use super::{client, measured, report};
use crate::failure::{Failure, Outcome};
use crate::{generate, workspace};

const MIB: u64 = 1 << 20;
/// The slow line needs no more to show a rate.
const MOST_OVER_LINE: u64 = 256 * MIB;
/// 40 ms there and back, 200 Mbit/s.
const LINE: Line = Line { round_trip: Duration::from_millis(40), bytes_per_second: 200e6 / 8.0 };

/// Everything that a round needs.
struct Bench {
    clients: Vec<Client>,
    directory: PathBuf,
    sample: Sample,
    server: Server,
}

/// What one client needed in one round.
struct Turn {
    push: Run,
    pull: Run,
}

pub(super) fn run(mebibytes: u64, rounds: usize) -> Outcome {
    let port = generate::port("release")?;
    let clients = Client::all(port)?;
    let directory = workspace::target_directory().join("bench-registry");
    client::remove(&directory)?;
    client::make(&directory)?;
    let server = Server::start(&directory.join("registry"))?;
    println!("registry: docker-registry on {}", server.address());
    let sample = Sample::create(&directory.join("sample"), mebibytes * MIB)?;
    let mut bench = Bench { clients, directory, sample, server };
    let measured = bench.measure(rounds);
    let removed = client::remove(&bench.directory);
    drop(bench);
    let verbs = measured?;
    removed?;
    report::publish_section("registry", &table::section(&verbs, mebibytes, rounds))?;
    Failure::from_findings(table::missed(&verbs))
}

impl Bench {
    fn measure(&mut self, rounds: usize) -> Outcome<Vec<Verb>> {
        let size = self.sample.size;
        let (mut push, mut pull) = self.rows_with_traffic()?;
        for round in 0..rounds {
            for index in turns(self.clients.len(), round) {
                let Some(client) = self.clients.get(index) else { continue };
                let turn = self.turn(client, self.server.address())?;
                println!(
                    "round {} of {rounds}: {:<6} push {:>9.1} ms, pull {:>9.1} ms",
                    round + 1,
                    client.tool.name(),
                    turn.push.milliseconds,
                    turn.pull.milliseconds
                );
                for (rows, run) in [(&mut push, turn.push), (&mut pull, turn.pull)] {
                    rows.get_mut(index).into_iter().for_each(|row| row.runs.push(run));
                }
            }
        }
        let line = self.measure_line(rounds)?;
        Ok(vec![Verb::push(size, push), Verb::pull(size, pull), Verb::line(self.sample.size, line)])
    }

    /// The round that is not timed: what passes the wire, and whether the bytes come back.
    fn rows_with_traffic(&self) -> Outcome<(Vec<Row>, Vec<Row>)> {
        let (mut push, mut pull) = (Vec::new(), Vec::new());
        for client in &self.clients {
            let forwarder = Forwarder::start(self.server.address(), None)?;
            let directory = self.own(client);
            self.push(client, &directory, forwarder.address())?;
            push.push(Row::new(client.tool, Some(forwarder.take_passed())));
            self.pull(client, &directory, forwarder.address())?;
            pull.push(Row::new(client.tool, Some(forwarder.take_passed())));
            self.sample.expect_at(&client.pulled(&directory, &self.sample))?;
            client::remove(&directory)?;
            self.server.empty()?;
            println!("{}: pushed and pulled the same bytes", client.tool.name());
        }
        Ok((push, pull))
    }

    fn turn(&self, client: &Client, registry: SocketAddr) -> Outcome<Turn> {
        let directory = self.own(client);
        let push = self.push(client, &directory, registry)?;
        let pull = self.pull(client, &directory, registry)?;
        client::remove(&directory)?;
        self.server.empty()?;
        Ok(Turn { push, pull })
    }

    fn push(&self, client: &Client, directory: &Path, registry: SocketAddr) -> Outcome<Run> {
        let target = Target::plain(registry);
        client::remove(directory)?;
        client.before_push(directory, &self.sample, &target)?;
        measured::settle(directory)?;
        measured::run(&mut client.push(directory, &target), directory)
    }

    fn pull(&self, client: &Client, directory: &Path, registry: SocketAddr) -> Outcome<Run> {
        let target = Target::plain(registry);
        client::remove(directory)?;
        client.before_pull(directory, &target)?;
        measured::settle(directory)?;
        measured::run(&mut client.pull(directory, &target), directory)
    }

    /// Every client pulls what it pushed, over the slow line.
    fn measure_line(&mut self, rounds: usize) -> Outcome<Vec<Row>> {
        let path = self.directory.join("sample");
        self.sample = Sample::create(&path, self.sample.size.min(MOST_OVER_LINE))?;
        let mut rows = Vec::new();
        for client in &self.clients {
            self.push(client, &self.own(client), self.server.address())?;
            rows.push(Row::new(client.tool, None));
        }
        let line = Forwarder::start(self.server.address(), Some(LINE))?;
        for round in 0..rounds {
            for index in turns(self.clients.len(), round) {
                let (Some(client), Some(row)) = (self.clients.get(index), rows.get_mut(index)) else {
                    continue;
                };
                let directory = self.own(client);
                let run = self.pull(client, &directory, line.address())?;
                self.sample.expect_at(&client.pulled(&directory, &self.sample))?;
                client::remove(&directory)?;
                println!(
                    "slow line, round {} of {rounds}: {:<6} {:>9.1} ms",
                    round + 1,
                    client.tool.name(),
                    run.milliseconds
                );
                row.runs.push(run);
            }
        }
        Ok(rows)
    }

    fn own(&self, client: &Client) -> PathBuf {
        self.directory.join(client.tool.name())
    }
}

/// Everybody once, in another order each round, so that what a round leaves behind falls on another.
pub(super) fn turns(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |place| (place + round) % count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_and_the_order_changes() {
        assert_eq!(turns(3, 0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(turns(3, 4).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(turns(0, 1).count(), 0);
    }
}
