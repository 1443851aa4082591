//! The system's programs that tests and the demo use, by package name. Port itself needs none of them to start; `port
//! doctor` says at run time what a command misses. Installing is done on Debian and Ubuntu alone: elsewhere the names
//! differ, and guessing them would be worse than naming the programs.

use std::path::Path;

use crate::failure::{Failure, Outcome};
use crate::process;

/// Whether missing packages may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    Install,
    Report,
}

/// What the programs are for: a newcomer's demo must not fail for want of what only tests use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Tests,
    Demo,
    Peers,
}

/// A Debian package and the programs it is needed for.
struct Package {
    name: &'static str,
    programs: &'static [&'static str],
}

const PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", programs: &["qemu-system-x86_64"] },
    Package { name: "qemu-system-arm", programs: &["qemu-system-aarch64"] },
    Package { name: "busybox-static", programs: &[BUSYBOX] },
    Package { name: "squashfs-tools", programs: &["mksquashfs", "unsquashfs"] },
    Package { name: "erofs-utils", programs: &["mkfs.erofs", "fsck.erofs", "dump.erofs"] },
    Package { name: "e2fsprogs", programs: &["e2fsck", "debugfs"] },
    Package { name: "skopeo", programs: &["skopeo"] },
    Package { name: "docker-registry", programs: &["docker-registry"] },
    Package { name: "containerd", programs: &["containerd", "ctr"] },
    Package { name: "systemd-container", programs: &["systemd-nspawn"] },
    Package { name: "qemu-user-static", programs: &["qemu-aarch64-static"] },
    Package { name: "iproute2", programs: &["ip"] },
    Package { name: "openssl", programs: &["openssl"] },
    Package { name: "runc", programs: &["runc"] },
    Package { name: "casync", programs: &["casync"] },
    Package { name: "zstd", programs: &["zstd"] },
];

/// The one program that is not enough by name: a guest has no C library for a dynamic one.
const BUSYBOX: &str = "busybox";

/// What the demo uses besides the host's QEMU.
const DEMO_PROGRAMS: &[&str] = &[BUSYBOX, "e2fsck", "debugfs"];

/// Registries, stores and their clients that are packages.
const PEER_PROGRAMS: &[&str] = &["docker-registry", "skopeo", "containerd", "ctr", "casync", "runc", "zstd"];

/// Those of them that are only measured against.
const MEASURED_PROGRAMS: &[&str] = &["casync", "runc", "zstd"];

/// Who may install, and how.
enum Installer {
    Root,
    Sudo,
    Nobody { debian: bool },
}

/// Installs what is missing, or says exactly what it is and which command installs it.
pub(crate) fn ensure(setup: Setup, purpose: Purpose) -> Outcome {
    let missing = missing(purpose);
    if missing.is_empty() {
        println!("system: every program that is needed is here");
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|(package, _)| *package).collect();
    let prefix: &[&str] = match (setup, installer()) {
        (Setup::Report, _) => {
            for finding in advice(&missing, true) {
                println!("note: {finding}; tests that need it will skip");
            }
            return Ok(());
        }
        (Setup::Install, Installer::Nobody { debian }) => {
            return Failure::from_findings(advice(&missing, debian));
        }
        (Setup::Install, Installer::Root) => &[],
        (Setup::Install, Installer::Sudo) => &["sudo", "-n"],
    };
    println!("system: installing {}", packages.join(", "));
    let install = [&["install", "-y", "-qq", "--no-install-recommends"], packages.as_slice()].concat();
    let installed = apt_get(prefix, &["update", "-qq"]).and_then(|()| apt_get(prefix, &install));
    if let Err(failure) = installed {
        return Failure::from_findings([failure.findings(), &advice(&missing, true)].concat());
    }
    let still = self::missing(purpose);
    Failure::from_findings(
        still
            .iter()
            .map(|(package, what)| format!("{what} is still missing after installing `{package}`"))
            .collect(),
    )
}

/// Package and what of it is missing.
fn missing(purpose: Purpose) -> Vec<(&'static str, String)> {
    let mut missing = Vec::new();
    for package in PACKAGES {
        let absent: Vec<_> = package
            .programs
            .iter()
            .copied()
            .filter(|program| is_needed(program, purpose) && !is_present(program))
            .collect();
        if !absent.is_empty() {
            missing.push((package.name, absent.join(", ")));
        }
    }
    missing
}

fn is_needed(program: &str, purpose: Purpose) -> bool {
    let hosts_qemu = || program.strip_prefix("qemu-system-") == Some(std::env::consts::ARCH);
    match purpose {
        Purpose::Tests => !MEASURED_PROGRAMS.contains(&program),
        Purpose::Demo => DEMO_PROGRAMS.contains(&program) || hosts_qemu(),
        Purpose::Peers => PEER_PROGRAMS.contains(&program),
    }
}

fn is_present(program: &str) -> bool {
    if program != BUSYBOX {
        return process::find(program).is_some();
    }
    let named = std::env::var_os("PORT_BUSYBOX_BIN").map(std::path::PathBuf::from);
    named.or_else(|| process::find(program)).is_some_and(|path| is_static(&path))
}

/// Whether an ELF file starts without a dynamic linker: none of its segments is PT_INTERP.
fn is_static(path: &Path) -> bool {
    const PT_INTERP: u64 = 3;
    let Ok(bytes) = std::fs::read(path) else { return false };
    let number = |offset: usize, length: usize| {
        let bytes = bytes.get(offset..offset.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)))
    };
    let headers =
        || Some((usize::try_from(number(32, 8)?).ok()?, number(54, 2)? as usize, number(56, 2)? as usize));
    let Some((table, size, count)) = headers().filter(|_| bytes.starts_with(b"\x7fELF\x02\x01")) else {
        return false;
    };
    (0..count).all(|index| number(table + index * size, 4).is_some_and(|kind| kind != PT_INTERP))
}

fn installer() -> Installer {
    if !is_debian() || process::find("apt-get").is_none() {
        return Installer::Nobody { debian: false };
    }
    let user = process::read(process::program("id").arg("-u")).unwrap_or_default();
    if user.trim() == "0" {
        Installer::Root
    } else if process::read(process::program("sudo").args(["-n", "true"])).is_ok() {
        Installer::Sudo
    } else {
        Installer::Nobody { debian: true }
    }
}

fn is_debian() -> bool {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let named =
        text.lines().filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")));
    named.flat_map(|value| value.trim_matches('"').split(' ')).any(|name| matches!(name, "debian" | "ubuntu"))
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Outcome {
    // `env` behind sudo: sudo drops the variables of its caller.
    let words = [prefix, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], arguments].concat();
    let Some((program, rest)) = words.split_first() else { return Ok(()) };
    process::run(process::program(program).args(rest))
}

fn advice(missing: &[(&str, String)], debian: bool) -> Vec<String> {
    let mut lines: Vec<_> = missing
        .iter()
        .map(|(package, what)| format!("{what} is missing (package `{package}` on Debian and Ubuntu)"))
        .collect();
    let packages: Vec<_> = missing.iter().map(|(package, _)| *package).collect();
    lines.push(if debian {
        format!(
            "run: sudo apt-get update && sudo apt-get install -y --no-install-recommends {}",
            packages.join(" ")
        )
    } else {
        "install these programs with this system's package manager, then run the task again".to_owned()
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_programs_packages_and_the_command() {
        let missing = [("erofs-utils", "mkfs.erofs, fsck.erofs".to_owned()), ("skopeo", "skopeo".to_owned())];
        assert_eq!(
            advice(&missing, true),
            [
                "mkfs.erofs, fsck.erofs is missing (package `erofs-utils` on Debian and Ubuntu)",
                "skopeo is missing (package `skopeo` on Debian and Ubuntu)",
                "run: sudo apt-get update && sudo apt-get install -y --no-install-recommends erofs-utils skopeo",
            ]
        );
        assert!(advice(&missing, false).last().unwrap().starts_with("install these programs"));
    }

    #[test]
    fn the_demo_needs_less_than_the_tests() {
        let needed = |purpose| {
            let programs = PACKAGES.iter().flat_map(|package| package.programs);
            programs.filter(|program| is_needed(program, purpose)).count()
        };
        assert_eq!(needed(Purpose::Demo), 4);
        assert_eq!(needed(Purpose::Peers), PEER_PROGRAMS.len());
        assert!(!is_needed("casync", Purpose::Tests) && is_needed("casync", Purpose::Peers));
        assert!(is_needed("skopeo", Purpose::Tests) && !is_needed("skopeo", Purpose::Demo));
    }

    #[test]
    fn a_dynamic_program_is_not_static() {
        // This test program itself is linked against the C library.
        assert!(!is_static(&std::env::current_exe().unwrap()));
        assert!(!is_static(Path::new("/etc/passwd")));
    }
}
