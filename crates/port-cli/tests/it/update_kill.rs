//! Killed or failed at every step that the agent writes: the machine boots what it booted, and the next run goes on.

use port_testkit::project::Ran;
use port_update::slots::{BootPointer as _, DirectoryPointer, SlotName};

use crate::update_agent::{Fleet, expect};

const STEPS: [&str; 3] = ["atomic.before-sync", "atomic.before-rename", "atomic.after-rename"];
/// More steps than any verb has.
const MOST: u32 = 60;

fn armed(fleet: &Fleet, verb: &str, more: &[&str], failpoint: &str) -> Ran {
    let mut command = fleet.machine.command(&[&["update", verb, "--conf", "update.conf"], more].concat());
    command.env("PORT_FAILPOINT", failpoint);
    fleet.machine.ran(command.output().unwrap())
}

fn forget(fleet: &Fleet) {
    for directory in ["state", "slots"] {
        let _ = port_content::fs::remove_dir_all(&fleet.machine.path().join(directory));
    }
}

/// Breaks `apply` at each pass of each step; returns how often.
fn break_apply(fleet: &Fleet, how: &str) -> u32 {
    let mut broken = 0;
    for step in STEPS {
        for pass in 1..MOST {
            forget(fleet);
            let ran = armed(fleet, "apply", &["--plain-http"], &format!("{step}={how}:{pass}"));
            if ran.code == 0 {
                break;
            }
            broken += 1;
            let boot = DirectoryPointer::new(&fleet.slots()).read().unwrap();
            assert_eq!((boot.running, boot.trial), (SlotName::A, None), "{step}:{pass}\n{ran}");
            assert!(!fleet.machine.exists("slots/A"), "{step}:{pass}: what runs is untouched");
            expect(&fleet.apply(), 0);
            fleet.is_at("staged");
        }
    }
    broken
}

#[test]
fn t_17_killed_at_every_step_of_apply_it_goes_on() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let broken = break_apply(&fleet, "kill");
    println!("killed {broken} times");
    assert!(broken >= 24, "{broken}");
}

#[test]
fn t_19_each_failed_write_of_apply_is_said_and_the_next_run_goes_on() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let broken = break_apply(&fleet, "error");
    println!("failed {broken} times");
    assert!(broken >= 24, "{broken}");
}

#[test]
fn t_17_i_3_killed_at_every_step_of_activate_and_healthcheck_it_boots_and_goes_on() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let mut broken = 0;
    for verb in ["activate", "healthcheck"] {
        for step in STEPS {
            for pass in 1..MOST {
                forget(&fleet);
                expect(&fleet.apply(), 0);
                if verb == "healthcheck" {
                    expect(&fleet.verb("activate", &[]), 0);
                    assert_eq!(fleet.boot(), SlotName::B);
                }
                let more: &[&str] = if verb == "healthcheck" { &["--soak-seconds", "0"] } else { &[] };
                let ran = armed(&fleet, verb, more, &format!("{step}=kill:{pass}"));
                if ran.code == 0 {
                    break;
                }
                broken += 1;
                if verb == "activate" {
                    expect(&fleet.verb("activate", &[]), 0);
                    assert_eq!(fleet.boot(), SlotName::B, "{verb} {step}:{pass}");
                } else {
                    // A power cut: it boots the one or the other, and both are whole.
                    assert_eq!(fleet.boot(), SlotName::B, "{verb} {step}:{pass}");
                }
                expect(&fleet.well(), 0);
                fleet.is_at("committed");
                assert_eq!(fleet.boot(), SlotName::B);
            }
        }
    }
    println!("killed {broken} times");
    assert!(broken >= 15, "{broken}");
}
