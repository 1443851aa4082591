//! The root of a workload, mounted in the supervisor's own mount namespace: nothing of it is seen outside, and all of it
//! ends with the last process inside.
//!
//! ```text
//! directory or image ─► lower (read-only) ┐
//! layer/ of the room, or memory ──────────┴─► overlay ─► root
//! ```
//!
//! The overlay is there even where nothing may be written: what makes a container makes mount points in its root, and the
//! root that it was made from stays as it is. Only an image needs the program `mount`, which finds it a loop device.

use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Stdio;

use port_content::{FsError, fs};
use rustix::fs::{Mode as RawMode, OFlags};
use rustix::mount::{MountFlags, mount as mount_at, mount_bind};
use tokio::process::Command;

use crate::error::DriverError;
use crate::job::{Job, Layer, Lower};
use crate::room::Room;

/// Where nspawn keeps sockets between itself and a container; it complains where this is on a disk.
const NSPAWN_STATE: &str = "/run/systemd/nspawn";

/// What every root of a container has.
const MOUNT_POINTS: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Mounts the root of a job.
pub(crate) async fn mount_root(room: &Room, job: &Job) -> Result<(), DriverError> {
    let directory = room.directory();
    for name in ["lower", "root", "memory"] {
        fs::create_dir_all(&directory.join(name))?;
    }
    fs::create_dir_all(Path::new(NSPAWN_STATE))?;
    memory(Path::new(NSPAWN_STATE))?;
    match &job.lower {
        Lower::Directory(path) => {
            mount_bind(path, directory.join("lower"))
                .map_err(|error| FsError::new("mount the directory", path, error.into()))?;
        }
        Lower::Image(path) => {
            let step = format!("mount the image `{}`", path.display());
            mount(directory, &step, &["-o", "loop,ro", "--", &text(path)?, "lower"]).await?;
        }
    }
    let upper = match job.layer {
        Layer::Kept => "layer",
        Layer::Memory => {
            memory(&directory.join("memory"))?;
            "memory"
        }
    };
    for name in ["upper", "work"] {
        fs::create_dir_all(&directory.join(upper).join(name))?;
    }
    add_mount_points(directory, &directory.join(upper).join("upper"))?;
    overlay(directory, upper)
}

fn memory(target: &Path) -> Result<(), DriverError> {
    let mounted = mount_at("port", target, "tmpfs", MountFlags::empty(), c"mode=0755");
    Ok(mounted.map_err(|error| FsError::new("mount memory at", target, error.into()))?)
}

/// Of open directories, so that no path of the host can hold a `,` or `:` that would mean something here.
fn overlay(directory: &Path, upper: &str) -> Result<(), DriverError> {
    let open = |name: &str| {
        let path = directory.join(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&path, flags, RawMode::empty());
        opened.map_err(|error| FsError::new("open", &path, error.into()))
    };
    let places = [open("lower")?, open(&format!("{upper}/upper"))?, open(&format!("{upper}/work"))?];
    let names = ["lowerdir", "upperdir", "workdir"].iter().zip(&places);
    let options: Vec<String> =
        names.map(|(name, place)| format!("{name}=/proc/self/fd/{}", place.as_raw_fd())).collect();
    let (target, options) = (directory.join("root"), options.join(",").into_bytes());
    let failed = |error: std::io::Error| FsError::new("mount the writable layer at", &target, error);
    let options = CString::new(options).map_err(|error| failed(error.into()))?;
    let mounted = mount_at("port", &target, "overlay", MountFlags::empty(), options.as_c_str());
    Ok(mounted.map_err(|error| failed(error.into()))?)
}

/// The kernel's file systems need places, which a read-only root would not take any more. Made beside the root, one name each, so
/// that no link in the root leads anywhere.
fn add_mount_points(directory: &Path, upper: &Path) -> Result<(), DriverError> {
    for name in MOUNT_POINTS {
        match fs::symlink_metadata(&directory.join("lower").join(name)) {
            Err(error) if error.is_not_found() => fs::create_dir_all(&upper.join(name))?,
            found => {
                found?;
            }
        }
    }
    Ok(())
}

pub(crate) fn text(path: &Path) -> Result<String, DriverError> {
    path.to_str().map(str::to_owned).ok_or_else(|| DriverError::State {
        path: path.to_owned(),
        reason: "expected a path in UTF-8".to_owned(),
    })
}

pub(crate) async fn mount(directory: &Path, step: &str, arguments: &[&str]) -> Result<(), DriverError> {
    let mut command = Command::new("mount");
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    let output =
        command.output().await.map_err(|source| DriverError::Spawn { program: "mount".into(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().chars().take(500).collect();
    Err(DriverError::Step { step: step.to_owned(), program: "mount".into(), status: output.status, message })
}
