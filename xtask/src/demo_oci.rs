//! The proof of the OCI backend in two halves, `demo-push-oci` and `demo-pull-oci`, against the registry that listens on
//! 127.0.0.1:5510; where none does, Debian's is started for as long as the task runs, on one folder for both halves.
//!
//! The configuration is the sample's own with another registry and another backend, so nothing is proved about a file
//! that nobody has. No other registry is named anywhere in it, and the proxy variables lead nowhere: a request to a
//! public one would fail.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};
use crate::{demo, generate, process, system, workspace};

const REGISTRY: &str = "127.0.0.1:5510";
const ARTIFACT: &str = "demo-kernel";
const BACKEND: &str =
    r#"{ backend = "oci-registry", transport = "plain-http", auth = { kind = "anonymous" } }"#;
const PATIENCE: Duration = Duration::from_secs(20);

/// What one half leaves for the other: the digest of what was built.
const RECORD: &str = "kernel.sha256";

/// Builds, pushes, deletes.
pub(crate) fn push() -> Outcome {
    let demo = Demo::start()?;
    // Only the build may fetch: the kernel's sources are on the network, the registry is not.
    demo.port("build", Network::Any)?;
    let digest = demo::sha256(&demo.kernel())?;
    demo.port("push", Network::LoopbackOnly)?;
    workspace::write_text(&demo.directory.join(RECORD), &format!("{digest}\n"))?;
    remove(&demo.kernel())?;
    println!(
        "pushed sha256:{digest} to {REGISTRY}, and deleted the local file; now: cargo xtask demo-pull-oci"
    );
    Ok(())
}

/// Pulls into a place that has nothing of it, compares.
pub(crate) fn pull() -> Outcome {
    let demo = Demo::start()?;
    let record = demo.directory.join(RECORD);
    if !record.is_file() {
        return Err(Failure::new("nothing was pushed yet; run: cargo xtask demo-push-oci"));
    }
    let expected = workspace::read_text(&record)?;
    // Store, cache and local file: the bytes must come from the registry.
    remove(&demo.directory.join(".port"))?;
    remove(&demo.directory.join("artifacts"))?;
    demo.port("pull", Network::LoopbackOnly)?;
    let found = demo::sha256(&demo.kernel())?;
    if found != expected.trim() {
        return Err(Failure::new(format!(
            "`{}`: pushed sha256:{}, pulled sha256:{found}",
            demo.kernel().display(),
            expected.trim()
        )));
    }
    println!("equal: pulled sha256:{found} from {REGISTRY}");
    Ok(())
}

/// Whether a command may leave this machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    Any,
    LoopbackOnly,
}

struct Demo {
    port: PathBuf,
    directory: PathBuf,
    /// Stops with the task.
    _registry: Option<Registry>,
}

impl Demo {
    fn start() -> Outcome<Self> {
        let directory = workspace::target_directory().join("demo-oci");
        let registry = Registry::ensure(&directory.join("registry"))?;
        let port = generate::port("release")?;
        let sample = workspace::read_text(&workspace::root().join(demo::CONFIGURATION))?;
        workspace::write_text(&directory.join("port.toml"), &configuration(&sample)?)?;
        Ok(Self { port, directory, _registry: registry })
    }

    fn kernel(&self) -> PathBuf {
        self.directory.join(demo::directory(ARTIFACT)).join("vmlinux")
    }

    fn port(&self, verb: &str, network: Network) -> Outcome {
        let mut command = Command::new(&self.port);
        command.current_dir(&self.directory).args(["artifacts", verb, "--artifact", ARTIFACT]);
        command.env("PATH", process::search_path());
        if network == Network::LoopbackOnly {
            // Port 9 of the loopback address discards: whatever is not the registry cannot be reached.
            for variable in
                ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
            {
                command.env(variable, "http://127.0.0.1:9");
            }
            command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        }
        println!("$ {}", process::shown(&command));
        process::run(&mut command)
    }
}

/// The sample with this registry and the OCI backend for the kernel, in both directions.
fn configuration(sample: &str) -> Outcome<String> {
    let mut changed = 0_u32;
    let mut within = String::new();
    let mut lines = Vec::new();
    for line in sample.lines() {
        if line.starts_with('[') {
            within = line.trim_matches(['[', ']']).to_owned();
        }
        let own = within.contains(&format!("kernels.{ARTIFACT}"));
        let replaced = match line.split_once(" = ").map(|(key, _)| key) {
            Some("reference") if own => {
                line.replace(r#"registry = "demo-fs""#, &format!(r#"registry = "{REGISTRY}""#))
            }
            Some(key @ ("push" | "pull")) if own => format!("{key} = {BACKEND}"),
            _ => line.to_owned(),
        };
        changed += u32::from(replaced != line);
        lines.push(replaced);
    }
    if changed == 3 {
        return Ok(lines.join("\n") + "\n");
    }
    Err(Failure::new(format!(
        "`{}`: expected `reference`, `push` and `pull` of `{ARTIFACT}` on one line each, found {changed} to change",
        demo::CONFIGURATION
    )))
}

/// Debian's registry, for as long as it is held.
struct Registry(Child);

impl Registry {
    /// Nothing where somebody's registry listens already.
    fn ensure(folder: &Path) -> Outcome<Option<Self>> {
        if answers() {
            println!("registry: the one that listens on {REGISTRY}");
            return Ok(None);
        }
        system::ensure(system::Setup::Install, system::Purpose::Peers)?;
        let file = folder.join("config.yml");
        let content = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: {}\nhttp:\n  addr: {REGISTRY}\n  secret: loopback-only\n",
            folder.join("data").display()
        );
        workspace::write_text(&file, &content)?;
        let mut command = process::program("docker-registry");
        command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| process::not_started(&command, &error))?;
        let mut registry = Self(child);
        registry.wait()?;
        println!("registry: docker-registry on {REGISTRY}, in {}", folder.display());
        Ok(Some(registry))
    }

    fn wait(&mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while !answers() {
            let ended = self.0.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "docker-registry does not listen on {REGISTRY}: {}",
                    ended.map_or_else(|| format!("waited {PATIENCE:?}"), |status| status.to_string())
                )));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answers() -> bool {
    let address: Result<SocketAddr, _> = REGISTRY.parse();
    address.is_ok_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
}

fn remove(path: &Path) -> Outcome {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_becomes_a_configuration_for_the_registry() {
        let sample = workspace::read_text(&workspace::root().join(demo::CONFIGURATION)).unwrap();
        let text = configuration(&sample).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let kernel = &table["artifacts"]["kernels"][ARTIFACT];
        assert_eq!(kernel["reference"]["registry"].as_str(), Some(REGISTRY));
        for direction in ["push", "pull"] {
            let backend = &kernel["distribution"][direction];
            assert_eq!(backend["backend"].as_str(), Some("oci-registry"));
            assert_eq!(backend["auth"]["kind"].as_str(), Some("anonymous"));
        }
        assert!(configuration("[artifacts.kernels.demo-kernel]\n").is_err());
    }
}
