//! Packed images over links and from registries that misbehave: ranges refused, downloads elsewhere that expire, cuts,
//! flipped bits, stalls. Each run ends with the right bytes or with a clear error, and the next one finishes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use port_testkit::project::Project;
use port_testkit::proxy::{Direction, Fault, Link, Proxy, Trouble};
use port_testkit::registry::{Abilities, Action, Registry, Reply, Request};

use crate::packed::*;

fn is_blob(request: &Request) -> bool {
    request.method == "GET" && request.target.contains("/blobs/sha256:")
}

/// Publishes versions 1 and 2, and gives a project that has version 1.
fn staged(registry: &Registry, deltas: &str) -> Project {
    let publisher = project(registry.host());
    for version in 1..3 {
        push(&publisher, registry.host(), version, &["--deltas", deltas]);
    }
    let reader = project(registry.host());
    pull(&reader, registry.host(), 1);
    reader
}

/// Removes what would spare a pull of version 1 its packs, in part: its file, and its first pack.
fn forget_v1(registry: &Registry, project: &Project) {
    let raw = port_content::hashing::digest_of(&image(1)).to_string();
    let pack = layers(&manifest(registry, "v1"), "pack").remove(0);
    for digest in [raw, pack] {
        let path = project.path().join(".port/store/blobs/sha256").join(digest.trim_start_matches("sha256:"));
        let _ = std::fs::remove_file(path);
    }
}

#[test]
fn a_registry_that_refuses_ranges_gives_the_right_bytes() {
    each([501, 416, 400, 200], |status| {
        let hook = move |request: &Request| match (is_blob(request), request.header("range")) {
            (true, range) if !range.is_empty() && status != 200 => Action::Answer(Reply::new(status, b"")),
            _ => Action::Pass,
        };
        let ranges = status != 200;
        let registry = Registry::with(Abilities { ranges, ..Abilities::default() }, Box::new(hook));
        let reader = staged(&registry, "0");
        pull(&reader, registry.host(), 2);
        forget_v1(&registry, &reader);
        // Most of it is in version 2: ranges of a pack are wanted.
        pull(&reader, registry.host(), 1);
        pull(&project(registry.host()), registry.host(), 2);
        assert_sound(&reader);
    });
}

/// A registry that sends blobs to a store of another host, by addresses of which each serves two requests.
fn redirecting() -> (Registry, Arc<Registry>) {
    let uses: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let expire = move |request: &Request| {
        let mut uses = uses.lock().unwrap();
        let used = uses.entry(request.target.clone()).or_default();
        *used += 1;
        match used {
            1 => Action::CutAnswer(100_000),
            2 => Action::Pass,
            _ => Action::Answer(Reply::new(403, b"<Error><Code>AccessDenied</Code></Error>")),
        }
    };
    let shelf = Arc::new(Registry::with(Abilities::default(), Box::new(expire)));
    let (address, next) = (shelf.host().to_owned(), Mutex::new(0));
    let redirect = move |request: &Request| {
        if !is_blob(request) {
            return Action::Pass;
        }
        let mut next = next.lock().unwrap();
        *next += 1;
        let location = format!("http://{address}{}?signature={next}", request.target);
        Action::Answer(Reply::new(307, b"").header("location", location))
    };
    (Registry::with(Abilities::default(), Box::new(redirect)), shelf)
}

#[test]
fn downloads_elsewhere_may_expire() {
    let (registry, shelf) = redirecting();
    let host = registry.host();
    let publisher = project(host);
    let fill = |version: &str| {
        let text = String::from_utf8(registry.manifest(REPOSITORY, &tag(version)).unwrap()).unwrap();
        for (at, _) in text.match_indices("sha256:") {
            if let Some(bytes) = registry.blob(&text[at..at + 71]) {
                shelf.add_blob(&bytes);
            }
        }
    };
    let reader = project(host);
    for version in 1..4 {
        push(&publisher, host, version, &["--deltas", "0"]);
        fill(&format!("v{version}"));
        pull(&reader, host, version);
    }
    forget_v1(&registry, &reader);
    pull(&reader, host, 1);
    assert_sound(&reader);
}

/// What happens on the way, once each.
fn troubles() -> [(&'static str, Trouble); 5] {
    [
        ("cut", Trouble::Cut),
        ("half-closed", Trouble::HalfClose),
        ("one bit", Trouble::Corrupt),
        ("reordered", Trouble::Reorder),
        ("stalled", Trouble::Stall(Duration::from_millis(300))),
    ]
}

/// Runs a verb through a proxy; what fails is clear, and the next run, without trouble, finishes.
fn ends_well(project: &Project, verb: &str, what: &str) {
    let ran = run(project, verb, &["--deltas", "1"][..if verb == "push" { 2 } else { 0 }]);
    if ran.code == 0 {
        return;
    }
    assert!(ran.code == 1 || ran.code == 4, "{verb}, {what}\n{ran}");
    assert!(ran.stderr.contains("error: "), "{verb}, {what}\n{ran}");
    report(project, verb, &[]);
}

#[test]
fn a_pull_over_a_bad_link_ends_right_or_clearly() {
    let registry = Registry::start();
    let host = registry.host();
    let publisher = project(host);
    for version in 1..4 {
        push(&publisher, host, version, &["--deltas", if version == 3 { "1" } else { "0" }]);
    }
    // All of version 1; packs for version 2; a delta for version 3.
    let marks = [(1, [200, 300_000]), (2, [3_000, 150_000]), (3, [2_000, 5_500])];
    let cases = marks.iter().flat_map(|marks| troubles().map(|trouble| (*marks, trouble)));
    each(cases, |((version, marks), (what, trouble))| {
        let faults = marks.map(|after| Fault { direction: Direction::Down, after, trouble });
        let reader = project(host);
        if version > 1 {
            pull(&reader, host, version - 1);
        }
        // The same registry at another address is another name, so the store's names are made the same.
        let proxy = Proxy::start(host, Link::default(), &faults);
        let name = format!("v{version}");
        let text = configuration(host, &name, "").replace(
                "[artifacts.guest_images.root]",
                &format!("[registries.\"{host}\"]\nmirrors = [{{ location = \"{}\", transport = \"plain-http\" }}]\n[artifacts.guest_images.root]", proxy.address()),
            );
        reader.write("port.toml", text);
        ends_well(&reader, "pull", what);
        assert_same(&reader, &image(version));
        // And with the trouble on the only way there is.
        let proxy = Proxy::start(host, Link::default(), &faults);
        let stranger = project(proxy.address());
        turn(&stranger, proxy.address(), &name, "");
        ends_well(&stranger, "pull", what);
        assert_same(&stranger, &image(version));
        assert_sound(&stranger);
    });
}

#[test]
fn a_push_over_a_bad_link_ends_right_or_clearly() {
    each(troubles(), |(what, trouble)| {
        let registry = Registry::start();
        let marks = [500, 400_000, 2_490_000, 2_520_000, 2_600_000];
        let faults = marks.map(|after| Fault { direction: Direction::Up, after, trouble });
        let proxy = Proxy::start(registry.host(), Link::default(), &faults);
        let publisher = project(proxy.address());
        for version in 1..3 {
            turn(&publisher, proxy.address(), &format!("v{version}"), "");
            place(&publisher, &image(version));
            ends_well(&publisher, "push", what);
        }
        assert!(proxy.pending() < marks.len(), "push, {what}: nothing happened");
        for version in 1..3 {
            pull(&project(registry.host()), registry.host(), version);
        }
        assert_sound(&publisher);
    });
}

#[test]
fn a_slow_link_is_only_slow() {
    let registry = Registry::start();
    let link = Link { bytes_per_second: 4 << 20, delay: Duration::from_millis(2) };
    let proxy = Proxy::start(registry.host(), link, &[]);
    let (publisher, reader) = (project(proxy.address()), project(proxy.address()));
    for version in 1..3 {
        push(&publisher, proxy.address(), version, &[]);
        pull(&reader, proxy.address(), version);
    }
}
