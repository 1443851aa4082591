//! Real boots of the sample in QEMU: each file system, each overlay, exit codes, streams, and ends of every kind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use port_testkit::project::{Project, Ran};
use port_testkit::skip;

use crate::demo;

/// One emulated guest at a time: they would only slow each other down.
static GUEST: Mutex<()> = Mutex::new(());

/// Runs `port run` in a copy of the sample, or says why not.
fn boot(arguments: &[&str]) -> Option<(Project, Ran)> {
    let project = ready()?;
    let ran = run(&project, arguments);
    Some((project, ran))
}

fn ready() -> Option<Project> {
    let arch = std::env::consts::ARCH;
    let package = if arch == "x86_64" { "qemu-system-x86" } else { "qemu-system-arm" };
    skip::tool(&format!("qemu-system-{arch}"), package)?;
    demo::project()
}

fn run(project: &Project, arguments: &[&str]) -> Ran {
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    project.port(&[&["run"][..], arguments].concat())
}

#[test]
fn an_ext4_root_runs_a_command_and_passes_everything_on() {
    let script = "cat; echo out; echo err >&2; touch /written && echo writable; hostname; exit 7";
    let Some(project) = ready() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let arguments = &["run", "demo", "--", "sh", "-c", script];
    let ran = project.port_reading(arguments, "from the host\n");
    assert_eq!(ran.code, 7, "{ran}");
    assert_eq!(ran.stdout, "from the host\nout\nwritable\ndemo\n", "{ran}");
    assert!(ran.stderr.contains("err\n"), "{ran}");
    nothing_is_left(&project);
}

#[test]
fn the_image_stays_as_it_was_although_the_guest_wrote() {
    let Some(project) = ready() else { return };
    let image = format!("artifacts/guest/demo/{}/firecracker/standard/rootfs.ext4", std::env::consts::ARCH);
    let before = project.read(&image);
    assert_eq!(run(&project, &["demo", "--", "sh", "-c", "echo x > /x; sync"]).code, 0);
    assert!(project.read(&image) == before, "the guest's writes reached the image");
}

#[test]
fn read_only_roots_of_every_format_boot() {
    for (machine, format) in [("squashfs", "squashfs"), ("erofs", "erofs"), ("ext4-read-only", "ext4")] {
        let Some((_, ran)) = boot(&[machine, "--", "sh", "-c", "mount | grep ' / '; touch /x"]) else {
            return;
        };
        assert!(ran.stdout.contains(&format!(" / type {format} (ro")), "{machine}\n{ran}");
        assert_ne!(ran.code, 0, "a read-only root was written\n{ran}");
    }
}

#[test]
fn p_79_overlays_make_read_only_bases_writable() {
    let Some((_, ran)) =
        boot(&["squashfs-tmpfs", "--", "sh", "-c", "echo x > /x && cat /x && mount | grep ' / '"])
    else {
        return;
    };
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.starts_with("x\n") && ran.stdout.contains("type overlay"), "{ran}");
    let Some(project) = demo::project() else { return };
    let Some(mke2fs) = skip::tool("mke2fs", "e2fsprogs") else { return };
    let made = Command::new(mke2fs)
        .args(["-q", "-t", "ext4", "upper.ext4", "32M"])
        .current_dir(project.path())
        .status();
    assert!(made.unwrap().success());
    let ran = run(&project, &["erofs-disk", "--", "sh", "-c", "echo kept > /kept"]);
    assert_eq!(ran.code, 0, "{ran}");
    let ran = run(&project, &["erofs-disk", "--", "cat", "/kept"]);
    assert_eq!(ran.stdout, "kept\n", "what a disk overlay took is there at the next boot\n{ran}");
}

#[test]
fn commands_that_do_not_exist_end_like_in_a_shell() {
    let Some((_, ran)) = boot(&["demo", "--", "/bin/nothing-here"]) else { return };
    assert_eq!(ran.code, 127, "{ran}");
    assert!(ran.stderr.contains("nothing-here"), "{ran}");
}

#[test]
fn a_guest_that_cannot_boot_is_explained_by_its_console() {
    let Some((project, ran)) = boot(&["panics", "--", "true"]) else { return };
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("console"), "{ran}");
    nothing_is_left(&project);
}

#[test]
fn validate_boots_the_variant_and_asks_its_agent() {
    let Some(project) = ready() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for artifact in ["demo-kernel", "demo-guest"] {
        let ran = project.port(&["artifacts", "validate", "--artifact", artifact, "--boot"]);
        assert_eq!(ran.code, 0, "{ran}");
        assert!(ran.stdout.contains("ok     running kernel: 6."), "{ran}");
    }
}

#[test]
fn what_was_pulled_boots_without_local_files() {
    let Some(project) = ready() else { return };
    for artifact in ["demo-kernel", "demo-guest"] {
        assert_eq!(project.port(&["artifacts", "push", "--artifact", artifact]).code, 0);
    }
    std::fs::remove_dir_all(project.path().join("artifacts")).unwrap();
    let ran = run(&project, &["demo", "--", "uname", "-m"]);
    assert_eq!(ran.stdout.trim(), std::env::consts::ARCH, "{ran}");
}

#[test]
fn a_guest_image_for_another_kernel_is_refused() {
    let Some(project) = ready() else { return };
    let kernel = format!("artifacts/kernel/demo/{}/firecracker/standard/vmlinux", std::env::consts::ARCH);
    let mut bytes = project.read(&kernel);
    let banner = b"Linux version ";
    // A kernel has more than one copy of it.
    let copies: Vec<usize> = bytes
        .windows(banner.len())
        .enumerate()
        .filter_map(|(at, window)| (window == banner).then_some(at + banner.len()))
        .collect();
    assert!(!copies.is_empty());
    copies.into_iter().for_each(|at| bytes[at] = b'9');
    std::fs::remove_file(project.path().join(&kernel)).unwrap();
    project.write(&kernel, bytes);
    let ran = project.port(&["run", "demo", "--", "true"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("carries modules for kernel 6."), "{ran}");
}

#[test]
fn ctrl_c_and_kill_leave_nothing_behind() {
    for signal in ["INT", "KILL"] {
        let Some(project) = ready() else { return };
        let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut child = project
            .command(&["run", "demo", "--", "sh", "-c", "echo up; sleep 1000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        let id = child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
        let status = child.wait().unwrap();
        assert!(signal == "KILL" || status.code() == Some(130), "{status}");
        nothing_is_left(&project);
    }
}

#[test]
fn a_guest_that_ends_by_itself_is_told_apart() {
    let Some((project, ran)) = boot(&["demo", "--", "sh", "-c", "poweroff -f; sleep 60"]) else { return };
    assert_ne!(ran.code, 0, "{ran}");
    nothing_is_left(&project);
}

/// No process that names the project's files, soon.
fn nothing_is_left(project: &Project) {
    let name = project.path().to_string_lossy().into_owned();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = processes_naming(&name);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still running: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Command lines of processes whose arguments or working directory name this path.
fn processes_naming(path: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let directory = entry.path();
        let command = std::fs::read(directory.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let here = std::fs::read_link(directory.join("cwd"))
            .is_ok_and(|cwd| cwd.to_string_lossy().starts_with(path));
        if command.contains("qemu-system") && (here || command.contains(path)) {
            found.push(command);
        }
    }
    found
}

#[test]
fn the_agent_is_reached_over_vsock_where_a_helper_is_at_hand() {
    if skip::tool("vhost-device-vsock", "none; `cargo install vhost-device-vsock`").is_none() {
        return;
    }
    let script = "grep -c vsock /proc/modules; exit 3";
    let Some((project, ran)) = boot(&["demo", "--channel", "helper-vsock", "--", "sh", "-c", script]) else {
        return;
    };
    assert_eq!(ran.code, 3, "{ran}");
    assert_ne!(ran.stdout.trim(), "0", "{ran}");
    nothing_is_left(&project);
}

#[test]
fn a_channel_that_is_insisted_on_is_never_replaced() {
    let Some(project) = ready() else { return };
    let ran = project.port(&["run", "demo", "--channel", "virtio-serial"]);
    assert_eq!(ran.code, 2, "a console needs no agent\n{ran}");
    let ran = project.port(&["run", "demo", "--channel", "virtio", "--", "true"]);
    assert_eq!(ran.code, 2, "{ran}");
    assert!(ran.stderr.contains("kernel-vsock, helper-vsock, virtio-serial"), "{ran}");
}

#[test]
fn an_agent_that_ends_or_stops_ends_the_run() {
    let kill = "kill -9 $PPID; sleep 100";
    let stop = "kill -STOP $PPID; sleep 100";
    let halt = "halt -f; sleep 100";
    let panic = "echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger; sleep 100";
    for (script, expected) in [
        (kill, "ended while `sh -c"),
        (stop, "stopped answering while `sh -c"),
        (halt, "stopped answering while `sh -c"),
        (panic, "the guest's kernel panicked: sysrq triggered crash"),
    ] {
        let Some((project, ran)) = boot(&["demo", "--", "sh", "-c", script]) else { return };
        assert_eq!(ran.code, 1, "{script}\n{ran}");
        assert!(ran.stderr.contains(expected), "{script}\n{ran}");
        nothing_is_left(&project);
    }
}

#[test]
fn a_command_that_is_silent_for_long_is_left_alone() {
    let Some((_, ran)) = boot(&["demo", "--", "sh", "-c", "sleep 40; exit 5"]) else { return };
    assert_eq!(ran.code, 5, "{ran}");
}

#[test]
fn a_reader_that_has_enough_ends_the_run_quietly() {
    let Some(project) = ready() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut child = project
        .command(&["run", "demo", "--", "yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "y\n");
    let ran = project.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 141, "{ran}");
    assert!(!ran.stderr.contains("error"), "{ran}");
    nothing_is_left(&project);
}

#[test]
fn what_is_piped_into_the_console_reaches_its_shell_which_takes_ctrl_c() {
    let Some(project) = ready() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut child = project
        .command(&["run", "demo"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"echo a$((6*7))b; tty; sleep 1000\n").unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut seen = String::new();
    let until = |output: &mut BufReader<_>, seen: &mut String, expected: &str| {
        while !seen.contains(expected) {
            let mut line = Vec::new();
            assert!(output.read_until(b'\n', &mut line).unwrap() > 0, "{expected}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&line));
        }
    };
    until(&mut output, &mut seen, "a42b");
    until(&mut output, &mut seen, "/dev/tty");
    std::thread::sleep(Duration::from_secs(1));
    // To `sleep`, and to the prompt; then the end of the input is the end of the shell.
    stdin.write_all(&[3]).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    stdin.write_all(b"\x03echo c$((7*7))d\n").unwrap();
    until(&mut output, &mut seen, "c49d");
    drop(stdin);
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut output, &mut rest).unwrap();
    let ran = project.ran(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran}");
    nothing_is_left(&project);
}
