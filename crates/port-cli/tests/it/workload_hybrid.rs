//! One list of behaviours for every mode of workloads, each asked of a real one: what a user relies on is the same, whatever runs it.
//!
//! A mode whose programs are not here says so and is left out; the others still run.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use port_testkit::project::{Project, Ran};
use port_testkit::skip;
use serde_json::Value;

use crate::demo;

/// One emulated machine at a time: they would only slow each other down.
static GUEST: Mutex<()> = Mutex::new(());

const PROGRAMS: [&str; 12] =
    ["cat", "echo", "grep", "hostname", "id", "ls", "sh", "sleep", "touch", "true", "uname", "wget"];

/// A mode with a root and a manifest's kernel.
struct Bench {
    project: Project,
    mode: &'static str,
    kernel: String,
}

impl Bench {
    fn new(mode: &'static str, busybox: &Path, kernel: String) -> Self {
        let project = Project::new(env!("CARGO_BIN_EXE_port"));
        project.write("root/bin/busybox", std::fs::read(busybox).unwrap());
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(project.path().join("root/bin/busybox"), executable).unwrap();
        for name in ["usr", "etc", "tmp", "var", "srv", "sbin"] {
            std::fs::create_dir_all(project.path().join("root").join(name)).unwrap();
        }
        for name in PROGRAMS {
            symlink("busybox", project.path().join("root/bin").join(name)).unwrap();
        }
        symlink("../bin/busybox", project.path().join("root/sbin/init")).unwrap();
        Self { project, mode, kernel }
    }

    fn manifest(&self, more: &str) {
        let Self { mode, kernel, .. } = self;
        let text = format!(
            "[workload]\nname = \"web\"\nmode = \"{mode}\"\n{kernel}[network]\nmode = \"none\"\n[storage]\nrootfs = \"root\"\n{more}"
        );
        self.project.write("web.toml", text);
    }

    fn verb(&self, words: &[&str]) -> Ran {
        let (verb, rest) = words.split_first().unwrap();
        self.project.port(&[&["workload", *verb, "--workloads", "rooms"], rest].concat())
    }

    fn run(&self, script: &str) -> Ran {
        let words = ["workload", "run", "web.toml", "--workloads", "rooms", "--", "sh", "-c", script];
        self.project.port_reading(&words, "from the host\n")
    }

    fn detach(&self, script: &str) {
        let ran = self.verb(&["run", "web.toml", "--detach", "--", "sh", "-c", script]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "web runs\n"), "{}: {ran}", self.mode);
    }

    fn listed(&self) -> Value {
        let ran = self.verb(&["list", "--format", "json"]);
        let lines: Value = serde_json::from_str(&ran.stdout).unwrap();
        lines[0].clone()
    }

    /// No mount and no process of the project stays; processes go by the kernel's hand, a moment later.
    fn nothing_is_left(&self) {
        let place = self.project.path().canonicalize().unwrap().display().to_string();
        let runs = || !Command::new("pgrep").args(["-f", &place]).output().unwrap().stdout.is_empty();
        while runs() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&place), "{}: {mounts}", self.mode);
    }
}

fn containers_run() -> Option<PathBuf> {
    skip::tool("systemd-nspawn", "systemd-container")?;
    if !rustix::process::geteuid().is_root() {
        skip::because("workloads need root");
        return None;
    }
    let beside = Path::new(env!("CARGO_BIN_EXE_port"))
        .with_file_name(format!("port-launcher-{}", std::env::consts::ARCH));
    if std::env::var_os("PORT_LAUNCHER_BIN").is_none() && !beside.is_file() {
        skip::because("no launcher: build it with `cargo xtask agent`");
        return None;
    }
    skip::tool("busybox", "busybox-static")
}

fn container() -> Option<Bench> {
    Some(Bench::new("container", &containers_run()?, String::new()))
}

fn native() -> Option<Bench> {
    Some(Bench::new("hybrid-native", &containers_run()?, String::new()))
}

/// The sample's kernel, whose modules the root brings along as a Debian root would.
fn machine() -> Option<Bench> {
    let busybox = containers_run()?;
    skip::tool("qemu-system-x86_64", "qemu-system-x86").filter(|_| std::env::consts::ARCH == "x86_64")?;
    let sample = demo::sample()?;
    let arch = std::env::consts::ARCH;
    let kernel = sample.join(format!("artifacts/kernel/demo/{arch}/firecracker/standard/vmlinux"));
    let bench = Bench::new(
        "hybrid-kvm",
        &busybox,
        format!("[kernel]\npath = \"{}\"\n[resources]\nmemory_limit = \"256M\"\n", kernel.display()),
    );
    let initrd =
        kernel.display().to_string().replace("/kernel/", "/guest/").replace("vmlinux", "initrd.cpio.gz");
    let initrds = [Path::new(&initrd), &sample.join("artifacts/squashfs/initrd.cpio.gz")];
    crate::base_images_boot::add_modules(initrds, &bench.project.path().join("root"));
    Some(bench)
}

/// arm64's BusyBox out of Debian's package.
fn emulated() -> Option<Bench> {
    containers_run()?;
    skip::tool("qemu-aarch64-static", "qemu-user-static").filter(|_| std::env::consts::ARCH == "x86_64")?;
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("busybox-arm64");
    let busybox = home.join("bin/busybox");
    if !busybox.is_file() {
        std::fs::create_dir_all(&home).unwrap();
        let script = "apt-get -qq download busybox-static && dpkg -x busybox-static_*.deb .";
        let path = std::env::join_paths(crate::arm64::private_apt()?).unwrap();
        let got =
            Command::new("sh").args(["-c", script]).env("PATH", path).current_dir(&home).output().unwrap();
        if !got.status.success() {
            skip::because(&format!("no arm64 BusyBox: {}", String::from_utf8_lossy(&got.stderr)));
            return None;
        }
    }
    Some(Bench::new("hybrid-emulated", &busybox, String::new()))
}

/// What a workload does, and how it is seen.
type Behaviour = (&'static str, fn(&Bench));

const BEHAVIOURS: [Behaviour; 5] = [
    ("everything is passed on", passes_everything_on),
    ("a root that may not be written is not", keeps_a_read_only_root),
    ("it is entered, asked to end and leaves nothing", is_entered_and_stopped),
    ("it is killed where it does not end", is_killed),
    ("a crash of its supervisor is noticed", is_noticed_when_its_supervisor_dies),
];

#[expect(clippy::print_stdout, reason = "kept back by the test runner unless somebody asks")]
fn conforms(bench: Option<Bench>) {
    let Some(bench) = bench else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (behaviour, check) in BEHAVIOURS {
        println!("{}: {behaviour}", bench.mode);
        bench.manifest("");
        check(&bench);
        bench.nothing_is_left();
        assert_eq!(bench.verb(&["remove", "web"]).code, 0, "{behaviour}");
    }
}

fn passes_everything_on(bench: &Bench) {
    let script = "cat; echo out; echo err >&2; hostname; echo $PATH; grep NoNewPrivs /proc/self/status; \
                  echo x > /var/x && cat /var/x; exit 7";
    let ran = bench.run(script);
    assert_eq!(ran.code, 7, "{}: {ran}", bench.mode);
    let expected = "from the host\nout\nweb\n/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nNoNewPrivs:\t1\nx\n";
    assert_eq!(ran.stdout, expected, "{}: {ran}", bench.mode);
    assert!(ran.stderr.contains("err\n"), "{}: {ran}", bench.mode);
    let logs = bench.verb(&["logs", "web"]);
    assert!(logs.stdout.contains("out\n") && logs.stdout.contains("err\n"), "{}: {logs}", bench.mode);
    assert!(!bench.project.exists("root/var/x"), "{}: the root stays as it was", bench.mode);
    assert_eq!(bench.listed()["code"], 7);
}

fn keeps_a_read_only_root(bench: &Bench) {
    bench.manifest("[security]\nread_only_rootfs = true\nlandlock_profile = \"permissive\"\n");
    let ran = bench.run("echo x > /var/x || echo read-only; echo x > /tmp/x && echo tmp");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "read-only\ntmp\n"), "{}: {ran}", bench.mode);
}

fn is_entered_and_stopped(bench: &Bench) {
    bench.detach("trap 'echo asked; exit 3' TERM; echo begun; while :; do sleep 0.05; done");
    let again = bench.verb(&["run", "web.toml", "--", "true"]);
    assert!(again.stderr.contains("`web` runs already"), "{}: {again}", bench.mode);
    let words =
        ["workload", "exec", "web", "--workloads", "rooms", "--", "sh", "-c", "cat; hostname; exit 5"];
    let entered = bench.project.port_reading(&words, "typed\n");
    assert_eq!((entered.code, entered.stdout.as_str()), (5, "typed\nweb\n"), "{}: {entered}", bench.mode);
    let stopped = bench.verb(&["stop", "web"]);
    assert_eq!(stopped.stdout, "stopped web\n", "{}: {stopped}", bench.mode);
    assert_eq!(bench.listed()["code"], 3, "{}", bench.mode);
    let logs = bench.verb(&["logs", "web"]);
    assert!(logs.stdout.contains("begun\n") && logs.stdout.contains("asked\n"), "{}: {logs}", bench.mode);
}

fn is_killed(bench: &Bench) {
    bench.detach("trap '' TERM; while :; do sleep 0.05; done");
    let stopped = bench.verb(&["stop", "web", "--grace", "0"]);
    assert_eq!(stopped.stdout, "killed web\n", "{}: {stopped}", bench.mode);
    assert_eq!(bench.listed()["code"], 137, "{}", bench.mode);
}

fn is_noticed_when_its_supervisor_dies(bench: &Bench) {
    bench.detach("while :; do sleep 0.05; done");
    let supervisor = bench.listed()["supervisor"].to_string();
    assert!(Command::new("kill").args(["-KILL", &supervisor]).status().unwrap().success());
    while bench.listed()["alive"] == true {
        std::thread::sleep(Duration::from_millis(5));
    }
    let line = bench.listed();
    assert_eq!(line["reason"], "its supervisor was killed", "{}", bench.mode);
}

#[test]
fn v_2_v_3_containers_behave_as_workloads_do() {
    conforms(container());
}

#[test]
fn v_2_v_4_booted_roots_behave_as_workloads_do() {
    conforms(native());
}

#[test]
fn v_2_v_5_v_19_vu_6_machines_behave_as_workloads_do() {
    conforms(machine());
}

#[test]
fn v_2_v_6_translated_programs_behave_as_workloads_do() {
    conforms(emulated());
}

#[test]
fn v_6_the_programs_really_are_of_another_architecture() {
    let Some(bench) = emulated() else { return };
    bench.manifest("");
    let ran = bench.run("uname -m; sh -c 'uname -m'");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "aarch64\naarch64\n"), "{ran}");
}

#[test]
fn v_4_an_init_of_its_own_is_number_one() {
    let Some(bench) = native() else { return };
    bench.manifest("");
    let ran = bench.run("cat /proc/1/comm; cat /proc/sys/kernel/osrelease");
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(ran.stdout, format!("init\n{release}"), "{ran}");
    bench.nothing_is_left();
}

#[test]
fn v_5_v_28_v_34_a_machine_has_its_own_kernel_its_size_and_a_count_of_processes() {
    let Some(bench) = machine() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    bench.manifest("");
    let text = String::from_utf8(bench.project.read("web.toml")).unwrap();
    bench.project.write("web.toml", text.replace("\"256M\"\n", "\"256M\"\npids_max = 8\n"));
    let script = "cat /proc/sys/kernel/osrelease; grep MemTotal /proc/meminfo; i=0; \
                  while [ $i -lt 20 ]; do sleep 1 & i=$((i+1)); done; wait; echo survived";
    let ran = bench.run(script);
    let mut lines = ran.stdout.lines();
    assert!(lines.next().is_some_and(|release| release.starts_with("6.1.")), "{ran}");
    let memory: u64 = lines.next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((150_000..262_144).contains(&memory), "{ran}");
    assert!(ran.stderr.contains("can't fork"), "{ran}");
    bench.nothing_is_left();
}
