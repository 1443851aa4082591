//! T18, T19: power cuts and failing disks, for every pointer whose writes are Port's own.
//!
//! A machine runs release 0, then releases are staged, armed, kept and left. After every disk that a cut may have left, and after
//! every step that fails: it boots a whole release, the one before or the one that was armed; and it can be updated.

use std::rc::Rc;

use port_content::witness::{self, Breaker, Fault, Witness};
use port_testkit::power::{self, Recorder};

use super::*;

/// Where releases lie before they are staged; no part of the machine's disk.
const ELSEWHERE: [&str; 3] = ["release 1", "release 2", "release 9"];
/// One write of the agent's, and what may boot while and after it.
struct Verb {
    name: &'static str,
    run: fn(&Slots, &Path) -> Result<(), SlotError>,
    may_boot: &'static [u64],
    /// Whether a boot comes behind it.
    then_boot: bool,
}

fn staged(slots: &Slots, root: &Path, number: u64) -> Result<(), SlotError> {
    stage(slots, &said(root, number)).map(drop)
}

fn armed(slots: &Slots, root: &Path, number: u64) -> Result<(), SlotError> {
    slots.arm(&said(root, number).0, 2)
}

/// Two releases: the first is kept, the second is left.
const VERBS: [Verb; 8] = [
    Verb { name: "stage", run: |slots, root| staged(slots, root, 1), may_boot: &[0], then_boot: false },
    Verb { name: "arm", run: |slots, root| armed(slots, root, 1), may_boot: &[0, 1], then_boot: true },
    Verb { name: "keep", run: |slots, _| slots.keep_running(), may_boot: &[0, 1], then_boot: false },
    Verb { name: "stage over", run: |slots, root| staged(slots, root, 2), may_boot: &[1], then_boot: false },
    Verb { name: "invalidate", run: |slots, _| slots.invalidate(), may_boot: &[1], then_boot: false },
    Verb { name: "stage again", run: |slots, root| staged(slots, root, 2), may_boot: &[1], then_boot: false },
    Verb { name: "arm again", run: |slots, root| armed(slots, root, 2), may_boot: &[1, 2], then_boot: true },
    Verb {
        name: "turn back",
        run: |slots, _| slots.turn_back().map(drop),
        may_boot: &[1, 2],
        then_boot: true,
    },
];

/// The same without a boot between, so that nothing is flushed but what the agent flushes.
const AT_ONCE: [Verb; 2] = [
    Verb {
        name: "stage, arm",
        run: |slots, root| staged(slots, root, 1).and_then(|()| armed(slots, root, 1)),
        may_boot: &[0, 1],
        then_boot: true,
    },
    Verb {
        name: "keep, stage, arm",
        run: |slots, root| {
            slots.keep_running()?;
            staged(slots, root, 2).and_then(|()| armed(slots, root, 2))
        },
        may_boot: &[0, 1, 2],
        then_boot: true,
    },
];

/// A machine that runs release 0 from a slot of before there were headers.
fn at_release_0<M: Machine>(root: &Path) -> M {
    for role in [Role::Kernel, Role::Initramfs] {
        atomic::write(&root.join("A").join(role.file_name()), content(role, 0).as_bytes()).unwrap();
    }
    for number in [1, 2, 9] {
        release(root, number);
    }
    M::new(root)
}

/// The number of the release in a slot, which is whole.
#[track_caller]
fn number_in(root: &Path, slot: SlotName, when: &str) -> u64 {
    let text = |role: Role| {
        let path = root.join(slot.as_str()).join(role.file_name());
        fs::read_to_string(&path, 100).unwrap_or_else(|error| panic!("{when}: nothing boots: {error}"))
    };
    let number =
        |role: Role| text(role).strip_prefix(&format!("{} of ", role.file_name())).unwrap().to_owned();
    let (kernel, initramfs) = (number(Role::Kernel), number(Role::Initramfs));
    assert_eq!(kernel, initramfs, "{when}: two releases in one slot");
    kernel.parse().unwrap()
}

/// Boots and boots, and is updated then.
#[track_caller]
fn boots_and_updates<M: Machine>(root: &Path, may_boot: &[u64], when: &str) {
    let mut machine = M::found(root);
    for boot in 0..M::BOOTS {
        let slot = machine.boot();
        let number = number_in(root, slot, when);
        assert!(
            may_boot.contains(&number),
            "{when}, boot {boot}: {number} runs, expected one of {may_boot:?}"
        );
    }
    let kept = machine.slots().keep_running();
    kept.unwrap_or_else(|error| panic!("{when}: not kept: {error}"));
    let (target, ..) = release(root, 9);
    let slot = stage(&machine.slots(), &said(root, 9));
    let slot = slot.unwrap_or_else(|error| panic!("{when}: cannot be updated: {error}"));
    machine.slots().arm(&target, 2).unwrap();
    assert_eq!((machine.boot(), number_in(root, slot, when)), (slot, 9), "{when}");
    machine.slots().keep_running().unwrap();
    assert_eq!(machine.boot(), slot, "{when}");
}

fn cut_everywhere<M: Machine>() {
    let tried = cut::<M>(VERBS) + cut::<M>(AT_ONCE);
    println!("{tried} disks");
    assert!(tried > 100, "{tried}");
}

/// Returns how many different disks were tried.
fn cut<M: Machine>(verbs: impl IntoIterator<Item = Verb>) -> usize {
    let root = power::scratch();
    let mut machine: M = at_release_0(root.path());
    let mut tried = 0;
    for Verb { name, run, may_boot, then_boot } in verbs {
        let recorder = Rc::new(Recorder::new(root.path(), &ELSEWHERE));
        let seen = Rc::clone(&recorder) as Rc<dyn Witness>;
        let slots = machine.slots();
        witness::seen_by(seen, || run(&slots, root.path())).unwrap();
        recorder.saw_everything();
        let crashes = recorder.crashes();
        println!("{name}: {} changes, {} disks", recorder.changes(), crashes.len());
        for crash in crashes {
            tried += 1;
            let disk = power::scratch();
            crash.tree.write_to(disk.path());
            boots_and_updates::<M>(disk.path(), may_boot, &format!("{name}, cut after {}", crash.at));
        }
        if then_boot {
            machine.boot();
        }
    }
    tried
}

fn break_everything<M: Machine>() {
    let mut broken = 0;
    for fault in Fault::OF_DISKS {
        for (index, Verb { name, run, may_boot, .. }) in VERBS.into_iter().enumerate() {
            for number in 1.. {
                let root = power::scratch();
                let mut machine: M = at_release_0(root.path());
                for before in VERBS.iter().take(index) {
                    (before.run)(&machine.slots(), root.path()).unwrap();
                    if before.then_boot {
                        machine.boot();
                    }
                }
                let breaker = Rc::new(Breaker::new(fault, number));
                let seen = Rc::clone(&breaker) as Rc<dyn Witness>;
                let slots = machine.slots();
                let result = witness::seen_by(seen, || run(&slots, root.path()));
                if !breaker.has_broken() {
                    result.unwrap();
                    break;
                }
                broken += 1;
                let when = format!("{name}, {fault:?} at step {number}");
                // The next try, without a boot between: it is done, or there is nothing more to do.
                if result.is_err() {
                    run(&machine.slots(), root.path())
                        .unwrap_or_else(|error| panic!("{when}: again: {error}"));
                }
                boots_and_updates::<M>(root.path(), may_boot, &when);
            }
        }
    }
    println!("{broken} faults");
    assert!(broken > 60, "{broken}");
}

#[test]
fn t_18_i_2_i_3_a_power_cut_leaves_directories_old_or_new() {
    cut_everywhere::<Directories>();
}

#[test]
fn t_18_i_2_i_3_ou_20_a_power_cut_leaves_grub_old_or_new() {
    cut_everywhere::<Grub>();
}

#[test]
fn t_18_i_2_i_3_a_power_cut_leaves_boot_loader_entries_old_or_new() {
    cut_everywhere::<Entries>();
}

#[test]
fn t_19_a_failing_disk_leaves_directories_old_or_new_and_the_next_try_works() {
    break_everything::<Directories>();
}

#[test]
fn t_19_ou_20_a_failing_disk_leaves_grub_old_or_new_and_the_next_try_works() {
    break_everything::<Grub>();
}

#[test]
fn t_19_a_failing_disk_leaves_boot_loader_entries_old_or_new_and_the_next_try_works() {
    break_everything::<Entries>();
}
