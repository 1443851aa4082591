//! `latest.json` of a web server, as KubeSolo publishes it: checked, signed, fetched, continued; and what is not taken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use port_content::hashing::digest_of;
use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};
use port_trust::{KeyKind, SecretKey};
use serde_json::{Value, json};

use crate::update_agent::expect;

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A web server and one machine that follows it.
struct Site {
    registry: Registry,
    files: Files,
    machine: Project,
}

/// The part of a file that is asked for.
fn ranged(bytes: &[u8], range: &str) -> Reply {
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Reply::new(200, bytes);
    };
    let from: usize = from.parse().unwrap();
    let to = to.parse::<usize>().map_or(bytes.len(), |to| (to + 1).min(bytes.len()));
    let said = format!("bytes {from}-{}/{}", to - 1, bytes.len());
    Reply::new(206, &bytes[from..to]).header("content-range", said).header("etag", "\"one\"")
}

impl Site {
    fn new() -> Self {
        let files = Files::default();
        let (served, refusals) = (Arc::clone(&files), AtomicU32::new(0));
        let hook = move |request: &Request| {
            let files = served.lock().unwrap();
            if files.contains_key("/cut") && request.header("range").starts_with("bytes=16777216-") {
                // The other parts come meanwhile: a server that is busy is asked again after a while.
                let busy = refusals.fetch_add(1, Ordering::SeqCst) < 2;
                return Action::Answer(Reply::new(if busy { 503 } else { 404 }, b""));
            }
            Action::Answer(match files.get(&request.target) {
                Some(bytes) => ranged(bytes, request.header("range")),
                None => Reply::new(404, b""),
            })
        };
        let registry = Registry::with(Abilities::default(), Box::new(hook));
        let site = Self { registry, files, machine: Project::new(env!("CARGO_BIN_EXE_port")) };
        site.machine.write("release.pub", secret().public().to_pem());
        site.configure("unsigned = allowed\n");
        site
    }

    fn url(&self) -> String {
        format!("http://{}/os", self.registry.host())
    }

    fn configure(&self, more: &str) {
        let server = format!("server = {}\nstate = state/state.json\nslots = slots\n", self.url());
        self.machine.write("update.conf", format!("{server}backoff_seconds = 0\n{more}"));
    }

    fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.to_owned(), bytes.into());
    }

    /// Publishes a version, with these fields besides.
    fn publish(&self, version: &str, kernel: &[u8], more: &Value) -> Vec<u8> {
        let initramfs = format!("initramfs of {version}\n");
        let hex = |bytes: &[u8]| digest_of(bytes).hex().to_owned();
        let mut latest = json!({
            "version": version,
            "vmlinuz_url": format!("{}/vmlinuz", self.url()),
            "vmlinuz_sha256": hex(kernel),
            "initramfs_url": "initramfs.gz",
            "initramfs_sha256": hex(initramfs.as_bytes()),
            "release_notes": "faster",
        });
        let fields = latest.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let latest = serde_json::to_vec(&latest).unwrap();
        self.put("/os/latest.json", latest.clone());
        self.put("/os/vmlinuz", kernel);
        self.put("/os/initramfs.gz", initramfs);
        latest
    }

    fn verb(&self, verb: &str, more: &[&str]) -> Ran {
        self.machine.port(&[&["update", verb, "--conf", "update.conf"], more].concat())
    }

    fn phase(&self) -> Value {
        let said: Value = serde_json::from_str(&self.verb("status", &["--format", "json"]).stdout).unwrap();
        said["phase"].clone()
    }
}

#[test]
fn ou_5_ou_6_o_41_o_44_o_45_a_release_of_a_web_server_is_staged() {
    let site = Site::new();
    site.publish("v1.0.0", b"kernel one", &json!({"channel": "stable", "a later field": {"x": 1}}));
    expect(&site.verb("check", &[]), 0);
    assert_eq!(site.phase(), "idle", "nobody wrote anything");
    expect(&site.verb("apply", &[]), 0);
    assert_eq!(site.phase(), "staged");
    assert_eq!(site.machine.read("slots/B/vmlinuz"), b"kernel one");
    assert_eq!(site.machine.read("slots/B/kubesolo-os.gz"), b"initramfs of v1.0.0\n");
    expect(&site.verb("activate", &[]), 0);
    // The address on the command line comes before the file's.
    site.machine
        .write("update.conf", "server = http://127.0.0.1:1\nslots = slots\nstate = state/state.json\n");
    let url = site.url();
    let ran = site.verb("check", &["--server", &url, "--allow-unsigned", "--format", "json"]);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&said["outcome"], &said["signed"]), (&json!("take"), &json!(false)), "{ran}");
}

#[test]
fn o_43_ou_8_ou_9_ou_10_c_40_the_gates_are_those_of_registries() {
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    for (more, code) in [
        (json!({"channel": "edge"}), 24),
        (json!({"architecture": other}), 24),
        (json!({"min_compatible_version": "v0.9.0"}), 20),
        (json!({"channel": "", "architecture": "", "min_compatible_version": ""}), 0),
    ] {
        let site = Site::new();
        site.publish("v1.0.0", b"kernel", &more);
        for verb in ["check", "apply"] {
            let ran = site.verb(verb, &["--current-version", "v0.8.0"]);
            assert_eq!(ran.code, code, "{verb} {more}\n{ran}");
        }
        if code != 0 {
            assert_eq!(site.phase(), "refused");
        }
    }
    // An older version, without a number that says so.
    let site = Site::new();
    site.publish("v1.0.0", b"kernel", &json!({}));
    expect(&site.verb("apply", &["--current-version", "v1.0.1"]), 22);
    expect(&site.verb("apply", &["--current-version", "v1.0.0"]), 10);
}

#[test]
fn o_50_ou_6_bytes_that_are_not_what_the_document_says_are_not_installed() {
    let site = Site::new();
    site.publish("v1.0.0", b"kernel", &json!({}));
    site.put("/os/vmlinuz", "kerneX");
    let ran = site.verb("apply", &[]);
    assert!(ran.code == 26 && ran.stderr.contains("vmlinuz"), "{ran}");
    assert_eq!(site.phase(), "failed");
    assert!(!site.machine.exists("slots/B/slot.json"));
    site.put("/os/vmlinuz", "kernel");
    expect(&site.verb("apply", &[]), 0);
    // Nothing of either try lies around.
    assert!(port_content::fs::read_dir(&site.machine.path().join("state/downloads")).unwrap().is_empty());
}

#[test]
fn t_10_o_50_a_document_without_end_is_not_read() {
    let hook = |_: &Request| Action::Answer(Reply::new(200, b"{").endless());
    let endless = Registry::with(Abilities::default(), Box::new(hook));
    let site = Site::new();
    let url = format!("http://{}/os", endless.host());
    for verb in ["check", "apply"] {
        let ran = site.verb(verb, &["--server", &url]);
        assert!(ran.code == 26 && ran.stderr.contains("larger than 262144"), "{verb} {ran}");
    }
}

#[test]
fn o_51_t_7_ou_6_a_key_asks_for_a_signature_of_the_document() {
    let site = Site::new();
    site.configure("pubkey = release.pub\n");
    site.publish("v1.0.0", b"kernel", &json!({"vmlinuz_sig_url": "vmlinuz.sig"}));
    let ran = site.verb("apply", &[]);
    assert!(ran.code == 21 && ran.stderr.contains("metadata_sig_url"), "{ran}");
    let latest = site.publish("v1.0.0", b"kernel", &json!({"metadata_sig_url": "latest.json.sig"}));
    site.put("/os/latest.json.sig", vec![1; 64]);
    expect(&site.verb("apply", &[]), 21);
    // KubeSolo's forms: 64 bytes, or their hex; a key in PEM, or 64 hex digits.
    let signature = secret().sign(&latest);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    site.put("/os/latest.json.sig", hex(&signature) + "\n");
    expect(&site.verb("check", &[]), 0);
    site.put("/os/latest.json.sig", signature);
    let ran = site.verb("check", &["--format", "json"]);
    assert!(ran.code == 0 && ran.stdout.contains("\"signed\": true"), "{ran}");
    let der = pem_bytes(&String::from_utf8(site.machine.read("release.pub")).unwrap());
    site.machine.write("release.hex", hex(&der[der.len() - 32..]) + "\n");
    site.configure("pubkey = release.hex\n");
    expect(&site.verb("apply", &[]), 0);
    // The same signature over another document.
    site.publish("v2.0.0", b"kernel two", &json!({"metadata_sig_url": "latest.json.sig"}));
    expect(&site.verb("apply", &[]), 21);
    site.configure("pubkey = release.pub\nmaintenance_window = 00:00-00:00\n");
    expect(&site.verb("apply", &[]), 11);
}

fn secret() -> SecretKey {
    SecretKey::from_entropy(KeyKind::Ed25519, &[7; 32]).unwrap()
}

fn pem_bytes(pem: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        bits = bits << 6 | LETTERS.iter().position(|known| *known == letter).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

#[test]
fn a_download_that_was_cut_goes_on_where_it_was() {
    let site = Site::new();
    let kernel: Vec<u8> = (0..20_u32 << 20).map(|number| (number >> 12) as u8).collect();
    site.publish("v1.0.0", &kernel, &json!({}));
    site.put("/cut", "");
    expect(&site.verb("apply", &[]), 30);
    assert_eq!(site.phase(), "failed");
    site.files.lock().unwrap().remove("/cut");
    let before = site.registry.requests().len();
    expect(&site.verb("apply", &[]), 0);
    let after = site.registry.requests();
    let fetched: Vec<&str> = after[before..]
        .iter()
        .filter(|request| request.target == "/os/vmlinuz" && request.header("range") != "bytes=0-0")
        .map(|request| request.header("range"))
        .collect();
    assert!(fetched.len() < 3 && fetched.contains(&"bytes=16777216-20971519"), "{fetched:?}");
    assert_eq!(site.machine.read("slots/B/vmlinuz"), kernel);
    assert!(site.verb("metrics", &[]).stdout.contains("port_update_attempts_total 2"));
}

#[test]
fn i_7_a_release_that_was_left_stays_left_under_a_new_document() {
    let site = Site::new();
    site.publish("v1.0.0", b"kernel", &json!({}));
    expect(&site.verb("apply", &[]), 0);
    expect(&site.verb("activate", &[]), 0);
    expect(&site.verb("rollback", &[]), 0);
    assert_eq!(site.phase(), "rolled-back");
    site.publish("v1.0.0", b"kernel", &json!({"release_notes": "the same, with other words"}));
    expect(&site.verb("apply", &[]), 20);
}
