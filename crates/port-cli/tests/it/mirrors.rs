//! Mirrors of a registry as a user configures them: pull asks them first, and needs none of them.

use port_testkit::project::Project;
use port_testkit::registry::{Abilities, Access, Action, Registry, Reply, Request};

use crate::fixture::*;
use crate::registry::{ANONYMOUS, TAG, configuration, forget, noise};

/// A project whose kernel is published at `origin`, which has these mirrors.
fn published(origin: &Registry, content: &[u8], mirrors: &[&str]) -> Project {
    let places: Vec<String> = mirrors
        .iter()
        .map(|place| format!("{{ location = \"{place}\", transport = \"plain-http\" }}"))
        .collect();
    let address = origin.host();
    let text = configuration(address, "port/tiny", ANONYMOUS)
        + &format!("[registries.\"{address}\"]\nmirrors = [{}]\n", places.join(", "));
    let project = with_configuration(&text);
    project.write(LOCAL_KERNEL, content);
    succeed(&project, "push", "tiny");
    forget(&project);
    project
}

/// The requests for blobs.
fn blobs(registry: &Registry) -> Vec<Request> {
    let mut requests = registry.requests();
    requests.retain(|request| request.method == "GET" && request.target.contains("/blobs/"));
    requests
}

/// Puts every blob of the published variant into a mirror.
fn fill(mirror: &Registry, origin: &Registry) {
    let manifest = String::from_utf8(origin.manifest("port/tiny", TAG).unwrap()).unwrap();
    let digests = manifest.match_indices("sha256:").map(|(at, _)| &manifest[at..at + 71]);
    for bytes in digests.filter_map(|digest| origin.blob(digest)) {
        mirror.add_blob(&bytes);
    }
}

#[test]
fn pull_takes_blobs_from_the_mirror_and_tags_from_the_registry() {
    let (origin, mirror) = (Registry::start(), Registry::start());
    let content = noise(3 << 20);
    let project = published(&origin, &content, &[&format!("{}/proxy", mirror.host())]);
    assert!(mirror.requests().is_empty(), "push asks no mirror");
    fill(&mirror, &origin);
    let before = blobs(&origin).len();
    let ran = succeed(&project, "pull", "tiny");
    assert!(project.read(LOCAL_KERNEL) == content, "{ran}");
    assert_eq!(blobs(&origin).len(), before, "{ran}");
    let asked = mirror.requests();
    assert!(asked.iter().all(|request| request.target.starts_with("/v2/proxy/port/tiny/blobs/")), "{ran}");
    assert!(asked.len() > 1, "the config and the kernel");
}

#[test]
fn a_mirror_that_is_down_or_lacks_it_is_named_and_the_registry_is_asked() {
    let (origin, empty) = (Registry::start(), Registry::start());
    let content = noise(1 << 20);
    let project = published(&origin, &content, &["127.0.0.1:1", empty.host()]);
    let ran = succeed(&project, "pull", "tiny");
    assert!(project.read(LOCAL_KERNEL) == content, "{ran}");
    assert!(ran.stderr.contains("the mirror `127.0.0.1:1/port/tiny` is passed over"), "{ran}");
    let lacks = format!("the mirror `{}/port/tiny` does not have blob sha256:", empty.host());
    assert!(ran.stderr.contains(&lacks), "{ran}");
}

#[test]
fn a_mirror_that_lies_is_warned_of_and_the_registry_is_asked() {
    let origin = Registry::start();
    let content = noise(1 << 20);
    // Right in length, wrong in content, whatever is asked for.
    let lie = |request: &Request| {
        let range = request.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        match range {
            Some((from, to)) => {
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                let content_range = format!("bytes {from}-{to}/{}", 1 << 20);
                let reply = Reply::new(206, &vec![0; to - from + 1]);
                Action::Answer(reply.header("content-range", content_range))
            }
            None => Action::Answer(Reply::new(200, &vec![0; 1 << 20])),
        }
    };
    let liar = Registry::with(Abilities::default(), Box::new(lie));
    let project = published(&origin, &content, &[liar.host()]);
    let ran = succeed(&project, "pull", "tiny");
    assert!(project.read(LOCAL_KERNEL) == content, "{ran}");
    let warning = format!("warning: the mirror `{}/port/tiny` is not asked any more", liar.host());
    assert!(ran.stderr.lines().any(|line| line.starts_with(&warning)), "{ran}");
}

#[test]
fn credentials_in_the_clear_are_warned_of_where_plain_http_was_asked_for() {
    let access = Access::Basic("dXNlcjpzZWNyZXQ=".to_owned());
    let registry = Registry::with(Abilities { access, ..Abilities::default() }, Box::new(|_| Action::Pass));
    // By its name this address is not the host itself, and yet nothing leaves it.
    let address = registry.host().replace("127.0.0.1", "0.0.0.0");
    let auth = r#"transport = "plain-http", auth = { kind = "basic-env", username_variable = "T_USER", password_variable = "T_PASSWORD" }"#;
    let project = with_configuration(&configuration(&address, "port/tiny", auth));
    project.write(LOCAL_KERNEL, b"kernel");
    let mut command =
        project.command(&["artifacts", "push", "--artifact", "tiny", "--architecture", "x86-64"]);
    command.envs([("T_USER", "user"), ("T_PASSWORD", "secret")]);
    let ran = project.ran(command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran}");
    let warning = format!("warning: credentials go to `{address}` in the clear");
    assert_eq!(ran.stderr.matches(&warning).count(), 1, "{ran}");
}

#[test]
fn a_mirror_that_is_down_is_tried_once_in_a_command_however_many_variants_it_pulls() {
    let origin = Registry::start();
    let content = noise(1 << 20);
    let project = published(&origin, &content, &["127.0.0.1:1"]);
    project.write("k/aarch64/standard/vmlinux", b"arm");
    let ran = project.port(&["artifacts", "push", "--artifact", "tiny", "--architecture", "aarch64"]);
    assert_eq!(ran.code, 0, "{ran}");
    forget(&project);
    let ran = project.port(&["artifacts", "pull", "--artifact", "tiny", "--all-variants"]);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(project.read(LOCAL_KERNEL) == content && project.read("k/aarch64/standard/vmlinux") == b"arm");
    assert_eq!(ran.stderr.matches("is passed over").count(), 1, "{ran}");
}
