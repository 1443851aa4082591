//! `port.lock`: the exact text, what it reads, what it refuses.

use port_config::{Lock, LockEntry, LockedInput, LockedOutput};
use port_model::{Architecture, Digest, KernelFacts, ProtectionMode, Substrate, Variant};

const TEXT: &str = r#"# This file is made by `port artifacts build`. Commit it.
version = 1

[[variants]]
artifact = "demo-guest"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }

[[variants]]
artifact = "demo-kernel"
selector = { architecture = "x86_64", substrate = "firecracker", protection_mode = "standard" }

[variants.kernel]
release = "6.12.9-cloud-amd64"
modules = ["virtio_blk", "ext4"]

[[variants.inputs]]
source = "debian-package linux-image-cloud-amd64"
resolved = "linux-image-6.12.9-cloud-amd64=6.12.9-1 \"quoted\" \\ \u0007"
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
size = 12

[[variants.outputs]]
file = "vmlinux"
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
size = 40

[[variants]]
artifact = "demo-kernel"
selector = { architecture = "aarch64", substrate = "firecracker", protection_mode = "standard" }

[variants.kernel]
modules = []
"#;

fn variant(architecture: Architecture) -> Variant {
    Variant::new(architecture, Substrate::Firecracker, ProtectionMode::Standard)
}

fn entry(artifact: &str, architecture: Architecture) -> LockEntry {
    LockEntry {
        artifact: artifact.to_owned(),
        variant: variant(architecture),
        inputs: Vec::new(),
        outputs: Vec::new(),
        kernel: None,
    }
}

fn output(digest: Digest) -> LockedOutput {
    let Ok(file) = "vmlinux".parse() else { panic!("a plain name was refused") };
    LockedOutput { file, digest, size: 40 }
}

fn lock() -> Lock {
    let digest = Digest::sha256(&[0; 32]);
    let mut lock = Lock::default();
    lock.set(LockEntry {
        kernel: Some(KernelFacts::default()),
        ..entry("demo-kernel", Architecture::Aarch64)
    });
    lock.set(LockEntry {
        inputs: vec![LockedInput {
            source: "debian-package linux-image-cloud-amd64".to_owned(),
            resolved: "linux-image-6.12.9-cloud-amd64=6.12.9-1 \"quoted\" \\ \u{7}".to_owned(),
            digest: digest.clone(),
            size: 12,
        }],
        outputs: vec![output(digest)],
        kernel: Some(KernelFacts {
            release: Some("6.12.9-cloud-amd64".to_owned()),
            modules: vec!["virtio_blk".to_owned(), "ext4".to_owned()],
        }),
        ..entry("demo-kernel", Architecture::X86_64)
    });
    lock.set(entry("demo-guest", Architecture::X86_64));
    lock
}

#[test]
fn the_text_is_fixed_sorted_and_read_back() {
    assert_eq!(lock().to_string(), TEXT);
    assert_eq!(Lock::parse("port.lock", TEXT).unwrap(), lock());
}

#[test]
fn entries_are_found_replaced_and_counted() {
    let mut lock = lock();
    let wanted = variant(Architecture::Aarch64);
    assert!(lock.get("demo-kernel", wanted).is_some_and(|entry| entry.kernel.is_some()));
    assert!(lock.get("demo-guest", wanted).is_none());
    let earlier = lock.set(entry("demo-kernel", Architecture::Aarch64));
    assert_eq!(earlier.and_then(|entry| entry.kernel), Some(KernelFacts::default()));
    assert!(lock.get("demo-kernel", wanted).is_some_and(|entry| entry.kernel.is_none()));
    assert_eq!(lock.entries().count(), 3);
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let Err(error) = Lock::parse("port.lock", text) else { panic!("the text was taken") };
    let error = error.to_string();
    assert!(error == expected, "found:\n{error}\n");
}

#[test]
fn another_version_names_both() {
    check(
        "version = 2\nfuture = true\n",
        "cannot use `port.lock`: 1 problem
  port.lock:1:11: `version`: expected lock version 1, found version 2
      1 | version = 2
        |           ^
        = hint: use the Port that wrote the file, or remove it and build again",
    );
    check(
        "vresion = 1\n",
        "cannot use `port.lock`: 1 problem
  port.lock:1:1: the key `version` is missing
      1 | vresion = 1
        | ^",
    );
}

#[test]
fn what_is_wrong_is_said_at_its_line() {
    check(
        r#"version = 1
[[variants]]
artifact = "k"
selector = { architecture = "native", substrate = "firecracker", protection_mode = "standard" }
[[variants.inputs]]
source = "x"
resolvd = "y"
digest = "sha256:12"
size = -1
[[variants.outputs]]
file = "../vmlinux"
"#,
        "cannot use `port.lock`: 7 problems
  port.lock:4:29: `variants[0].selector.architecture`: `native` is not an architecture: expected one of x86_64, aarch64
      4 | selector = { architecture = \"native\", substrate = \"firecracker\", protection_mode = \"standard\" }
        |                             ^^^^^^^^
  port.lock:7:1: `variants[0].inputs[0].resolvd`: unknown key (did you mean `resolved`?)
      7 | resolvd = \"y\"
        | ^^^^^^^
  port.lock:8:10: `variants[0].inputs[0].digest`: `sha256:12` is not a digest: expected 64 lower-case hex digits, found `12`
      8 | digest = \"sha256:12\"
        |          ^^^^^^^^^^^
  port.lock:9:8: `variants[0].inputs[0].size`: expected an integer from 0 to 9223372036854775807, found -1
      9 | size = -1
        |        ^^
  port.lock:10:1: `variants[0].outputs[0]`: the key `digest` is missing
     10 | [[variants.outputs]]
        | ^^^^^^^^^^^^^^^^^^^^
  port.lock:10:1: `variants[0].outputs[0]`: the key `size` is missing
     10 | [[variants.outputs]]
        | ^^^^^^^^^^^^^^^^^^^^
  port.lock:11:8: `variants[0].outputs[0].file`: `../vmlinux` is not a usable file name: it must not start with `.`
     11 | file = \"../vmlinux\"
        |        ^^^^^^^^^^^^",
    );
}

#[test]
fn one_variant_is_locked_once() {
    let twice = TEXT.replace("aarch64", "x86_64");
    let error = Lock::parse("port.lock", &twice).unwrap_err().to_string();
    assert!(error.contains("`x86_64/firecracker/standard` of `demo-kernel` is locked twice"), "{error}");
}
