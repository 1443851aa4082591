//! What the rounds found, by case and subject, and the figures that tables, goals and plot are made of.

use super::images::Pair;
use super::rounds::{Stage, Taken};
use crate::bench::pairs::{Summary, summary};

/// One subject in one case.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) is_peer: bool,
    /// In the order of [`Stage::ALL`].
    pub(super) counted: Vec<Taken>,
    /// One entry per round, each in the order of [`Stage::ALL`].
    pub(super) timed: Vec<Vec<Taken>>,
}

/// A new version beside an old one, moved by several; Port is the first.
pub(super) struct Case {
    pub(super) old_compressed: u64,
    pub(super) new_compressed: u64,
    pub(super) rows: Vec<Row>,
}

impl Row {
    pub(super) fn times(&self, stage: Stage) -> Summary {
        summary(self.runs(stage).map(|taken| taken.run.milliseconds))
    }

    /// The most memory in any run, also that which was counted.
    pub(super) fn peak_bytes(&self, stage: Stage) -> u64 {
        self.runs(stage).chain(self.of(stage)).map(|taken| taken.run.peak_bytes).max().unwrap_or(0)
    }

    pub(super) fn wire(&self, stage: Stage) -> u64 {
        self.of(stage).and_then(|taken| taken.wire).unwrap_or(0)
    }

    pub(super) fn stored(&self, stage: Stage) -> u64 {
        self.of(stage).map_or(0, |taken| taken.stored)
    }

    fn of(&self, stage: Stage) -> Option<&Taken> {
        self.counted.get(stage as usize)
    }

    fn runs(&self, stage: Stage) -> impl Iterator<Item = &Taken> {
        self.timed.iter().filter_map(move |stages| stages.get(stage as usize))
    }
}

impl Case {
    pub(super) fn new(pair: &Pair) -> Self {
        let Pair { old_compressed, new_compressed, .. } = pair;
        let (old_compressed, new_compressed) = (*old_compressed, *new_compressed);
        Self { old_compressed, new_compressed, rows: Vec::new() }
    }

    pub(super) fn port(&self) -> Option<&Row> {
        self.rows.first()
    }

    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// This row's median in Port's.
    pub(super) fn ratio(&self, row: &Row, stage: Stage) -> f64 {
        let port = self.port().map_or(f64::NAN, |port| port.times(stage).median);
        row.times(stage).median / port
    }

    pub(super) fn fastest_peer(&self, stage: Stage) -> Option<(&'static str, f64)> {
        let peers = self.rows.iter().filter(|row| row.is_peer && !row.timed.is_empty());
        let ratios = peers.map(|row| (row.name, self.ratio(row, stage)));
        ratios.filter(|(_, ratio)| ratio.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::measured::Run;

    pub(in super::super) fn taken(milliseconds: f64, wire: u64) -> Taken {
        let run = Run { milliseconds, durable_milliseconds: milliseconds, peak_bytes: 1 << 20 };
        Taken { run, wire: Some(wire), stored: 2 * wire }
    }

    /// A row whose every stage takes the same.
    pub(in super::super) fn row(name: &'static str, is_peer: bool, milliseconds: f64, wire: u64) -> Row {
        let stages = || vec![taken(milliseconds, wire); 5];
        Row { name, is_peer, counted: stages(), timed: vec![stages(), stages()] }
    }

    #[test]
    fn the_fastest_is_looked_for_among_the_peers() {
        let rows = vec![
            row("port", false, 10.0, 1),
            row("slow", true, 40.0, 1),
            row("fast", true, 20.0, 1),
            row("apart", false, 5.0, 1),
        ];
        let case = Case { old_compressed: 1, new_compressed: 1, rows };
        assert_eq!(case.fastest_peer(Stage::Push), Some(("fast", 2.0)));
    }
}
