//! Metrics in Prometheus' text form, from the record and the slots at the moment of asking.
//!
//! Invariant: the series of a state are always all there, 0 or 1, so that an alert on an absent one is an alert on an absent agent.

use std::fmt::Write as _;

use crate::failure::Class;
use crate::machine::Phase;
use crate::record::Record;
use crate::slots::{Evidence, SlotName};

/// The text.
pub fn render(record: &Record, evidence: Option<&Evidence>) -> String {
    let mut text = String::new();
    let state = &record.state;
    let mut family = |name: &str, kind: &str, series: &[(String, u64)]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# TYPE port_update_{name} {kind}");
        for (labels, value) in series {
            let _ = writeln!(text, "port_update_{name}{labels} {value}");
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    let phase = |phase: &Phase| (format!("{{phase=\"{phase}\"}}"), u64::from(*phase == state.phase));
    family("phase", "gauge", &Phase::ALL.iter().map(phase).collect::<Vec<_>>());
    family("attempts_total", "counter", &one(state.attempts));
    let count = |class: &Class| record.counts.failures.get(class).copied().unwrap_or(0);
    let failures = |class: &Class| (format!("{{class=\"{class}\"}}"), count(class));
    family("failures_total", "counter", &Class::ALL.iter().map(failures).collect::<Vec<_>>());
    let attacks = Class::ALL.iter().filter(|class| class.is_attack());
    let attacks = attacks.map(|class| (format!("{{kind=\"{class}\"}}"), count(class)));
    family("attacks_total", "counter", &attacks.collect::<Vec<_>>());
    family("bytes_total", "counter", &one(record.counts.bytes));
    family("resumed_bytes_total", "counter", &one(record.counts.resumed_bytes));
    family("denied_releases", "gauge", &one(state.denied.len() as u64));
    family("rollbacks_total", "counter", &one(state.rollbacks));
    family("floor_epoch", "gauge", &one(state.floor_epoch));
    family("last_attempt_timestamp", "gauge", &one(record.attempt_began.unwrap_or(0)));
    family("last_success_timestamp", "gauge", &one(record.last_success.unwrap_or(0)));
    family("waits_until_timestamp", "gauge", &one(state.until.unwrap_or(0)));
    family("statement_expires_timestamp", "gauge", &one(record.statement_expires.unwrap_or(0)));
    family("time_to_commit_seconds", "gauge", &one(record.counts.time_to_commit.unwrap_or(0)));
    if let Some(evidence) = evidence {
        let slots: Vec<_> = SlotName::BOTH.iter().map(|slot| (slot_info(evidence, *slot), 1)).collect();
        family("slot_info", "gauge", &slots);
        let tries = evidence.boot.trial.map_or(0, |trial| u64::from(trial.tries));
        family("tries_left", "gauge", &one(tries));
    }
    text
}

fn slot_info(evidence: &Evidence, slot: SlotName) -> String {
    let (version, digest) = match evidence.header(slot) {
        Some(header) => (header.target.version.to_string(), header.target.digest.to_string()),
        None => (String::new(), String::new()),
    };
    let boot = evidence.boot;
    let standing = match (boot.running == slot, boot.kept == slot) {
        (true, true) => "running",
        (true, false) => "on-trial",
        (false, true) => "kept",
        (false, false) => "idle",
    };
    format!("{{slot=\"{slot}\",version=\"{version}\",digest=\"{digest}\",state=\"{standing}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ou_18_every_series_of_the_phase_is_there_and_one_is_1() {
        let text = render(&Record::default(), None);
        let series: Vec<&str> = text.lines().filter(|line| line.starts_with("port_update_phase{")).collect();
        assert_eq!(series.len(), Phase::ALL.len());
        let on: Vec<&&str> = series.iter().filter(|line| line.ends_with(" 1")).collect();
        assert_eq!(on, [&"port_update_phase{phase=\"idle\"} 1"]);
        assert!(text.contains("port_update_attacks_total{kind=\"rollback\"} 0"), "{text}");
        assert!(!text.contains("attacks_total{kind=\"network\"}"), "a fault is no attack");
    }
}
