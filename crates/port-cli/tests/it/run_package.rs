//! `port run --package` and `port doctor --boot`: the probe kernel, packed as a unikernel is, under every VMM that is here.

mod devices;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Request};
use port_testkit::skip;
use serde_json::Value;

use crate::packages::{json, pack_with, packages, project, text};

const QEMU: &str = "qemu-system-x86_64";

/// The probe kernel, or why there is none.
fn probe() -> Option<PathBuf> {
    let kernel = std::env::var_os("PORT_PROBE_KERNEL_BIN").map(PathBuf::from);
    if kernel.is_none() {
        skip::because("PORT_PROBE_KERNEL_BIN names no probe kernel (`cargo xtask test` builds one)");
    }
    kernel
}

/// A project with the probe kernel in it, where the VMM is installed too.
fn project_for(vmm: &str, package: &str) -> Option<Project> {
    let (kernel, _) = (probe()?, skip::tool(vmm, package)?);
    let project = project();
    std::fs::copy(kernel, project.path().join("probe")).unwrap();
    Some(project)
}

fn pack_probe(project: &Project, name: &str, platform: &str, more: &[&str]) -> Value {
    let target = ["--kernel", "probe", "--architecture", "x86_64", "--platform", platform];
    json(&pack_with(project, name, &[&target, more].concat()))
}

fn run(project: &Project, name: &str, more: &[&str]) -> Ran {
    project.port(&[&["run", "--package", name, "--architecture", "x86_64"], more].concat())
}

/// What the guest saw of its boot arguments.
fn seen(ran: &Ran) -> &str {
    assert!(ran.code == 0 && ran.stdout.contains("PORT-PROBE END"), "{ran}");
    ran.stdout.lines().find_map(|line| line.strip_prefix("probe: cmdline ")).unwrap().trim_end()
}

/// The guest's memory in MiB, with what the firmware kept of the last one.
fn memory_mib(ran: &Ran) -> u64 {
    let bytes = ran.stdout.lines().find_map(|line| line.strip_prefix("probe: memory bytes ")).unwrap();
    bytes.trim_end().parse::<u64>().unwrap().div_ceil(1 << 20)
}

#[test]
fn ku_32_a_package_boots_under_qemu_with_what_it_was_packed_with() {
    let Some(project) = project_for(QEMU, "qemu-system-x86") else { return };
    let command = ["--initrd", "initrd", "--cmd", "/app", "--cmd", "two words", "--env", "A=b"];
    pack_probe(&project, "hello", "qemu", &command);
    let ran = run(&project, "hello", &[]);
    assert_eq!(seen(&ran), "env.vars=[ \"A=b\" ] -- /app \"two words\"");
    assert!(ran.stdout.contains(" bytes 10 crc32 "), "the initrd: {ran}");
    assert_eq!(memory_mib(&ran), 64, "as kraft's machines");
    let ran = run(&project, "hello", &["--memory-mib", "128", "--", "/other", "-v"]);
    assert_eq!(
        seen(&ran),
        "env.vars=[ \"A=b\" ] -- /other -v",
        "its arguments are replaced, its environment stays"
    );
    assert_eq!(memory_mib(&ran), 128);
    project.write("longer", "another initrd");
    let ran = run(&project, "hello", &["--env", "A=c", "--env", "B=d", "--initrd", "longer"]);
    assert_eq!(seen(&ran), "env.vars=[ \"A=c\" \"B=d\" ] -- /app \"two words\"", "by key");
    assert!(ran.stdout.contains(" bytes 14 crc32 "), "its initrd is replaced: {ran}");
    let report = json(&run(&project, "hello", &["--format", "json"]));
    assert_eq!(report["run"]["machine"], "unikraft.org/hello:latest");
    assert_eq!((&report["run"]["exit_code"], &report["run"]["ending"]), (&0.into(), &"guest".into()));
    assert_eq!(report["substrate"], "qemu");
    assert!(text(&report["console"]).contains("probe: hypervisor"), "{report}");
}

#[test]
fn ku_32_a_package_that_is_not_here_is_fetched_once() {
    let Some(here) = project_for(QEMU, "qemu-system-x86") else { return };
    let (registry, there) = (Registry::start(), project());
    let name = format!("{}/team/probe:1", registry.host());
    pack_probe(&here, &name, "qemu", &["--cmd", "/app"]);
    packages(&here, &["push", &name, "--plain-http"]);
    let ran = run(&there, &name, &["--plain-http"]);
    assert_eq!(seen(&ran), "/app");
    assert!(ran.stderr.contains(&format!("fetching {name}")), "{ran}");
    let before = registry.requests().len();
    let ran = run(&there, &name, &["--plain-http", "--store", "kraftkit"]);
    assert_eq!(seen(&ran), "/app");
    assert_eq!(registry.requests().len(), before, "what is here is not asked for: {ran}");
    let ran = run(&there, &name, &["--plain-http", "--store", "port"]);
    assert_eq!(seen(&ran), "/app");
    let ran = run(&there, &format!("{}/team/other:1", registry.host()), &["--plain-http"]);
    assert!(ran.code == 5, "{ran}");
}

#[test]
fn ku_32_packages_boot_under_firecracker_and_cloud_hypervisor() {
    for (vmm, platform, expected) in
        [("firecracker", "fc", "kernel pci=off -- /app"), ("cloud-hypervisor", "qemu", "kernel -- /app")]
    {
        let Some(project) = project_for(vmm, "none: a release of the project") else { continue };
        pack_probe(&project, "hello", platform, &["--initrd", "initrd", "--cmd", "/app"]);
        let ran = run(&project, "hello", &["--substrate", vmm]);
        if ran.stderr.contains("it needs /dev/kvm") {
            skip::because(&format!("{vmm} needs /dev/kvm"));
            continue;
        }
        assert_eq!(seen(&ran), expected);
        assert!(ran.stdout.contains(" bytes 10 crc32 "), "the initrd: {ran}");
        if vmm == "firecracker" {
            // What is packed for it usually has no other way in than Linux's.
            without_pvh(&project.path().join("probe"));
            pack_probe(&project, "linux-way", platform, &["--initrd", "initrd"]);
            let ran = run(&project, "linux-way", &[]);
            // Firecracker leaves the end of the kernel's words out where nothing follows it.
            assert_eq!(seen(&ran), "kernel pci=off");
            assert!(
                ran.stdout.contains("protocol linux") && ran.stdout.contains(" bytes 10 crc32 "),
                "{ran}"
            );
        }
    }
}

/// Takes the note away that offers the other entry: every program header of type 4.
fn without_pvh(kernel: &Path) {
    let mut bytes = std::fs::read(kernel).unwrap();
    let first = usize::try_from(u64::from_le_bytes(bytes[32..40].try_into().unwrap())).unwrap();
    let count = usize::from(u16::from_le_bytes(bytes[56..58].try_into().unwrap()));
    let headers = bytes[first..].chunks_mut(56).take(count);
    headers.filter(|header| header.starts_with(&[4, 0, 0, 0])).for_each(|header| header[0] = 0);
    std::fs::write(kernel, bytes).unwrap();
}

#[test]
fn ku_32_what_does_not_fit_is_refused_and_says_what_would() {
    let project = project();
    let pack = |name: &str, architecture: &str, platform: &str| {
        let target = ["--kernel", "kernel", "--architecture", architecture, "--platform", platform];
        json(&pack_with(&project, name, &target));
    };
    pack("xen", "x86_64", "xen");
    pack("fc", "x86_64", "fc");
    pack("both", "x86_64", "qemu");
    pack("both", "x86_64", "fc");
    pack("cloud", "x86_64", "kraftcloud");
    pack("linux", "x86_64", "qemu");
    let cases: [(&str, &[&str], i32, &str); 7] = [
        ("xen", &[], 1, "it is packed for xen/x86_64, expected qemu or fc"),
        ("cloud", &[], 1, "it is packed for kraftcloud/x86_64, expected qemu or fc"),
        ("xen", &["--platform", "xen", "--substrate", "qemu"], 1, "packed for xen/x86_64, expected qemu"),
        ("both", &[], 5, "expected one target, found qemu/x86_64"),
        ("both", &["--platform", "qemu", "--substrate", "firecracker"], 1, "qemu/x86_64, expected fc"),
        ("fc", &["--platform", "fc", "--", "a\"b"], 2, "the arguments of `unikraft.org/fc:latest` cannot be"),
        ("both", &["--platform", "qemu", "--memory-mib", "1"], 2, "1 MiB of memory are too little"),
    ];
    let kraft_s: [(&str, &[&str], i32, &str); 12] = [
        ("fc", &["--port", "80:80"], 2, "`firecracker` publishes no ports: expected qemu"),
        ("fc", &["--port", "80:80"], 2, "hint: give it a card with `--network tap:DEVICE`"),
        ("fc", &["-v", ".:/srv"], 2, "`firecracker` shares no directories of the host: expected qemu"),
        ("fc", &["--port", "0:80"], 2, "expected ports from 1 to 65535"),
        ("fc", &["--port", "80:80", "--network", "tap:vp0"], 2, "cannot be used with"),
        ("fc", &["--volume", "/srv"], 2, "expected `DIRECTORY:PATH[:ro]`"),
        ("linux", &["--volume", "absent:data"], 5, "absent`"),
        ("linux", &["--volume", "kernel:data"], 2, "`kernel` is no directory"),
        ("fc", &["--network", "bridge:virbr0"], 2, "expected `tap:DEVICE`"),
        ("fc", &["--ip", "10.0.0.2/8"], 2, "--network"),
        ("fc", &["--network", "tap:vp0", "--ip", "10.0.0.2"], 2, "expected `ADDRESS/PREFIX[:GATEWAY]`"),
        ("fc", &["--network", "tap:vp0", "--mac", "03:00:00:00:00:00"], 2, "six pairs"),
    ];
    for (name, more, code, expected) in cases.into_iter().chain(kraft_s) {
        let ran = run(&project, name, more);
        assert!(ran.code == code && ran.stderr.contains(expected), "{name} {more:?}: {ran}");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn ku_32_what_does_not_fit_is_refused_before_a_layer_is_fetched() {
    let (here, registry, there) = (project(), Registry::start(), project());
    let name = format!("{}/team/hello:1", registry.host());
    for platform in ["xen", "qemu"] {
        let target = ["--kernel", "kernel", "--architecture", "x86_64", "--platform", platform];
        json(&pack_with(&here, &name, &target));
    }
    packages(&here, &["push", &name, "--plain-http"]);
    let before = registry.requests().len();
    let ran = run(&there, &name, &["--plain-http", "--platform", "xen"]);
    assert!(ran.code == 1 && ran.stderr.contains("packed for xen/x86_64"), "{ran}");
    let ran = run(&there, &name, &["--plain-http", "--platform", "qemu", "--", "a\" \"b"]);
    assert!(ran.code == 2 && ran.stderr.contains("`a\" \"b` has a `\"`"), "{ran}");
    let layer = packages(&here, &["info", &name, "--platform", "xen"])["targets"][0]["layers"][0].clone();
    let asked = registry.requests().split_off(before);
    assert!(
        !asked.is_empty() && !asked.iter().any(|request| request.target.contains(text(&layer["digest"])))
    );
    // An index's digest means the target of the host's architecture, as its tag does.
    let index = text(&packages(&here, &["info", &name])["index"]).to_owned();
    let ran = run(&there, &format!("{name}@{index}"), &["--plain-http", "--platform", "xen"]);
    assert!(ran.code == 1 && ran.stderr.contains("packed for xen/x86_64"), "{ran}");
}

#[test]
fn a_person_who_leaves_while_layers_are_fetched_does_not_wait() {
    let (asked, wait) = std::sync::mpsc::channel();
    let asked = std::sync::Mutex::new(asked);
    let hook = move |request: &Request| {
        if request.method == "GET" && request.target.contains("/blobs/") {
            asked.lock().unwrap().send(()).unwrap();
            // Longer than anybody waits; the thread goes with the test.
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        Action::Pass
    };
    let (here, there) = (project(), project());
    let registry = Registry::with(Abilities::default(), Box::new(hook));
    let name = format!("{}/team/hello:1", registry.host());
    let target = ["--kernel", "kernel", "--architecture", "x86_64", "--platform", "qemu"];
    json(&pack_with(&here, &name, &target));
    packages(&here, &["push", &name, "--plain-http"]);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let words = ["run", "--package", &name, "--architecture", "x86_64", "--plain-http"];
        let mut child = there.command(&words).spawn().unwrap();
        let asked = wait.recv_timeout(std::time::Duration::from_secs(60));
        assert!(asked.is_ok(), "no layer was asked for: {:?}", child.try_wait());
        let id = child.id().to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap();
        assert!(sent.success() && child.wait().unwrap().code() == Some(code), "{signal}");
    }
}

#[test]
fn a_machine_and_a_package_are_told_apart() {
    let project = project();
    for (words, expected) in [
        (&["run"][..], "<MACHINE>"),
        (&["run", "machine", "--package", "hello"], "cannot be used with"),
        (&["run", "machine", "--architecture", "x86_64"], "expected `--package` with these flags"),
        (&["run", "machine", "--env", "A=b"], "expected `--package` with these flags"),
        (&["run", "machine", "--store", "port"], "expected `--package` with these flags"),
        (&["run", "machine", "--memory-mib", "64"], "a machine's is `memory_mib` in its table"),
        (&["run", "machine", "--substrate", "qemu"], "expected `--package` with these flags"),
        (&["run", "--package", "hello", "--dry-run"], "cannot be used with"),
    ] {
        let ran = project.port(words);
        assert!(ran.code == 2 && ran.stderr.contains(expected), "{words:?}: {ran}");
    }
}

/// `port doctor --boot` with these directories before the usual ones.
fn doctor(project: &Project, path: &str, more: &[&str]) -> Ran {
    let mut command = project.command(&[&["doctor", "--boot"], more].concat());
    let usual = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{path}:{usual}"));
    project.ran(command.output().unwrap())
}

#[test]
fn doctor_boots_the_probe_kernel_under_every_vmm_that_is_here() {
    let Some(project) = project_for(QEMU, "qemu-system-x86") else { return };
    let ran = doctor(&project, "/nonexistent", &["--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let boots = report["boots"].as_array().unwrap();
    let vmms: Vec<&str> = boots.iter().map(|test| text(&test["vmm"])).collect();
    assert_eq!(vmms, [QEMU, "firecracker", "cloud-hypervisor"]);
    for test in boots {
        match text(&test["outcome"]) {
            "works" => {
                assert_eq!(test["protocol"], "pvh");
                assert!(test["accelerator"].is_string(), "{test}");
                assert!(test["banner_ms"].as_u64() <= test["total_ms"].as_u64(), "{test}");
                assert!(test["banner_ms"].is_u64() && test["reason"].is_null(), "{test}");
            }
            _ => assert!(test["reason"].is_string() && test["total_ms"].is_null(), "{test}"),
        }
    }
    assert_eq!(boots[0]["outcome"], "works", "{ran}");
}

#[test]
fn doctor_names_a_vmm_that_does_not_boot_and_why() {
    let Some(project) = project_for(QEMU, "qemu-system-x86") else { return };
    let script = project.write("bin/firecracker", "#!/bin/sh\necho 'no such thing as a guest' >&2\nexit 3\n");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let bin = project.path().join("bin").display().to_string();
    let ran = doctor(&project, &bin, &[]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stdout.contains("fails"), "{ran}");
    if !ran.stdout.contains("it needs /dev/kvm") {
        assert!(
            ran.stdout.contains("said nothing") && ran.stdout.contains("no such thing as a guest"),
            "{ran}"
        );
    }
}

#[test]
fn doctor_says_where_the_probe_kernel_is_expected() {
    let project = project();
    let mut command = project.command(&["doctor", "--boot"]);
    let ran = project.ran(command.env("PORT_PROBE_KERNEL_BIN", "/nonexistent/probe").output().unwrap());
    assert!(ran.code == 5 && ran.stderr.contains("expected it at `/nonexistent/probe`"), "{ran}");
    assert!(ran.stderr.contains("cargo xtask agent"), "{ran}");
}
