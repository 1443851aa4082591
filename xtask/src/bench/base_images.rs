//! `port base-images ensure` of what is cached, beside a program that does what the original does on every hit: hash both
//! files. A hosted manifest on disk names them, so that neither waits for a network.

use std::path::Path;
use std::process::Command;

use super::build::timed;
use super::client::{make, remove};
use super::pairs::{self, summary};
use super::report::Report;
use super::sample::Sample;
use crate::failure::{Failure, Outcome};
use crate::{generate, process, workspace};

const MIB: u64 = 1 << 20;
/// A kernel of the usual size.
const KERNEL: u64 = 40 * MIB;
const ROOT: u64 = 1024 * MIB;
const GOAL: f64 = 50.0;

pub(super) fn run(count: usize) -> Outcome {
    let port = generate::port("release")?;
    if process::find("sha256sum").is_none() {
        return Err(Failure::new("`sha256sum` is not on PATH (Debian package `coreutils`)"));
    }
    let directory = workspace::target_directory().join("bench-base-images");
    remove(&directory)?;
    make(&directory)?;
    let measured = measure(&port, &directory, count);
    remove(&directory)?;
    let (warm, hashed) = measured?;
    let factor = hashed.median / warm.median;
    Report {
        name: "base-images",
        title: "A base image that is cached",
        method: format!(
            "`port base-images ensure` with a kernel of 40 MiB and a root of 1 GiB in the cache, beside `sha256sum` of both \
             files, in turns, {count} times each; from the start of the process to its end, everything in memory."
        ),
        rows: vec![("`port base-images ensure`".to_owned(), warm), ("`sha256sum` of both files".to_owned(), hashed)],
        goal: format!("at least {GOAL:.0} times faster"),
        found: format!("{factor:.0} times"),
        met: factor >= GOAL,
    }
    .publish()
}

fn measure(port: &Path, directory: &Path, count: usize) -> Outcome<(pairs::Summary, pairs::Summary)> {
    Sample::create(&directory.join("vmlinux"), KERNEL)?;
    Sample::create(&directory.join("rootfs.ext4"), ROOT)?;
    let manifest = "{\"schemaVersion\": 1, \"bundleId\": \"bench\", \"arch\": \"x86_64\", \
         \"firecrackerVersion\": \"v1.15.1\", \"rootfsType\": \"ext4\", \
         \"kernel\": {\"path\": \"vmlinux\"}, \"rootfs\": {\"path\": \"rootfs.ext4\"}}";
    workspace::write_text(&directory.join("m.json"), manifest)?;
    let ensure = || {
        let mut command: Command = process::program(port);
        command.current_dir(directory).args(["base-images", "ensure", "--manifest-path", "m.json"]);
        command.args(["--cache-dir", "cache"]);
        command
    };
    // Makes it ready, however long that takes.
    process::run(&mut ensure())?;
    let hash = || {
        let mut command: Command = process::program("sha256sum");
        command.current_dir(directory.join("cache/bench")).args(["vmlinux", "rootfs.ext4"]);
        command
    };
    let pairs = pairs::measure(count, &mut || timed(&mut ensure()), &mut || timed(&mut hash()))?;
    Ok((summary(pairs.iter().map(|pair| pair.a)), summary(pairs.iter().map(|pair| pair.b))))
}
