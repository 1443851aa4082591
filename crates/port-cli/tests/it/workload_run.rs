//! Real workloads: a BusyBox root in systemd-nspawn, as a user runs them, looked at from inside and outside.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use port_testkit::project::{Project, Ran};
use port_testkit::skip;
use serde_json::Value;

const PROGRAMS: [&str; 16] = [
    "cat", "dd", "echo", "grep", "hostname", "id", "ls", "mknod", "ps", "sh", "sleep", "touch", "true",
    "usleep", "wget", "wc",
];

/// A project with a root in `root`, or why there is none.
pub fn project() -> Option<Project> {
    skip::tool("systemd-nspawn", "systemd-container")?;
    let busybox = skip::tool("busybox", "busybox-static")?;
    if !rustix::process::geteuid().is_root() {
        skip::because("containers need root");
        return None;
    }
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_port"))
        .with_file_name(format!("port-launcher-{}", std::env::consts::ARCH));
    if std::env::var_os("PORT_LAUNCHER_BIN").is_none() && !beside.is_file() {
        skip::because("no launcher: build it with `cargo xtask agent`");
        return None;
    }
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    project.write("root/bin/busybox", std::fs::read(busybox).unwrap());
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path().join("root/bin/busybox"), mode).unwrap();
    for name in PROGRAMS {
        symlink("busybox", project.path().join("root/bin").join(name)).unwrap();
    }
    for name in ["usr", "etc", "tmp", "var", "srv"] {
        std::fs::create_dir_all(project.path().join("root").join(name)).unwrap();
    }
    Some(project)
}

pub fn manifest(project: &Project, name: &str, more: &str) {
    let text = format!(
        "[workload]\nname = \"{name}\"\nmode = \"container\"\n[network]\nmode = \"none\"\n[storage]\nrootfs = \"root\"\n{more}"
    );
    project.write(&format!("{name}.toml"), text);
}

pub fn run(project: &Project, name: &str, script: &str) -> Ran {
    project.port(&[
        "workload",
        "run",
        &format!("{name}.toml"),
        "--workloads",
        "rooms",
        "--",
        "sh",
        "-c",
        script,
    ])
}

pub fn verb(project: &Project, words: &[&str]) -> Ran {
    let (verb, rest) = words.split_first().unwrap();
    project.port(&[&["workload", *verb, "--workloads", "rooms"], rest].concat())
}

pub fn detach(project: &Project, name: &str, script: &str) -> Ran {
    let file = format!("{name}.toml");
    let ran = project.port(&[
        "workload",
        "run",
        &file,
        "--detach",
        "--workloads",
        "rooms",
        "--",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, format!("{name} runs\n").as_str()), "{ran}");
    ran
}

pub fn listed(project: &Project) -> Value {
    let ran = verb(project, &["list", "--format", "json"]);
    assert_eq!(ran.code, 0, "{ran}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// No mount, no process and no control group of a project stays.
pub fn nothing_is_left(project: &Project) {
    let place = project.path().canonicalize().unwrap().display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&place), "{mounts}");
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        assert!(!words.contains(&place), "{words}");
    }
}

#[test]
fn v_3_a_command_in_its_own_root_passes_everything_on() {
    let Some(project) = project() else { return };
    manifest(&project, "web", "");
    let script = "cat; echo out; echo err >&2; hostname; ls /; touch /new; ps | wc -l; exit 7";
    let arguments = &["workload", "run", "web.toml", "--workloads", "rooms", "--", "sh", "-c", script];
    let ran = project.port_reading(arguments, "from the host\n");
    assert_eq!(ran.code, 7, "{ran}");
    assert!(ran.stdout.starts_with("from the host\nout\nweb\nbin\n"), "{ran}");
    assert!(ran.stderr.contains("err\n"), "{ran}");
    assert!(!project.exists("root/new") && !project.exists("root/proc"), "the root stays as it was");
    nothing_is_left(&project);
    let logs = verb(&project, &["logs", "web"]);
    assert!(logs.stdout.contains("out\n") && logs.stdout.contains("err\n"), "{logs}");
    let list = verb(&project, &["list"]);
    assert!(list.stdout.contains("web   container  exited (7)"), "{list}");
    assert_eq!(verb(&project, &["remove", "web"]).code, 0);
    assert!(!project.exists("rooms/web"));
}

#[test]
fn v_24_v_25_v_26_rights_are_given_up_as_seen_from_inside() {
    let Some(project) = project() else { return };
    manifest(
        &project,
        "web",
        "[security]\ncapabilities = [\"CHOWN\", \"MKNOD\"]\nseccomp_profile = \"strict\"\n",
    );
    let script = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; \
                  touch /etc/x && echo WROTE; touch /tmp/x && echo tmp; mknod /tmp/n c 1 3 && echo DEVICE; true";
    let ran = run(&project, "web", script);
    assert_eq!(ran.code, 0, "{ran}");
    for part in
        ["CapEff:\t0000000008000001", "CapBnd:\t0000000008000001", "NoNewPrivs:\t1", "Seccomp:\t2", "tmp\n"]
    {
        assert!(ran.stdout.contains(part), "{part}\n{ran}");
    }
    assert!(!ran.stdout.contains("WROTE") && !ran.stdout.contains("DEVICE"), "{ran}");

    project.write("rules.toml", "read = [\"/bin\", \"/proc\"]\nwrite = [\"/etc\"]\n");
    let rules = project.path().join("rules.toml");
    manifest(&project, "own", &format!("[security]\nlandlock_profile = \"{}\"\n", rules.display()));
    let ran =
        run(&project, "own", "touch /etc/x && echo etc; touch /tmp/x || echo denied; ls /srv || echo unread");
    assert_eq!(ran.stdout, "etc\ndenied\nunread\n", "{ran}");

    manifest(
        &project,
        "open",
        "[security]\nlandlock_profile = \"permissive\"\nseccomp_profile = \"unconfined\"\ncapabilities = []\n",
    );
    let ran = run(&project, "open", "touch /etc/x && echo etc; grep -E 'CapBnd|Seccomp:' /proc/self/status");
    assert!(ran.stdout.contains("etc\nCapBnd:\t0000000000000000\nSeccomp:\t0\n"), "{ran}");
}

#[test]
fn v_27_v_42_v_43_what_is_written_goes_where_the_manifest_says() {
    let Some(project) = project() else { return };
    project.write("data/in", "shared\n");
    let writable = "{ host = \"data\", container = \"/srv/data\" }";
    let readable = "{ host = \"data\", container = \"/srv/conf\", readonly = true }";
    manifest(&project, "kept", &format!("volumes = [{writable}, {readable}]\n"));
    let script = "cat /srv/conf/in; echo x > /srv/conf/x || echo read-only; echo back > /srv/data/out; \
                  cat /var/state; echo once > /var/state";
    let first = run(&project, "kept", script);
    assert_eq!(first.stdout, "shared\nread-only\n", "{first}");
    assert_eq!(project.read("data/out"), b"back\n");
    let second = run(&project, "kept", script);
    assert_eq!(second.stdout, "shared\nread-only\nonce\n", "the layer is kept\n{second}");
    assert!(!project.exists("root/var/state"));

    manifest(&project, "gone", "writable_layer = \"tmpfs\"\n");
    for _ in 0..2 {
        let ran = run(&project, "gone", "cat /var/state; echo once > /var/state && echo wrote");
        assert_eq!(ran.stdout, "wrote\n", "{ran}");
    }
    manifest(&project, "never", "[security]\nread_only_rootfs = true\nlandlock_profile = \"permissive\"\n");
    let ran = run(&project, "never", "echo x > /var/state || echo read-only; echo x > /tmp/x && echo tmp");
    assert_eq!(ran.stdout, "read-only\ntmp\n", "{ran}");
}

#[test]
fn v_28_v_34_a_limit_is_felt_inside_and_its_group_goes() {
    let Some(project) = project() else { return };
    manifest(&project, "few", "[resources]\npids_max = 8\n");
    let ran =
        run(&project, "few", "i=0; while [ $i -lt 20 ]; do sleep 1 & i=$((i+1)); done; wait; echo survived");
    if ran.stderr.contains("expected the `pids` controller") {
        return skip::because("this host has no pids controller");
    }
    assert!(ran.stderr.contains("can't fork"), "{ran}");
    assert!(!group_of("few"), "its control group is gone");
    nothing_is_left(&project);
}

#[test]
fn v_28_v_29_more_memory_than_the_limit_is_not_had() {
    let Some(project) = project() else { return };
    manifest(&project, "small", "[resources]\nmemory_limit = \"32M\"\n");
    let ran = run(&project, "small", "dd if=/dev/zero of=/dev/null bs=128M count=1; echo ended with $?");
    if ran.stderr.contains("expected the `memory` controller") {
        return skip::because("this host has no memory controller");
    }
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "ended with 137\n"), "{ran}");
    assert!(!group_of("small"), "its control group is gone");
}

#[test]
fn v_12_vu_21_vu_22_a_stack_of_manifests_runs_as_one() {
    let Some(project) = project() else { return };
    project.write("base/company.toml", "[workload]\nmode = \"container\"\n[network]\nmode = \"none\"\n");
    project.write("base/team.toml", "extends = \"company.toml\"\n[security]\ncapabilities = [\"CHOWN\"]\n");
    project.write("base/app.toml", "extends = \"team.toml\"\n[storage]\nrootfs = \"../root\"\n");
    project.write("web.toml", "extends = \"base/app.toml\"\n[workload]\nname = \"web\"\n");
    let ran = run(&project, "web", "hostname; grep CapBnd /proc/self/status");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "web\nCapBnd:\t0000000000000001\n"), "{ran}");
}

fn group_of(name: &str) -> bool {
    let found =
        Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("port-{name}")]).output().unwrap();
    !found.stdout.is_empty()
}

#[test]
fn vu_6_a_detached_workload_is_listed_followed_entered_and_stopped() {
    let Some(project) = project() else { return };
    manifest(&project, "web", "");
    detach(&project, "web", "trap 'echo asked; exit 3' TERM; echo begun; while :; do sleep 0.05; done");
    let again = run(&project, "web", "true");
    assert_eq!(again.code, 1, "{again}");
    assert!(again.stderr.contains("`web` runs already"), "{again}");
    assert_eq!(listed(&project)[0]["status"], "running");

    let inside = "ps | grep -c begun; grep -E 'CapBnd|NoNewPrivs' /proc/self/status; touch /etc/x || echo denied; exit 5";
    let ran = verb(&project, &["exec", "web", "--", "sh", "-c", inside]);
    assert_eq!(ran.code, 5, "{ran}");
    for part in ["CapBnd:\t00000000800405fb\nNoNewPrivs:\t1\n", "denied\n"] {
        assert!(ran.stdout.contains(part), "{part}\n{ran}");
    }
    let follower = project
        .command(&["workload", "logs", "web", "--follow", "--workloads", "rooms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stopped = verb(&project, &["stop", "web"]);
    assert_eq!((stopped.code, stopped.stdout.as_str()), (0, "stopped web\n"), "{stopped}");
    let followed = project.ran(follower.wait_with_output().unwrap());
    assert_eq!(followed.stdout, "begun\nasked\n", "{followed}");
    assert_eq!(listed(&project)[0]["code"], 3);
    nothing_is_left(&project);

    let ended = verb(&project, &["exec", "web", "--", "true"]);
    assert!(ended.stderr.contains("`web` does not run: it is exited (3)"), "{ended}");
    let unknown = verb(&project, &["stop", "nobody"]);
    assert_eq!(unknown.code, 5, "{unknown}");
}

#[test]
fn a_workload_that_will_not_stop_is_killed() {
    let Some(project) = project() else { return };
    manifest(&project, "deaf", "");
    detach(&project, "deaf", "trap '' TERM; echo begun; while :; do sleep 0.05; done");
    let stopped = verb(&project, &["stop", "deaf", "--grace", "0"]);
    assert_eq!((stopped.code, stopped.stdout.as_str()), (0, "killed deaf\n"), "{stopped}");
    nothing_is_left(&project);
}

/// Waits for what the kernel does by itself. It takes milliseconds; a minute is for machines that do much else.
fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not within a minute");
}

#[test]
fn a_killed_supervisor_is_noticed_and_leaves_nothing() {
    let Some(project) = project() else { return };
    manifest(&project, "web", "");
    detach(&project, "web", "while :; do sleep 0.05; done");
    let [supervisor, init] = ["supervisor", "init"].map(|key| listed(&project)[0][key].to_string());
    assert!(Command::new("kill").args(["-KILL", &supervisor]).status().unwrap().success());
    until("it is no longer alive", || listed(&project)[0]["alive"] != true);
    let line = &listed(&project)[0];
    assert_eq!((&line["status"], &line["reason"]), (&"failed".into(), &"its supervisor was killed".into()));
    // The container goes with it, by the kernel's hand: a moment later.
    let place = project.path().canonicalize().unwrap().display().to_string();
    let runs = || {
        let found = Command::new("pgrep").args(["-f", &place]).output().unwrap();
        !found.stdout.is_empty()
    };
    until("nothing names its place", || !runs());
    // nspawn's number 1 names no path.
    until("its number 1 is gone", || !std::path::Path::new("/proc").join(&init).exists());
    nothing_is_left(&project);
    let again = run(&project, "web", "echo again");
    assert_eq!((again.code, again.stdout.as_str()), (0, "again\n"), "{again}");
}

#[test]
fn v_39_a_root_may_be_an_image() {
    let Some(project) = project() else { return };
    let place = |name: &str| project.path().join(name);
    let tools: [(&str, &str, &[&str]); 2] = [
        ("mkfs.erofs", "erofs-utils", &["image.erofs", "root"]),
        ("mksquashfs", "squashfs-tools", &["root", "image.sqfs", "-quiet", "-no-progress"]),
    ];
    for (tool, package, arguments) in tools {
        let Some(path) = skip::tool(tool, package) else { continue };
        assert!(
            Command::new(path).args(arguments).current_dir(project.path()).output().unwrap().status.success()
        );
        let image = arguments.iter().find(|word| word.starts_with("image")).unwrap();
        manifest(&project, "web", "");
        let text = String::from_utf8(project.read("web.toml")).unwrap();
        project.write("web.toml", text.replace("rootfs = \"root\"", &format!("rootfs = \"{image}\"")));
        let before = std::fs::read(place(image)).unwrap();
        let ran = run(&project, "web", "touch /var/x && echo $((6 * 7))");
        if ran.stderr.contains("unknown filesystem type") || ran.stderr.contains("loop device") {
            skip::because(&format!("this kernel cannot mount {image}"));
            continue;
        }
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "42\n"), "{ran}");
        assert_eq!(std::fs::read(place(image)).unwrap(), before);
        assert_eq!(verb(&project, &["remove", "web"]).code, 0);
    }
    nothing_is_left(&project);
}

#[test]
fn c_48_what_cannot_be_run_leaves_no_room() {
    let Some(project) = project() else { return };
    for (name, change) in [
        ("custom", ("mode = \"none\"", "mode = \"custom\"")),
        ("machine", ("mode = \"container\"", "mode = \"hybrid-kvm\"\n[kernel]\nversion = \"9.9-none\"")),
        ("published", ("rootfs = \"root\"", "rootfs = \"oci://localhost:1/a/b:v1\"")),
        ("absent", ("rootfs = \"root\"", "rootfs = \"nowhere\"")),
    ] {
        manifest(&project, name, "");
        let file = format!("{name}.toml");
        let text = String::from_utf8(project.read(&file)).unwrap();
        project.write(&file, text.replace(change.0, change.1));
        let ran = run(&project, name, "true");
        assert!(matches!(ran.code, 2 | 4 | 5), "{name}: {ran}");
        assert!(!project.exists(&format!("rooms/{name}")), "{ran}");
    }
}

/// In a network of its own: the bridge is no business of the machine that runs the tests.
#[test]
fn v_35_v_36_v_37_v_38_a_server_answers_through_its_published_port() {
    let Some(project) = project() else { return };
    if skip::tool("ip", "iproute2").is_none() || skip::tool("unshare", "util-linux").is_none() {
        return;
    }
    project.write("root/srv/index.html", "published\n");
    manifest(&project, "web", "");
    let text = String::from_utf8(project.read("web.toml")).unwrap();
    let network = "mode = \"bridge\"\naddress = \"10.209.0.7\"\nports = [\"8080:80\"]\ndns = [\"9.9.9.9\"]";
    project.write("web.toml", text.replace("mode = \"none\"", network));
    project.write(
        "second.toml",
        text.replace("mode = \"none\"", "ports = [\"8080:80\"]").replace("web", "second"),
    );
    let script = r#"
        set -e
        # A failed step must leave no workload behind.
        trap '"$PORT" workload stop web --workloads rooms --grace 0 >/dev/null 2>&1 || true' EXIT
        ip link set lo up
        "$PORT" workload run web.toml --workloads rooms --detach -- busybox httpd -f -p 80 -h /srv
        # It runs; that it listens is its own affair, a moment later.
        tries=0
        until busybox wget -q -O - http://127.0.0.1:8080/index.html 2>/dev/null; do
            tries=$((tries + 1)); [ $tries -lt 400 ] || break; sleep 0.05
        done
        "$PORT" workload exec web --workloads rooms -- cat /etc/resolv.conf
        "$PORT" workload run second.toml --workloads rooms -- true || echo refused
        "$PORT" workload stop web --workloads rooms
        ip link show port0 2>/dev/null || echo no bridge
    "#;
    let mut command = project.command(&[]);
    let port = command.get_program().to_owned();
    command = {
        let mut outer = Command::new("unshare");
        outer.args(["--net", "sh", "-c", script]).current_dir(project.path()).stdin(Stdio::null());
        outer.env("PORT", port).env("HOME", project.path());
        outer
    };
    let ran = project.ran(command.output().unwrap());
    let expected = "web runs\npublished\nnameserver 9.9.9.9\nrefused\nstopped web\nno bridge\n";
    assert_eq!(ran.stdout, expected, "{ran}");
    assert!(ran.stderr.contains("cannot publish port 8080 of the host"), "{ran}");
    nothing_is_left(&project);
}

#[test]
fn twenty_workloads_run_at_once() {
    let Some(project) = project() else { return };
    let start = |number: usize| {
        let name = format!("many{number}");
        manifest(&project, &name, "");
        let (file, script) = (format!("{name}.toml"), format!("echo {number}; exit {number}"));
        let words = ["workload", "run", &file, "--workloads", "rooms", "--", "sh", "-c", &script];
        project.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let started: Vec<_> = (1..=20).map(start).collect();
    for (child, number) in started.into_iter().zip(1..) {
        let ran = project.ran(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stdout.trim()), (number, number.to_string().as_str()), "{ran}");
    }
    nothing_is_left(&project);
}
