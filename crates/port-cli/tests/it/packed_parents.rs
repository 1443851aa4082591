//! What a push packs against: found by itself, named, refused; and what it says when that cannot be.

use port_testkit::project::Project;
use port_testkit::registry::{Abilities, Action, Registry, Reply};

use crate::packed::*;

/// Pushes and gives what was said, with the registry's address replaced.
fn said(project: &Project, host: &str, version: usize, more: &[&str]) -> (u64, String) {
    turn(project, host, &format!("v{version}"), "");
    place(project, &image(version));
    let (said, ran) = report(project, "push", more);
    (said["moved_bytes"].as_u64().unwrap(), ran.stderr.replace(host, "REGISTRY"))
}

fn against(version: &str) -> String {
    format!("packing against REGISTRY/{REPOSITORY}:{}", tag(version))
}

/// A project that knows nothing.
fn stranger(host: &str) -> Project {
    project(host)
}

#[test]
fn the_parent_is_what_the_tag_names_then_the_next_version_here_then_the_next_there() {
    let registry = Registry::start();
    let host = registry.host();
    let publisher = project(host);
    let (whole, text) = said(&publisher, host, 1, &[]);
    assert!(whole > 2_000_000 && !text.contains("packing against"), "{whole} {text}");
    // The next version here, although others are there.
    for (version, parent) in [(3, "v1"), (2, "v1"), (4, "v3"), (11, "v4")] {
        let (bytes, text) = said(&publisher, host, version, &["--deltas", "0"]);
        assert!(text.contains(&against(parent)), "v{version}: {text}");
        assert!(bytes < CHANGED * 8, "v{version}: {bytes}");
    }
    // What the tag names, although others are nearer.
    turn(&publisher, host, "v4", "");
    place(&publisher, &image(5));
    let (bytes, ran) = report(&publisher, "push", &["--overwrite", "--deltas", "0"]);
    assert!(ran.stderr.replace(host, "REGISTRY").contains(&against("v4")), "{ran}");
    assert!(bytes["moved_bytes"].as_u64().unwrap() < CHANGED, "{ran}");
    // Another machine: the next in the registry.
    let other = stranger(host);
    let (bytes, text) = said(&other, host, 5, &["--deltas", "0"]);
    assert!(text.contains(&against("v4")), "{text}");
    assert!(bytes < 4_000_000, "{bytes}");
    for version in [1, 2, 3, 5, 11] {
        pull(&stranger(host), host, version);
    }
    for project in [&publisher, &other] {
        assert_sound(project);
    }
}

#[test]
fn a_parent_may_be_named_or_refused() {
    let registry = Registry::start();
    let host = registry.host();
    let publisher = project(host);
    for version in 1..3 {
        push(&publisher, host, version, &["--deltas", "0"]);
    }
    let (bytes, text) = said(&publisher, host, 3, &["--parent", "v1", "--deltas", "0"]);
    assert!(text.contains(&against("v1")) && bytes < 2 * CHANGED, "{bytes} {text}");
    let (bytes, text) = said(&publisher, host, 4, &["--parent", "none", "--deltas", "0"]);
    assert!(!text.contains("packing against") && bytes > 2_000_000, "{bytes} {text}");
    // The same again is what is published, though nobody looked at it before it was packed.
    let (_, text) = said(&publisher, host, 4, &["--parent", "none", "--deltas", "0"]);
    assert!(!text.contains("error"), "{text}");
    // From a fresh store the named one is fetched.
    let other = stranger(host);
    let (_, text) = said(&other, host, 5, &["--parent", "v2", "--deltas", "0"]);
    assert!(text.contains(&against("v2")), "{text}");
    for version in 3..6 {
        pull(&stranger(host), host, version);
    }
}

#[test]
fn parents_that_cannot_be_are_told() {
    let registry = Registry::start();
    let host = registry.host();
    let publisher = project(host);
    push(&publisher, host, 1, &[]);
    turn(&publisher, host, "v2", r#", encoding = "raw""#);
    report(&publisher, "push", &[]);
    turn(&publisher, host, "v3", "");
    place(&publisher, &image(3));
    let up = registry.traffic().0;
    for (name, parent) in
        [("parent_absent", "v9"), ("parent_raw", "v2"), ("parent_malformed", "v 9"), ("parent_empty", "")]
    {
        insta::assert_snapshot!(name, plain(&registry, run(&publisher, "push", &["--parent", parent])));
    }
    assert_eq!(registry.traffic().0, up, "nothing moves");
    assert!(registry.manifest(REPOSITORY, &tag("v3")).is_none());
}

#[test]
fn a_parent_that_cannot_be_had_is_no_reason_to_fail() {
    let registry = Registry::start();
    let host = registry.host();
    push(&project(host), host, 1, &[]);
    let published = manifest(&registry, "v1");
    // Its pack is lost, then its map is another.
    registry.lose_blob(&layers(&published, "pack")[0]);
    let (bytes, text) = said(&stranger(host), host, 2, &[]);
    assert!(text.contains("not packing against") && bytes > 2_000_000, "{bytes} {text}");
    registry.lie(&layers(&published, "map")[0], b"another");
    let (_, text) = said(&stranger(host), host, 3, &["--deltas", "0"]);
    // v2 is whole, and nearer.
    assert!(text.contains(&against("v2")), "{text}");
    let ran = run(&stranger_at(host, 4), "push", &["--parent", "v1"]);
    assert_ne!(ran.code, 0, "the one that was named must be had\n{ran}");
}

fn stranger_at(host: &str, version: usize) -> Project {
    let project = stranger(host);
    turn(&project, host, &format!("v{version}"), "");
    place(&project, &image(version));
    project
}

#[test]
fn a_registry_that_lists_no_tags_is_no_reason_to_fail() {
    each([400, 401, 403, 404, 405, 501], |status| {
        let hook =
            move |request: &port_testkit::registry::Request| match request.target.contains("/tags/list") {
                true => Action::Answer(Reply::new(status, b"")),
                false => Action::Pass,
            };
        let registry = Registry::with(Abilities::default(), Box::new(hook));
        let host = registry.host();
        let ran = run(&stranger_at(host, 1), "push", &[]);
        assert_eq!(ran.code, 0, "{status}\n{ran}");
        pull(&stranger(host), host, 1);
    });
}

#[test]
fn many_versions_in_a_row_stay_right_and_are_repacked() {
    let registry = Registry::start();
    let host = registry.host();
    let (publisher, reader) = (project(host), project(host));
    let mut repacked = 0;
    for version in 1..16 {
        let (_, text) = said(&publisher, host, version, &["--deltas", "1"]);
        repacked += usize::from(text.contains("due to be written anew"));
        if version % 3 == 0 {
            pull(&reader, host, version);
        }
    }
    assert!(repacked > 0, "more than eight generations");
    for version in [1, 8, 15] {
        pull(&stranger(host), host, version);
    }
    for project in [&publisher, &reader] {
        assert_sound(project);
    }
}

#[test]
fn a_version_here_does_not_hide_a_nearer_one_of_the_registry() {
    let registry = Registry::start();
    let host = registry.host();
    let (one, other) = (project(host), project(host));
    push(&one, host, 1, &[]);
    push(&other, host, 2, &["--deltas", "0"]);
    let (_, text) = said(&one, host, 3, &["--deltas", "0"]);
    assert!(text.contains(&against("v2")), "{text}");
    // Of equals the one that is here, and without a registry's list what is here.
    let (_, text) = said(&one, host, 4, &["--deltas", "0"]);
    assert!(text.contains(&against("v3")), "{text}");
    pull(&stranger(host), host, 4);
}
