//! Other people's registries and clients, which the tests run Port against: Debian packages, and Go programs built at
//! pinned versions into `<target>/peers/bin`. Port itself needs none of them; a test without its peer skips and says so.
//!
//! What a Go program was built from is read from the program itself (`go version -m`), so a second run builds nothing
//! and a changed pin is noticed. Go's checksum database judges what the module proxy sends.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::system::{Purpose, Setup};
use crate::{process, system, workspace};

/// The oldest Go that is tried. A module that wants a newer one says so itself.
const OLDEST_GO: (u32, u32) = (1, 22);

/// What building all light peers may take within `cargo xtask test`; what is not done then is skipped in words.
const PATIENCE_OF_TESTS: Duration = Duration::from_secs(600);

/// The same when somebody asked for the peers.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A Go program at a pinned version.
struct GoPeer {
    name: &'static str,
    module: &'static str,
    version: &'static str,
    /// The package of the program, below the module.
    program: &'static str,
    tags: &'static str,
    weight: Weight,
}

/// Whether every contributor builds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Light,
    Heavy,
}

/// The suite of the distribution specification.
pub(crate) const CONFORMANCE: &str = "conformance";

/// What Go calls the version of a program that was built from a clone.
const OF_A_CLONE: &str = "(devel)";

/// Every version that is pinned, in one place.
const GO_PEERS: &[GoPeer] = &[
    GoPeer {
        name: "oras",
        module: "oras.land/oras",
        version: "v1.2.3",
        program: "cmd/oras",
        tags: "",
        weight: Weight::Light,
    },
    GoPeer {
        name: "crane",
        module: "github.com/google/go-containerregistry",
        version: "v0.20.6",
        program: "cmd/crane",
        tags: "",
        weight: Weight::Light,
    },
    GoPeer {
        name: "regctl",
        module: "github.com/regclient/regclient",
        version: "v0.9.2",
        program: "cmd/regctl",
        tags: "",
        weight: Weight::Light,
    },
    GoPeer {
        name: CONFORMANCE,
        module: "github.com/opencontainers/distribution-spec/conformance",
        // The module has no releases of its own: the commit of 16 July 2026.
        version: "v0.0.0-20260716174315-967efdc079b9",
        program: "",
        tags: "",
        weight: Weight::Light,
    },
    GoPeer {
        name: "distribution",
        module: "github.com/distribution/distribution/v3",
        version: "v3.0.0",
        program: "cmd/registry",
        tags: "",
        weight: Weight::Heavy,
    },
    GoPeer {
        // In this version its conditional writes are real: of many that make one object, one does.
        name: "versitygw",
        module: "github.com/versity/versitygw",
        version: "v1.8.0",
        program: "cmd/versitygw",
        tags: "",
        weight: Weight::Heavy,
    },
    GoPeer {
        name: "cosign",
        module: "github.com/sigstore/cosign/v3",
        version: "v3.0.4",
        program: "cmd/cosign",
        tags: "",
        weight: Weight::Heavy,
    },
    GoPeer {
        name: "zot",
        module: "zotregistry.dev/zot/v2",
        version: "v2.1.8",
        program: "cmd/zot",
        tags: "containers_image_openpgp",
        weight: Weight::Heavy,
    },
];

/// Peers that are not had, and why, so that nobody looks for them.
const NOT_HAD: &[(&str, &str)] =
    &[("kraft", "the Go module proxy refuses its module (docs/conformance.md says what stands in for it)")];

/// `cargo xtask peers [--all]`.
pub(crate) fn run(mut arguments: lexopt::Parser) -> Outcome {
    use lexopt::prelude::*;

    let mut heaviest = Weight::Light;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("all") => heaviest = Weight::Heavy,
            other => return Err(other.unexpected().into()),
        }
    }
    system::ensure(Setup::Install, Purpose::Peers)?;
    for (name, version) in [
        ("docker-registry", process::read(process::program("docker-registry").arg("--version"))),
        ("skopeo", process::read(process::program("skopeo").arg("--version"))),
    ] {
        println!("peer: {name}: {}", version?.trim());
    }
    go_peers(heaviest, Setup::Install, PATIENCE);
    if heaviest == Weight::Heavy {
        for (name, reason) in NOT_HAD {
            println!("peer: {name}: not had: {reason}");
        }
    }
    Ok(())
}

/// The light Go peers for `cargo xtask test` and `ci`; the packages come with the other packages of the tests.
pub(crate) fn set_up(setup: Setup) {
    go_peers(Weight::Light, setup, PATIENCE_OF_TESTS);
}

/// The suite, from a clone of distribution-spec, for those whose module proxy does not hand it out.
pub(crate) fn conformance_from(clone: &Path) -> Outcome {
    usable_go()?;
    let built = directory().join("module").join(CONFORMANCE).join(CONFORMANCE);
    let mut command = process::program("go");
    command.args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o"]).arg(&built).arg(".");
    command.current_dir(clone.join("conformance")).env("CGO_ENABLED", "0");
    process::read(&mut command)?;
    install(&built, &program(CONFORMANCE))
}

/// Builds what is missing. A peer that cannot be had costs its tests and nothing else, so no failure leaves here.
fn go_peers(heaviest: Weight, setup: Setup, patience: Duration) {
    let wanted = GO_PEERS.iter().filter(|peer| peer.weight == Weight::Light || heaviest == Weight::Heavy);
    let go = usable_go();
    let deadline = Instant::now() + patience;
    for peer in wanted {
        match (built_from(peer), &go, setup) {
            (Some(found), _, _) if found == peer.version => {
                println!("peer: {}: {} {found}", peer.name, peer.module);
            }
            (Some(found), _, _) if found == OF_A_CLONE => {
                println!("peer: {}: {}, built from a clone", peer.name, peer.module);
            }
            (_, Err(failure), _) if program(peer.name).is_file() => {
                println!(
                    "peer: {}: there, of a version that only Go could tell: {}",
                    peer.name,
                    said(failure)
                );
            }
            (_, Err(failure), _) => skipped(peer, &said(failure)),
            (_, _, Setup::Report) => skipped(peer, "not built yet; run: cargo xtask peers --all"),
            (_, Ok(()), Setup::Install) => match build(peer, deadline) {
                Ok(()) => {
                    let _ = std::fs::remove_file(absence(peer.name));
                    println!("peer: {}: {} {}, built", peer.name, peer.module, peer.version);
                }
                Err(failure) => skipped(peer, &said(&failure)),
            },
        }
    }
}

fn skipped(peer: &GoPeer, why: &str) {
    println!("note: no {} ({}@{}), so its tests will skip: {why}", peer.name, peer.module, peer.version);
    // The tests repeat it (port-testkit/src/peers.rs); without the file they say how to build the peer.
    let _ = workspace::write_text(&absence(peer.name), &format!("{why}\n"));
}

/// Where it is written why there is no such peer.
fn absence(name: &str) -> PathBuf {
    directory().join("absent").join(name)
}

fn said(failure: &Failure) -> String {
    failure.findings().join("; ")
}

pub(crate) fn program(name: &str) -> PathBuf {
    directory().join("bin").join(name)
}

fn directory() -> PathBuf {
    workspace::target_directory().join("peers")
}

fn usable_go() -> Outcome {
    let advice = format!(
        "Go {}.{} or newer builds it: https://go.dev/dl, then `cargo xtask peers`",
        OLDEST_GO.0, OLDEST_GO.1
    );
    if process::find("go").is_none() {
        return Err(Failure::new(format!("there is no `go` on PATH. {advice}")));
    }
    let version = process::read(process::program("go").args(["env", "GOVERSION"]))?;
    match parse_go_version(version.trim()) {
        Some(found) if found >= OLDEST_GO => Ok(()),
        _ => Err(Failure::new(format!("`go` is `{}`. {advice}", version.trim()))),
    }
}

/// `go1.26.8` is (1, 26).
fn parse_go_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("go")?.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The version of its module that the program says it was built from.
fn built_from(peer: &GoPeer) -> Option<String> {
    let path = program(peer.name);
    if !path.is_file() {
        return None;
    }
    let listing = process::read(process::program("go").args(["version", "-m"]).arg(path)).ok()?;
    version_in(&listing, peer.module)
}

/// The version in the line `mod MODULE VERSION …` (the program's own module) or `dep MODULE VERSION …`.
fn version_in(listing: &str, module: &str) -> Option<String> {
    let lines = listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.into_iter().find_map(|words| match words.as_slice() {
        ["mod" | "dep", name, version, ..] if *name == module => Some((*version).to_owned()),
        _ => None,
    })
}

/// A module that requires nothing but the peer: `go install MODULE@VERSION` asks the proxy for lists that not every
/// proxy gives; a requirement of an exact version needs none.
fn build(peer: &GoPeer, deadline: Instant) -> Outcome {
    let left = deadline.saturating_duration_since(Instant::now()).as_secs();
    if left == 0 {
        return Err(Failure::new("no time is left for it here; run: cargo xtask peers"));
    }
    let module = directory().join("module").join(peer.name);
    workspace::write_text(&module.join("go.mod"), &manifest(peer))?;
    println!("peer: {}: building {}@{}", peer.name, peer.module, peer.version);
    let built = module.join(peer.name);
    let mut command = process::program("timeout");
    command.arg(left.to_string()).args(["go", "build", "-mod=mod", "-trimpath", "-buildvcs=false"]);
    command.args(["-ldflags=-s -w", &format!("-tags={}", peer.tags), "-o"]).arg(&built);
    command.arg(format!("{}/{}", peer.module, peer.program).trim_end_matches('/'));
    // No C compiler is asked for.
    command.current_dir(&module).env("CGO_ENABLED", "0");
    process::read(&mut command).map_err(|failure| shortened(&failure))?;
    install(&built, &program(peer.name))
}

fn manifest(peer: &GoPeer) -> String {
    let GoPeer { name, module, version, .. } = peer;
    let (major, minor) = OLDEST_GO;
    format!("module peers.invalid/{name}\n\ngo {major}.{minor}\n\nrequire {module} {version}\n")
}

/// The last lines say why; Go tells every download before them.
fn shortened(failure: &Failure) -> Failure {
    const LINES: usize = 3;
    let text = said(failure);
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("go: downloading")).collect();
    // Without the first, which is the command.
    if let Some(refusal) = lines.iter().find_map(|line| refused_by_proxy(line)) {
        return Failure::new(refusal);
    }
    let last = lines.get(lines.len().saturating_sub(LINES).max(1)..).unwrap_or_default();
    if last.is_empty() { Failure::new(text) } else { Failure::new(last.join(": ")) }
}

/// `MODULE@VERSION: reading URL: 403 Forbidden` in words: the proxy answered, and does not hand the module out.
fn refused_by_proxy(line: &str) -> Option<String> {
    let (module, rest) = line.trim().split_once(": reading ")?;
    let (_, status) = rest.rsplit_once(": ")?;
    let refused = ["403 ", "404 ", "410 "].iter().any(|code| status.starts_with(code));
    refused.then(|| {
        format!("Go's module proxy does not hand out {} ({status})", module.trim_start_matches("go: "))
    })
}

/// By renaming: a kill in between leaves the old program or the new one.
fn install(built: &Path, path: &Path) -> Outcome {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| Failure::io("create", parent, &error))?;
    }
    std::fs::rename(built, path).map_err(|error| Failure::io("create", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o_49_the_publishing_client_is_there_at_its_version() {
        let oras = GO_PEERS.iter().find(|peer| peer.name == "oras").unwrap();
        assert_eq!((oras.version, oras.weight), ("v1.2.3", Weight::Light), "every build has it");
    }

    #[test]
    fn versions_of_go_are_read() {
        assert_eq!(parse_go_version("go1.26.8"), Some((1, 26)));
        assert_eq!(parse_go_version("go1.22rc1"), Some((1, 22)));
        assert_eq!(parse_go_version("devel +abc"), None);
    }

    #[test]
    fn a_program_says_what_it_was_built_from() {
        let listing = "oras: go1.26.8\n\tpath\toras.land/oras/cmd/oras\n\tmod\toras.land/oras\tv1.2.3\th1:x=\n\
                       \tdep\toras.land/oras-go/v2\tv2.6.0\th1:x=\n";
        assert_eq!(version_in(listing, "oras.land/oras").as_deref(), Some("v1.2.3"));
        assert_eq!(version_in(listing, "oras.land/oras-go/v2").as_deref(), Some("v2.6.0"));
        assert_eq!(version_in(listing, "oras.land"), None);
    }

    #[test]
    fn a_module_that_the_proxy_refuses_is_told_in_one_line() {
        let text = "`timeout 60 go build` failed: exit status: 1\ngo: downloading example.org/x v2.1.8\n\
                    example.org/x/v2@v2.1.8: reading https://proxy.invalid/example.org/x/@v/v2.1.8.zip: 403 Forbidden\n\
                    \tserver response: not here";
        let said = shortened(&Failure::new(text)).to_string();
        assert!(
            said.contains("Go's module proxy does not hand out example.org/x/v2@v2.1.8 (403 Forbidden)"),
            "{said}"
        );
        assert!(!said.contains("proxy.invalid") && !said.contains("server response"), "{said}");
        let other = "`go build` failed: exit status: 1\nx.go:1: syntax error\nnear: line";
        assert!(shortened(&Failure::new(other)).to_string().contains("syntax error"));
        assert_eq!(refused_by_proxy("x@v1: reading https://p/x.zip: connection reset"), None);
    }

    #[test]
    fn every_peer_is_pinned_to_a_release_or_a_commit() {
        for peer in GO_PEERS {
            let version = peer.version.strip_prefix('v').unwrap();
            // A module without releases: its commit, as Go writes one.
            let (release, commit) = version.split_once('-').unwrap_or((version, ""));
            let numbers: Vec<_> = release.split('.').collect();
            assert_eq!(numbers.len(), 3, "{}", peer.name);
            assert!(numbers.iter().all(|number| number.parse::<u32>().is_ok()), "{}", peer.name);
            assert!(
                commit.is_empty() || commit.len() == "20260716174315-967efdc079b9".len(),
                "{}",
                peer.name
            );
            assert!(manifest(peer).contains(&format!("require {} {}\n", peer.module, peer.version)));
        }
    }
}
