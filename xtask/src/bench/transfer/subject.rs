//! Who is compared: Port, the clients of registries, and two ways without them, all behind one small trait.
//!
//! | subject | push | pull |
//! | --- | --- | --- |
//! | port | `artifacts push`, the version before it pushed from the same place | `artifacts pull`, the version before it at the local path |
//! | oras, crane, regctl, skopeo | the image as it is (see `bench/client.rs`) | the same |
//! | zstd + oras | `zstd -3 -T0`, then `oras push` | `oras pull`, then `zstd -d` |
//! | casync | `make` into a local directory; nothing is sent | `extract` from a web server, the old image as seed |

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::client::{Client, Target, make};
use crate::bench::sample::Sample;
use crate::failure::{Failure, Outcome};
use crate::process;

const STORE: &str = "store.castr";
const IMAGE: &str = "image.raw";

/// Where one step reads and writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) registry: SocketAddr,
    /// A web server over [`Step::files`].
    pub(super) web: SocketAddr,
    /// Where a subject without a registry publishes.
    pub(super) files: &'a Path,
    /// The version that is moved.
    pub(super) version: &'a str,
    /// The one that is there already.
    pub(super) before: Option<&'a str>,
}

/// One that pushes and pulls.
pub(super) trait Subject {
    fn name(&self) -> &'static str;

    /// Whether it is one of the peers that goals speak of.
    fn is_peer(&self) -> bool;

    /// Puts into `directory` what a push of `image` starts from.
    fn before_push(&self, directory: &Path, image: &Sample, step: &Step<'_>) -> Outcome;

    fn push(&self, directory: &Path, step: &Step<'_>) -> Command;

    fn before_pull(&self, directory: &Path, step: &Step<'_>) -> Outcome;

    fn pull(&self, directory: &Path, step: &Step<'_>) -> Command;

    /// Where a pull leaves the image.
    fn pulled(&self, directory: &Path, image: &Sample, step: &Step<'_>) -> PathBuf;
}

/// Port or a registry's client.
pub(super) struct OfRegistry {
    pub(super) name: &'static str,
    pub(super) client: Client,
    pub(super) is_peer: bool,
    pub(super) encoding: Option<&'static str>,
    pub(super) push_options: &'static [&'static str],
}

/// The image compressed as a whole, as an ordinary file of a registry.
pub(super) struct Compressed {
    oras: Client,
}

/// Chunks by content in a directory of files.
pub(super) struct Casync;

impl OfRegistry {
    fn target<'a>(&self, step: &Step<'a>) -> Target<'a> {
        Target {
            registry: step.registry,
            version: step.version,
            encoding: self.encoding,
            push_options: self.push_options,
        }
    }
}

impl Subject for OfRegistry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_peer(&self) -> bool {
        self.is_peer
    }

    fn before_push(&self, directory: &Path, image: &Sample, step: &Step<'_>) -> Outcome {
        self.client.before_push(directory, image, &self.target(step))
    }

    fn push(&self, directory: &Path, step: &Step<'_>) -> Command {
        self.client.push(directory, &self.target(step))
    }

    fn before_pull(&self, directory: &Path, step: &Step<'_>) -> Outcome {
        self.client.before_pull(directory, &self.target(step))
    }

    fn pull(&self, directory: &Path, step: &Step<'_>) -> Command {
        self.client.pull(directory, &self.target(step))
    }

    fn pulled(&self, directory: &Path, image: &Sample, _step: &Step<'_>) -> PathBuf {
        self.client.pulled(directory, image)
    }
}

impl Compressed {
    pub(super) fn new(oras: Client) -> Self {
        Self { oras }
    }

    /// `oras` runs in a shell, with what is before and after it.
    fn shell(&self, directory: &Path, script: &str, step: &Step<'_>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-e", "-c", script]).current_dir(directory).env_clear();
        command.env("PATH", process::search_path()).env("HOME", directory);
        command.env("ORAS", self.oras.program());
        command.env("REFERENCE", format!("{}/benchmark/zstd:{}", step.registry, step.version));
        command
    }
}

impl Subject for Compressed {
    fn name(&self) -> &'static str {
        "zstd -3 + oras"
    }

    fn is_peer(&self) -> bool {
        false
    }

    fn before_push(&self, directory: &Path, image: &Sample, _step: &Step<'_>) -> Outcome {
        image.link(&directory.join(IMAGE))
    }

    fn push(&self, directory: &Path, step: &Step<'_>) -> Command {
        let script = "zstd -3 -T0 -q -f image.raw -o image.zst; \"$ORAS\" push --plain-http \"$REFERENCE\" \
                      image.zst:application/zstd";
        self.shell(directory, script, step)
    }

    fn before_pull(&self, directory: &Path, _step: &Step<'_>) -> Outcome {
        make(directory)
    }

    fn pull(&self, directory: &Path, step: &Step<'_>) -> Command {
        let script =
            "\"$ORAS\" pull --plain-http \"$REFERENCE\"; zstd -d -q -f --sparse image.zst -o image.raw";
        self.shell(directory, script, step)
    }

    fn pulled(&self, directory: &Path, _image: &Sample, _step: &Step<'_>) -> PathBuf {
        directory.join(IMAGE)
    }
}

impl Casync {
    pub(super) fn new() -> Outcome<Self> {
        let absent = || Failure::new("there is no `casync`; run: cargo xtask peers");
        process::find("casync").map(|_| Self).ok_or_else(absent)
    }

    fn command(directory: &Path) -> Command {
        let mut command = Command::new("casync");
        command.current_dir(directory).env_clear();
        command.env("PATH", process::search_path()).env("HOME", directory);
        command
    }

    /// Where an image comes to lie. A second pull leaves the first one alone: it is the seed.
    fn image(step: &Step<'_>) -> String {
        let again = if step.before == Some(step.version) { "again-" } else { "" };
        format!("{again}{}.raw", step.version)
    }
}

impl Subject for Casync {
    fn name(&self) -> &'static str {
        "casync"
    }

    fn is_peer(&self) -> bool {
        true
    }

    fn before_push(&self, directory: &Path, image: &Sample, step: &Step<'_>) -> Outcome {
        make(step.files)?;
        image.link(&directory.join(IMAGE))
    }

    fn push(&self, directory: &Path, step: &Step<'_>) -> Command {
        let mut command = Self::command(directory);
        command.arg("make").arg(format!("--store={}", step.files.join(STORE).display()));
        command.arg(step.files.join(format!("{}.caibx", step.version))).arg(IMAGE);
        command
    }

    fn before_pull(&self, directory: &Path, _step: &Step<'_>) -> Outcome {
        make(directory)
    }

    fn pull(&self, directory: &Path, step: &Step<'_>) -> Command {
        let mut command = Self::command(directory);
        command.arg("extract").arg(format!("--store=http://{}/{STORE}", step.web));
        // What is at its own output fails it in the end (`Stale file handle`), so the seed is a file of another name.
        command.arg("--seed-output=no");
        if let Some(before) = step.before {
            command.arg(format!("--seed={before}.raw"));
        }
        command.arg(format!("http://{}/{}.caibx", step.web, step.version)).arg(Self::image(step));
        command
    }

    fn pulled(&self, directory: &Path, _image: &Sample, step: &Step<'_>) -> PathBuf {
        directory.join(Self::image(step))
    }
}
