//! The contract of slots, over every pointer; each has a boot loader of its own, as its real one behaves.

use port_content::hashing::digest_of;
use port_model::Architecture;

use super::grubenv::Block;
use super::*;

mod power;

/// A machine with a boot loader, in a directory.
trait Machine {
    /// How often it may boot in a row with nobody there to say that all is well.
    const BOOTS: usize = 5;

    fn new(root: &Path) -> Self;
    /// The machine whose disk is there, before it boots.
    fn found(root: &Path) -> Self;
    /// The slots as the system sees them that runs now.
    fn slots(&self) -> Slots;
    /// What a boot does; returns what runs then.
    fn boot(&mut self) -> SlotName;
}

struct Directories(PathBuf);

impl Machine for Directories {
    fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    fn found(root: &Path) -> Self {
        Self(root.to_owned())
    }

    fn slots(&self) -> Slots {
        Slots::new(&self.0, Box::new(DirectoryPointer::new(&self.0)))
    }

    fn boot(&mut self) -> SlotName {
        DirectoryPointer::new(&self.0).boot().unwrap()
    }
}

/// Does what KubeSolo's `grub.cfg` does.
struct Grub {
    root: PathBuf,
    running: SlotName,
}

impl Grub {
    fn block(&self) -> PathBuf {
        self.root.join("grubenv")
    }
}

impl Machine for Grub {
    /// KubeSolo's `grub.cfg` counts every boot, also of what is kept, and asks nothing of the slot that it changes to.
    const BOOTS: usize = 3;

    fn new(root: &Path) -> Self {
        let machine = Self::found(root);
        let mut block = Block::empty();
        for (name, value) in
            [("active_slot", "A"), ("boot_counter", "3"), ("boot_success", "1"), ("kept_by", "others")]
        {
            block.set(name, value);
        }
        atomic::write(&machine.block(), &block.to_bytes().unwrap()).unwrap();
        machine
    }

    fn found(root: &Path) -> Self {
        Self { root: root.to_owned(), running: SlotName::A }
    }

    fn slots(&self) -> Slots {
        Slots::new(&self.root, Box::new(GrubPointer::new(&self.block(), self.running)))
    }

    fn boot(&mut self) -> SlotName {
        let mut block = Block::parse(&fs::read(&self.block(), 2000).unwrap()).unwrap();
        assert_eq!(block.get("kept_by"), Some("others"));
        let mut active = SlotName::parse(block.get("active_slot").unwrap()).unwrap();
        let mut counter: u32 = block.get("boot_counter").unwrap().parse().unwrap();
        if block.get("boot_success") != Some("1") && counter == 0 {
            (active, counter) = (active.other(), 3);
        }
        block.set("active_slot", active.as_str());
        block.set("boot_counter", &counter.saturating_sub(1).to_string());
        block.set("boot_success", "0");
        atomic::write(&self.block(), &block.to_bytes().unwrap()).unwrap();
        self.running = active;
        active
    }
}

/// Does what systemd-boot does with counters.
struct Entries {
    root: PathBuf,
    running: SlotName,
}

impl Machine for Entries {
    fn new(root: &Path) -> Self {
        let entries = root.join("entries");
        fs::create_dir_all(&entries).unwrap();
        atomic::write(&entries.join("port-A.conf"), b"version 1\nlinux /A/vmlinuz\n").unwrap();
        atomic::write(&entries.join("other.conf"), b"title rescue\n").unwrap();
        Self::found(root)
    }

    fn found(root: &Path) -> Self {
        Self { root: root.to_owned(), running: SlotName::A }
    }

    fn slots(&self) -> Slots {
        Slots::new(&self.root, Box::new(BootEntries::new(&self.root.join("entries"), self.running, "quiet")))
    }

    fn boot(&mut self) -> SlotName {
        let mut entries: Vec<(bool, u64, String)> = Vec::new();
        for path in fs::read_dir(&self.root.join("entries")).unwrap() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with('.') || !name.ends_with(".conf") {
                continue;
            }
            let text = fs::read_to_string(&path, 4096).unwrap();
            let Some(version) = text.lines().find_map(|line| line.strip_prefix("version ")) else { continue };
            entries.push((!name.contains("+0"), version.parse().unwrap(), name));
        }
        let (_, _, name) = entries.into_iter().max().unwrap();
        self.running = SlotName::parse(&name[5..6]).unwrap();
        if let Some((_, counter)) = name.trim_end_matches(".conf").split_once('+') {
            let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
            let (left, done): (u32, u32) = (left.parse().unwrap(), done.parse().unwrap());
            let next = format!("port-{}+{}-{}.conf", self.running, left.saturating_sub(1), done + 1);
            let directory = self.root.join("entries");
            if next != name {
                atomic::place(&directory.join(&name), &directory.join(next)).unwrap();
            }
        }
        self.running
    }
}

/// A hook that keeps what it is told in files; written in shell, as an operator would.
struct Hook(PathBuf);

const HOOK: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
[ -f kept ] || { echo A >kept; echo A >running; }
case "$1" in
read) t=null; [ -f trial ] && t="{\"slot\":\"$(cut -c1 trial)\",\"tries\":$(cut -c3- trial)}"
  printf '{"running":"%s","kept":"%s","trial":%s}' "$(cat running)" "$(cat kept)" "$t" ;;
arm) echo "$2 $3" >trial ;;
keep) echo "$2" >kept; rm -f trial ;;
boot) n=0; [ -f trial ] && n=$(cut -c3- trial); s=$(cat kept)
  if [ "$n" -gt 0 ]; then s=$(cut -c1 trial); echo "$s $((n-1))" >trial; else rm -f trial; fi; echo "$s" >running ;;
*) exit 2 ;;
esac
"#;

impl Machine for Hook {
    fn new(root: &Path) -> Self {
        let program = root.join("hook.sh");
        atomic::write(&program, HOOK.as_bytes()).unwrap();
        fs::set_mode(&program, 0o755).unwrap();
        Self::found(root)
    }

    fn found(root: &Path) -> Self {
        Self(root.to_owned())
    }

    fn slots(&self) -> Slots {
        Slots::new(&self.0, Box::new(HookPointer::new(&self.0.join("hook.sh"))))
    }

    fn boot(&mut self) -> SlotName {
        let status = std::process::Command::new(self.0.join("hook.sh")).arg("boot").status().unwrap();
        assert!(status.success());
        self.slots().look().unwrap().boot.running
    }
}

/// A release of two files, and where they lie.
fn release(root: &Path, number: u64) -> (Target, BootSet, PathBuf) {
    for role in [Role::Kernel, Role::Initramfs] {
        let path = from(root, number).join(role.file_name());
        atomic::write(&path, content(role, number).as_bytes()).unwrap();
    }
    said(root, number)
}

fn from(root: &Path, number: u64) -> PathBuf {
    root.join(format!("release {number}"))
}

fn content(role: Role, number: u64) -> String {
    format!("{} of {number}", role.file_name())
}

/// What is said of a release, without its files.
fn said(root: &Path, number: u64) -> (Target, BootSet, PathBuf) {
    let part = |role: Role| {
        let text = content(role, number);
        Part { role, digest: digest_of(text.as_bytes()), size: text.len() as u64 }
    };
    let target = Target {
        digest: digest_of(format!("manifest {number}").as_bytes()),
        version: format!("v1.{number}.0").parse().unwrap(),
        sequence: Some(number),
        channel: Some("stable".to_owned()),
        security_epoch: 0,
    };
    let set = BootSet {
        architecture: Architecture::X86_64,
        variant: String::new(),
        parts: vec![part(Role::Kernel), part(Role::Initramfs)],
        boot_arguments: Some("quiet".to_owned()),
    };
    (target, set, from(root, number))
}

fn stage(slots: &Slots, (target, set, from): &(Target, BootSet, PathBuf)) -> Result<SlotName, SlotError> {
    slots.stage(target, set, |role| from.join(role.file_name()))
}

fn contract<M: Machine>() {
    a_release_is_tried_and_kept::<M>();
    a_release_that_does_not_get_well_is_left::<M>();
    what_runs_is_never_written::<M>();
    what_is_not_whole_is_never_armed::<M>();
}

fn fresh<M: Machine>() -> (tempfile::TempDir, M) {
    let directory = tempfile::tempdir().unwrap();
    let machine = M::new(directory.path());
    (directory, machine)
}

fn a_release_is_tried_and_kept<M: Machine>() {
    let (root, mut machine) = fresh::<M>();
    let mut running = SlotName::A;
    for number in 1..5 {
        let release = release(root.path(), number);
        let slots = machine.slots();
        assert!(slots.look().unwrap().is_settled());
        assert_eq!(stage(&slots, &release).unwrap(), running.other());
        assert_eq!(slots.look().unwrap().boot.running, running, "staging boots nothing");
        slots.arm(&release.0, 3).unwrap();
        slots.arm(&release.0, 3).unwrap();
        let boot = slots.look().unwrap().boot;
        assert_eq!((boot.kept, boot.trial), (running, Some(Trial { slot: running.other(), tries: 3 })));
        assert_eq!(machine.boot(), running.other());
        let evidence = machine.slots().look().unwrap();
        assert!(!evidence.is_settled());
        assert_eq!(evidence.header(evidence.boot.running).unwrap().target, release.0);
        machine.slots().keep_running().unwrap();
        machine.slots().keep_running().unwrap();
        running = running.other();
        for _ in 0..5 {
            assert_eq!(machine.boot(), running);
            machine.slots().keep_running().unwrap();
        }
    }
    // The operator's way back.
    assert_eq!(machine.slots().turn_back().unwrap(), running.other());
    assert_eq!(machine.boot(), running.other());
}

/// T20: its tries are used up, and nobody needs to be there for it.
fn a_release_that_does_not_get_well_is_left<M: Machine>() {
    let (root, mut machine) = fresh::<M>();
    let bad = release(root.path(), 1);
    stage(&machine.slots(), &bad).unwrap();
    machine.slots().arm(&bad.0, 3).unwrap();
    for _ in 0..3 {
        assert_eq!(machine.boot(), SlotName::B);
        assert!(matches!(
            stage(&machine.slots(), &release(root.path(), 2)),
            Err(SlotError::NotSettled { .. })
        ));
    }
    assert_eq!(machine.boot(), SlotName::A);
    machine.slots().keep_running().unwrap();
    assert!(machine.slots().look().unwrap().is_settled());
    // The agent's own way back, before the tries are used up.
    stage(&machine.slots(), &bad).unwrap();
    machine.slots().arm(&bad.0, 3).unwrap();
    assert_eq!(machine.boot(), SlotName::B);
    assert_eq!(machine.slots().turn_back().unwrap(), SlotName::A);
    assert_eq!(machine.slots().turn_back().unwrap(), SlotName::A);
    assert_eq!(machine.boot(), SlotName::A);
    machine.slots().keep_running().unwrap();
    machine.slots().invalidate().unwrap();
    assert!(matches!(machine.slots().arm(&bad.0, 3), Err(SlotError::NotStaged { .. })));
}

/// I1, I11.
fn what_runs_is_never_written<M: Machine>() {
    let (root, mut machine) = fresh::<M>();
    let one = release(root.path(), 1);
    stage(&machine.slots(), &one).unwrap();
    machine.slots().arm(&one.0, 3).unwrap();
    machine.boot();
    let before = fs::read(&root.path().join("B/vmlinuz"), 100).unwrap();
    assert!(stage(&machine.slots(), &release(root.path(), 2)).is_err());
    assert!(machine.slots().invalidate().is_err(), "what is left to go back to");
    assert_eq!(fs::read(&root.path().join("B/vmlinuz"), 100).unwrap(), before);
    assert!(machine.slots().look().unwrap().b.is_some());
}

/// T21, T22: a slot that was half written, whose header is torn or whose bytes rotted.
fn what_is_not_whole_is_never_armed<M: Machine>() {
    let (root, machine) = fresh::<M>();
    let one = release(root.path(), 1);
    let slots = machine.slots();
    assert!(matches!(slots.arm(&one.0, 3), Err(SlotError::NotStaged { .. })), "never staged");
    stage(&slots, &one).unwrap();
    let kernel = root.path().join("B/vmlinuz");
    let good = fs::read(&kernel, 100).unwrap();
    atomic::write(&kernel, b"rotten").unwrap();
    assert!(matches!(slots.arm(&one.0, 3), Err(SlotError::Content { .. })), "rotten");
    atomic::write(&kernel, &good).unwrap();
    let header = root.path().join("B/slot.json");
    let whole = fs::read(&header, 10_000).unwrap();
    for bytes in [&b""[..], b"{", &whole[..whole.len() / 2], b"{\"version\":2}"] {
        atomic::write(&header, bytes).unwrap();
        assert!(matches!(slots.arm(&one.0, 3), Err(SlotError::NotStaged { .. })), "torn");
    }
    // A part that is not what was signed: the slot stays nothing, and what runs runs.
    stage(&slots, &one).unwrap();
    let other = release(root.path(), 2);
    atomic::write(&other.2.join("vmlinuz"), b"vmlinuz of 3").unwrap();
    assert!(stage(&slots, &other).is_err());
    let evidence = slots.look().unwrap();
    assert_eq!((evidence.b, evidence.boot.running, evidence.boot.trial), (None, SlotName::A, None));
}

#[test]
fn i_1_i_2_i_3_i_11_t_20_t_21_directories_keep_the_contract() {
    contract::<Directories>();
}

#[test]
fn ou_20_i_3_t_20_t_21_grub_keeps_the_contract() {
    contract::<Grub>();
}

#[test]
fn i_3_t_20_t_21_boot_loader_entries_keep_the_contract() {
    contract::<Entries>();
}

#[test]
fn i_3_t_20_t_21_a_hook_keeps_the_contract() {
    contract::<Hook>();
}

#[test]
fn what_grubs_block_has_no_room_for_is_refused_before_the_slot_is_touched() {
    let (root, machine) = fresh::<Grub>();
    let slots = machine.slots();
    stage(&slots, &release(root.path(), 1)).unwrap();
    let before = fs::read(&machine.block(), 2000).unwrap();
    let mut long = release(root.path(), 2);
    // A release may say so much; the block has no room for it.
    long.1.boot_arguments = Some("x".repeat(1000));
    let error = stage(&slots, &long).unwrap_err();
    assert!(matches!(&error, SlotError::Pointer { found, .. } if found.contains("to write")), "{error}");
    assert_eq!(fs::read(&machine.block(), 2000).unwrap(), before);
    assert!(slots.check(&release(root.path(), 1).0).is_ok(), "what was there is whole");
    long.1.boot_arguments = Some("x".repeat(500));
    stage(&slots, &long).unwrap();
    slots.arm(&long.0, 3).unwrap();
}

#[test]
fn without_arguments_an_entry_has_those_of_what_is_kept_for_its_own_slot() {
    let (root, mut machine) = fresh::<Entries>();
    let mut first = release(root.path(), 1);
    first.1.boot_arguments = Some("root=PARTLABEL=OS{slot}".to_owned());
    stage(&machine.slots(), &first).unwrap();
    machine.slots().arm(&first.0, 3).unwrap();
    assert_eq!(machine.boot(), SlotName::B);
    machine.slots().keep_running().unwrap();
    let mut second = release(root.path(), 2);
    second.1.boot_arguments = None;
    stage(&machine.slots(), &second).unwrap();
    machine.slots().arm(&second.0, 3).unwrap();
    let text = fs::read_to_string(&root.path().join("entries/port-A+3.conf"), 4096).unwrap();
    assert!(text.ends_with("options root=PARTLABEL=OSA port.slot=A\n"), "{text}");
}

#[test]
fn t_22_a_pointer_that_cannot_be_read_stops_everything() {
    let root = tempfile::tempdir().unwrap();
    let grub = Grub::new(root.path());
    for bytes in [vec![b'#'; 1023], vec![0; 1024], b"# GRUB Environment Block\nactive_slot=C\n".to_vec()] {
        atomic::write(&grub.block(), &bytes).unwrap();
        assert!(grub.slots().look().is_err());
        assert!(stage(&grub.slots(), &release(root.path(), 1)).is_err());
        assert_eq!(fs::read(&grub.block(), 2000).unwrap(), bytes, "left as it was");
    }
    atomic::write(&root.path().join("boot.json"), b"{\"version\":9}").unwrap();
    assert!(Directories::new(root.path()).slots().look().is_err());
}
