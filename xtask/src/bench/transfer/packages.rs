//! Debian packages as the content of an image: which belong together, in which versions they can be had, and their files.
//!
//! Two versions of one system: "old" is what the release itself has, "new" is the newest of the release, its updates and
//! its security updates. apt answers from its own lists and configuration (`apt-get update` is the user's business), and
//! its own keys judge what is downloaded. Nothing needs root: a package is unpacked, never installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::client::make;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

/// What is asked for by name; apt adds what they depend on. A small server: a base, systemd, and usual programs.
const WANTED: &[&str] = &[
    "apt",
    "base-files",
    "bash",
    "ca-certificates",
    "coreutils",
    "curl",
    "dbus",
    "diffutils",
    "dpkg",
    "findutils",
    "git",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "iproute2",
    "libc-bin",
    "login",
    "mount",
    "ncurses-base",
    "nginx",
    "openssh-server",
    "passwd",
    "perl",
    "python3",
    "sed",
    "systemd",
    "systemd-sysv",
    "tar",
    "udev",
    "util-linux",
    "vim",
];

/// A package in both versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) old: String,
    pub(super) new: String,
}

/// Every package of the image, sorted by name.
pub(super) fn resolve(cache: &Path) -> Outcome<Vec<Package>> {
    for (program, package) in [("apt-get", "apt"), ("apt-cache", "apt"), ("dpkg-deb", "dpkg")] {
        if process::find(program).is_none() {
            let text =
                format!("there is no `{program}` (package `{package}`): the images are made on Debian");
            return Err(Failure::new(text));
        }
    }
    make(cache)?;
    // With an empty status nothing counts as installed, so that apt lists all that is needed.
    let status = cache.join("empty-status");
    workspace::write_text(&status, "")?;
    let mut simulation = apt("apt-get");
    simulation.args(["--simulate", "--no-install-recommends", "-o"]);
    simulation.arg(format!("Dir::State::status={}", status.display())).arg("install").args(WANTED);
    let names = installed(&process::read(&mut simulation)?);
    let mut madison = apt("apt-cache");
    let listing = process::read(madison.arg("madison").args(&names))?;
    let release = release()?;
    let versions = versions(&listing, &release, &architecture()?);
    names
        .into_iter()
        .map(|name| match versions.get(&name) {
            Some((old, new)) => Ok(Package { name, old: old.clone(), new: new.clone() }),
            None => Err(Failure::new(format!(
                "apt has no version of `{name}` for {release}; run: apt-get update"
            ))),
        })
        .collect()
}

/// The files of all packages in `tree`, which is made afresh.
pub(super) fn unpack(packages: &[(&str, &str)], cache: &Path, tree: &Path) -> Outcome {
    crate::bench::client::remove(tree)?;
    make(tree)?;
    download(packages, cache)?;
    for (name, version) in packages {
        let file = downloaded(cache, name, version)?;
        let file = file.ok_or_else(|| Failure::new(format!("apt did not bring `{name}={version}`")))?;
        process::read(process::program("dpkg-deb").arg("--extract").arg(file).arg(tree))?;
    }
    Ok(())
}

/// Brings what the cache lacks.
fn download(packages: &[(&str, &str)], cache: &Path) -> Outcome {
    let mut absent = Vec::new();
    for (name, version) in packages {
        if downloaded(cache, name, version)?.is_none() {
            absent.push(format!("{name}={version}"));
        }
    }
    if absent.is_empty() {
        return Ok(());
    }
    println!("packages: downloading {}", absent.len());
    process::read(apt("apt-get").args(["--quiet", "download"]).args(absent).current_dir(cache)).map(drop)
}

/// apt writes `:` of a version as `%3a`.
fn downloaded(cache: &Path, name: &str, version: &str) -> Outcome<Option<PathBuf>> {
    let start = format!("{name}_{}_", version.replace(':', "%3a"));
    let found = workspace::entries(cache)?.into_iter().find(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.starts_with(&start) && name.ends_with(".deb")
    });
    Ok(found)
}

fn apt(program: &str) -> Command {
    let mut command = process::program(program);
    command.env("LC_ALL", "C");
    command
}

/// The names in the lines `Inst NAME (VERSION …)`.
fn installed(simulation: &str) -> Vec<String> {
    let lines = simulation.lines().filter_map(|line| line.strip_prefix("Inst "));
    let mut names: Vec<_> =
        lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Old and new version by package, from lines `NAME | VERSION | URI SUITE/COMPONENT ARCHITECTURE Packages`, the newest
/// first. Other archives that this machine knows are none of this release.
fn versions(listing: &str, release: &str, architecture: &str) -> BTreeMap<String, (String, String)> {
    let mut versions = BTreeMap::new();
    for line in listing.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [name, version, source] = cells.as_slice() else { continue };
        let words: Vec<_> = source.split_whitespace().collect();
        let [_, suite, found, "Packages"] = words.as_slice() else { continue };
        let Some(suite) = suite.strip_suffix("/main").filter(|_| *found == architecture) else { continue };
        let version = (*version).to_owned();
        if suite == release {
            let entry =
                versions.entry((*name).to_owned()).or_insert_with(|| (version.clone(), version.clone()));
            // The release itself may list several; its newest is what it installs.
            if entry.0.is_empty() {
                entry.0 = version;
            }
        } else if suite.strip_prefix(release).is_some_and(|rest| rest.starts_with('-')) {
            versions.entry((*name).to_owned()).or_insert_with(|| (String::new(), version));
        }
    }
    for (old, new) in versions.values_mut() {
        if old.is_empty() {
            old.clone_from(new);
        }
    }
    versions
}

fn release() -> Outcome<String> {
    let text = workspace::read_text(Path::new("/etc/os-release"))?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.map(|name| name.trim_matches('"').to_owned()).ok_or_else(|| {
        Failure::new("`/etc/os-release` has no VERSION_CODENAME: the images are made on Debian")
    })
}

fn architecture() -> Outcome<String> {
    process::read(process::program("dpkg").arg("--print-architecture")).map(|said| said.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
   openssl | 3.0.22-1 | http://deb.example/debian-security bookworm-security/main amd64 Packages
   openssl | 3.0.20-1 | http://deb.example/debian bookworm/main amd64 Packages
   openssl | 3.0.20-1 | http://deb.example/debian bookworm/main arm64 Packages
   openssl | 3.0.17-1 | http://deb.example/debian bookworm-updates/main amd64 Packages
      bash | 5.2 | http://deb.example/debian bookworm/main amd64 Packages
      bash | 5.1 | http://deb.example/debian-security bookworm-security/main amd64 Packages
       new | 1:2 | http://deb.example/debian bookworm-updates/main amd64 Packages
     other | 9 | https://deb.other.example nodistro/main amd64 Packages
";

    #[test]
    fn the_old_version_is_the_releases_and_the_new_one_the_newest() {
        let found = versions(LISTING, "bookworm", "amd64");
        let of = |name: &str| found.get(name).map(|(old, new)| (old.as_str(), new.as_str()));
        assert_eq!(of("openssl"), Some(("3.0.20-1", "3.0.22-1")));
        assert_eq!(of("bash"), Some(("5.2", "5.2")));
        assert_eq!(of("new"), Some(("1:2", "1:2")));
        assert_eq!(of("other"), None);
    }

    #[test]
    fn what_apt_would_install_is_read() {
        let text = "NOTE: only a simulation\nInst libc6 (2.36 Debian:12 [amd64]) []\nConf libc6 (2.36)\nInst bash (5.2)\n";
        assert_eq!(installed(text), ["bash", "libc6"]);
    }

    #[test]
    fn a_downloaded_package_is_found_with_its_epoch() {
        let cache = std::env::temp_dir().join(format!("port-xtask-packages-{}", std::process::id()));
        workspace::write_text(&cache.join("git_1%3a2.39-1_amd64.deb"), "x").unwrap();
        assert!(downloaded(&cache, "git", "1:2.39-1").unwrap().is_some());
        assert!(downloaded(&cache, "git", "1:2.39").unwrap().is_none());
        crate::bench::client::remove(&cache).unwrap();
    }
}
