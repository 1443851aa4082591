//! The agent of a machine, from a signed release to the boot that keeps it, and what it does not take. Each attack is named by its
//! number in the catalogue: T1 … T22.

use std::path::PathBuf;

use port_testkit::project::{Project, Ran};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};
use port_update::slots::{BootPointer as _, DirectoryPointer, SlotName};
use serde_json::Value;

use crate::trust::{done, key};
use crate::update::publish_arguments;

const REPOSITORY: &str = "os/kubesolo";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const UP_TO_DATE: i32 = 10;
const DEFERRED: i32 = 11;

/// A fleet's registry and one machine that follows it: its slots, its state, its configuration.
pub struct Fleet {
    pub registry: Registry,
    pub machine: Project,
}

impl Fleet {
    pub fn new() -> Self {
        Self::with(Registry::start())
    }

    pub fn with(registry: Registry) -> Self {
        let machine = Project::new(env!("CARGO_BIN_EXE_port"));
        key(&machine, "release.key", "ed25519");
        key(&machine, "other.key", "p256");
        let fleet = Self { registry, machine };
        fleet.configure("pubkey = release.pub\n");
        fleet
    }

    pub fn configure(&self, more: &str) {
        let text = format!("registry = {}\nstate = state/state.json\nslots = slots\n{more}", self.place());
        // Most tests are about something else than waiting.
        let backoff = if more.contains("backoff_seconds") { "" } else { "backoff_seconds = 0\n" };
        self.machine.write("update.conf", text + backoff);
    }

    pub fn place(&self) -> String {
        format!("{}/{REPOSITORY}", self.registry.host())
    }

    /// Publishes a version for both architectures, and moves the channel there.
    pub fn publish(&self, version: &str) {
        for architecture in ["amd64", "arm64"] {
            let words = publish_arguments(&self.machine, &self.place(), version, architecture);
            done(&self.machine, &words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let place = self.place();
        let words = ["update", "index", "--plain-http", "--repository", &place, "--version", version];
        done(&self.machine, &[&words[..], &["--channel", "stable", "--overwrite"]].concat());
    }

    pub fn sign(&self, tag: &str, sequence: u64, key: &str, more: &[&str]) {
        let (place, sequence) = (self.place(), sequence.to_string());
        let words = ["update", "sign", "--plain-http", "--repository", &place, "--tag", tag];
        let said = ["--sequence", &sequence, "--key", key, "--name", "os"];
        done(&self.machine, &[&words[..], &said, more].concat());
    }

    /// A machine that keeps its first release in B and tries its second in A.
    pub fn on_trial() -> Self {
        let fleet = Self::new();
        fleet.release("v0.1.0", 1);
        fleet.update();
        fleet.release("v0.2.0", 2);
        expect(&fleet.apply(), 0);
        expect(&fleet.verb("activate", &[]), 0);
        assert_eq!(fleet.boot(), SlotName::A);
        fleet
    }

    /// Publishes and signs.
    pub fn release(&self, version: &str, sequence: u64) {
        self.publish(version);
        self.sign(version, sequence, "release.key", &[]);
    }

    pub fn verb(&self, verb: &str, more: &[&str]) -> Ran {
        self.machine.port(&[&["update", verb, "--conf", "update.conf"], more].concat())
    }

    pub fn apply(&self) -> Ran {
        self.verb("apply", &["--plain-http"])
    }

    pub fn well(&self) -> Ran {
        self.verb("healthcheck", &["--soak-seconds", "0"])
    }

    pub fn boot(&self) -> SlotName {
        DirectoryPointer::new(&self.slots()).boot().unwrap()
    }

    pub fn slots(&self) -> PathBuf {
        self.machine.path().join("slots")
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.verb("status", &["--format", "json"]).stdout).unwrap()
    }

    #[track_caller]
    pub fn is_at(&self, phase: &str) {
        assert_eq!(self.status()["phase"], phase);
    }

    /// Brings, boots and keeps what the channel has.
    #[track_caller]
    pub fn update(&self) -> SlotName {
        expect(&self.apply(), 0);
        expect(&self.verb("activate", &[]), 0);
        let slot = self.boot();
        expect(&self.well(), 0);
        self.is_at("committed");
        slot
    }

    /// Refused with this exit code, and neither slot nor boot loader has noticed.
    #[track_caller]
    fn refuses(&self, code: i32) {
        let before = self.boot_state();
        let ran = self.apply();
        expect(&ran, code);
        assert_eq!(self.boot_state(), before, "{ran}");
        let again = self.verb("apply", &["--plain-http", "--force"]);
        expect(&again, code);
        assert_eq!(self.boot_state(), before, "with --force\n{again}");
    }

    /// All that says what boots.
    fn boot_state(&self) -> (String, Vec<Option<Vec<u8>>>) {
        let boot = DirectoryPointer::new(&self.slots()).read().unwrap();
        let files = ["A/vmlinuz", "A/slot.json", "B/vmlinuz", "B/slot.json"];
        let read = |file: &&str| {
            let path = format!("slots/{file}");
            self.machine.exists(&path).then(|| self.machine.read(&path))
        };
        (format!("{boot:?}"), files.iter().map(read).collect())
    }
}

#[track_caller]
pub fn expect(ran: &Ran, code: i32) {
    assert_eq!(ran.code, code, "{ran}");
}

#[test]
fn ou_1_ou_17_o_42_o_44_a_release_is_brought_booted_and_kept() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    expect(&fleet.apply(), 0);
    fleet.is_at("staged");
    expect(&fleet.apply(), 0);
    expect(&fleet.verb("activate", &[]), 0);
    expect(&fleet.verb("activate", &[]), 0);
    fleet.is_at("armed");
    assert_eq!(fleet.apply().code, 40, "nothing else begins now");
    assert_eq!(fleet.boot(), SlotName::B);
    expect(&fleet.well(), 0);
    fleet.is_at("committed");
    expect(&fleet.apply(), UP_TO_DATE);
    // The next ones, each into the other slot, each with its own bytes.
    for (sequence, slot) in [(2, SlotName::A), (3, SlotName::B), (4, SlotName::A)] {
        fleet.release(&format!("v0.{sequence}.0"), sequence);
        assert_eq!(fleet.update(), slot);
        let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let published = fleet.machine.read(&format!("{own}/vmlinuz"));
        assert_eq!(fleet.machine.read(&format!("slots/{slot}/vmlinuz")), published);
    }
    let metrics = fleet.verb("metrics", &[]).stdout;
    for line in ["port_update_attempts_total 4", "port_update_rollbacks_total 0", "version=\"v0.4.0\""] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn t_1_an_older_release_under_the_tag_is_refused() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let old = fleet.registry.manifest(REPOSITORY, "stable").unwrap();
    fleet.release("v0.2.0", 2);
    fleet.update();
    // Signed, and served again by whoever has the registry.
    fleet.registry.add_manifest(REPOSITORY, "stable", INDEX, &old);
    fleet.refuses(22);
    fleet.is_at("refused");
}

#[test]
fn t_2_a_statement_that_is_over_is_refused_also_by_a_clock_turned_back() {
    let fleet = Fleet::new();
    fleet.publish("v0.1.0");
    fleet.sign("v0.1.0", 1, "release.key", &["--days", "1"]);
    expect(&fleet.apply(), 0);
    let state = String::from_utf8(fleet.machine.read("state/state.json")).unwrap();
    let document: Value = serde_json::from_str(&state).unwrap();
    let time = document["last_time"].as_u64().unwrap();
    // Two days later; then the clock is set back, and the record still knows.
    let later =
        state.replace(&format!("\"last_time\": {time}"), &format!("\"last_time\": {}", time + 172_800));
    assert_ne!(later, state);
    fleet.machine.write("state/state.json", later.replace("\"staged\"", "\"idle\""));
    fleet.refuses(23);
}

/// The parts of one release under the statement of another, both signed by the right key; and a manifest that mixes, which nobody signed.
#[test]
fn t_3_parts_of_two_releases_are_refused() {
    let fleet = Fleet::new();
    fleet.publish("v0.1.0");
    let place = fleet.place();
    let words = ["update", "sign", "--plain-http", "--repository", &place, "--tag", "v0.1.0", "--name", "os"];
    let said = done(
        &fleet.machine,
        &[&words[..], &["--sequence", "1", "--key", "release.key", "--format", "json"]].concat(),
    );
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    fleet.publish("v0.2.0");
    fleet.machine.write("predicate.json", said["statement"].to_string());
    let new = format!("{place}:v0.2.0");
    let attest = [
        "artifacts",
        "attest",
        "--plain-http",
        &new,
        "--key",
        "release.key",
        "--type",
        "urn:vnd.port:release:v1",
    ];
    done(&fleet.machine, &[&attest[..], &["--predicate", "predicate.json"]].concat());
    fleet.refuses(25);
    fleet.is_at("failed");
    let text = |tag: &str| String::from_utf8(fleet.registry.manifest(REPOSITORY, tag).unwrap()).unwrap();
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let (old, new) = (text(&format!("v0.1.0-{own}")), text(&format!("v0.2.0-{own}")));
    let kernel = |text: &str| {
        let document: Value = serde_json::from_str(text).unwrap();
        document["layers"][0]["digest"].as_str().unwrap().to_owned()
    };
    let mixed = new.replace(&kernel(&new), &kernel(&old));
    assert_ne!(mixed, new);
    fleet.registry.add_manifest(REPOSITORY, "stable", MANIFEST, mixed.as_bytes());
    fleet.refuses(21);
}

#[test]
fn t_4_t_19_a_blob_that_is_not_what_was_signed_is_not_installed() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    for architecture in ["amd64", "arm64"] {
        let kernel = fleet.machine.read(&format!("{architecture}/vmlinuz"));
        let digest = port_content::hashing::digest_of(&kernel).to_string();
        fleet.registry.lie(&digest, &[&kernel[..], b"more"].concat());
    }
    fleet.refuses(26);
    fleet.is_at("failed");
}

#[test]
fn t_6_a_release_for_others_is_refused() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    for (more, name) in [
        ("channel = edge\ntag = stable\n", "channel"),
        ("name = another-os\n", "name"),
        ("variant = big\n", "variant"),
    ] {
        fleet.configure(&format!("pubkey = release.pub\n{more}"));
        let ran = fleet.apply();
        assert_eq!(ran.code, 24, "{name}\n{ran}");
    }
    // Not for this architecture at all.
    fleet.configure("pubkey = release.pub\n");
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "amd64" };
    let only = fleet.registry.manifest(REPOSITORY, &format!("v0.1.0-{other}")).unwrap();
    fleet.registry.add_manifest(REPOSITORY, "stable", MANIFEST, &only);
    fleet.refuses(24);
}

#[test]
fn t_7_t_8_what_the_key_did_not_sign_is_refused() {
    let fleet = Fleet::new();
    fleet.publish("v0.1.0");
    fleet.refuses(21);
    fleet.sign("v0.1.0", 1, "other.key", &[]);
    fleet.refuses(21);
    // T8: the key's own signature, over another index.
    fleet.publish("v0.2.0");
    fleet.sign("v0.1.0", 1, "release.key", &[]);
    fleet.refuses(21);
    fleet.is_at("failed");
    // And nobody's key counts where nobody is named.
    fleet.configure("");
    expect(&fleet.apply(), 21);
    fleet.configure("pubkey = release.pub\nunsigned = allowed\n");
    expect(&fleet.apply(), 2);
}

#[test]
fn t_7_two_of_two_keys_must_say_the_same() {
    let fleet = Fleet::new();
    fleet.configure("trust_policy = trust.toml\n");
    let policy = "version = 1\n[keys]\na = { path = \"release.pub\" }\nb = { path = \"other.pub\" }\n[[rules]]\n\
        references = [\"**\"]\nkeys = [\"a\", \"b\"]\nthreshold = 2\n";
    fleet.machine.write("trust.toml", policy);
    fleet.release("v0.1.0", 1);
    fleet.refuses(21);
    // Another number is another statement.
    fleet.sign("v0.1.0", 2, "other.key", &[]);
    fleet.refuses(21);
}

/// The tag is asked once; what it leads to later is nothing to this run.
#[test]
fn t_9_i_4_the_tag_moves_meanwhile_and_what_was_resolved_is_installed() {
    let moved = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let moves = std::sync::Arc::clone(&moved);
    let times = std::sync::atomic::AtomicU32::new(0);
    let hook = move |request: &Request| {
        let asks = request.method == "GET" && request.target.ends_with("/manifests/stable");
        let later = asks
            && moves.load(std::sync::atomic::Ordering::SeqCst)
            && times.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0;
        if later { Action::Answer(Reply::new(404, b"")) } else { Action::Pass }
    };
    let fleet = Fleet::with(Registry::with(Abilities::default(), Box::new(hook)));
    fleet.release("v0.1.0", 1);
    let first = fleet.registry.manifest(REPOSITORY, "stable").unwrap();
    moved.store(true, std::sync::atomic::Ordering::SeqCst);
    expect(&fleet.apply(), 0);
    let digest = port_content::hashing::digest_of(&first).to_string();
    assert_eq!(fleet.status()["record"]["state"]["attempt"]["target"]["digest"], digest);
}

#[test]
fn t_20_i_7_a_release_that_never_gets_well_is_left_by_itself_and_denied() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    fleet.update();
    fleet.release("v0.2.0", 2);
    expect(&fleet.apply(), 0);
    expect(&fleet.verb("activate", &[]), 0);
    // It boots, and never as far as its health check.
    for _ in 0..3 {
        assert_eq!(fleet.boot(), SlotName::A);
    }
    assert_eq!(fleet.boot(), SlotName::B);
    expect(&fleet.well(), 0);
    fleet.is_at("rolled-back");
    fleet.refuses(20);
    // The next one is taken.
    fleet.release("v0.3.0", 3);
    assert_eq!(fleet.update(), SlotName::A);
}

#[test]
fn ou_21_t_20_failed_checks_take_the_way_back() {
    let fleet = Fleet::on_trial();
    let sick = ["--command", "/bin/false", "--auto-rollback-after", "2"];
    expect(&fleet.verb("healthcheck", &sick), 50);
    fleet.is_at("trial");
    expect(&fleet.verb("healthcheck", &sick), 50);
    fleet.is_at("rolling-back");
    assert_eq!(fleet.boot(), SlotName::B);
    expect(&fleet.well(), 0);
    fleet.is_at("rolled-back");
    fleet.refuses(20);
}

#[test]
fn ou_17_an_operator_goes_back() {
    let fleet = Fleet::new();
    assert_ne!(fleet.verb("rollback", &[]).code, 0, "there is nothing to go back to");
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    fleet.update();
    fleet.release("v0.2.0", 2);
    fleet.update();
    expect(&fleet.verb("rollback", &[]), 0);
    assert_eq!(fleet.boot(), SlotName::B);
    expect(&fleet.well(), 0);
    fleet.is_at("rolled-back");
    fleet.refuses(20);
}

#[test]
fn t_22_i_8_a_state_that_is_garbage_is_made_anew_from_what_boots() {
    for garbage in [&b""[..], b"\0\0\0\0", b"{\"version\":1"] {
        let fleet = Fleet::new();
        fleet.release("v0.1.0", 1);
        fleet.update();
        fleet.machine.write("state/state.json", garbage);
        expect(&fleet.apply(), UP_TO_DATE);
        fleet.release("v0.2.0", 2);
        expect(&fleet.apply(), 0);
        expect(&fleet.verb("activate", &[]), 0);
        assert_eq!(fleet.boot(), SlotName::A);
        // In the middle of a trial.
        fleet.machine.write("state/state.json", garbage);
        expect(&fleet.well(), 0);
        fleet.is_at("committed");
    }
}

#[test]
fn ou_7_ou_23_windows_and_wrong_words_cost_no_network() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    let before = fleet.registry.requests().len();
    fleet.configure("pubkye = release.pub\n");
    let ran = fleet.apply();
    assert!(ran.code == 2 && ran.stderr.contains("did you mean `pubkey`"), "{ran}");
    fleet.machine.write("update.conf", "tag = stable\n");
    expect(&fleet.apply(), 2);
    let both = ["--plain-http", "--registry", "r/a", "--server", "oci://r/a"];
    expect(&fleet.verb("apply", &both), 2);
    assert!(!fleet.machine.exists("state/state.json"), "a wrong word changes nothing");
    fleet.configure("pubkey = release.pub\ninhibit_directory = inhibit\n");
    let closed = ["--plain-http", "--maintenance-window", "00:00-00:00"];
    expect(&fleet.verb("apply", &closed), DEFERRED);
    fleet.machine.write("inhibit/backup", "the nightly backup\n");
    expect(&fleet.apply(), DEFERRED);
    assert_eq!(fleet.registry.requests().len(), before);
    // An operator who is in a hurry.
    expect(&fleet.verb("apply", &[&closed[..], &["--force"]].concat()), 0);
}

#[test]
fn o_43_o_45_o_51_c_41_kubesolos_releases_are_taken_where_somebody_says_so() {
    let fleet = Fleet::new();
    fleet.publish("v0.1.0");
    fleet.configure("unsigned = allowed\n");
    let server = format!(
        "server = oci://{}\nstate = state/state.json\nslots = slots\nunsigned = allowed\n",
        fleet.place()
    );
    fleet.machine.write("update.conf", server);
    assert_eq!(fleet.update(), SlotName::B);
    expect(&fleet.apply(), UP_TO_DATE);
    // No number says what is older, but its version does.
    fleet.publish("v0.0.9");
    fleet.refuses(22);
    fleet.publish("v0.2.0");
    assert_eq!(fleet.update(), SlotName::A);
}
