//! The probe against the real QEMU, and the kept verdict.

use std::ffi::OsStr;

use super::*;
use crate::testing::fake_qemu;

fn search() -> SearchPath {
    SearchPath::parse(OsStr::new("/usr/local/bin:/usr/bin:/bin"))
}

fn qemu(architecture: Architecture) -> Option<PathBuf> {
    let found = program::find(architecture, &search()).ok();
    if found.is_none() {
        println!("skipped: {} is not installed", program::program_name(architecture));
    }
    found
}

#[tokio::test]
async fn the_probe_guests_run_to_their_end_when_emulated() {
    for architecture in Architecture::ALL {
        let Some(qemu) = qemu(*architecture) else { continue };
        let time = Duration::from_secs(60);
        let result = probe(&qemu, *architecture, Sandbox::Unsupported, Accelerator::Tcg, time).await.unwrap();
        assert_eq!(result, Probe::Passed, "{architecture}");
    }
}

#[tokio::test]
async fn a_probe_that_takes_too_long_says_so() {
    let Some(qemu) = qemu(Architecture::X86_64) else { return };
    let time = Duration::from_millis(1);
    let result =
        probe(&qemu, Architecture::X86_64, Sandbox::Unsupported, Accelerator::Tcg, time).await.unwrap();
    assert_eq!(result, Probe::Failed("a probe guest of 40 million instructions took over 1 ms".to_owned()));
}

/// Greets like QEMU; as a probe it ends with status 1, so KVM is not chosen.
const GREETER: &str = r#"
echo x >> "${0%/*}/starts"
case "$*" in *"-qmp stdio"*)
  echo '{"QMP": {"version": {"qemu": {"micro": 3, "minor": 2, "major": 1}}}}'; read -r line;;
*) echo "no such accelerator" >&2; exit 1;; esac"#;

#[tokio::test]
async fn a_kept_verdict_starts_no_program_and_another_qemu_voids_it() {
    let directory = tempfile::tempdir().unwrap();
    let starts = directory.path().join("starts");
    let cache = directory.path().join("cache");
    let search = fake_qemu(directory.path(), GREETER);
    let first = verdict(host::ARCHITECTURE, &search, Some(&cache)).await.unwrap();
    assert_eq!((first.accelerator, first.qemu_version.as_str()), (Accelerator::Tcg, "1.2.3"));
    assert_eq!(first.sandbox, Sandbox::On);
    let count = fs::read(&starts, 1000).unwrap().len();
    assert!(count > 0);
    assert_eq!(verdict(host::ARCHITECTURE, &search, Some(&cache)).await.unwrap(), first);
    assert_eq!(fs::read(&starts, 1000).unwrap().len(), count, "a kept verdict costs no start");
    let other = tempfile::tempdir().unwrap();
    let search = fake_qemu(other.path(), GREETER);
    assert_ne!(verdict(host::ARCHITECTURE, &search, Some(&cache)).await.unwrap().key, first.key);
    assert!(fs::exists(&other.path().join("starts")));
}

#[tokio::test]
async fn a_damaged_record_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join(format!("accelerator-{}.json", host::ARCHITECTURE));
    atomic::write(&record, b"{").unwrap();
    let search = fake_qemu(directory.path(), GREETER);
    let fresh = verdict(host::ARCHITECTURE, &search, Some(directory.path())).await.unwrap();
    assert_eq!(kept(&record, &fresh.key), Some(fresh));
}

#[tokio::test]
async fn a_qemu_that_does_not_start_is_named_with_its_message() {
    let directory = tempfile::tempdir().unwrap();
    let search = fake_qemu(directory.path(), "echo 'libfoo.so.1: cannot open' >&2; exit 127");
    let error = verdict(host::ARCHITECTURE, &search, None).await.unwrap_err().to_string();
    assert!(error.contains("does not work") && error.contains("libfoo.so.1: cannot open"), "{error}");
    let missing = verdict(Architecture::Aarch64, &SearchPath::default(), None).await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        "`qemu-system-aarch64` was not found: it runs aarch64 guests (Debian package `qemu-system-arm`)"
    );
}
