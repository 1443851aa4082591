//! The clients that are compared, each in the form of its own that comes nearest to what Port does: a file on the disk
//! becomes an artifact with a tag, and that a file on the disk again.
//!
//! | client | push | pull |
//! | --- | --- | --- |
//! | port | `artifacts push` | `artifacts pull` |
//! | oras | `push` of a file | `pull` into a directory |
//! | regctl | `artifact put` of a file | `artifact get` into a directory |
//! | crane, skopeo | of an OCI layout that was prepared before, so that they need not name the bytes | to an OCI layout |

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::sample::Sample;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

const FILE: &str = "blob.bin";
const LAYOUT: &str = "layout";
const OUTPUT: &str = "output";
/// What it is, Port reads from the bytes.
const PORT_PATH: &str = "artifacts/rootfs.img";
const ARTIFACT: &str = "blob";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    Port,
    Oras,
    Crane,
    Regctl,
    Skopeo,
}

/// What is pushed to or pulled, and how Port is told to carry it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) registry: SocketAddr,
    pub(super) version: &'a str,
    /// Port's `encoding` of what it pushes, where it is to be named.
    pub(super) encoding: Option<&'a str>,
    /// What else Port's push is told.
    pub(super) push_options: &'a [&'a str],
}

impl Target<'_> {
    /// Of bytes that are carried as they are.
    pub(super) fn plain(registry: SocketAddr) -> Self {
        Self { registry, version: "v1", encoding: Some("raw"), push_options: &[] }
    }
}

/// A tool and where it is.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) tool: Tool,
    program: PathBuf,
}

impl Client {
    /// Port, and every peer that is installed.
    pub(super) fn all(port: PathBuf) -> Outcome<Vec<Self>> {
        let mut clients = vec![Self { tool: Tool::Port, program: port }];
        for tool in [Tool::Oras, Tool::Crane, Tool::Regctl, Tool::Skopeo] {
            let built = workspace::target_directory().join("peers/bin").join(tool.name());
            let program = Some(built).filter(|path| path.is_file()).or_else(|| process::find(tool.name()));
            let absent = || Failure::new(format!("there is no `{}`; run: cargo xtask peers", tool.name()));
            clients.push(Self { tool, program: program.ok_or_else(absent)? });
        }
        Ok(clients)
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Puts into `directory` what a push of `sample` starts from; what an earlier push or pull left stays.
    pub(super) fn before_push(&self, directory: &Path, sample: &Sample, target: &Target<'_>) -> Outcome {
        match self.tool {
            Tool::Port => {
                self.configure(directory, target)?;
                sample.link(&directory.join(PORT_PATH))
            }
            Tool::Oras | Tool::Regctl => sample.link(&directory.join(FILE)),
            Tool::Crane | Tool::Skopeo => {
                remove(&directory.join(LAYOUT))?;
                sample.write_layout(&directory.join(LAYOUT))
            }
        }
    }

    /// The same for a pull.
    pub(super) fn before_pull(&self, directory: &Path, target: &Target<'_>) -> Outcome {
        match self.tool {
            Tool::Port => self.configure(directory, target),
            _ => make(&directory.join(OUTPUT)),
        }
    }

    pub(super) fn push(&self, directory: &Path, target: &Target<'_>) -> Command {
        let reference = self.reference(target);
        let mut command = self.command(directory);
        match self.tool {
            Tool::Port => {
                command.args(["artifacts", "push", "--artifact", ARTIFACT]).args(target.push_options)
            }
            Tool::Oras => {
                let file = format!("{FILE}:application/octet-stream");
                command.args(["push", "--plain-http", &reference, &file])
            }
            Tool::Crane => command.args(["push", LAYOUT, &reference]),
            Tool::Regctl => command.args(regctl(target.registry)).args([
                "artifact",
                "put",
                "--artifact-type",
                "application/vnd.port.benchmark",
                "--file-title",
                "--file",
                FILE,
                &reference,
            ]),
            Tool::Skopeo => command
                .args(["--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false"])
                .args([format!("oci:{LAYOUT}:v1"), format!("docker://{reference}")]),
        };
        command
    }

    pub(super) fn pull(&self, directory: &Path, target: &Target<'_>) -> Command {
        let reference = self.reference(target);
        let mut command = self.command(directory);
        match self.tool {
            Tool::Port => command.args(["artifacts", "pull", "--artifact", ARTIFACT]),
            Tool::Oras => command.args(["pull", "--plain-http", "--output", OUTPUT, &reference]),
            Tool::Crane => command.args(["pull", "--format", "oci", &reference, OUTPUT]),
            Tool::Regctl => command
                .args(regctl(target.registry))
                .args(["artifact", "get", "--output", OUTPUT, &reference]),
            Tool::Skopeo => command
                .args(["--insecure-policy", "copy", "--preserve-digests", "--src-tls-verify=false"])
                .args([format!("docker://{reference}"), format!("oci:{OUTPUT}:{}", target.version)]),
        };
        command
    }

    /// Where a pull leaves the bytes.
    pub(super) fn pulled(&self, directory: &Path, sample: &Sample) -> PathBuf {
        match self.tool {
            Tool::Port => directory.join(PORT_PATH),
            Tool::Oras | Tool::Regctl => directory.join(OUTPUT).join(FILE),
            Tool::Crane | Tool::Skopeo => directory.join(OUTPUT).join(sample.blob_path()),
        }
    }

    fn reference(&self, target: &Target<'_>) -> String {
        format!("{}/benchmark/{}:{}", target.registry, self.tool.name(), target.version)
    }

    /// Nothing of the caller's environment: credentials and proxies are none of a benchmark's business.
    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(directory).env_clear();
        command.env("PATH", process::search_path()).env("HOME", directory);
        command
    }

    fn configure(&self, directory: &Path, target: &Target<'_>) -> Outcome {
        let Target { registry, version, encoding, .. } = target;
        let name = self.tool.name();
        let encoding = encoding.map(|encoding| format!(r#", encoding = "{encoding}""#)).unwrap_or_default();
        let backend = r#"backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" }"#;
        let text = format!(
            r#"[artifacts.guest_images.{ARTIFACT}]
reference = {{ registry = "{registry}", repository = "benchmark/{name}", version = "{version}" }}

[artifacts.guest_images.{ARTIFACT}.distribution]
cache_root = ".port/cache"
push = {{ {backend}{encoding} }}
pull = {{ {backend} }}

[[artifacts.guest_images.{ARTIFACT}.variants]]
path = "{PORT_PATH}"
selector = {{ architecture = "{}", substrate = "firecracker", protection_mode = "standard" }}
"#,
            std::env::consts::ARCH
        );
        workspace::write_text(&directory.join("port.toml"), &text)
    }
}

impl Tool {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Oras => "oras",
            Self::Crane => "crane",
            Self::Regctl => "regctl",
            Self::Skopeo => "skopeo",
        }
    }
}

fn regctl(registry: SocketAddr) -> [String; 2] {
    ["--host".to_owned(), format!("reg={registry},tls=disabled")]
}

pub(super) fn make(directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory).map_err(|error| Failure::io("create", directory, &error))
}

/// An absent directory is fine.
pub(super) fn remove(directory: &Path) -> Outcome {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", directory, &error))
        }
        _ => Ok(()),
    }
}

/// What the files below a directory take on the disk; nothing where there is none.
pub(super) fn bytes_on_disk(directory: &Path) -> Outcome<u64> {
    if !directory.exists() {
        return Ok(0);
    }
    let said = process::read(process::program("du").args(["--summarize", "--block-size=1"]).arg(directory))?;
    let number = said.split_whitespace().next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| Failure::new(format!("du of `{}`: found `{said}`", directory.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_gets_a_configuration_of_its_own() {
        let directory = std::env::temp_dir().join(format!("port-xtask-client-{}", std::process::id()));
        let client = Client { tool: Tool::Port, program: PathBuf::from("port") };
        let plain = Target::plain("127.0.0.1:5000".parse().unwrap());
        client.configure(&directory, &Target { encoding: Some("zstd"), ..plain }).unwrap();
        let table: toml::Table = workspace::read_text(&directory.join("port.toml")).unwrap().parse().unwrap();
        let artifact = &table["artifacts"]["guest_images"][ARTIFACT];
        assert_eq!(artifact["reference"]["registry"].as_str(), Some("127.0.0.1:5000"));
        assert_eq!(artifact["distribution"]["push"]["encoding"].as_str(), Some("zstd"));
        assert_eq!(artifact["distribution"]["pull"]["transport"].as_str(), Some("plain-http"));
        remove(&directory).unwrap();
        remove(&directory).unwrap();
    }
}
