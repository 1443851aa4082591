//! The initrd beside a guest image as a tree (acceptance P-78, P-79, Pu-40, Pu-41): BusyBox, the modules that
//! the kernel lacks built in, and the script that finds the root. What an initrd for another's root has besides is in `visitor`.

use port_config::ImageFormat;
use port_image::{Attributes, ImageError, Kind, Tree};

use crate::applets;
use crate::error::BuildError;
use crate::modules::Selection;

/// The first program of every boot with an initrd.
pub(crate) const INIT: &str =
    concat!(include_str!("../guest/initrd-init"), include_str!("../guest/initrd-hand-over"));

/// What it mounts, by one call of `mount`.
const FSTAB: &str = "\
devtmpfs /dev devtmpfs mode=0755 0 0
proc /proc proc defaults 0 0
sysfs /sys sysfs defaults 0 0
";
const DIRECTORIES: &[&str] =
    &["/bin", "/dev", "/lib", "/lower", "/newroot", "/proc", "/root", "/sys", "/tmp", "/upper"];
/// What the script runs, and what a person in its shell would miss. Unpacking two hundred links takes longer.
const APPLETS: &[&str] = &[
    "sh",
    "mount",
    "umount",
    "insmod",
    "mkdir",
    "usleep",
    "sleep",
    "switch_root",
    "reboot",
    "setsid",
    "cttyhack",
    "findfs",
    "blkid",
    "cat",
    "dmesg",
    "fdisk",
    "grep",
    "hexdump",
    "ls",
    "lsmod",
    "poweroff",
    "ps",
    "uname",
    "vi",
];
/// Those without which the script does not run.
const NEEDED: usize = 11;

/// The tree of an initrd for a root of `format`.
pub(crate) fn tree(busybox: &[u8], format: ImageFormat, modules: &Selection) -> Result<Tree, BuildError> {
    tree_with(INIT, busybox, format, modules)
}

/// The same with another script.
pub(crate) fn tree_with(
    init: &'static str,
    busybox: &[u8],
    format: ImageFormat,
    modules: &Selection,
) -> Result<Tree, BuildError> {
    let mut tree = Tree::new();
    for directory in DIRECTORIES {
        tree.add_directory(directory, Attributes::new(0o755))?;
    }
    // The kernel opens it for /init before anything is mounted.
    let console = Kind::CharDevice { major: 5, minor: 1 };
    tree.add_device("/dev/console", console, Attributes::new(0o600))?;
    tree.add_file("/init", init, Attributes::new(0o755))?;
    tree.add_file("/fstab", FSTAB, Attributes::new(0o644))?;
    tree.add_file("/rootfstypes", root_types(format), Attributes::new(0o644))?;
    add_busybox(&mut tree, busybox)?;
    add_modules(&mut tree, modules)?;
    Ok(tree)
}

/// The image's own file system first; the others for a disk that was put in its place.
fn root_types(format: ImageFormat) -> String {
    let own = format.component_format().as_str();
    let others = ImageFormat::WORDS.iter().copied().filter(|word| *word != own);
    let words: Vec<&str> = std::iter::once(own).chain(others).collect();
    format!("{}\n", words.join(" "))
}

fn add_busybox(tree: &mut Tree, busybox: &[u8]) -> Result<(), BuildError> {
    tree.add_file("/bin/busybox", busybox, Attributes::new(0o755))?;
    let there = applets::names(busybox);
    let missing: Vec<&str> = APPLETS
        .iter()
        .take(NEEDED)
        .copied()
        .filter(|applet| !there.iter().any(|name| name == applet))
        .collect();
    if !missing.is_empty() {
        return Err(BuildError::BadProgram {
            what: "BusyBox",
            path: "bin/busybox".into(),
            expected: format!("the applets {}", APPLETS.get(..NEEDED).unwrap_or_default().join(", ")),
            found: format!("one without {}", missing.join(", ")),
        });
    }
    for applet in APPLETS.iter().filter(|applet| there.iter().any(|name| name == *applet)) {
        tree.add_symlink(format!("/bin/{applet}"), "busybox")?;
    }
    Ok(())
}

fn add_modules(tree: &mut Tree, modules: &Selection) -> Result<(), ImageError> {
    if modules.files.is_empty() {
        return Ok(());
    }
    let directory = format!("/lib/modules/{}", modules.release);
    for (name, bytes) in &modules.files {
        tree.add_file(format!("{directory}/{name}.ko"), bytes.as_slice(), Attributes::new(0o644))?;
    }
    for list in &modules.lists {
        let lines: String = list.modules.iter().map(|name| format!("{directory}/{name}.ko\n")).collect();
        tree.add_file(format!("/modules.{}", list.name), lines, Attributes::new(0o644))?;
    }
    Ok(())
}
