//! Killed or failed at every step that opens or changes a file: the machine boots what it booted, and the next run goes on.

use std::path::Path;
use std::process::Command;

use port_testkit::project::Ran;
use port_update::slots::{BootPointer as _, DirectoryPointer, SlotName};

use crate::update_agent::{Fleet, expect};

/// More steps than any verb has.
const MOST: u32 = 400;
/// An end that is no exit.
const KILLED: i32 = -1;

/// A fleet whose machine can be put back to where it was.
struct Stages {
    fleet: Fleet,
}

impl Stages {
    fn new() -> Self {
        let fleet = Fleet::new();
        fleet.release("v0.1.0", 1);
        Self { fleet }
    }

    fn directory(&self, name: &str) -> std::path::PathBuf {
        self.fleet.machine.path().join(name)
    }

    fn copy(from: &Path, to: &Path) {
        let _ = std::fs::remove_dir_all(to);
        if from.exists() {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
        }
    }

    fn keep(&self, stage: &str) {
        for name in ["state", "slots"] {
            Self::copy(&self.directory(name), &self.directory("kept").join(stage).join(name));
        }
    }

    fn put_back(&self, stage: &str) {
        for name in ["state", "slots"] {
            Self::copy(&self.directory("kept").join(stage).join(name), &self.directory(name));
        }
    }

    /// Brings the machine from stage to stage, and keeps each: before `apply`, `activate`, `healthcheck` and `rollback`.
    fn keep_all(&self) {
        let fleet = &self.fleet;
        self.keep("apply");
        expect(&fleet.apply(), 0);
        self.keep("activate");
        expect(&fleet.verb("activate", &[]), 0);
        assert_eq!(fleet.boot(), SlotName::B);
        self.keep("healthcheck");
        expect(&fleet.well(), 0);
        fleet.release("v0.2.0", 2);
        assert_eq!(fleet.update(), SlotName::A);
        self.keep("rollback");
        // What the place offers at the other stages.
        fleet.publish("v0.1.0");
        fleet.sign("v0.1.0", 1, "release.key", &[]);
    }

    /// Breaks each step of a verb in turn; returns how many there were.
    fn break_each(&self, verb: &str, how: &str) -> u32 {
        for number in 1..MOST {
            self.put_back(verb);
            let ran = self.broken(verb, &format!("disk={how}:{number}"));
            if how == "kill" && ran.code != KILLED {
                expect(&ran, 0);
                return number - 1;
            }
            self.goes_on(verb, &format!("{verb}, {how} at step {number}\n{ran}"));
        }
        panic!("{verb} has no end");
    }

    /// The same for faults that a verb may live through: as many steps as it has.
    fn fail_each(&self, verb: &str, how: &str, steps: u32) {
        for number in 1..=steps {
            self.put_back(verb);
            let ran = self.broken(verb, &format!("disk={how}:{number}"));
            let when = format!("{verb}, {how} at step {number}\n{ran}");
            assert_ne!(ran.code, KILLED, "{when}");
            assert!(ran.code == 0 || ran.stderr.contains("error"), "nothing is said: {when}");
            self.goes_on(verb, &when);
        }
    }

    fn broken(&self, verb: &str, failpoint: &str) -> Ran {
        let more: &[&str] = match verb {
            "apply" => &["--plain-http"],
            "healthcheck" => &["--soak-seconds", "0"],
            _ => &[],
        };
        let words = [&["update", verb, "--conf", "update.conf"], more].concat();
        let mut command = self.fleet.machine.command(&words);
        command.env("PORT_FAILPOINT", failpoint);
        self.fleet.machine.ran(command.output().unwrap())
    }

    /// What boots is old or new, and the verb comes to its end.
    #[track_caller]
    fn goes_on(&self, verb: &str, when: &str) {
        let fleet = &self.fleet;
        let boot = DirectoryPointer::new(&fleet.slots()).read();
        let boot = boot.unwrap_or_else(|error| panic!("nothing boots: {error}\n{when}"));
        let done = |ran: Ran| assert_eq!(ran.code, 0, "{when}\nthen\n{ran}");
        match verb {
            "apply" => {
                assert_eq!((boot.running, boot.trial), (SlotName::A, None), "{when}");
                assert!(!fleet.machine.exists("slots/A"), "what runs was touched: {when}");
                done(fleet.apply());
                fleet.is_at("staged");
            }
            "activate" => {
                assert_eq!(boot.kept, SlotName::A, "{when}");
                if fleet.verb("activate", &[]).code != 0 {
                    // A slot that could not be read was given up, and is brought again.
                    done(fleet.apply());
                    done(fleet.verb("activate", &[]));
                }
                assert_eq!(fleet.boot(), SlotName::B, "{when}");
                done(fleet.well());
                fleet.is_at("committed");
            }
            "healthcheck" => {
                // A power cut: what is tried has tries left, or is kept.
                assert_eq!(fleet.boot(), SlotName::B, "{when}");
                done(fleet.well());
                fleet.is_at("committed");
                assert_eq!(fleet.boot(), SlotName::B, "{when}");
            }
            _ => {
                let _ = fleet.verb("rollback", &[]);
                assert_eq!(fleet.boot(), SlotName::B, "{when}");
                done(fleet.well());
                fleet.is_at("rolled-back");
            }
        }
    }
}

#[test]
fn t_17_killed_at_every_step_of_apply_it_goes_on() {
    let stages = Stages::new();
    stages.keep("apply");
    let steps = stages.break_each("apply", "kill");
    println!("apply: killed at each of {steps} steps");
    assert!(steps >= 50, "{steps}");
}

#[test]
fn t_17_i_3_killed_at_every_step_of_activate_healthcheck_and_rollback_it_boots_and_goes_on() {
    let stages = Stages::new();
    stages.keep_all();
    for verb in ["activate", "healthcheck", "rollback"] {
        let steps = stages.break_each(verb, "kill");
        println!("{verb}: killed at each of {steps} steps");
        assert!(steps >= 10, "{steps}");
    }
}

#[test]
fn t_19_each_step_of_apply_that_fails_is_said_and_the_next_run_goes_on() {
    let stages = Stages::new();
    stages.keep("apply");
    stages.fail_each("apply", "io", 140);
}

#[test]
fn t_19_i_3_each_step_of_activate_healthcheck_and_rollback_that_fails_leaves_a_way_on() {
    let stages = Stages::new();
    stages.keep_all();
    for verb in ["activate", "healthcheck", "rollback"] {
        for (how, steps) in [("io", 46), ("full", 24)] {
            stages.fail_each(verb, how, steps);
        }
    }
}
