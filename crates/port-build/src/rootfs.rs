//! The root file system of a guest image as a tree (acceptance P-73, P-76, P-77).

use std::path::Path;

use port_config::Recipe;
use port_image::{Attributes, Collision, Entry, ImageError, Tree};
use port_model::{ProtectionMode, Variant};

use crate::applets;
use crate::error::BuildError;
use crate::programs::{AGENT, Found, Library};

/// The first program of every guest.
pub(crate) const INIT: &str = include_str!("../guest/init");
/// The host name where the recipe gives none.
pub(crate) const HOSTNAME: &str = "port";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\ndisk:x:6:\nnogroup:x:65534:\n";
const PROFILE: &str = "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\nexport PS1='\\u@\\h:\\w\\$ '\n";
/// What /init mounts at first, by one call of `mount`.
const FSTAB: &str = "\
proc /proc proc defaults 0 0
sysfs /sys sysfs defaults 0 0
devtmpfs /dev devtmpfs mode=0755 0 0
tmpfs /run tmpfs mode=0755,nosuid,nodev 0 0
";
/// What it mounts in /dev, once the directories are there.
const FSTAB_DEV: &str = "\
devpts /dev/pts devpts mode=0620,ptmxmode=0666,gid=5 0 0
tmpfs /dev/shm tmpfs mode=1777,nosuid,nodev 0 0
";
/// What it mounts where the root is read-only.
const FSTAB_RO: &str = "\
tmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0
tmpfs /var/log tmpfs mode=0755,nosuid,nodev 0 0
";
/// Where a program's files, mounts and state go.
const DIRECTORIES: &[(&str, u32)] = &[
    ("/bin", 0o755),
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/home", 0o755),
    ("/lib", 0o755),
    ("/mnt", 0o755),
    ("/opt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/srv", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr/bin", 0o755),
    ("/usr/lib", 0o755),
    ("/usr/sbin", 0o755),
    ("/var/lib", 0o755),
    ("/var/log", 0o755),
    ("/var/tmp", 0o1777),
];

/// What a root file system is made of.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// For which variant.
    pub(crate) variant: Variant,
    /// The recipe.
    pub(crate) recipe: &'a Recipe,
    /// The guest agent.
    pub(crate) agent: &'a Found,
    /// Its libraries.
    pub(crate) libraries: &'a [Library],
    /// BusyBox.
    pub(crate) busybox: &'a [u8],
}

/// The tree of a guest image; the recipe's directory goes over it.
pub(crate) fn tree(parts: &Parts<'_>) -> Result<Tree, BuildError> {
    let mut tree = Tree::new();
    for (path, mode) in DIRECTORIES {
        tree.add_directory(path, Attributes::new(*mode))?;
    }
    tree.add_file("/init", INIT, Attributes::new(0o755))?;
    tree.add_file(AGENT, parts.agent.read()?, Attributes::new(0o755))?;
    for library in parts.libraries {
        tree.add_file(&library.place, library.found.read()?, Attributes::new(0o755))?;
    }
    add_busybox(&mut tree, parts.busybox)?;
    add_configuration(&mut tree, parts)?;
    if let Some(directory) = &parts.recipe.directory {
        add_directory(&mut tree, directory)?;
    }
    Ok(tree)
}

fn add_busybox(tree: &mut Tree, busybox: &[u8]) -> Result<(), ImageError> {
    tree.add_file("/bin/busybox", busybox, Attributes::new(0o755))?;
    tree.add_symlink("/sbin", "bin")?;
    // Where scripts look for it first.
    tree.add_symlink("/usr/bin/env", "../../bin/busybox")?;
    for applet in applets::names(busybox).iter().filter(|applet| *applet != "busybox" && *applet != "linuxrc")
    {
        tree.add_symlink(format!("/bin/{applet}"), "busybox")?;
    }
    Ok(())
}

fn add_configuration(tree: &mut Tree, parts: &Parts<'_>) -> Result<(), BuildError> {
    let hostname = hostname(parts.recipe)?;
    let mut files = vec![
        ("/usr/lib/port/fstab", format!("{FSTAB}{FSTAB_DEV}")),
        ("/usr/lib/port/fstab.dev", FSTAB_DEV.to_owned()),
        ("/usr/lib/port/fstab.ro", FSTAB_RO.to_owned()),
        ("/etc/passwd", PASSWD.to_owned()),
        ("/etc/group", GROUP.to_owned()),
        ("/etc/profile", PROFILE.to_owned()),
        ("/etc/hostname", format!("{hostname}\n")),
        ("/etc/hosts", format!("127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost\n")),
    ];
    if parts.variant.protection_mode == ProtectionMode::Pvm {
        files.push(("/etc/port-protection-mode", format!("{}\n", parts.variant.protection_mode)));
        files.push(("/etc/port-guest-architecture", format!("{}\n", parts.variant.architecture)));
    }
    for (path, text) in files {
        tree.add_file(path, text, Attributes::new(0o644))?;
    }
    // /init writes it, also where the root is read-only.
    tree.add_symlink("/etc/resolv.conf", "/run/resolv.conf")?;
    Ok(())
}

/// The host name; it goes into files and through a shell, so only plain ones are taken.
pub(crate) fn hostname(recipe: &Recipe) -> Result<&str, BuildError> {
    let name = recipe.hostname.as_deref().unwrap_or(HOSTNAME);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain) {
        return Ok(name);
    }
    let expected = "up to 64 letters, digits, `-` and `.`";
    Err(BuildError::BadValue { subject: "hostname", expected, found: name.to_owned() })
}

/// Puts a host directory over the tree. Its own permissions come from whoever made it, so the root keeps its.
fn add_directory(tree: &mut Tree, directory: &Path) -> Result<(), ImageError> {
    let mut added = Tree::from_directory(directory)?;
    added.replace("/", Entry::directory())?;
    tree.merge(added, Collision::Replace)
}
