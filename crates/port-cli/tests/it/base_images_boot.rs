//! `port run --base-image`: a real kernel and real roots, made of Debian packages and served by the mirror, are fetched and booted.
//! The roots know nothing of Port: Debian's own shell runs the commands.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use port_image::ImageReader;
use port_model::ComponentFormat;
use port_testkit::mirror::Mirror;
use port_testkit::project::Project;
use port_testkit::skip;
use serde_json::{Value, json};

use crate::demo;

/// One emulated guest at a time: they would only slow each other down.
static GUEST: Mutex<()> = Mutex::new(());

/// What a shell and `uname` need.
const PACKAGES: [&str; 4] = ["base-files", "coreutils", "dash", "libc6"];

/// A kernel, and one tree as two roots.
struct Pair {
    kernel: PathBuf,
    squashfs: PathBuf,
    ext4: PathBuf,
}

/// Made once per checkout; `None` after saying why there is none.
fn pair() -> Option<&'static Pair> {
    static PAIR: OnceLock<Option<Pair>> = OnceLock::new();
    PAIR.get_or_init(make).as_ref()
}

fn make() -> Option<Pair> {
    let arch = std::env::consts::ARCH;
    let qemu = if arch == "x86_64" { "qemu-system-x86" } else { "qemu-system-arm" };
    skip::tool(&format!("qemu-system-{arch}"), qemu)?;
    let [apt, dpkg] = [("apt-get", "apt"), ("dpkg-deb", "dpkg")].map(|(tool, of)| skip::tool(tool, of));
    let mksquashfs = skip::tool("mksquashfs", "squashfs-tools")?;
    let mke2fs = skip::tool("mke2fs", "e2fsprogs")?;
    let sample = demo::sample()?;
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("base-image");
    let pair = Pair {
        kernel: sample.join(format!("artifacts/kernel/demo/{arch}/firecracker/standard/vmlinux")),
        squashfs: home.join("rootfs.squashfs"),
        ext4: home.join("rootfs.ext4"),
    };
    let root = home.join("root");
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(home.join("debs")).unwrap();
    unpack_packages(&apt?, &dpkg?, &home.join("debs"), &root)?;
    let kernel = pair.kernel.display().to_string();
    let initrd = kernel.replace("/kernel/", "/guest/").replace("vmlinux", "initrd.cpio.gz");
    add_modules([Path::new(&initrd), &sample.join("artifacts/squashfs/initrd.cpio.gz")], &root);
    for image in [&pair.squashfs, &pair.ext4] {
        let _ = std::fs::remove_file(image);
    }
    let root = root.as_os_str();
    let made = [
        Command::new(mksquashfs)
            .arg(root)
            .arg(&pair.squashfs)
            .args(["-all-root", "-no-progress", "-quiet"])
            .output(),
        Command::new(mke2fs).args(["-q", "-t", "ext4", "-d"]).arg(root).arg(&pair.ext4).arg("96M").output(),
    ];
    for output in made.map(Result::unwrap) {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Some(pair)
}

fn unpack_packages(apt: &Path, dpkg: &Path, debs: &Path, root: &Path) -> Option<()> {
    let there = || std::fs::read_dir(debs).unwrap().map(|entry| entry.unwrap().path());
    if there().count() < PACKAGES.len() {
        let got =
            Command::new(apt).args(["-qq", "download"]).args(PACKAGES).current_dir(debs).output().unwrap();
        if !got.status.success() {
            skip::because(&format!("apt has no packages: {}", String::from_utf8_lossy(&got.stderr)));
            return None;
        }
    }
    for package in there() {
        let unpacked = Command::new(dpkg).arg("-x").arg(package).arg(root).status().unwrap();
        assert!(unpacked.success());
    }
    Some(())
}

/// The kernel's modules where Debian has them, with the lists that its depmod would write: those that the sample's initrds hold. In
/// their lists a module stands behind all that it needs.
pub fn add_modules(initrds: [&Path; 2], root: &Path) {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    let base = |module: &str| module.rsplit('/').next().unwrap().to_owned();
    for initrd in initrds.map(|path| ImageReader::open(path, ComponentFormat::CpioGz).unwrap()) {
        for list in ["pci", "load", "overlay", "0x0003"].map(|name| format!("/modules.{name}")) {
            if !initrd.exists(&list).unwrap() {
                continue;
            }
            let list = String::from_utf8(initrd.read_file(&list, 1 << 20).unwrap()).unwrap();
            let modules: Vec<&str> = list.lines().collect();
            for (index, module) in modules.iter().enumerate() {
                let file = root.join(module.trim_start_matches('/'));
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, initrd.read_file(module, 1 << 26).unwrap()).unwrap();
                // What is loaded first stands last.
                let before: Vec<String> = modules[..index].iter().rev().map(|module| base(module)).collect();
                let line = format!("{}: {}\n", base(module), before.join(" "));
                lines.entry((*module).to_owned()).or_insert(line);
            }
        }
    }
    let Some((first, _)) = lines.first_key_value() else { return };
    let directory = root.join(Path::new(first.trim_start_matches('/')).parent().unwrap());
    // What no initrd brings, the kernel has itself.
    let built_in = ["virtio_mmio", "virtio_pci", "virtio_blk", "virtio_console", "ext4", "squashfs"];
    let built_in = built_in.map(|name| format!("{name}.ko"));
    let built_in = built_in.into_iter().filter(|name| !lines.keys().any(|module| base(module) == *name));
    let built_in: String = built_in.map(|name| format!("kernel/{name}\n")).collect();
    std::fs::write(directory.join("modules.builtin"), built_in).unwrap();
    std::fs::write(directory.join("modules.dep"), lines.into_values().collect::<String>()).unwrap();
}

/// A mirror whose newest line is the squashfs root, with a hosted manifest of the ext4 one beside it.
fn world() -> Option<(Mirror, Project)> {
    let pair = pair()?;
    let arch = std::env::consts::ARCH;
    let read = |path: &Path| std::fs::read(path).unwrap();
    let mirror = Mirror::of_pair("v1.15.1", arch, &read(&pair.kernel), &read(&pair.squashfs));
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let manifest = json!({
        "schemaVersion": 1, "bundleId": "debian", "arch": arch, "firecrackerVersion": "v1.15.1", "rootfsType": "ext4",
        "kernel": { "path": pair.kernel }, "rootfs": { "path": pair.ext4 }
    });
    project.write("debian.json", manifest.to_string());
    let text = format!(
        "[sources]\nfirecracker_ci_url = \"{}\"\nfirecracker_releases_url = \"{}\"\n\
         [base_images]\ncache_directory = \"cache\"\narchitecture = \"native\"\n",
        mirror.bucket_url(),
        mirror.releases_url()
    );
    project.write("port.toml", text);
    Some((mirror, project))
}

/// All that is cached is as it was fetched.
fn is_sound(project: &Project) -> bool {
    let ran = project.port(&["base-images", "verify", "--format", "json"]);
    let verified: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut rows = verified.as_array().unwrap().iter();
    rows.len() > 0 && rows.all(|row| row["sound"] == true)
}

#[test]
fn su_7_a_base_image_from_the_mirror_boots_and_passes_everything_on() {
    let Some((mirror, project)) = world() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let script = "uname -a; cat /etc/debian_version; cat; echo err >&2; touch /x || echo read-only; touch /tmp/x; exit 7";
    let arguments = &["run", "--base-image", "latest", "--", "sh", "-c", script];
    let ran = project.port_reading(arguments, "from the host\n");
    assert_eq!(ran.code, 7, "{ran}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].starts_with("Linux ") && lines[0].contains(std::env::consts::ARCH), "{ran}");
    assert!(lines[1].starts_with(|c: char| c.is_ascii_digit()), "{ran}");
    assert_eq!(lines[2..], ["from the host", "read-only"], "{ran}");
    assert!(ran.stderr.contains("err\n"), "{ran}");
    assert!(is_sound(&project));
    // Nothing is asked for any more.
    drop(mirror);
    let ran = project.port(&["run", "--base-image", "latest", "--offline", "--", "/bin/nothing-here"]);
    assert_eq!(ran.code, 127, "{ran}");
}

#[test]
fn su_7_a_writable_root_is_written_for_one_run_alone() {
    let Some((_mirror, project)) = world() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    project.write(
        "port.toml",
        [project.read("port.toml"), b"manifest_path = \"debian.json\"\n".to_vec()].concat(),
    );
    for _ in 0..2 {
        let script = "test ! -e /kept && echo x >/kept && sync && cat /kept";
        let ran = project.port(&["run", "--base-image", "hosted", "--", "sh", "-c", script]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, "x\n"), "{ran}");
        assert!(is_sound(&project));
    }
}

#[test]
fn without_a_command_the_roots_shell_is_on_the_console() {
    let Some((_mirror, project)) = world() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // The end of the input is the end of the shell, and that of the machine.
    let said = "echo a$((6*7))b; cat /etc/debian_version; touch /x || echo read-only\n";
    let ran = project.port_reading(&["run", "--base-image", "latest"], said);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains("a42b"), "{ran}");
    assert!(ran.stdout.lines().any(|line| line.trim_end() == "read-only"), "{ran}");
    assert!(is_sound(&project));
}

#[test]
fn c_32_a_base_image_that_runs_is_not_evicted() {
    let Some((mirror, project)) = world() else { return };
    let _one = GUEST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    mirror.put_pair("v1.7", std::env::consts::ARCH, b"\x7fELF another", b"hsqs another");
    let mut child = project
        .command(&["run", "--base-image", "latest", "--", "sh", "-c", "echo up; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    let count = || {
        let ran = project.port(&["base-images", "list", "--format", "json"]);
        serde_json::from_str::<Value>(&ran.stdout).unwrap().as_array().unwrap().len()
    };
    let lts = ["base-images", "ensure", "--preset", "lts", "--max-stored", "1"];
    assert_eq!(project.port(&lts).code, 0);
    assert_eq!(count(), 2);
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(project.port(&lts).code, 0);
    assert_eq!(count(), 1);
}

#[test]
fn what_goes_with_a_base_image_is_refused_without_one() {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    for (words, expected) in [
        (&["run", "machine", "--offline"][..], "expected `--base-image` with these flags"),
        (&["run", "--package", "hello", "--cache-dir", "x"], "expected `--base-image` with these flags"),
        (&["run", "machine", "--memory-mib", "64"], "a machine's is `memory_mib` in its table"),
        (&["run", "machine", "--base-image", "latest"], "cannot be used with"),
        (&["run", "--base-image", "newest"], "latest, lts, hosted"),
        (&["run", "--base-image", "latest", "--platform", "qemu"], "expected `--package` with these flags"),
        (&["run", "--base-image", "latest", "--dry-run"], "cannot be used with"),
    ] {
        let ran = project.port(words);
        assert!(ran.code == 2 && ran.stderr.contains(expected), "{words:?}: {ran}");
    }
    let ran =
        project.port(&["run", "--base-image", "latest", "--offline", "--cache-dir", "none", "--", "true"]);
    assert!(ran.code == 5 && ran.stderr.contains("BASE_IMAGE_RESOLVE_FAILED"), "{ran}");
}

/// The published switch for tests that boot what the Firecracker CI publishes today, over the network.
#[test]
fn su_6_what_is_published_today_boots_where_it_is_asked_for() {
    if std::env::var("SMARTVM_RUN_INTEGRATION").as_deref() != Ok("true") {
        return skip::because("SMARTVM_RUN_INTEGRATION is not `true`");
    }
    let preset = std::env::var("SMARTVM_BASE_IMAGE_PRESET").unwrap_or_else(|_| "latest".to_owned());
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    let ran = project.port(&["run", "--base-image", &preset, "--cache-dir", "cache", "--", "uname", "-a"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("Linux "), "{ran}");
}
