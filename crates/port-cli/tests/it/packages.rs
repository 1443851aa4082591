//! `port packages`: what its tests share, a project with a kernel and words that read what lies in kraft's directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, UNIX_EPOCH};

use port_content::hashing::digest_of;
use port_testkit::project::{Project, Ran};
use serde_json::Value;

/// kraft's directory, where no variable names another.
pub const KRAFT: &str = ".local/share/kraftkit/runtime/oci";

pub const KCONFIG: &str = "# Unikraft\nCONFIG_UK_APP=\"/home/me/app\"\nCONFIG_UK_BASE=\"/home/me/uk\"\nCONFIG_LIBUKDEBUG=y\nCONFIG_UK_FULLVERSION=\"0.16.3~abc\"\n# CONFIG_X is not set\n";

/// A directory with a kernel and what goes with it.
pub fn project() -> Project {
    let project = Project::new(env!("CARGO_BIN_EXE_port"));
    for (name, content) in [
        ("kernel", "the kernel"),
        ("other", "another kernel"),
        ("kernel.dbg", "the kernel, with names"),
        ("initrd", "the initrd"),
        ("kconfig", KCONFIG),
    ] {
        let path = project.write(name, content);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    project
}

/// `port packages pack` for qemu/x86_64, with JSON.
pub fn pack_words<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["packages", "pack", "--format", "json", "--name", name];
    [&words[..], more].concat()
}

pub const TARGET: [&str; 6] = ["--kernel", "kernel", "--architecture", "x86_64", "--platform", "qemu"];

pub fn pack(project: &Project, name: &str, more: &[&str]) -> Value {
    json(&project.port(&pack_words(name, &[&TARGET, more].concat())))
}

/// Packs whatever these flags say.
pub fn pack_with(project: &Project, name: &str, more: &[&str]) -> Ran {
    project.port(&pack_words(name, more))
}

pub fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// `port packages VERB …`, with JSON.
pub fn packages(project: &Project, words: &[&str]) -> Value {
    json(&project.port(&[&["packages", "--format", "json"], words].concat()))
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A blob of kraft's directory.
pub fn blob(project: &Project, digest: &Value) -> Vec<u8> {
    let hex = text(digest).strip_prefix("sha256:").unwrap();
    let bytes = project.read(&format!("{KRAFT}/digests/sha256/{hex}"));
    assert_eq!(digest_of(&bytes).hex(), hex);
    bytes
}

pub fn document(project: &Project, digest: &Value) -> Value {
    serde_json::from_slice(&blob(project, digest)).unwrap()
}

/// The names of all blobs.
pub fn blobs(project: &Project) -> BTreeSet<String> {
    let entries = fs::read_dir(project.path().join(KRAFT).join("digests/sha256")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub fn features(project: &Project, name: &str) -> Vec<String> {
    let info = packages(project, &["info", name]);
    let kconfig = info["targets"][0]["kconfig"].as_object().unwrap();
    kconfig.iter().map(|(key, value)| format!("{key}={}", text(value))).collect()
}

pub fn index_of(project: &Project, path: &str) -> Value {
    serde_json::from_slice(&project.read(&format!("{KRAFT}/indexes/{path}"))).unwrap()
}

/// Blobs that came here at one time, so that listings are the same every day.
pub fn at_one_time(project: &Project) {
    for name in blobs(project) {
        let path = project.path().join(KRAFT).join("digests/sha256").join(name);
        fs::File::open(path).unwrap().set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    }
}
