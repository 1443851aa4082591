//! `port` killed at every point where a kill could hurt, and made to fail there; then run again.

use port_testkit::project::{Project, Ran};

use crate::fixture::*;

/// More passes than any verb makes.
const MOST_PASSES: u32 = 60;

/// Runs the verb with every failpoint armed at every pass, and `check` after each; then without.
fn at_every_point(project: &Project, verb: &str, action: &str, prepare: impl Fn(), check: impl Fn(&Ran)) {
    let mut hits = 0;
    for point in port_content::failpoint::ALL {
        for pass in 1..=MOST_PASSES {
            prepare();
            let arguments = [&["artifacts", verb, "--artifact", "tiny"][..], &X86].concat();
            let mut command = project.command(&arguments);
            command.env("PORT_FAILPOINT", format!("{point}={action}:{pass}"));
            let ran = project.ran(command.output().unwrap());
            check(&ran);
            let stored = project.port(&["store", "verify"]);
            assert_eq!(stored.code, 0, "{verb} {point}:{pass}\n{ran}{stored}");
            if ran.code == 0 {
                break;
            }
            assert_eq!(ran.code, if action == "kill" { -1 } else { 1 }, "{point}:{pass}\n{ran}");
            assert!(action == "kill" || ran.stderr.contains(&format!("failpoint {point}")), "{ran}");
            hits += 1;
            assert!(pass < MOST_PASSES, "{point} is passed more than {MOST_PASSES} times");
            succeed(project, verb, "tiny");
        }
    }
    assert!(hits > 5, "only {hits} points were hit");
}

fn old_or_new(project: &Project, path: &str) {
    if project.exists(path) {
        let content = project.read(path);
        assert!(content == b"old kernel" || content == b"new kernel", "{path} is torn: {content:?}");
    }
}

#[test]
fn a_killed_push_leaves_old_or_new_and_the_rerun_finishes() {
    let project = project();
    let prepare = || {
        let next = if project.exists(SHOP_KERNEL) && project.read(SHOP_KERNEL) == b"old kernel" {
            "new"
        } else {
            "old"
        };
        project.write(LOCAL_KERNEL, format!("{next} kernel"));
    };
    for action in ["kill", "error"] {
        at_every_point(&project, "push", action, prepare, |_| {
            old_or_new(&project, SHOP_KERNEL);
            old_or_new(&project, CACHED_KERNEL);
            if project.exists(SHOP_KERNEL) {
                let directory = project.path().join(SHOP_KERNEL).parent().unwrap().to_owned();
                let check = std::process::Command::new("sha256sum")
                    .args(["-c", "--status", "vmlinux.sha256"])
                    .current_dir(directory)
                    .status();
                assert!(check.unwrap().success(), "file and side-car belong together");
            }
        });
    }
}

#[test]
fn a_killed_pull_leaves_old_or_new_and_the_rerun_finishes() {
    let project = project();
    project.write(LOCAL_KERNEL, "new kernel");
    succeed(&project, "push", "tiny");
    for action in ["kill", "error"] {
        let prepare = || {
            std::fs::remove_dir_all(project.path().join(".port")).unwrap();
            project.write(LOCAL_KERNEL, "old kernel");
        };
        at_every_point(&project, "pull", action, prepare, |_| {
            old_or_new(&project, LOCAL_KERNEL);
            old_or_new(&project, CACHED_KERNEL);
        });
    }
}

#[test]
fn a_killed_build_leaves_old_or_new_and_the_rerun_finishes() {
    if !cfg!(target_arch = "x86_64") {
        port_testkit::skip::because("the tiny kernel is built on x86_64 only");
        return;
    }
    let project = project();
    let (old, new) = (elf_kernel("old"), elf_kernel("new"));
    project.write("source/vmlinux", &new);
    for action in ["kill", "error"] {
        let prepare = || {
            let _ = std::fs::remove_file(project.path().join("port.lock"));
            project.write(LOCAL_KERNEL, &old);
        };
        at_every_point(&project, "build", action, prepare, |_| {
            let content = project.read(LOCAL_KERNEL);
            assert!(content == old || content == new, "the kernel is torn");
        });
    }
}

#[test]
fn leftovers_of_killed_processes_are_collected() {
    let project = project();
    project.write(LOCAL_KERNEL, "kernel");
    let arguments = [&["artifacts", "push", "--artifact", "tiny"][..], &X86].concat();
    let mut command = project.command(&arguments);
    command.env("PORT_FAILPOINT", "atomic.before-rename=kill:3");
    assert!(!command.status().unwrap().success());
    succeed(&project, "push", "tiny");
    assert_eq!(project.port(&["store", "gc"]).code, 0);
    let blobs = std::fs::read_dir(project.path().join(".port/store/blobs/sha256")).unwrap();
    assert_eq!(blobs.count(), 3, "the kernel, its config and its manifest");
}
