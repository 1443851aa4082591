//! What the runs say: one table and one goal or two for each verb, in the words of docs/benchmarks.md.

use std::fmt::Write;

use crate::bench::client::Tool;
use crate::bench::measured::Run;
use crate::bench::pairs::summary;
use crate::bench::report::{self, Verdict};

const MIB: f64 = 1_048_576.0;
const MEMORY_GOAL_MIB: f64 = 64.0;
/// How many times faster than one stream several connections must be over the slow line.
const LINE_GOAL: f64 = 3.0;

/// One client's runs of one verb.
#[derive(Debug)]
pub(super) struct Row {
    tool: Tool,
    /// What passed in both directions, in bytes, where it was counted.
    wire: Option<u64>,
    pub(super) runs: Vec<Run>,
}

/// One verb of all clients; Port is the first.
#[derive(Debug)]
pub(super) struct Verb {
    title: &'static str,
    size: u64,
    /// How many times Port's time the fastest peer must need.
    factor: f64,
    rows: Vec<Row>,
}

impl Row {
    pub(super) fn new(tool: Tool, wire: Option<u64>) -> Self {
        Self { tool, wire, runs: Vec::new() }
    }

    fn peak_mebibytes(&self) -> f64 {
        self.runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0) as f64 / MIB
    }
}

impl Verb {
    pub(super) fn push(size: u64, rows: Vec<Row>) -> Self {
        Self { title: "Push", size, factor: 1.0, rows }
    }

    pub(super) fn pull(size: u64, rows: Vec<Row>) -> Self {
        Self { title: "Pull", size, factor: 1.0, rows }
    }

    pub(super) fn line(size: u64, rows: Vec<Row>) -> Self {
        let title = "Pull over 40 ms round trip and 200 Mbit/s per connection";
        Self { title, size, factor: LINE_GOAL, rows }
    }

    /// The median over the rounds of this client's time, in Port's of the same round.
    fn ratio(&self, row: &Row) -> f64 {
        let port = self.rows.first().map(|row| row.runs.as_slice()).unwrap_or_default();
        summary(row.runs.iter().zip(port).map(|(own, port)| own.milliseconds / port.milliseconds)).median
    }

    fn fastest_peer(&self) -> Option<(&'static str, f64)> {
        let peers = self.rows.iter().skip(1).map(|row| (row.tool.name(), self.ratio(row)));
        peers.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        if let Some((name, ratio)) = self.fastest_peer() {
            let goal = if self.factor > 1.0 {
                format!("the fastest peer needs at least {:.0} times Port's time", self.factor)
            } else {
                "Port is never slower than the fastest peer".to_owned()
            };
            let found = format!("{name}, the fastest, needs {ratio:.2} times Port's time");
            verdicts.push(Verdict { goal, found, met: ratio >= self.factor });
        }
        if let Some(port) = self.rows.first() {
            let peak = port.peak_mebibytes();
            let goal = format!("Port's peak memory is under {MEMORY_GOAL_MIB:.0} MiB");
            verdicts.push(Verdict { goal, found: format!("{peak:.1} MiB"), met: peak < MEMORY_GOAL_MIB });
        }
        verdicts
    }

    fn table(&self) -> String {
        let mut text = format!("### {}\n\n{} MiB.\n\n", self.title, self.size >> 20);
        text.push_str("| client | median | least | most | ratio to Port | on the disk after | peak memory | on the wire |\n");
        text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        for row in &self.rows {
            let times = summary(row.runs.iter().map(|run| run.milliseconds));
            let durable = summary(row.runs.iter().map(|run| run.durable_milliseconds)).median;
            let wire =
                row.wire.map_or_else(|| "–".to_owned(), |bytes| format!("{:.2} MiB", bytes as f64 / MIB));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {:.0} ms | {:.0} ms | {:.0} ms | {:.2} | {durable:.0} ms | {:.1} MiB | {wire} |",
                row.tool.name(),
                times.median,
                times.least,
                times.most,
                self.ratio(row),
                row.peak_mebibytes(),
            );
        }
        self.verdicts().iter().for_each(|verdict| text.push_str(&verdict.paragraph()));
        text
    }
}

/// The whole section of docs/benchmarks.md.
pub(super) fn section(verbs: &[Verb], mebibytes: u64, rounds: usize) -> String {
    let tables = verbs.iter().map(Verb::table).collect::<Vec<_>>().join("\n");
    format!(
        "## A large blob at a registry, beside other clients\n\n\
         {mebibytes} MiB of random bytes, pushed to Debian's `docker-registry` on loopback and pulled back by each client in \
         turns, {rounds} rounds, the order changing; every client starts with an empty directory and an empty registry, and \
         nothing is left to be written to the disk. Whole processes from start to end. Port: `artifacts push` and \
         `artifacts pull`, which also copy into the store and the cache, check every byte and flush it to the disk; oras: \
         `push`, `pull`; regctl: `artifact put`, `artifact get`; crane and skopeo: `push` and `copy` of an OCI layout that \
         was prepared before, `pull` and `copy` into one. \"On the disk after\" is the time until the file system has \
         nothing left to write (with a push, what the registry wrote counts too). Peak memory is the highest `VmHWM`. On the \
         wire: both directions, counted by a forwarder in a round that is not timed. The slow line is a forwarder too: \
         everything arrives half a round trip later, a connection costs a round trip first, and each direction of each \
         connection has the rate.\n\n\
         {}\n\n{tables}",
        report::conditions()
    )
}

/// One finding per goal that was missed.
pub(super) fn missed(verbs: &[Verb]) -> Vec<String> {
    let of = |verb: &Verb| {
        verb.verdicts().iter().filter_map(|verdict| verdict.finding(verb.title)).collect::<Vec<_>>()
    };
    verbs.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tool: Tool, milliseconds: &[f64], peak_mebibytes: u64) -> Row {
        let run = |milliseconds: &f64| Run {
            milliseconds: *milliseconds,
            durable_milliseconds: milliseconds + 1.0,
            peak_bytes: peak_mebibytes << 20,
        };
        Row { tool, wire: Some(1 << 20), runs: milliseconds.iter().map(run).collect() }
    }

    #[test]
    fn a_peer_that_is_faster_and_memory_beyond_the_goal_are_missed_goals() {
        let rows = vec![
            row(Tool::Port, &[100.0, 200.0, 400.0], 64),
            row(Tool::Oras, &[120.0, 240.0, 480.0], 9),
            row(Tool::Crane, &[90.0, 180.0, 360.0], 9),
        ];
        let verbs = [Verb::push(1 << 20, rows)];
        let missed = missed(&verbs);
        assert_eq!(missed.len(), 2, "{missed:?}");
        assert!(missed[0].contains("crane, the fastest, needs 0.90 times"), "{missed:?}");
        assert!(missed[1].contains("64.0 MiB"), "{missed:?}");
        let table = verbs[0].table();
        assert!(
            table.contains("| oras | 240 ms | 120 ms | 480 ms | 1.20 | 241 ms | 9.0 MiB | 1.00 MiB |"),
            "{table}"
        );
        assert_eq!(table.matches("**missed**").count(), 2);
    }

    #[test]
    fn over_the_line_the_peers_must_need_three_times_as_long() {
        let rows = |peer| vec![row(Tool::Port, &[100.0], 9), row(Tool::Oras, &[peer], 9)];
        assert!(missed(&[Verb::line(1, rows(300.0))]).is_empty());
        assert_eq!(missed(&[Verb::line(1, rows(299.0))]).len(), 1);
    }
}
