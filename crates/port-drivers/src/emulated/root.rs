//! What nspawn does for a container's root, for one that runs without it: devices, places in memory, volumes.
//!
//! Made by the supervisor with the host's rights, before anything of the workload runs; the root may be anybody's, so no link in it is
//! followed.

use std::path::{Path, PathBuf};

use port_content::fs;

use crate::container::LAUNCHER;
use crate::error::DriverError;
use crate::job::{Job, Volume};
use crate::mounts::{mount, text};
use crate::place::{Kind, place};
use crate::room::{NAME_SERVERS, Room};

const DEVICES: [&str; 6] = ["full", "null", "random", "tty", "urandom", "zero"];
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stderr", "/proc/self/fd/2"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
];

/// Makes a mounted root ready.
pub(crate) async fn prepare_root(
    room: &Room,
    job: &Job,
    volumes: &[Volume],
    launcher: &Path,
    writable: bool,
) -> Result<(), DriverError> {
    let directory = room.directory();
    let root = directory.join("root");
    for volume in volumes {
        let is_directory = fs::metadata(&volume.host)?.is_dir();
        place(&root, &volume.container, if is_directory { Kind::Directory } else { Kind::File })?;
    }
    let resolv = Path::new("/etc/resolv.conf");
    if !job.name_servers.is_empty() {
        place(&root, resolv, Kind::File)?;
    }
    if !writable {
        let root = text(&root)?;
        mount(directory, "keep the root from being written", &["-o", "remount,ro", "--", &root]).await?;
    }
    memory(directory, &root, "/dev", "0755").await?;
    memory(directory, &root, "/run", "0755").await?;
    memory(directory, &root, "/tmp", "1777").await?;
    for device in DEVICES {
        let inside = PathBuf::from("/dev").join(device);
        bind(directory, &root, &Path::new("/dev").join(device), &inside, true).await?;
    }
    for (name, target) in LINKS {
        fs::symlink(Path::new(target), &root.join("dev").join(name))?;
    }
    fs::create_dir_all(&root.join("dev/shm"))?;
    bind(directory, &root, launcher, Path::new(LAUNCHER), false).await?;
    for volume in volumes {
        bind(directory, &root, &volume.host, &volume.container, volume.writable).await?;
    }
    if !job.name_servers.is_empty() {
        bind(directory, &root, &directory.join(NAME_SERVERS), resolv, false).await?;
    }
    Ok(())
}

async fn memory(directory: &Path, root: &Path, inside: &str, mode: &str) -> Result<(), DriverError> {
    let path = place(root, Path::new(inside), Kind::Directory)?;
    let options = format!("mode={mode},nosuid");
    let step = format!("mount memory at {inside}");
    mount(directory, &step, &["-t", "tmpfs", "-o", &options, "port", &text(&path)?]).await
}

async fn bind(
    directory: &Path,
    root: &Path,
    from: &Path,
    inside: &Path,
    writable: bool,
) -> Result<(), DriverError> {
    let kind = if fs::metadata(from)?.is_dir() { Kind::Directory } else { Kind::File };
    let to = text(&place(root, inside, kind)?)?;
    let step = format!("mount `{}`", from.display());
    mount(directory, &step, &["--bind", "--", &text(from)?, &to]).await?;
    if !writable {
        mount(directory, &step, &["-o", "remount,bind,ro", "--", &to]).await?;
    }
    Ok(())
}
