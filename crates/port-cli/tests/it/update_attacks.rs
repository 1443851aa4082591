//! A registry that attacks the agent: what is too much, what is two things at once, what leads elsewhere. After each the machine boots what
//! it booted, nothing of what was sent is kept, and an honest registry is followed again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use port_content::hashing::digest_of;
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};

use crate::update_agent::{Fleet, expect};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Any class of refusal: a network's fault, a gate's, a signature's, parts that do not belong together, too much of something.
const REFUSED: [i32; 6] = [20, 21, 24, 25, 26, 30];

/// A fleet whose registry answers so once it is told to.
fn attacked(attack: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static) -> (Fleet, Arc<AtomicBool>) {
    let on = Arc::new(AtomicBool::new(false));
    let is_on = Arc::clone(&on);
    let hook = move |request: &Request| {
        let answer = if is_on.load(Ordering::SeqCst) { attack(request) } else { None };
        answer.map_or(Action::Pass, Action::Answer)
    };
    let fleet = Fleet::with(Registry::with(Abilities::default(), Box::new(hook)));
    fleet.release("v0.1.0", 1);
    (fleet, on)
}

/// Refused while the attack lasts, with and without force; then taken.
#[track_caller]
fn withstands(name: &str, (fleet, on): (Fleet, Arc<AtomicBool>)) {
    on.store(true, Ordering::SeqCst);
    for more in [&["--plain-http"][..], &["--plain-http", "--force"]] {
        let ran = fleet.verb("apply", more);
        assert!(REFUSED.contains(&ran.code), "{name}\n{ran}");
        assert!(!fleet.machine.exists("slots/B/slot.json"), "{name}\n{ran}");
        assert!(!fleet.machine.exists("slots/A"), "{name}: what runs was touched\n{ran}");
    }
    on.store(false, Ordering::SeqCst);
    expect(&fleet.apply(), 0);
    fleet.is_at("staged");
}

fn asks_for_tag(request: &Request) -> bool {
    request.method == "GET" && request.target.ends_with("/manifests/stable")
}

fn document(media_type: &str, bytes: &[u8]) -> Reply {
    Reply::new(200, bytes).header("Content-Type", media_type)
}

#[test]
fn t_10_a_bundle_of_a_signature_that_is_a_flood_is_refused() {
    let flood = vec![b' '; 20 << 20];
    withstands(
        "a list of referrers without end",
        attacked(move |request| request.target.contains("/referrers/").then(|| document(INDEX, &flood))),
    );
}

#[test]
fn t_11_a_redirect_to_the_metadata_service_is_not_followed() {
    for address in
        ["http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/", "file:///etc/passwd"]
    {
        withstands(
            address,
            attacked(move |request| {
                let asks = request.method == "GET" && request.target.contains("/blobs/sha256:");
                asks.then(|| Reply::new(307, b"").header("Location", address))
            }),
        );
    }
}

#[test]
fn t_11_a_realm_at_the_metadata_service_is_not_asked() {
    withstands(
        "realm",
        attacked(|request| {
            let challenge = "Bearer realm=\"http://169.254.169.254/token\",service=\"registry\"";
            asks_for_tag(request).then(|| Reply::new(401, b"").header("WWW-Authenticate", challenge))
        }),
    );
}

#[test]
fn t_12_a_manifest_that_is_a_flood_is_refused_before_it_is_read() {
    let flood = vec![b' '; 32 << 20];
    withstands("32 MiB", attacked(move |request| asks_for_tag(request).then(|| document(MANIFEST, &flood))));
}

#[test]
fn t_13_a_digest_that_is_a_path_is_none() {
    for digest in [
        "sha256:../../../etc/passwd".to_owned(),
        format!("sha256:{}", "A".repeat(64)),
        format!("sha256:{}", "a".repeat(63)),
        format!("md5:{}", "a".repeat(32)),
    ] {
        let entry = format!(
            r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":7,"platform":{{"architecture":"amd64","os":"linux"}}}}"#
        );
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{entry}]}}"#);
        let asked = digest.clone();
        withstands(
            &digest,
            attacked(move |request| {
                assert!(!request.target.contains(&asked), "it was asked for");
                asks_for_tag(request).then(|| document(INDEX, text.as_bytes()))
            }),
        );
    }
}

#[test]
fn t_14_a_document_that_is_two_things_is_neither() {
    let both =
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"layers":[],"config":{{}}}}"#);
    withstands(
        "manifests and layers",
        attacked(move |request| asks_for_tag(request).then(|| document(INDEX, both.as_bytes()))),
    );
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}}"#);
    withstands(
        "another type in the header",
        attacked(move |request| asks_for_tag(request).then(|| document(MANIFEST, index.as_bytes()))),
    );
}

#[test]
fn x_1_documents_that_are_read_in_two_ways_are_refused() {
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    for (name, text) in [
        ("a name twice", r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#.to_owned()),
        ("more behind it", format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[]}} {{}}"#)),
        ("too deep", format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":{deep}}}"#)),
        ("no number", r#"{"schemaVersion":1e309,"manifests":[]}"#.to_owned()),
    ] {
        withstands(
            name,
            attacked(move |request| asks_for_tag(request).then(|| document(INDEX, text.as_bytes()))),
        );
    }
}

/// Release 13 was withdrawn, and its withdrawal seen without anything being taken. Whoever serves 13 again is refused.
#[test]
fn t_1_i_7_what_a_machine_saw_and_did_not_take_is_not_forgotten() {
    for deferred in [true, false] {
        let fleet = Fleet::new();
        fleet.release("v0.1.0", 12);
        let first = fleet.registry.manifest("os/kubesolo", "stable").unwrap();
        fleet.update();
        fleet.release("v0.2.0", 13);
        let withdrawn = fleet.registry.manifest("os/kubesolo", "stable").unwrap();
        let denied = digest_of(&withdrawn).to_string();
        let code = if deferred {
            fleet.publish("v0.3.0");
            fleet.sign("v0.3.0", 14, "release.key", &["--deny", &denied, "--wave", "86400:100"]);
            11
        } else {
            // What runs is numbered anew: of two statements about it, the higher number counts.
            fleet.registry.add_manifest("os/kubesolo", "stable", INDEX, &first);
            fleet.sign("v0.1.0", 14, "release.key", &["--deny", &denied]);
            10
        };
        expect(&fleet.apply(), code);
        let record = &fleet.status()["record"];
        assert_eq!(record["state"]["highest"][0], 14, "{record}");
        assert!(record["denials"][&denied]["reason"].is_string(), "{record}");
        fleet.registry.add_manifest("os/kubesolo", "stable", INDEX, &withdrawn);
        for more in [&["--plain-http"][..], &["--plain-http", "--force"]] {
            expect(&fleet.verb("apply", more), 22);
        }
    }
}

#[test]
fn t_1_of_two_statements_about_one_release_the_higher_number_counts() {
    let fleet = Fleet::new();
    fleet.publish("v0.1.0");
    for sequence in [4, 9, 5] {
        fleet.sign("v0.1.0", sequence, "release.key", &[]);
    }
    expect(&fleet.apply(), 0);
    assert_eq!(fleet.status()["record"]["state"]["highest"][0], 9);
}

#[test]
fn i_7_what_is_staged_and_withdrawn_then_is_not_kept_for_a_boot() {
    let fleet = Fleet::new();
    fleet.release("v0.1.0", 1);
    expect(&fleet.apply(), 0);
    let own = digest_of(&fleet.registry.manifest("os/kubesolo", "stable").unwrap()).to_string();
    fleet.sign("v0.1.0", 2, "release.key", &["--deny", &own]);
    expect(&fleet.apply(), 20);
    fleet.is_at("refused");
    assert!(!fleet.machine.exists("slots/B/slot.json"));
    assert_ne!(fleet.verb("activate", &[]).code, 0);
}

#[test]
fn downloads_that_no_release_wants_any_more_go() {
    let fleet = Fleet::new();
    let left = || port_content::fs::read_dir(&fleet.machine.path().join("state/downloads")).unwrap();
    fleet.release("v0.1.0", 1);
    let own = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let initramfs = fleet.machine.read(&format!("{own}/kubesolo-os.gz"));
    fleet.registry.lie(&digest_of(&initramfs).to_string(), &[&initramfs[..], b"more"].concat());
    expect(&fleet.apply(), 26);
    assert!(left().is_empty(), "the kernel, which came whole, too: {:?}", left());
    for name in ["partial", "image"] {
        fleet.machine.write(&format!("state/downloads/{}.{name}", "a".repeat(64)), "of an earlier release");
    }
    fleet.release("v0.2.0", 2);
    let next = fleet.machine.read(&format!("{own}/kubesolo-os.gz"));
    fleet.registry.lose_blob(&digest_of(&next).to_string());
    expect(&fleet.apply(), 30);
    let kernel = digest_of(&fleet.machine.read(&format!("{own}/vmlinuz")));
    let of_kernel = |path: &std::path::PathBuf| path.to_string_lossy().contains(kernel.hex());
    assert!(left().iter().any(of_kernel), "what came is there for the next try: {:?}", left());
    assert!(!left().iter().any(|path| path.to_string_lossy().contains("aaaa.")), "{:?}", left());
}
