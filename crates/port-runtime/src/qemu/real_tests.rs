//! The driver against the real QEMU, with a guest of a hundred bytes: it writes a text to the console and then
//! stops or resets. No Linux is needed, so these tests run wherever QEMU is installed.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use port_content::{atomic, fs};
use port_model::{Architecture, Cmdline};
use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use super::*;
use crate::accelerator::probe_guest::{CODE_ADDRESS, pvh_elf};
use crate::driver::Ending;
use crate::machine_spec::{Console, Disk, DiskAccess, KernelFamily};

/// What the guest does after its text.
#[derive(Clone, Copy)]
enum Then {
    Stop,
    Reset,
}

fn guest(text: &str, then: Then) -> Vec<u8> {
    let mut code = vec![0xfa, 0xbe, 0, 0, 0, 0]; // cli; mov esi, text
    code.extend([0xac, 0x84, 0xc0, 0x74, 0x14, 0x88, 0xc4]); // again: lodsb; test al, al; jz on; mov ah, al
    code.extend([0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x20, 0x74, 0xf7]); // until the transmitter is free
    code.extend([0x66, 0xba, 0xf8, 0x03, 0x88, 0xe0, 0xee, 0xeb, 0xe7]); // write to 0x3f8; jmp again
    match then {
        Then::Stop => code.extend([0xf4, 0xeb, 0xfd]),
        // lidt of six zero bytes (at address 0); int3: with no handler for the handler, the processor resets.
        Then::Reset => code.extend([0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0xcc]),
    }
    let address = CODE_ADDRESS + u32::try_from(code.len()).unwrap();
    code[2..6].copy_from_slice(&address.to_le_bytes());
    code.extend(text.as_bytes());
    code.push(0);
    pvh_elf(&code)
}

struct Bench {
    directory: TempDir,
    driver: QemuDriver,
    spec: MachineSpec,
}

fn bench(text: &str, then: Then) -> Option<Bench> {
    let search = SearchPath::parse(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
    if program::find(Architecture::X86_64, &search).is_err() {
        println!("skipped: {} is not installed", program_name(Architecture::X86_64));
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let kernel = directory.path().join("guest,with=comma");
    atomic::write(&kernel, &guest(text, then)).unwrap();
    let spec = MachineSpec {
        architecture: Architecture::X86_64,
        vcpus: 1,
        memory_mib: 64,
        kernel,
        family: KernelFamily::Linux,
        initrd: None,
        cmdline: Cmdline::default(),
        disks: Vec::new(),
        shares: Vec::new(),
        network: None,
        agent: Some(AgentChannel { only: Some(ChannelKind::VirtioSerial), ..AgentChannel::default() }),
        console: Console::Discard,
    };
    let (run_root, verdicts) = (directory.path().join("run"), Some(directory.path().join("verdicts")));
    Some(Bench {
        driver: QemuDriver { search, run_root, verdicts, confinement: Confinement::default() },
        spec,
        directory,
    })
}

impl Bench {
    async fn boot(&self) -> Machine {
        self.driver.boot(&self.spec).await.unwrap()
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(&self.driver.run_root).unwrap_or_default().len()
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_panic_is_noticed_at_once_although_the_guest_only_stops() {
    let text = "starting\n[    1.0] Kernel panic - not syncing: no init\n[    1.1] Call Trace:\n";
    let Some(bench) = bench(text, Then::Stop) else { return };
    let mut machine = bench.boot().await;
    let error = machine.wait_for_agent(PATIENCE).await.unwrap_err();
    let RuntimeError::KernelPanic { line, console } = &error else { panic!("{error}") };
    assert_eq!(line, "no init");
    assert_eq!(console.lines.first().map(String::as_str), Some("starting"), "{error}");
    drop(machine);
    assert_eq!(bench.leftovers(), 0);
}

#[tokio::test]
async fn a_guest_that_resets_has_ended_and_its_console_is_shown() {
    let Some(mut bench) = bench("no root found\n", Then::Reset) else { return };
    let log = bench.directory.path().join("console.log");
    bench.spec.console = Console::Log(log.clone());
    let mut machine = bench.boot().await;
    let error = machine.wait_for_agent(PATIENCE).await.unwrap_err();
    let RuntimeError::EarlyExit { status, console, .. } = &error else { panic!("{error}") };
    assert!(status.success() && console.lines == ["no root found"], "{error}");
    assert_eq!(fs::read(&log, 100).unwrap(), b"no root found\n");
    assert!(machine.wait().await.unwrap().success(), "the end can be waited for again");
    assert_eq!(machine.shut_down().await.unwrap(), Ending::Guest, "and nothing is left to force");
    let timings = machine.timings();
    assert!(timings.first_console_byte.unwrap() >= timings.spawned && timings.ended.is_some());
}

#[tokio::test]
async fn silence_is_an_error_with_the_console_and_the_machine_can_be_forced_to_end() {
    let Some(bench) = bench("waiting for nothing\n", Then::Stop) else { return };
    let mut machine = bench.boot().await;
    let error = machine.wait_for_agent(Duration::from_secs(1)).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the guest's agent did not answer within 1 s over virtio-serial\n  the end of the console:\n    waiting for nothing"
    );
    let begun = Instant::now();
    assert_eq!(machine.shut_down().await.unwrap(), Ending::Quit);
    assert!(begun.elapsed() < VMM_PATIENCE, "{:?}", begun.elapsed());
    drop(machine);
    assert_eq!(bench.leftovers(), 0);
}

/// Quitting takes QEMU a few milliseconds.
const VMM_PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_console_stream_has_every_byte_and_its_reader_sets_the_pace() {
    let text = "0123456789\n".repeat(3000);
    let Some(mut bench) = bench(&text, Then::Reset) else { return };
    (bench.spec.console, bench.spec.agent) = (Console::Stream, None);
    let mut machine = bench.boot().await;
    let mut console = machine.take_console().unwrap();
    let mut read = Vec::new();
    while let Some(bytes) = console.output.recv().await {
        read.extend(bytes);
    }
    assert!(read == text.as_bytes(), "{} of {} bytes", read.len(), text.len());
    assert!(machine.wait().await.unwrap().success());
    assert!(matches!(machine.agent(), Err(RuntimeError::NoAgent)));
}

#[tokio::test]
async fn disks_of_every_kind_are_accepted_by_qemu() {
    let Some(mut bench) = bench("up\n", Then::Reset) else { return };
    for (id, access) in
        [("a", DiskAccess::ReadOnly), ("b", DiskAccess::ReadWrite), ("c", DiskAccess::Ephemeral)]
    {
        let path = bench.directory.path().join(format!("disk,{id}"));
        atomic::write(&path, &[0; 4096]).unwrap();
        bench.spec.disks.push(Disk { id: id.to_owned(), path, access });
    }
    let mut machine = bench.boot().await;
    assert!(machine.wait().await.unwrap().success());
    assert_eq!(machine.console_tail().lines, ["up"]);
}

/// The argument after `--skip` that turns [`child_of_the_kill_test`] from a test into a program.
const CHILD_MARK: &str = "--skip";

/// Not a test by itself: boots a machine in the given directory and never returns.
#[tokio::test]
async fn child_of_the_kill_test() {
    let mut arguments = std::env::args().skip_while(|argument| argument != CHILD_MARK).skip(1);
    let Some(directory) = arguments.next().filter(|argument| argument.starts_with('/')) else { return };
    let Some(mut bench) = bench("up\n", Then::Stop) else { return };
    bench.driver.run_root = PathBuf::from(&directory).join("run");
    let machine = bench.boot().await;
    let pid = machine.process_id().unwrap().to_string();
    atomic::write(&PathBuf::from(directory).join("pid"), pid.as_bytes()).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_port_leaves_neither_qemu_nor_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    if bench("", Then::Stop).is_none() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "qemu::real_tests::child_of_the_kill_test", CHILD_MARK])
        .arg(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (pid_file, run) = (directory.path().join("pid"), directory.path().join("run"));
    until("the child booted", || fs::exists(&pid_file)).await;
    let pid = fs::read_to_string(&pid_file, 100).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    assert!(test_kill_process(pid).is_ok() && fs::read_dir(&run).unwrap().len() == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    until("QEMU is gone", || test_kill_process(pid).is_err()).await;
    until("the run directory is gone", || fs::read_dir(&run).unwrap().is_empty()).await;
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
