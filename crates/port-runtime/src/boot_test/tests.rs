//! What counts as having booted, against transcripts; the real VMMs are in `port-cli`'s tests.

use super::*;

const EXPECTED: &str = "port.probe=1 -- \"two words\"";

fn words(change: (&str, &str)) -> String {
    let whole = format!(
        "\nPORT-PROBE 1\r\nprobe: hypervisor KVMKVMKVM\r\nprobe: protocol pvh at 0x6000\r\nprobe: cmdline {EXPECTED} pci=off\r\n\
         probe: memory bytes 66714624\r\nprobe: initrd at 0x1000 bytes 4099 crc32 0000002a\r\nPORT-PROBE END\r\n"
    );
    whole.replace(change.0, change.1)
}

fn verdict(words: &str) -> Result<(), String> {
    let mut test = BootTest {
        vmm: "vmm".to_owned(),
        outcome: Outcome::Fails,
        accelerator: None,
        protocol: None,
        banner_ms: None,
        total_ms: None,
        reason: None,
    };
    check(words, &Expected { cmdline: EXPECTED.to_owned(), crc32: 42 }, &mut test)
}

#[test]
fn a_guest_that_saw_what_it_was_given_passes_and_every_other_is_told_apart() {
    assert_eq!(verdict(&words(("", ""))), Ok(()));
    let cases = [
        (("two words", "two"), "another command line: expected `port.probe=1"),
        (("cmdline port", "cmdline xport"), "another command line"),
        (("-- \"two words\"", "\"two words\" --"), "another command line"),
        (("bytes 4099", "bytes 4098"), "another initrd: expected 4099 bytes, 0000002a, found 4098 bytes"),
        (("0000002a", "0000002b"), "found 4099 bytes, 0000002b"),
        (("66714624", "1024"), "another memory"),
        (("PORT-PROBE END", ""), "did not get through"),
        (("PORT-PROBE 1", ""), "said nothing"),
    ];
    for (change, expected) in cases {
        let found = verdict(&words(change)).unwrap_err();
        assert!(found.contains(expected), "{found}");
    }
}

#[tokio::test]
async fn where_there_is_no_vmm_each_is_missing_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = directory.path().join("kernel");
    atomic::write(&kernel, b"kernel").unwrap();
    let run_root = directory.path().join("run");
    let place = Place { search: SearchPath::default(), run_root, verdicts: None };
    let tests = run(&place, &kernel).await.unwrap();
    let vmms: Vec<&str> = tests.iter().map(|test| test.vmm.as_str()).collect();
    assert_eq!(vmms, ["qemu-system-x86_64", "firecracker", "cloud-hypervisor"]);
    for test in tests.iter().filter(|_| host::ARCHITECTURE == ARCHITECTURE) {
        assert_eq!((test.outcome, test.accelerator), (Outcome::Missing, None));
        assert!(test.reason.as_deref().is_some_and(|reason| reason.contains("was not found")), "{test:?}");
    }
}
