//! The driver against a QEMU that misbehaves, and against one that is missing.

use std::time::Duration;

use port_content::{atomic, fs};
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use super::*;
use crate::machine_spec::Console;
use crate::machine_spec::tests::sample;
use crate::testing::fake_qemu;

/// A fake QEMU that greets when it is asked for its facts and otherwise does what the test says.
struct Bench {
    directory: TempDir,
    driver: QemuDriver,
    spec: MachineSpec,
}

fn bench(behaviour: &str) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let greeting = r#"case "$*" in *"-M none"*)
        echo '{"QMP": {"version": {"qemu": {"micro": 3, "minor": 2, "major": 1}}}}'; exit;;
        *isa-debug-exit*) exit 1;; esac"#;
    let search = fake_qemu(directory.path(), &format!("{greeting}\n{behaviour}\n"));
    let mut spec = sample();
    spec.architecture = host::ARCHITECTURE;
    for (slot, name) in [(&mut spec.kernel, "kernel"), (&mut spec.disks[0].path, "disk")] {
        *slot = directory.path().join(name);
        atomic::write(slot, b"x").unwrap();
    }
    spec.initrd = None;
    let run_root = directory.path().join("run");
    Bench {
        driver: QemuDriver { search, run_root, verdicts: None, confinement: Confinement::default() },
        spec,
        directory,
    }
}

impl Bench {
    fn leftovers(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.driver.run_root).unwrap_or_default()
    }
}

#[tokio::test]
async fn qemu_that_ends_at_once_is_quoted_and_leaves_nothing() {
    let bench = bench("echo 'qemu: could not open disk' >&2; exit 1");
    let error = bench.driver.boot(&bench.spec).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, RuntimeError::EarlyExit { .. }), "{text}");
    for part in ["ended with exit status: 1", "could not open disk"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn dropping_the_boot_kills_qemu_and_leaves_nothing() {
    let bench = bench(r#"echo $$ > "${0%/*}/pid"; exec sleep 100"#);
    let boot = bench.driver.boot(&bench.spec);
    assert!(tokio::time::timeout(Duration::from_millis(700), boot).await.is_err());
    assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());
    let pid = fs::read_to_string(&bench.directory.path().join("pid"), 100).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    for _ in 0..200 {
        if test_kill_process(pid).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the VMM {pid:?} is still there");
}

#[tokio::test]
async fn what_is_missing_is_named_before_anything_starts() {
    let mut bench = bench("exit 1");
    bench.spec.disks[0].path = "/nonexistent/rootfs.ext4".into();
    let error = bench.driver.boot(&bench.spec).await.unwrap_err();
    assert_eq!(error.to_string(), "the machine's disk `root` cannot be used");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "cannot inspect `/nonexistent/rootfs.ext4`");
    bench.spec.disks.clear();
    bench.spec.kernel = bench.directory.path().to_owned();
    let error = bench.driver.boot(&bench.spec).await.unwrap_err();
    assert_eq!(error.to_string(), "the machine's kernel cannot be used");
    assert_eq!(bench.leftovers(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn memory_that_the_kernel_alone_fills_is_refused() {
    let mut bench = bench("exit 1");
    let initrd = bench.directory.path().join("initrd");
    atomic::write(&initrd, &vec![0; 10 * 1024 * 1024]).unwrap();
    bench.spec.initrd = Some(initrd);
    bench.spec.memory_mib = 44;
    let error = bench.driver.boot(&bench.spec).await.unwrap_err().to_string();
    assert_eq!(error, "44 MiB of memory are too little: this kernel and initrd alone need 45 MiB");
}

#[tokio::test]
async fn a_channel_that_is_insisted_on_is_not_replaced() {
    let mut bench = bench("exit 1");
    bench.spec.console = Console::Discard;
    bench.spec.agent = Some(AgentChannel { only: Some(ChannelKind::HelperVsock), ..AgentChannel::default() });
    let only = bench.driver.search.find(channel::HELPER);
    if only.is_some() {
        println!("skipped: {} is installed", channel::HELPER);
        return;
    }
    let error = bench.driver.boot(&bench.spec).await.unwrap_err();
    assert!(matches!(error, RuntimeError::ChannelUnavailable { .. }), "{error}");
}
