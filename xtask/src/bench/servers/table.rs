//! What the rounds say, in the words of docs/benchmarks.md.

use std::fmt::Write as _;

use super::contender::Software;
use super::{ASKING, LARGE, PULLS, PUSHED, PUSHES, READING, SHARED};
use crate::bench::pairs::summary;
use crate::bench::report::{self, Verdict};

const MIB: f64 = 1_048_576.0;
/// How many times the requests of the fastest peer.
const REQUESTS_GOAL: f64 = 1.5;
/// How much of what the loopback carries counts as all of it.
const LINE_GOAL: f64 = 0.9;
/// How much of the smallest peer's memory.
const MEMORY_GOAL: f64 = 0.5;

/// What one server did, round by round.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) software: Software,
    /// Milliseconds.
    pub(super) started: Vec<f64>,
    /// Bytes.
    pub(super) idle: Vec<f64>,
    /// Requests in a second.
    pub(super) gets: Vec<f64>,
    /// Requests in a second.
    pub(super) heads: Vec<f64>,
    /// Bytes in a second.
    pub(super) read: Vec<f64>,
    /// Milliseconds.
    pub(super) pulls: Vec<f64>,
    /// Milliseconds.
    pub(super) pushes: Vec<f64>,
    /// Bytes.
    pub(super) peak: Vec<f64>,
}

/// A row of the table: its title, where it is in the figures, and how a number of it is written.
struct Row {
    title: String,
    of: fn(&Figures) -> &[f64],
    written: fn(f64) -> String,
}

impl Figures {
    pub(super) fn new(software: Software) -> Self {
        let none = Vec::new;
        let (started, idle, gets, heads) = (none(), none(), none(), none());
        let (read, pulls, pushes, peak) = (none(), none(), none(), none());
        Self { software, started, idle, gets, heads, read, pulls, pushes, peak }
    }

    /// The last round in a line.
    pub(super) fn last(&self) -> String {
        let mut line = format!("{:<16}", self.software.name());
        for row in rows() {
            let last = (row.of)(self).last().copied().unwrap_or(f64::NAN);
            // Writing to a String cannot fail.
            let _ = write!(line, " {}", (row.written)(last));
        }
        line
    }
}

fn rows() -> Vec<Row> {
    let milliseconds = |value: f64| format!("{value:.0} ms");
    let memory = |value: f64| format!("{:.1} MiB", value / MIB);
    let requests = |value: f64| format!("{value:.0}/s");
    let row = |title: &str, of: fn(&Figures) -> &[f64], written: fn(f64) -> String| Row {
        title: title.to_owned(),
        of,
        written,
    };
    let mib = |bytes: u64| bytes >> 20;
    vec![
        row("start until the first answer", |figures| &figures.started, milliseconds),
        row(&format!("manifest GET, {ASKING} connections"), |figures| &figures.gets, requests),
        row(&format!("manifest HEAD, {ASKING} connections"), |figures| &figures.heads, requests),
        row(
            &format!("blob GET, {} MiB, {READING} connections", mib(LARGE)),
            |figures| &figures.read,
            |value| format!("{:.0} MiB/s", value / MIB),
        ),
        row(
            &format!("{PULLS} pulls of one blob of {} MiB at once", mib(SHARED)),
            |figures| &figures.pulls,
            milliseconds,
        ),
        row(
            &format!("{PUSHES} pushes of {} MiB at once", mib(PUSHED as u64)),
            |figures| &figures.pushes,
            milliseconds,
        ),
        row("memory when idle", |figures| &figures.idle, memory),
        row("peak memory", |figures| &figures.peak, memory),
    ]
}

fn median(values: &[f64]) -> f64 {
    summary(values.iter().copied()).median
}

/// Port's figure and the best of the peers', which is the largest or the smallest.
fn beside(all: &[Figures], of: fn(&Figures) -> &[f64], best: fn(f64, f64) -> f64) -> Option<(f64, f64)> {
    let (port, peers) = all.split_first()?;
    let best = peers.iter().map(|peer| median(of(peer))).reduce(best)?;
    Some((median(of(port)), best))
}

fn verdicts(all: &[Figures], line: f64) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (what, of) in
        [("GET", (|figures| &figures.gets) as fn(&Figures) -> &[f64]), ("HEAD", |figures| &figures.heads)]
    {
        if let Some((port, best)) = beside(all, of, f64::max) {
            let goal = format!("{REQUESTS_GOAL} times the fastest peer's {what} of a manifest");
            let found = format!("{:.2} times", port / best);
            verdicts.push(Verdict { goal, found, met: port >= REQUESTS_GOAL * best });
        }
    }
    if let Some(port) = all.first() {
        let part = median(&port.read) / line;
        let goal = format!(
            "a blob at the rate of the line: {:.0} % of the {:.0} MiB/s that the kernel copies from a file into a socket here",
            LINE_GOAL * 100.0,
            line / MIB
        );
        verdicts.push(Verdict { goal, found: format!("{:.0} %", part * 100.0), met: part >= LINE_GOAL });
    }
    for (what, of) in
        [("idle", (|figures| &figures.idle) as fn(&Figures) -> &[f64]), ("peak", |figures| &figures.peak)]
    {
        if let Some((port, best)) = beside(all, of, f64::min) {
            let goal = format!("half of the smallest peer's {what} memory");
            let found = format!("{:.2} of it", port / best);
            verdicts.push(Verdict { goal, found, met: port <= MEMORY_GOAL * best });
        }
    }
    verdicts
}

/// The whole section.
pub(super) fn section(all: &[Figures], line: f64, rounds: usize) -> String {
    let mut text = format!(
        "## The control plane, beside other registries\n\nEach server alone on loopback over an empty directory, {rounds} rounds, the order \
         changing; medians, with the least and the most. One client for all, with a thread for each connection, on the same processors. Port \
         asks every request for a token; the others, as they are without configuration, ask nobody.\n\n{}\n\n| |",
        report::conditions()
    );
    for figures in all {
        let _ = write!(text, " {} |", figures.software.name());
    }
    let _ = writeln!(text, "\n| --- |{}", " ---: |".repeat(all.len()));
    for Row { title, of, written } in rows() {
        let _ = write!(text, "| {title} |");
        for figures in all {
            let found = summary(of(figures).iter().copied());
            let (least, most) = (written(found.least), written(found.most));
            let _ = write!(text, " **{}** ({least} … {most}) |", written(found.median));
        }
        text.push('\n');
    }
    verdicts(all, line).iter().for_each(|verdict| text.push_str(&verdict.paragraph()));
    text
}

/// The goals that were missed.
pub(super) fn missed(all: &[Figures], line: f64) -> Vec<String> {
    verdicts(all, line).iter().filter_map(|verdict| verdict.finding("server")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(software: Software, requests: f64, bytes: f64) -> Figures {
        Figures {
            gets: vec![requests],
            heads: vec![requests],
            read: vec![100.0 * MIB],
            idle: vec![bytes],
            peak: vec![bytes],
            ..Figures::new(software)
        }
    }

    #[test]
    fn the_best_peer_counts() {
        let peers = [
            figures(Software::Port, 300.0, 10.0 * MIB),
            figures(Software::Distribution, 100.0, 40.0 * MIB),
            figures(Software::Zot, 200.0, 20.0 * MIB),
        ];
        assert_eq!(missed(&peers, 101.0 * MIB), Vec::<String>::new());
        let text = section(&peers, 101.0 * MIB, 1);
        assert!(text.contains("| port | distribution | zot |") && text.contains("1.50 times"), "{text}");
        let slower = [figures(Software::Port, 299.0, 11.0 * MIB), figures(Software::Zot, 200.0, 20.0 * MIB)];
        assert_eq!(missed(&slower, 200.0 * MIB).len(), 5);
    }
}
