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
/// Debian's registry.
const PROGRAM: &str = "docker-registry";
const PATIENCE: Duration = Duration::from_secs(20);

/// What one half leaves for the other: the digest of what was built.
const RECORD: &str = "kernel.sha256";

/// Where the two halves run, and with which build of `port`.
struct Settings {
    directory: PathBuf,
    registry: String,
    profile: &'static str,
}

impl Settings {
    /// The published ones.
    fn published() -> Self {
        let directory = workspace::target_directory().join("demo-oci");
        Self { directory, registry: REGISTRY.to_owned(), profile: "release" }
    }
}

/// Builds, pushes, deletes.
pub(crate) fn push() -> Outcome {
    push_half(&Settings::published())
}

/// Pulls into a place that has nothing of it, compares.
pub(crate) fn pull() -> Outcome {
    pull_half(&Settings::published())
}

fn push_half(settings: &Settings) -> Outcome {
    let demo = Demo::start(settings)?;
    // Only the build may fetch: the kernel's sources are on the network, the registry is not.
    demo.port("build", Network::Any)?;
    let digest = demo::sha256(&demo.kernel())?;
    demo.port("push", Network::LoopbackOnly)?;
    workspace::write_text(&demo.directory.join(RECORD), &format!("{digest}\n"))?;
    remove(&demo.kernel())?;
    let registry = &settings.registry;
    println!(
        "pushed sha256:{digest} to {registry}, and deleted the local file; now: cargo xtask demo-pull-oci"
    );
    Ok(())
}

fn pull_half(settings: &Settings) -> Outcome {
    let record = settings.directory.join(RECORD);
    if !record.is_file() {
        return Err(Failure::new("nothing was pushed yet; run: cargo xtask demo-push-oci"));
    }
    let demo = Demo::start(settings)?;
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
    println!("equal: pulled sha256:{found} from {}", settings.registry);
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
    fn start(settings: &Settings) -> Outcome<Self> {
        let Settings { directory, registry, profile } = settings;
        let running = Registry::ensure(registry, &directory.join("registry"))?;
        let port = generate::port(profile)?;
        let sample = workspace::read_text(&workspace::root().join(demo::CONFIGURATION))?;
        workspace::write_text(&directory.join("port.toml"), &configuration(&sample, registry)?)?;
        Ok(Self { port, directory: directory.clone(), _registry: running })
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
fn configuration(sample: &str, registry: &str) -> Outcome<String> {
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
                line.replace(r#"registry = "demo-fs""#, &format!(r#"registry = "{registry}""#))
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
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    /// Nothing where somebody's registry listens already.
    fn ensure(address: &str, folder: &Path) -> Outcome<Option<Self>> {
        if answers(address) {
            println!("registry: the one that listens on {address}");
            return Ok(None);
        }
        if process::find(PROGRAM).is_none() {
            system::ensure(system::Setup::Install, system::Purpose::Peers)?;
        }
        let file = folder.join("config.yml");
        let content = format!(
            "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    \
             rootdirectory: {}\nhttp:\n  addr: {address}\n  secret: loopback-only\n",
            folder.join("data").display()
        );
        workspace::write_text(&file, &content)?;
        let mut command = process::program(PROGRAM);
        command.arg("serve").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| process::not_started(&command, &error))?;
        let mut registry = Self { child, address: address.to_owned() };
        registry.wait()?;
        println!("registry: {PROGRAM} on {address}, in {}", folder.display());
        Ok(Some(registry))
    }

    fn wait(&mut self) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while !answers(&self.address) {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "{PROGRAM} does not listen on {}: {}",
                    self.address,
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
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(address: &str) -> bool {
    let address: Result<SocketAddr, _> = address.parse();
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
        let text = configuration(&sample, REGISTRY).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let kernel = &table["artifacts"]["kernels"][ARTIFACT];
        assert_eq!(kernel["reference"]["registry"].as_str(), Some(REGISTRY));
        for direction in ["push", "pull"] {
            let backend = &kernel["distribution"][direction];
            assert_eq!(backend["backend"].as_str(), Some("oci-registry"));
            assert_eq!(backend["auth"]["kind"].as_str(), Some("anonymous"));
        }
        assert!(configuration("[artifacts.kernels.demo-kernel]\n", REGISTRY).is_err());
    }

    /// The halves themselves, each with a registry process of its own on one folder. What is built is kept between runs, so
    /// that the kernel is fetched once per checkout.
    #[test]
    fn p_55_p_56_the_push_half_and_the_pull_half_prove_the_round_trip_at_a_registry() {
        let skip = |why: &str| eprintln!("skipped: p_55, p_56: {why}");
        if process::find(PROGRAM).is_none() {
            return skip("`docker-registry` is not installed (Debian package `docker-registry`)");
        }
        let directory = workspace::target_directory().join("demo-oci-test");
        std::fs::create_dir_all(&directory).unwrap();
        // Another run of the tests may be in the same directory.
        let alone = std::fs::File::create(directory.join("lock")).unwrap();
        alone.lock().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = listener.local_addr().unwrap().to_string();
        drop(listener);
        let settings = Settings { directory: directory.clone(), registry, profile: "dev" };
        let record = directory.join(RECORD);
        remove(&record).unwrap();
        remove(&directory.join("registry")).unwrap();
        let failure = pull_half(&settings).unwrap_err().to_string();
        assert!(failure.contains("nothing was pushed yet"), "{failure}");

        if let Err(failure) = push_half(&settings) {
            // The kernel's sources are on the network; everything else must work.
            assert!(failure.to_string().ends_with("failed: exit status: 4"), "{failure}");
            return skip("no source of the kernel can be reached");
        }
        let kernel = directory.join(demo::directory(ARTIFACT)).join("vmlinux");
        assert!(!kernel.exists(), "the push half deletes what it pushed");
        let digest = workspace::read_text(&record).unwrap().trim().to_owned();
        let folder = digest.get(..2).unwrap();
        let blob = format!("registry/data/docker/registry/v2/blobs/sha256/{folder}/{digest}/data");
        assert_eq!(demo::sha256(&directory.join(blob)).unwrap(), digest, "it is in the registry");

        pull_half(&settings).unwrap();
        assert_eq!(demo::sha256(&kernel).unwrap(), digest);
        by_hand(&settings, &digest);
        // Other bytes than were pushed are told.
        workspace::write_text(&record, &"0".repeat(64)).unwrap();
        let failure = pull_half(&settings).unwrap_err().to_string();
        assert!(failure.contains(&format!("pulled sha256:{digest}")), "{failure}");
        workspace::write_text(&record, &format!("{digest}\n")).unwrap();
    }

    /// P-56: push and pull as a person types them, in a directory and at a registry of their own, give what the tasks gave: the
    /// same tags, the same manifests, the same file.
    fn by_hand(settings: &Settings, digest: &str) {
        let Settings { directory, registry, profile } = settings;
        let own = directory.join("by-hand");
        remove(&own).unwrap();
        std::fs::create_dir_all(&own).unwrap();
        for built in ["artifacts", "port.lock"] {
            let copied = Command::new("cp").arg("-a").arg(directory.join(built)).arg(&own).status().unwrap();
            assert!(copied.success(), "{built}");
        }
        let sample = workspace::read_text(&workspace::root().join(demo::CONFIGURATION)).unwrap();
        workspace::write_text(&own.join("port.toml"), &configuration(&sample, registry).unwrap()).unwrap();
        let _running = Registry::ensure(registry, &own.join("registry")).unwrap();
        let port = generate::port(profile).unwrap();
        let type_in = |verb: &str| {
            let mut command = Command::new(&port);
            command.current_dir(&own).args(["artifacts", verb, "--artifact", ARTIFACT]);
            assert!(command.status().unwrap().success(), "{verb}");
        };
        type_in("push");
        let tags = published(&own);
        assert!(tags.len() == 2, "the version and its variant: {tags:?}");
        assert_eq!(tags, published(directory), "by hand, and by the task");
        let kernel = own.join(demo::directory(ARTIFACT)).join("vmlinux");
        for local in [&own.join(".port"), &own.join("artifacts")] {
            remove(local).unwrap();
        }
        type_in("pull");
        assert_eq!(demo::sha256(&kernel).unwrap(), digest);
    }

    /// The manifest of every tag, from the registry's own folder.
    fn published(directory: &Path) -> std::collections::BTreeMap<String, String> {
        let tags = "registry/data/docker/registry/v2/repositories/port/demo-kernel/_manifests/tags";
        let entries = std::fs::read_dir(directory.join(tags)).unwrap();
        let tags = entries.map(|entry| entry.unwrap().path());
        let named = |tag: PathBuf| {
            let digest = workspace::read_text(&tag.join("current/link")).unwrap();
            (tag.file_name().unwrap().to_string_lossy().into_owned(), digest)
        };
        tags.map(named).collect()
    }
}
